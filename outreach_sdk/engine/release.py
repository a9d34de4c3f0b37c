"""An entry that doesn't leave now: given back, tried later, refused, or left for recovery to settle."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, OutboxState, PauseReason, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.engine import limits
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name, plan_next, reschedule
from outreach_sdk.errors import MailError, MailRateLimited, MailTemporary
from outreach_sdk.storage.holds import sound
from outreach_sdk.storage.transitions import move_journey, move_outbox, move_step, open_attempt

__all__ = [
    "MAX_TRIES",
    "UNBUILT",
    "held_up",
    "left_unknown",
    "pause",
    "pause_and_tell",
    "refused",
    "release",
    "retry_later",
    "unforeseen",
]

MAX_TRIES = 24
"""Failures of one e-mail in a row, the waits between them doubling up to 15 minutes, before its journey pauses:
about four hours."""

UNBUILT = "the message couldn't be built"


def release(
    engine: Engine,
    entry: dict[str, Any],
    *,
    after: dt.timedelta = dt.timedelta(0),
    due: dt.datetime | None = None,
    reschedule_it: bool = True,
) -> bool:
    """Put the entry back as `planned`: not sent, and to be sent by a later claim if its journey goes on; `after`
    some time or when `due`, else by its step's own timing. False: it isn't in these hands any more, or its step was
    taken out, which closes it."""
    store, now = engine.store, engine.now()

    def work() -> bool:
        if store.value("SELECT 1 FROM steps WHERE id = ? AND removed_at IS NOT NULL", entry["step_id"]):
            _close(engine, entry)
            return False
        if entry["state"] == OutboxState.SENDING:
            move_outbox(store, entry["id"], entry["generation"], OutboxState.DRAFTED)
        moved = move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.PLANNED,
            lease_until=None,
            claimed_at=None,
            ahead=False,
        )
        if moved:
            move_step(store, entry["journey_id"], entry["step_id"], StepStatus.DUE, now)
            if entry["priority"] != Priority.PERSON and store.value(
                "SELECT 1 FROM journeys WHERE id = ? AND status <> 'active'", entry["journey_id"]
            ):  # due to nobody: it stopped, or waits, since this was claimed
                move_step(store, entry["journey_id"], entry["step_id"], StepStatus.PLANNED, now, due_at=None)
            if reschedule_it:
                if entry["priority"] == Priority.PERSON:  # its step waits for no clock: the entry itself does
                    if entry["answers_id"] is None and not sound(store, entry["journey_id"]):
                        return moved
                    store.write(
                        f"UPDATE outbox SET lease_until = ?, mailbox_id = {_SENDER} WHERE id = ? AND state = 'planned' "
                        "AND (answers_id IS NOT NULL OR EXISTS "
                        "(SELECT 1 FROM journeys j WHERE j.id = outbox.journey_id AND j.status = 'active'))",
                        due or now + after,
                        entry["id"],
                    )
                elif due is not None:
                    reschedule(store, entry["journey_id"], due)
                elif after:
                    reschedule(store, entry["journey_id"], now + after)
                else:
                    plan_next(store, entry["journey_id"], now)
        return moved

    entry["state"] = store.value("SELECT state FROM outbox WHERE id = ?", entry["id"])
    return store.run(work)


_SENDER = (
    "CASE WHEN answers_id IS NULL THEN COALESCE((SELECT COALESCE(t.mailbox_id, s.mailbox_id) FROM steps t JOIN sequences s "
    "ON s.id = t.sequence_id WHERE t.id = outbox.step_id), mailbox_id) ELSE mailbox_id END"
)
"""SQL: the mailbox that an entry leaves from as its step and sequence are now."""


def _close(engine: Engine, entry: dict[str, Any]) -> None:
    """An entry of a step that was taken out never leaves: its journey goes on with the next."""
    store, now = engine.store, engine.now()
    if entry["state"] == OutboxState.SENDING:
        move_outbox(store, entry["id"], entry["generation"], OutboxState.DRAFTED)
    if move_outbox(
        store,
        entry["id"],
        entry["generation"],
        OutboxState.CANCELLED,
        lease_until=None,
        claimed_at=None,
        ahead=False,
        provider_draft_id=None,
    ):
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.CANCELLED, now, skip_at=None)
        plan_next(store, entry["journey_id"], now)


def pause(engine: Engine, entry: dict[str, Any], reason: PauseReason, why: str) -> str:
    if entry["answers_id"] is not None:
        return refused(engine, entry, why)

    def work() -> None:  # in one commit: given back and not paused, nothing would ever take it up again
        if release(engine, entry, reschedule_it=False):
            pause_and_tell(engine, entry, reason, why)

    engine.store.run(work)
    return str(reason)


def pause_and_tell(engine: Engine, entry: dict[str, Any], reason: PauseReason, why: str) -> None:
    """Pause the entry's journey and tell its owner, in the caller's transaction or one of its own."""
    store, now, why = engine.store, engine.now(), why.rstrip(".")
    with store.tx():
        if move_journey(store, entry["journey_id"], JourneyStatus.PAUSED, reason, now, detail=why):
            notify(
                store,
                workspace_id=entry["workspace_id"],
                owner_id=entry["owner_id"],
                kind=str(reason),
                text=f"The journey of {person_name(store, entry['candidate_id'])} in "
                f"{entry['sequence_name']} is paused: {why}.",
                dedupe=f"{reason}:{entry['id']}:{entry['generation']}",
                now=now,
                journey_id=entry["journey_id"],
                sequence_id=entry["sequence_id"],
            )


def refused(
    engine: Engine, entry: dict[str, Any], why: str, *, told: str = "the mailbox refused the message"
) -> str:
    """A definite, lasting no: the attempt failed, the journey pauses, the owner hears why (rule 13)."""
    store, now, why = engine.store, engine.now(), why.rstrip(".")
    with store.tx():
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            OutboxState.FAILED,
            error=why,
            lease_until=None,
            claimed_at=None,
        ):
            return "gone"
        if entry["answers_id"] is not None:
            _answer_failed(engine, entry, why)
            return "failed"
        open_attempt(store, entry["id"], engine.new_key())
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.FAILED, now)
        pause_and_tell(engine, entry, PauseReason.SEND_FAILED, f"{told}: {why}")
    return "failed"


def _answer_failed(engine: Engine, entry: dict[str, Any], why: str) -> None:
    notify(
        engine.store,
        workspace_id=entry["workspace_id"],
        owner_id=entry["owner_id"],
        kind="answer_failed",
        text=f"Your answer to {person_name(engine.store, entry['candidate_id'])} didn't leave: {why}. "
        "Nothing is tried again by itself: answer once more when it is mended.",
        dedupe=f"answer_failed:{entry['id']}",
        now=engine.now(),
        journey_id=entry["journey_id"],
        sequence_id=entry["sequence_id"],
    )


def retry_later(
    engine: Engine, entry: dict[str, Any], exc: MailError | None, *, until: dt.datetime | None = None
) -> str:
    """Not now: the entry waits for the provider's own time, or one that doubles; too often, it pauses."""
    store, now = engine.store, engine.now()
    tries = int(entry["tries"]) + (exc is not None)
    if exc is not None and tries >= MAX_TRIES:
        return pause(engine, entry, PauseReason.SEND_FAILED, f"it failed again and again: {exc}")
    again = until or now + dt.timedelta(seconds=min(5.0 * 2 ** max(tries - 1, 0), 900.0))
    with store.tx():
        current = store.value("SELECT state FROM outbox WHERE id = ?", entry["id"])
        state = OutboxState.DRAFTED if current == OutboxState.SENDING else OutboxState(str(current))
        if not move_outbox(
            store,
            entry["id"],
            entry["generation"],
            state,
            tries=tries,
            error=str(exc) if exc is not None else None,
            lease_until=again,
            claimed_at=None,
        ):
            return "gone"
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.DUE, now)
    return "later"


def unforeseen(engine: Engine, entry_id: int, generation: int, kind: str) -> None:
    """A fault of the program's own on one entry. What hasn't been handed over waits longer each time and pauses
    its journey in the end, so that the owner hears of it; what may have left is looked up by a later claim."""
    entry = engine.store.one(
        "SELECT o.*, j.sequence_id, s.name AS sequence_name FROM outbox o JOIN journeys j ON j.id = o.journey_id "
        "JOIN sequences s ON s.id = j.sequence_id WHERE o.id = ? AND o.generation = ?",
        entry_id,
        generation,
    )
    if entry is not None and entry["state"] in (OutboxState.CLAIMED, OutboxState.DRAFTED):
        retry_later(engine, entry, MailTemporary(f"an error in the program ({kind})"))


def held_up(engine: Engine, entry: dict[str, Any], exc: MailError) -> str:
    """The provider said "not now", or nothing of use, before anything was sent: the mailbox waits, and the entry
    keeps its place in it. What isn't a matter of rate counts against the entry, lest one message that no
    provider takes hold up the others for ever."""
    until = limits.trouble(engine, entry, exc)
    if isinstance(exc, MailRateLimited):
        release(engine, entry, due=entry["due_at"])
        return "later"
    return retry_later(engine, entry, exc, until=until)


def left_unknown(engine: Engine, entry: dict[str, Any], why: str) -> str:
    """Nobody can say whether it was accepted: stay `sending`, look it up soon."""
    engine.store.write(
        "UPDATE outbox SET lease_until = ?, claimed_at = NULL, error = ? WHERE id = ? AND generation = ? "
        "AND state = 'sending'",
        engine.now() + dt.timedelta(seconds=2),
        why,
        entry["id"],
        entry["generation"],
    )
    return "unknown"
