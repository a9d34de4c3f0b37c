"""What a mailbox and a candidate can take: limits counted when an e-mail leaves, and a mailbox that has to wait."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.pacing import PROVIDER_LIMITS, Limit, mailbox_limits, next_slot, spacing_of
from outreach_sdk.domain.windows import SendingRules
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import MailError, MailRateLimited
from outreach_sdk.storage.claims import ACCOUNT
from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.store import Store

__all__ = [
    "LEFT",
    "SAME_ACCOUNT",
    "account_of",
    "candidate_full",
    "fine_again",
    "lock_account",
    "mailbox_full",
    "mailbox_waits",
    "slot_after",
    "trouble",
]

LEFT = "state IN ('sending', 'sent', 'unknown', 'needs_person')"
"""SQL: an e-mail that left, or may have."""
WORTH_TELLING = dt.timedelta(minutes=15)
_LONGEST = 900.0


SAME_ACCOUNT = "workspace_id = ? AND address = ? AND provider = ?"
"""SQL: the rows of one account, which several colleagues may have connected: the provider counts its calls together."""


def account_of(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What `SAME_ACCOUNT` takes."""
    return entry["workspace_id"], entry["mailbox_address"], entry["provider"]


def lock_account(store: Store, entry: dict[str, Any]) -> None:
    """Let one transaction at a time see when the account was called last, and call. All lock in the same order."""
    if store.for_update:
        store.rows(
            f"SELECT id FROM mailboxes WHERE {SAME_ACCOUNT} ORDER BY id{store.for_update}", *account_of(entry)
        )


def mailbox_full(
    store: Store, box: dict[str, Any], mailbox_id: int, now: dt.datetime, *, people: int = 1
) -> tuple[dt.datetime, str] | None:
    """(when it may send again, which limit was reached), or None, for an e-mail to so many people; `box` as for
    `mailbox_limits`. In the fence's transaction, with the mailbox's row locked."""
    of_provider = PROVIDER_LIMITS.get(box["provider"], ())
    reached = [
        (until, limit.what)
        for limit in mailbox_limits(box, now)
        if (
            until := _opens(
                store,
                ACCOUNT if limit in of_provider else "mailbox_id = ?",
                mailbox_id,
                limit,
                now,
                people=people,
            )
        )
        is not None
    ]
    return max(reached, default=None)


def candidate_full(
    store: Store, rules: SendingRules, candidate_id: int, now: dt.datetime
) -> tuple[dt.datetime, str] | None:
    """When this person may be written to again, and why not before; across sequences, owners and mailboxes."""
    limits = [
        Limit(dt.timedelta(days=days), most, f"{most} e-mail{'s' * (most != 1)} a {name} to one person")
        for days, most, name in ((1, rules.candidate_per_day, "day"), (7, rules.candidate_per_week, "week"))
        if most is not None
    ]
    reached = [
        (until, limit.what)
        for limit in limits
        if (until := _opens(store, "candidate_id = ?", candidate_id, limit, now)) is not None
    ]
    return max(reached, default=None)


def _opens(
    store: Store, whose: str, row_id: int, limit: Limit, now: dt.datetime, *, people: int = 1
) -> dt.datetime | None:
    """When the stretch has room again: as soon as the `most`-th latest e-mail (or recipient) is out of it. Reads no
    more index entries than were sent in the stretch."""
    if limit.most <= 0:
        return now + limit.window
    if limit.recipients:
        moment = store.value(
            f"SELECT MAX(sending_at) FROM (SELECT sending_at, SUM(recipients) OVER (ORDER BY sending_at DESC, id DESC) "
            f"AS reached FROM outbox WHERE {whose} AND sending_at > ? AND {LEFT}) AS q WHERE reached >= ?",
            row_id,
            now - limit.window,
            limit.most - people + 1,
        )
        return None if moment is None else from_us(moment) + limit.window
    row = store.one(
        f"SELECT sending_at FROM outbox WHERE {whose} AND sending_at > ? AND {LEFT} "
        "ORDER BY sending_at DESC LIMIT 1 OFFSET ?",
        row_id,
        now - limit.window,
        limit.most - 1,
    )
    return None if row is None else row["sending_at"] + limit.window


def slot_after(engine: Engine, entry: dict[str, Any], began: dt.datetime) -> None:
    """A call to the provider began then and is answered now: when the mailbox may make its next."""
    spacing = spacing_of(entry["spacing_us"])
    if not spacing:
        return
    # The call's own time counts from its answer, so that acceptances are spaced as well as calls.
    answered = engine.now()
    free = next_slot(began, answered, spacing)

    def work() -> None:
        lock_account(engine.store, entry)
        engine.store.write(
            "UPDATE mailboxes SET last_call_at = CASE WHEN last_call_at < ? THEN ? ELSE last_call_at END, "
            f"next_slot_at = CASE WHEN next_slot_at < ? THEN ? ELSE next_slot_at END WHERE {SAME_ACCOUNT}",
            answered,
            answered,
            free,
            free,
            *account_of(entry),
        )

    engine.store.run(work)


def mailbox_waits(
    engine: Engine, entry: dict[str, Any], until: dt.datetime, why: str, *, trouble: bool = False
) -> None:
    """Nothing leaves this mailbox before `until`. Its owner hears of a wait worth telling, once in 24 hours."""
    store, now = engine.store, engine.now()
    with store.tx():
        if trouble:  # the provider's own word is for the account
            lock_account(store, entry)
        store.write(
            "UPDATE mailboxes SET wait_until = CASE WHEN wait_until > ? THEN wait_until ELSE ? END, wait_reason = ?, "
            f"troubles = troubles + ? WHERE {SAME_ACCOUNT if trouble else 'id = ?'}",
            until,
            until,
            why,
            int(trouble),
            *(account_of(entry) if trouble else (entry["mailbox_id"],)),
        )
        if until - now >= WORTH_TELLING:
            box = store.one("SELECT * FROM mailboxes WHERE id = ?", entry["mailbox_id"]) or {}
            # The mailbox's row is locked by now: two who wait at once don't both tell.
            if store.value(
                "SELECT 1 FROM notifications WHERE owner_id = ? AND created_at > ? AND kind = 'mailbox_waits' AND "
                "dedupe LIKE ? LIMIT 1",
                box["owner_id"],
                now - dt.timedelta(hours=24),
                f"mailbox_waits:{box['id']}:%",
            ):
                return
            notify(
                store,
                workspace_id=box["workspace_id"],
                owner_id=box["owner_id"],
                kind="mailbox_waits",
                text=f"{box['address']} sends again after {until:%d %b, %H:%M} UTC: {why}. Nothing is lost; what is "
                "due leaves then, in order.",
                dedupe=f"mailbox_waits:{box['id']}:{now.isoformat()}",
                now=now,
            )


def trouble(engine: Engine, entry: dict[str, Any], exc: MailError) -> dt.datetime:
    """A temporary refusal is the whole mailbox's: it waits for the provider's own time, or one that doubles with
    each refusal since the last success; until when."""
    store, now = engine.store, engine.now()
    before = int(store.value("SELECT troubles FROM mailboxes WHERE id = ?", entry["mailbox_id"]) or 0)
    first = 30.0 if isinstance(exc, MailRateLimited) else 5.0
    stated = vars(exc).get("retry_after")
    seconds = float(stated) if stated is not None else min(first * 2.0 ** min(before, 10), _LONGEST)
    until = now + dt.timedelta(seconds=seconds)
    mailbox_waits(engine, entry, until, str(exc).rstrip("."), trouble=True)
    return until


def fine_again(store: Store, mailbox_id: int) -> None:
    """A success ends what earlier refusals began."""
    store.write(
        "UPDATE mailboxes SET troubles = 0, wait_until = NULL, wait_reason = NULL WHERE id = ?", mailbox_id
    )
