"""Settling what a crash or a lost answer left behind, by asking the provider (docs/sending.md)."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, OutboxState, PauseReason, StepStatus
from outreach_sdk.domain.message import text_hash
from outreach_sdk.engine import failpoints, look, send
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import mailbox_dead
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import UNSURE, person_name, plan_next
from outreach_sdk.engine.release import release
from outreach_sdk.engine.timing import not_now
from outreach_sdk.errors import MailAuthError, MailError
from outreach_sdk.mail.port import Fingerprint, MailTransport, SentMessage
from outreach_sdk.storage.entries import load_entries
from outreach_sdk.storage.transitions import move_journey, move_outbox, move_step

__all__ = ["once_more", "recover", "unreachable"]

UNSEEN_TIMES = 12
"""So many times longer than after a look that found nothing is a person left in peace about one that nobody could
take."""
LOOK_BACK = dt.timedelta(days=90)


def recover(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """An entry that had `sending` committed: never build a second draft. The same draft may go out again
    while it still stands; a message found in Sent settles it; neither means wait and look again."""
    failpoints.hit("during_recovery")
    try:
        found = transport.find_sent(
            send_key=entry["send_key"],
            since=entry["sending_at"] - dt.timedelta(minutes=5),
            fingerprint=_print(entry),
        )
        if found is not None:
            return send.accepted(engine, entry, send.with_header_id(transport, found))
        if entry["provider_draft_id"] and transport.draft_exists(entry["provider_draft_id"]):
            return _draft_stands(engine, entry, transport)
    except MailAuthError as exc:
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return _look_again(engine, entry, why=str(exc))
    except MailError as exc:
        return _look_again(engine, entry, why=str(exc))
    return _look_again(engine, entry)


def unreachable(engine: Engine, entry: dict[str, Any]) -> str:
    """The same for an entry whose mailbox can't be opened, so that nobody can be asked yet."""
    return _look_again(engine, entry, why="the mailbox isn't connected")


def once_more(engine: Engine, box: dict[str, Any]) -> int:
    """Look again for what a person was asked about, now that the mailbox is connected again; how many were found. What
    isn't stays with the person: nothing is sent again by itself."""
    store, found = engine.store, 0
    ids = [
        row["id"]
        for row in store.rows(
            "SELECT id FROM outbox WHERE mailbox_id = ? AND state = 'needs_person' AND sending_at > ? "
            "ORDER BY id LIMIT 200",
            box["id"],
            engine.now() - LOOK_BACK,
        )
    ]
    transport = engine.transport(box)
    for entry in load_entries(store, ids).values() if ids else ():
        sent = transport.find_sent(
            send_key=entry["send_key"],
            since=entry["sending_at"] - dt.timedelta(minutes=5),
            fingerprint=_print(entry),
        )
        found += sent is not None and _found(engine, entry, send.with_header_id(transport, sent))
    store.write("UPDATE mailboxes SET look_up = ? WHERE id = ?", False, box["id"])
    return found


def _found(engine: Engine, entry: dict[str, Any], sent: SentMessage) -> bool:
    store, now = engine.store, engine.now()

    def work() -> bool:
        if send.accepted(engine, entry, sent) != "sent":
            return False
        if (
            entry["journey_status"] == JourneyStatus.PAUSED
            and entry["journey_reason"] == PauseReason.UNKNOWN_SEND
        ):
            if entry["sequence_active"]:
                move_journey(store, entry["journey_id"], JourneyStatus.ACTIVE, None, now)
                plan_next(store, entry["journey_id"], now)
            else:
                move_journey(
                    store, entry["journey_id"], JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now
                )
        notify(
            store,
            workspace_id=entry["workspace_id"],
            owner_id=entry["owner_id"],
            kind="unknown_send",
            text=f"The e-mail to {person_name(store, entry['candidate_id'])} that nobody could find had left: it is among "
            f"those sent from {entry['mailbox_address']}. You needn't answer any more.",
            dedupe=f"unknown_send_found:{entry['id']}",
            now=now,
            journey_id=entry["journey_id"],
            sequence_id=entry["sequence_id"],
        )
        return True

    return store.run(work)


def _print(entry: dict[str, Any]) -> Fingerprint:
    people = {entry["recipient"].lower()}
    people |= {a.rpartition("<")[2].rstrip(">").lower() for a in json.loads(entry["cc"] or "[]")}
    return Fingerprint(
        recipients=frozenset(people),
        subject=entry["subject"] or "",
        text_hash=text_hash(entry["body_text"] or ""),
        provider_thread_id=entry["provider_thread_id"],
    )


def _draft_stands(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """The draft is there, so it wasn't sent: send that one, or take it away if the journey has ended."""
    store = engine.store
    journey = store.one("SELECT status, generation FROM journeys WHERE id = ?", entry["journey_id"])
    going_on = entry["answers_id"] is not None or (
        journey is not None and journey["status"] == JourneyStatus.ACTIVE
    )
    with store.tx():
        if entry["state"] == OutboxState.UNKNOWN and not move_outbox(
            store, entry["id"], entry["generation"], OutboxState.SENDING
        ):
            return "gone"
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.DRAFTED,
            **({"journey_generation": journey["generation"]} if journey is not None else {}),
        ):
            return "gone"
    entry["state"] = OutboxState.DRAFTED
    if journey is not None:
        entry["journey_generation"] = journey["generation"]
    if going_on:
        return _as_any_other(engine, entry, transport)
    transport.delete_draft(entry["provider_draft_id"])
    release(engine, entry, reschedule_it=False)
    return "released"


def _as_any_other(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """Hours may have gone by: what holds for an e-mail that is claimed for the first time holds for one that was about
    to leave. Its lateness and its hours, and whether they have answered meanwhile."""
    if entry["answers_id"] is None:
        held = not_now(engine, entry)
        if held is not None:
            send.take_away(entry, transport)
            return held
        if look.needed(entry):
            try:
                held = look.hold(engine, entry, transport)
            except MailAuthError as exc:
                release(engine, entry)
                mailbox_dead(engine, entry["mailbox_id"], str(exc))
                return "reauthorise"
            if held:
                return held if held != look.ANSWERED else send.let_go(engine, entry, transport)
    return send.deliver(engine, entry, transport)


def _look_again(engine: Engine, entry: dict[str, Any], *, why: str | None = None) -> str:
    """Neither draft nor message: it may still surface. Look on a growing interval, then ask a person. `why`: the look
    itself failed, which says nothing; a person is asked for that after a day or so."""
    store, now = engine.store, engine.now()
    looks = int(entry["looks"]) + 1
    patience = engine.unknown_for * (1 if why is None else UNSEEN_TIMES)
    if now - entry["sending_at"] >= patience:
        return _ask(engine, entry, why)
    wait = dt.timedelta(seconds=min(2.0 * 2 ** min(looks, 10), 900.0))
    with store.tx():
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.UNKNOWN,
            looks=looks,
            lease_until=min(now + wait, entry["sending_at"] + patience),
            claimed_at=None,
        ):
            return "gone"
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.UNKNOWN, now)
    return "unknown"


def _ask(engine: Engine, entry: dict[str, Any], why: str | None) -> str:
    store, now = engine.store, engine.now()
    unseen = f", for {entry['mailbox_address']} can't be read: {why.rstrip('.')}" if why else ""
    with store.tx():
        if entry["state"] == OutboxState.SENDING:
            move_outbox(store, entry["id"], entry["generation"], OutboxState.UNKNOWN)
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.NEEDS_PERSON,
            lease_until=None,
            claimed_at=None,
        ):
            return "gone"
        who = person_name(store, entry["candidate_id"])
        then = "If it isn't there, answer once more."
        if entry["answers_id"] is None:
            then = "Then say journey.resolve(step, sent=True) or sent=False."
            move_step(store, entry["journey_id"], entry["step_id"], StepStatus.NEEDS_PERSON, now)
            move_journey(
                store,
                entry["journey_id"],
                JourneyStatus.PAUSED,
                PauseReason.UNKNOWN_SEND,
                now,
                detail=f"{UNSURE}{unseen}",
            )
        notify(
            store,
            workspace_id=entry["workspace_id"],
            owner_id=entry["owner_id"],
            kind="unknown_send",
            text=f"Nobody can say whether the e-mail to {who} left{unseen}. Look in the Sent folder of "
            f"{entry['mailbox_address']}. {then}",
            dedupe=f"unknown_send:{entry['id']}",
            now=now,
            journey_id=entry["journey_id"],
            sequence_id=entry["sequence_id"],
        )
    return "needs_person"
