"""A server that turned an e-mail away for the time being: try again later, a bounded number of times."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.journey import (
    SOFT_BOUNCE_WAITS,
    JourneyStatus,
    OutboxState,
    PauseReason,
    StepStatus,
)
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.progress import plan_next
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journey, move_outbox, move_step, open_attempt

__all__ = ["soft_bounced"]

_ON_ITS_WAY = (StepStatus.SENDING, StepStatus.UNKNOWN, StepStatus.NEEDS_PERSON, StepStatus.WAITING)
_HANDLED = (StepStatus.SENT, StepStatus.DONE, StepStatus.SKIPPED)
_HELD = (OutboxState.CLAIMED, OutboxState.DRAFTED)


def soft_bounced(
    engine: Engine, row: dict[str, Any], who: str, verdict: dict[str, Any], now: dt.datetime
) -> tuple[str, str] | None:
    """Act on a soft bounce, in the caller's transaction; the kind of notice and what to tell the owner, None
    for a second report on an attempt that was followed up already.

    A new attempt opens only where the first can't arrive any more and nothing came after it: a final report,
    on a message known by its id, to its one recipient, with the journey still at that step.
    """
    store, reason = engine.store, verdict.get("reason")
    event(store, {**row, "owner_id": row["journey_owner"]}, "soft_bounce", now, reason)
    plain = f"An e-mail to {who} was turned back for the moment: {reason}."
    entry = _entry(store, row, verdict)
    if entry is None or entry["answers_id"] is not None:  # who wrote an answer by hand sees to it by hand
        return "soft_bounce", plain
    journey = store.one(f"SELECT * FROM journeys WHERE id = ?{store.for_update}", entry["journey_id"])
    attempts = store.rows(
        "SELECT attempt, state FROM outbox WHERE journey_id = ? AND step_id = ?",
        entry["journey_id"],
        entry["step_id"],
    )
    if journey is None or entry["attempt"] < max(a["attempt"] for a in attempts):
        return None
    store.write("UPDATE outbox SET error = ? WHERE id = ?", f"turned back: {reason}", entry["id"])
    if journey["status"] == JourneyStatus.CANCELLED or _moved_on(store, entry):
        return "soft_bounce", f"{plain} It isn't tried again, for the journey has ended or moved on."
    if journey["status"] == JourneyStatus.COMPLETED:
        _reopen(store, journey, now)
    bounces = sum(a["state"] == OutboxState.SENT for a in attempts)
    if bounces > len(SOFT_BOUNCE_WAITS):
        return _give_up(store, journey, who, bounces, reason, now)
    again = now + SOFT_BOUNCE_WAITS[bounces - 1]
    follows = store.value(
        "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id <> ? AND state = 'sent' LIMIT 1",
        entry["journey_id"],
        entry["step_id"],
    )
    open_attempt(
        store,
        entry["id"],
        engine.new_key(),
        due_at=again,
        priority=int(Priority.FOLLOW_UP if follows else Priority.FIRST),
    )
    move_step(store, entry["journey_id"], entry["step_id"], StepStatus.DUE, now)
    _forget_in_thread(store, journey, entry)
    for held in store.rows(
        f"SELECT id, generation FROM outbox WHERE journey_id = ? AND state IN {in_marks(_HELD)}",
        entry["journey_id"],
        *_HELD,
    ):  # a next step in a worker's hands waits its turn; the worker finds it gone and takes its draft away
        move_outbox(
            store, held["id"], held["generation"], OutboxState.PLANNED, lease_until=None, claimed_at=None
        )
    plan_next(store, entry["journey_id"], now)
    if journey["status"] == JourneyStatus.PAUSED:
        return "soft_bounce", f"{plain} It is tried again once its journey, which is paused, goes on."
    return "soft_bounce", f"{plain} It is tried again after {again:%d %b, %H:%M} UTC."


def _reopen(store: Store, journey: dict[str, Any], now: dt.datetime) -> None:
    """A journey whose last e-mail came back isn't over after all."""
    move_journey(store, journey["id"], JourneyStatus.ACTIVE, None, now)
    if not store.value("SELECT active FROM sequences WHERE id = ?", journey["sequence_id"]):
        move_journey(store, journey["id"], JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now)
    journey["status"] = store.value("SELECT status FROM journeys WHERE id = ?", journey["id"])


def _entry(store: Store, row: dict[str, Any], verdict: dict[str, Any]) -> dict[str, Any] | None:
    """The one attempt that a final report is about, to that recipient alone."""
    ids = verdict.get("message_ids") or []
    if not verdict.get("final") or not ids:
        return None
    found = store.rows(
        f"SELECT * FROM outbox WHERE workspace_id = ? AND rfc_message_id IN {in_marks(ids)} AND state = 'sent'",
        row["workspace_id"],
        *ids,
    )
    if len(found) != 1:
        return None
    recipients = {a.lower() for a in verdict.get("recipients", [])}
    return found[0] if recipients == {found[0]["recipient"].lower()} else None


def _forget_in_thread(store: Store, journey: dict[str, Any], entry: dict[str, Any]) -> None:
    """What never arrived is nothing to answer to; where nothing else stands in the thread, the new attempt
    opens one."""
    others = store.value(
        "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id <> ? AND provider_thread_id = ? AND state = 'sent' "
        "LIMIT 1",
        entry["journey_id"],
        entry["step_id"],
        entry["provider_thread_id"],
    )
    refs = [r for r in json.loads(journey["thread_refs"] or "[]") if r != entry["rfc_message_id"]]
    kept = (journey["thread_mailbox_id"], journey["provider_thread_id"], journey["thread_subject"])
    store.write(
        "UPDATE journeys SET thread_refs = ?, thread_mailbox_id = ?, provider_thread_id = ?, thread_subject = ? "
        "WHERE id = ?",
        json.dumps(refs),
        *(kept if others else (None, None, None)),
        entry["journey_id"],
    )


def _moved_on(store: Store, entry: dict[str, Any]) -> bool:
    """Whether another step of the journey left, may have, waits for a person or was handled since."""
    return bool(
        store.value(
            "SELECT 1 FROM journey_steps WHERE journey_id = ? AND step_id <> ? AND "
            f"(status IN {in_marks(_ON_ITS_WAY)} OR (status IN {in_marks(_HANDLED)} AND handled_at > ?)) LIMIT 1",
            entry["journey_id"],
            entry["step_id"],
            *_ON_ITS_WAY,
            *_HANDLED,
            entry["sent_at"],
        )
        or store.value(
            "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id <> ? AND priority = ? AND state IN "
            "('planned', 'claimed', 'drafted') LIMIT 1",
            entry["journey_id"],
            entry["step_id"],
            int(Priority.PERSON),
        )
    )


def _give_up(
    store: Store, journey: dict[str, Any], who: str, bounces: int, reason: object, now: dt.datetime
) -> tuple[str, str]:
    told = f"The e-mail to {who} was turned back {bounces} times, at last with: {reason}."
    by_itself = (None, PauseReason.SEQUENCE_DEACTIVATED, PauseReason.OUT_OF_OFFICE)
    if journey["reason"] not in by_itself:
        return "soft_bounce", f"{told} It isn't tried again; the journey was paused already."
    move_journey(
        store,
        journey["id"],
        JourneyStatus.PAUSED,
        PauseReason.SEND_FAILED,
        now,
        detail=f"turned back {bounces} times: {reason}",
    )
    return "send_failed", (
        f"{told} The journey is paused. Give it another address with journey.use_email, and resume it to go on "
        "with its next step, or cancel it."
    )
