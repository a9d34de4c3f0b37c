"""Mailboxes connected, lost and repaired, and what that means for the journeys that need them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from outreach_sdk.domain.contact import plain_email
from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.limits import SAME_ACCOUNT
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import plan_many
from outreach_sdk.mail.port import Identity
from outreach_sdk.storage.claims import lent_to
from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journeys

__all__ = [
    "ON_TRUST",
    "binding",
    "connected",
    "disconnect",
    "lend",
    "mailbox_dead",
    "mailbox_locked",
    "make_default",
    "own_addresses",
    "owner_changed",
    "remember_identities",
    "sender_repaired",
    "sender_trouble",
    "sender_troubles",
    "take_back",
    "usable_again",
]

ON_TRUST = frozenset({"gmail", "outlook"})
"""Providers whose behaviour rests on reports: nothing leaves before the self-test has passed."""

CALENDARS = frozenset({"gmail", "outlook"})
"""Providers whose mailboxes come with a calendar."""

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

# Whose next step leaves from this mailbox, or, waiting for a person, would, or whose sequence does.
_NEEDS = (
    "(lane = ? OR (lane IS NULL AND (sequence_id IN (SELECT id FROM sequences WHERE mailbox_id = ?) OR next_step_id IN "
    "(SELECT id FROM steps WHERE mailbox_id = ?))) OR id IN "
    "(SELECT journey_id FROM outbox WHERE mailbox_id = ? AND state IN ('planned', 'claimed', 'drafted')))"
)

_SENDER = "COALESCE(journeys.lane, (SELECT t.mailbox_id FROM steps t WHERE t.id = journeys.next_step_id), s.mailbox_id)"
"""SQL: the mailbox that a journey of the sequence `s` needs next."""


def binding(box: Mapping[str, Any]) -> str:
    """What a mailbox's tokens are bound to: what makes its row unique. In another row, be it another owner's of
    the same address, the ciphertext opens nothing."""
    return f"mailbox:{box['workspace_id']}:{box['owner_id']}:{box['provider']}:{box['address']}"


def connected(
    engine: Engine,
    *,
    workspace_id: int,
    owner_id: int,
    provider: str,
    address: str,
    name: str = "",
    config: dict[str, Any] | None = None,
    sealed: str | None = None,
) -> dict[str, Any]:
    """The row of a mailbox connected now, new or again; journeys that waited for it go on. A first mailbox is
    its owner's default. What a provider promises by reports alone is tested before anything leaves."""
    store, now = engine.store, engine.now()

    def work() -> dict[str, Any]:
        first = not store.value("SELECT 1 FROM mailboxes WHERE owner_id = ? AND is_default", owner_id)
        account = (
            store.one(  # which a colleague may have connected: its calls are spaced together
                f"SELECT MAX(last_call_at) AS last_call, MAX(spacing_us) AS spacing FROM mailboxes WHERE {SAME_ACCOUNT}",
                workspace_id,
                address,
                provider,
            )
            or {}
        )
        last_call = LONG_AGO if account.get("last_call") is None else from_us(account["last_call"])
        spacing = account.get("spacing")
        (box,) = store.rows(
            "INSERT INTO mailboxes (workspace_id, owner_id, provider, address, name, status, credentials, config, "
            "is_default, next_poll_at, next_slot_at, last_call_at, spacing_us, created_at, checked_at) "
            "VALUES (?, ?, ?, ?, ?, 'connected', ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace_id, address, owner_id) DO UPDATE SET status = 'connected', status_detail = NULL, "
            "checked_at = CASE WHEN mailboxes.provider = excluded.provider THEN mailboxes.checked_at "
            "ELSE excluded.checked_at END, check_failed = NULL, check_next_at = NULL, check_tries = NULL, "
            # Where reading goes on is the old provider's own; what came since is asked of the new one at once.
            "cursor = CASE WHEN mailboxes.provider = excluded.provider THEN mailboxes.cursor END, "
            "next_poll_at = CASE WHEN mailboxes.provider = excluded.provider THEN mailboxes.next_poll_at "
            "ELSE excluded.next_poll_at END, "
            "reading_until = CASE WHEN mailboxes.provider = excluded.provider THEN mailboxes.reading_until END, "
            "provider = excluded.provider, credentials = excluded.credentials, config = excluded.config, "
            # What was to be revoked is the grant given again just now.
            "revoking = NULL, wait_until = CASE WHEN mailboxes.unusable IS NULL THEN mailboxes.wait_until END, "
            "unusable = NULL, read_wait_until = NULL, read_tries = 0, first_failed_at = NULL, "
            "look_up = EXISTS (SELECT 1 FROM outbox o WHERE o.mailbox_id = mailboxes.id AND o.state = 'needs_person') "
            "RETURNING *",
            workspace_id,
            owner_id,
            provider,
            address,
            name,
            sealed,
            json.dumps(config or {}),
            first,
            now,
            last_call,
            last_call,
            engine.spacing // dt.timedelta(microseconds=1) if spacing is None else spacing,
            now,
            None if provider in ON_TRUST else now,
        )
        usable_again(store, box["id"], now)
        if provider in CALENDARS:  # consent may cover it by now: that is found out by asking
            store.write(
                "INSERT INTO calendars (workspace_id, owner_id, mailbox_id, next_at, tries) VALUES (?, ?, ?, ?, 0) "
                "ON CONFLICT (mailbox_id) DO UPDATE SET next_at = excluded.next_at, refused = NULL, tries = 0, "
                "cursor = NULL, listed_at = NULL",
                workspace_id,
                owner_id,
                box["id"],
                now,
            )
        return box

    return store.run(work)


def usable_again(store: Store, mailbox_id: int, now: dt.datetime) -> None:
    """What waited for this mailbox, and may use it, goes on. In a transaction."""
    _let_go_on(store, _NEEDS, (mailbox_id,) * 4, now)


def _let_go_on(store: Store, condition: str, params: tuple[Any, ...], now: dt.datetime) -> None:
    """Journeys that waited for a mailbox go on, where it is connected and their owner may use it; those of
    inactive sequences wait for activation instead."""
    usable = (
        f"EXISTS (SELECT 1 FROM sequences s JOIN mailboxes m ON m.id = {_SENDER} "
        f"WHERE s.id = journeys.sequence_id AND m.status = 'connected' AND {lent_to('m', 'journeys.owner_id')})"
    )
    for reason in (PauseReason.REAUTHORISE, PauseReason.MAILBOX_DISCONNECTED):
        for active in (True, False):
            moved = move_journeys(
                store,
                f"status = 'paused' AND reason = ? AND {condition} AND {usable} AND sequence_id IN "
                "(SELECT id FROM sequences WHERE active = ?)",
                (reason, *params, active),
                JourneyStatus.ACTIVE if active else JourneyStatus.PAUSED,
                None if active else PauseReason.SEQUENCE_DEACTIVATED,
                now,
            )
            if active:
                plan_many(store, [journey["id"] for journey in moved], now)


def sender_repaired(engine: Engine, sequence_id: int) -> None:
    """A sequence was given another mailbox: what waited for the lost one goes on. In a transaction."""
    _let_go_on(
        engine.store,
        "sequence_id = ? AND (lane IS NULL OR lane IN (SELECT id FROM mailboxes WHERE status = 'connected'))",
        (sequence_id,),
        engine.now(),
    )


def owner_changed(engine: Engine, sequence: dict[str, Any]) -> None:
    """A sequence is somebody else's now (`owner_id`): its journeys pause where they may not use the mailbox they are to
    leave from, and go on where the one before might not. In a transaction."""
    store, now = engine.store, engine.now()
    moved = move_journeys(
        store,
        "sequence_id = ? AND status = 'active' AND EXISTS (SELECT 1 FROM sequences s JOIN mailboxes m ON "
        f"m.id = {_SENDER} WHERE s.id = journeys.sequence_id AND NOT {lent_to('m', 'journeys.owner_id')})",
        (sequence["id"],),
        JourneyStatus.PAUSED,
        PauseReason.MAILBOX_DISCONNECTED,
        now,
        detail="its mailbox isn't lent to its new owner",
    )
    if moved:
        notify(
            store,
            workspace_id=sequence["workspace_id"],
            owner_id=sequence["owner_id"],
            kind=str(PauseReason.MAILBOX_DISCONNECTED),
            text=f"You can't send from the mailbox of {sequence['name']!r}: its journeys are paused. Give it a mailbox of "
            "yours, or have that one lent to you.",
            dedupe=f"{PauseReason.MAILBOX_DISCONNECTED}:{sequence['id']}:{now.isoformat()}",
            now=now,
            sequence_id=sequence["id"],
        )
    sender_repaired(engine, sequence["id"])


def sender_trouble(store: Store, sequence: dict[str, Any]) -> str | None:
    """What is wrong with the mailboxes a sequence sends from, in sentences, or None."""
    return sender_troubles(store, [sequence["id"]]).get(sequence["id"])


def sender_troubles(store: Store, sequence_ids: list[int]) -> dict[int, str]:
    """The same of many, by sequence; those that are well aren't in it."""
    told: dict[int, list[str]] = {}
    for box in store.rows(
        f"SELECT s.id AS sequence_id, m.address, m.status, m.check_failed, m.unusable, {lent_to('m', 's.owner_id')} AS lent "
        "FROM sequences s JOIN mailboxes m ON m.id = s.mailbox_id OR m.id IN (SELECT t.mailbox_id FROM steps t WHERE "
        "t.sequence_id = s.id AND t.removed_at IS NULL AND t.mailbox_id IS NOT NULL) WHERE s.id IN "
        f"{in_marks(sequence_ids)} ORDER BY s.id, m.id",
        *sequence_ids,
    ):
        says = told.setdefault(box["sequence_id"], [])
        if not box["lent"]:
            says.append(f"The mailbox {box['address']} isn't lent to its owner any more.")
        elif box["status"] == "reauthorise":
            says.append(f"The mailbox {box['address']} has to be connected again.")
        elif box["status"] != "connected":
            says.append(f"The mailbox {box['address']} is disconnected.")
        elif box["unusable"]:
            says.append(f"The mailbox {box['address']} can't be opened. {box['unusable']}")
        elif box["check_failed"]:
            says.append(f"The mailbox {box['address']} didn't pass its self-test: {box['check_failed']}")
    return {sequence: " ".join(says) for sequence, says in told.items() if says}


LOCKED_FOR = dt.timedelta(minutes=5)


def mailbox_locked(engine: Engine, mailbox_id: int, why: str) -> None:
    """No key here opens its tokens: it says so, waits a while, and goes on by itself once one does. Its owner is told
    when that begins."""
    store, now = engine.store, engine.now()

    def work() -> None:
        known = store.value("SELECT unusable FROM mailboxes WHERE id = ?", mailbox_id)
        box = store.one(
            "UPDATE mailboxes SET unusable = ?, wait_until = ?, wait_reason = ?, next_poll_at = ? WHERE id = ? AND "
            "status = 'connected' RETURNING *",
            why,
            now + LOCKED_FOR,
            why.rstrip("."),
            now + LOCKED_FOR,
            mailbox_id,
        )
        if box is not None and known is None:
            notify(
                store,
                workspace_id=box["workspace_id"],
                owner_id=box["owner_id"],
                kind="mailbox_locked",
                text=f"Nothing leaves {box['address']}, and its answers aren't seen: {why}",
                # A day: one worker of many may lack the key.
                dedupe=f"mailbox_locked:{box['id']}:{now:%Y-%m-%d}",
                now=now,
            )

    store.run(work)


def mailbox_dead(engine: Engine, mailbox_id: int, why: str) -> None:
    """A dead grant: the mailbox shows `reauthorise`, its journeys pause, each owner is told once."""
    store, now = engine.store, engine.now()

    def work() -> None:
        box = store.one(
            "UPDATE mailboxes SET status = 'reauthorise', status_detail = ? WHERE id = ? AND status = 'connected' "
            "RETURNING *",
            why,
            mailbox_id,
        )
        if box is None:
            return
        _pause_and_tell(
            store,
            box,
            PauseReason.REAUTHORISE,
            f"{box['address']} has to be connected again: {why.rstrip('.')}. Its journeys wait until then.",
            now,
            detail=why,
        )

    store.run(work)


def disconnect(engine: Engine, mailbox_id: int) -> None:
    """Forget its tokens; journeys that need it pause, and their owners are told. What Google must still be told
    to forget is kept, encrypted, until it was (`wiring.revoke_pending`)."""
    store, now = engine.store, engine.now()

    def work() -> None:
        box = store.one(
            "UPDATE mailboxes SET status = 'disconnected', status_detail = NULL, "
            "revoking = CASE WHEN provider = 'gmail' THEN COALESCE(credentials, revoking) END, credentials = NULL, "
            "check_failed = NULL WHERE id = ? AND status <> 'disconnected' RETURNING *",
            mailbox_id,
        )
        if box is None:
            return
        store.write(
            "UPDATE grants SET ended_at = ? WHERE mailbox_id = ? AND ended_at IS NULL", now, mailbox_id
        )
        other = store.value(
            "SELECT id FROM mailboxes WHERE owner_id = ? AND status = 'connected' ORDER BY id LIMIT 1",
            box["owner_id"],
        )
        if box["is_default"] and other is not None:
            make_default(store, box["owner_id"], other)
        _pause_and_tell(
            store,
            box,
            PauseReason.MAILBOX_DISCONNECTED,
            f"{box['address']} was disconnected. The journeys that need it are paused.",
            now,
        )

    store.run(work)


def lend(engine: Engine, box: dict[str, Any], user_id: int | None, who: str) -> None:
    """Let a user, or with None the whole team, send from a mailbox; journeys that waited for that go on."""
    store, now = engine.store, engine.now()

    def work() -> None:
        # Two at once would both see none: the mailbox's row is what they queue for.
        store.value(f"SELECT id FROM mailboxes WHERE id = ?{store.for_update}", box["id"])
        if store.value(
            f"SELECT 1 FROM grants WHERE mailbox_id = ? AND ended_at IS NULL AND {_same(user_id)}",
            box["id"],
            *_one(user_id),
        ):
            return
        store.insert(
            "grants",
            {
                "workspace_id": box["workspace_id"],
                "mailbox_id": box["id"],
                "user_id": user_id,
                "created_at": now,
            },
        )
        event(store, {**box, "journey_id": None}, "mailbox_lent", now, f"{box['address']} to {who}")
        usable_again(store, box["id"], now)

    store.run(work)


def take_back(engine: Engine, box: dict[str, Any], user_id: int | None, who: str) -> None:
    """Journeys of others that were to leave from here, and may not any more, pause; their owners are told."""
    store, now = engine.store, engine.now()

    def work() -> None:
        ended = store.write(
            f"UPDATE grants SET ended_at = ? WHERE mailbox_id = ? AND ended_at IS NULL AND {_same(user_id)}",
            now,
            box["id"],
            *_one(user_id),
        )
        if not ended:
            return
        event(store, {**box, "journey_id": None}, "mailbox_taken_back", now, f"{box['address']} from {who}")
        not_lent = (
            "owner_id <> ? AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.mailbox_id = ? AND g.ended_at IS NULL "
            "AND (g.user_id IS NULL OR g.user_id = journeys.owner_id))"
        )
        _pause_and_tell(
            store,
            box,
            PauseReason.MAILBOX_DISCONNECTED,
            f"You can't send from {box['address']} any more. The journeys that need it are paused; give their "
            "sequence another mailbox.",
            now,
            detail=f"{box['address']} isn't lent any more",
            only=(not_lent, (box["owner_id"], box["id"])),
        )

    store.run(work)


def _same(user_id: int | None) -> str:
    return "user_id IS NULL" if user_id is None else "user_id = ?"


def _one(user_id: int | None) -> tuple[int, ...]:
    return () if user_id is None else (user_id,)


def _pause_and_tell(
    store: Store,
    box: dict[str, Any],
    reason: PauseReason,
    text: str,
    now: dt.datetime,
    *,
    detail: str | None = None,
    only: tuple[str, tuple[Any, ...]] = ("TRUE", ()),
) -> None:
    moved = move_journeys(
        store,
        f"{_NEEDS} AND status = 'active' AND {only[0]}",
        (*(box["id"],) * 4, *only[1]),
        JourneyStatus.PAUSED,
        reason,
        now,
        detail=detail,
    )
    owners = {(m["workspace_id"], m["owner_id"]) for m in moved}
    if reason is PauseReason.REAUTHORISE:
        owners.add((box["workspace_id"], box["owner_id"]))
    for workspace_id, owner_id in owners:
        notify(
            store,
            workspace_id=workspace_id,
            owner_id=owner_id,
            kind=str(reason),
            text=text,
            dedupe=f"{reason}:{box['id']}:{owner_id}:{now.isoformat()}",
            now=now,
        )


def make_default(store: Store, owner_id: int, mailbox_id: int) -> None:
    """Exactly one default for each owner. In a transaction."""
    store.write("UPDATE mailboxes SET is_default = ? WHERE owner_id = ? AND is_default", False, owner_id)
    store.write("UPDATE mailboxes SET is_default = ? WHERE id = ?", True, mailbox_id)


def own_addresses(store: Store, workspace_id: int) -> set[str]:
    """Every address that mailboxes of the workspace write as, aliases included, and its users', as they are stored."""
    rows = store.rows(
        "SELECT address, identities FROM mailboxes WHERE workspace_id = ? UNION ALL "
        "SELECT email, NULL FROM users WHERE workspace_id = ? AND email IS NOT NULL",
        workspace_id,
        workspace_id,
    )
    aliases = {plain_email(str(i["address"])) for r in rows for i in json.loads(r["identities"] or "[]")}
    return aliases | {plain_email(str(r["address"])) for r in rows}


def remember_identities(store: Store, mailbox_id: int, found: Iterable[Identity]) -> None:
    """What the provider says this mailbox may send as."""
    store.write(
        "UPDATE mailboxes SET identities = ? WHERE id = ?", json.dumps([asdict(i) for i in found]), mailbox_id
    )
