"""A person takes up a journey that had ended: later, or at another address. The machine never does."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, PauseReason, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.engine import lifecycle
from outreach_sdk.engine.contact_points import add_email, suppressed
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.progress import next_step, plan_next
from outreach_sdk.errors import NotFound, TransitionRefused
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import event, move_journey, move_step, open_attempt, reopen_journey

__all__ = ["other_addresses", "reengage", "use_email"]


def other_addresses(store: Store, candidate_id: int, *, but: str | None) -> list[str]:
    """Verified addresses of a candidate that could be used instead of `but`, the ones known longest first."""
    rows = store.rows(
        "SELECT e.address FROM candidate_emails e WHERE e.candidate_id = ? AND e.verified AND NOT e.invalid "
        "AND LOWER(e.address) <> ? AND NOT EXISTS (SELECT 1 FROM suppressions s WHERE s.workspace_id = e.workspace_id "
        "AND s.kind = 'address' AND s.value = e.address) ORDER BY e.id",
        candidate_id,
        (but or "").lower(),
    )
    return [str(r["address"]) for r in rows]


def _locked(store: Store, journey_id: int) -> dict[str, Any]:
    row = store.one(
        "SELECT j.*, s.active, s.name AS sequence_name FROM journeys j JOIN sequences s ON s.id = j.sequence_id "
        f"WHERE j.id = ?{' FOR UPDATE OF j' if store.for_update else ''}",
        journey_id,
    )
    if row is None:
        raise NotFound("There is no such journey.")
    return row


def reengage(engine: Engine, journey_id: int, at: dt.datetime) -> None:
    """Let a journey that ended go on at `at` with the first step it hasn't handled. TransitionRefused where it
    still runs, where the person doesn't want to be written to, or where no step is left."""
    store, now = engine.store, engine.now()

    def work() -> None:
        row = _locked(store, journey_id)
        if row["status"] not in (JourneyStatus.CANCELLED, JourneyStatus.COMPLETED):
            raise TransitionRefused(
                f"This journey is {row['status']}: it hasn't ended, so there is nothing to take up."
            )
        if row["email"] and suppressed(store, row["workspace_id"], row["email"]):
            raise TransitionRefused(f"{row['email']} doesn't want to be written to.")
        if not row["email"]:
            raise TransitionRefused(
                "There is no e-mail address to write to: give this journey one with journey.use_email."
            )
        lifecycle.ask_first(store, journey_id)
        if next_step(store, journey_id) is None:
            raise TransitionRefused(
                f"No step of {row['sequence_name']!r} is left for this person. Add one first, or answer them."
            )
        reopened = reopen_journey(
            store,
            journey_id,
            JourneyStatus.PAUSED,
            PauseReason.MANUAL,
            now,
            detail=f"goes on after {at:%d %b %Y, %H:%M} UTC",
            resume_at=at,
        )
        if not reopened:
            raise TransitionRefused(
                f"This journey was stopped as {row['reason']}"
                + (": give it another address with journey.use_email." if row["reason"] == "bounced" else ".")
            )

    store.run(work)


def use_email(engine: Engine, journey_id: int, address: str, user_id: int) -> None:
    """Write to this address of the candidate's from now on. What bounced at another one is sent there, once; what
    follows opens a thread of its own there, for the new address never saw the old one. InvalidInput where the
    address is another candidate's, came back before, or doesn't want to be written to."""
    store, now = engine.store, engine.now()

    def work() -> None:
        row = _locked(store, journey_id)
        add_email(store, row, address, user_id=user_id, now=now)
        store.write("UPDATE journeys SET email = ? WHERE id = ?", address, journey_id)
        if not store.value(
            "SELECT 1 FROM outbox WHERE journey_id = ? AND LOWER(recipient) = ? AND sending_at IS NOT NULL LIMIT 1",
            journey_id,
            address.lower(),
        ):
            store.write(
                "UPDATE journeys SET thread_mailbox_id = NULL, provider_thread_id = NULL, thread_subject = NULL, "
                "thread_refs = '[]' WHERE id = ?",
                journey_id,
            )
        if row["status"] == JourneyStatus.PAUSED and row["reason"] in (
            PauseReason.NO_EMAIL,
            PauseReason.NO_CREDITS,
        ):
            lifecycle.resume(engine, journey_id)
        elif row["status"] == JourneyStatus.CANCELLED and row["reason"] == "bounced":
            _after_bounce(engine, row, address, now)

    store.run(work)


def _after_bounce(engine: Engine, row: dict[str, Any], address: str, now: dt.datetime) -> None:
    """The e-mail that came back finally gets one more attempt, at the new address, in this transaction."""
    store = engine.store
    last = store.one(
        "SELECT * FROM outbox WHERE journey_id = ? AND state = 'sent' AND answers_id IS NULL "
        "ORDER BY sent_at DESC, id DESC LIMIT 1",
        row["id"],
    )
    if not reopen_journey(store, row["id"], JourneyStatus.ACTIVE, None, now, detail=None):
        return
    later = last is not None and store.value(
        "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id = ? AND attempt > ?",
        row["id"],
        last["step_id"],
        last["attempt"],
    )
    if last is not None and not later and str(last["recipient"]).lower() != address.lower():
        open_attempt(store, last["id"], engine.new_key(), due_at=now, priority=int(Priority.FOLLOW_UP))
        move_step(store, row["id"], last["step_id"], StepStatus.DUE, now)
    event(store, row, "address_changed", now, address)
    if row["active"]:
        plan_next(store, row["id"], now)
    else:
        move_journey(store, row["id"], JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now)
