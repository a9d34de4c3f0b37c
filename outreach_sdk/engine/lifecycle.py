"""Sequences and journeys set going, held, stopped and settled; and the installation's halt."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from outreach_sdk.domain.journey import CancelReason, JourneyStatus, OutboxState, PauseReason, StepStatus
from outreach_sdk.domain.sequence import (
    NO_SENDER,
    Problem,
    SequenceStatus,
    StepPlan,
    problems,
)
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.first_steps import plan_first
from outreach_sdk.engine.mailboxes import sender_trouble, sender_troubles
from outreach_sdk.engine.ordering import live_steps, step_plan
from outreach_sdk.engine.progress import (
    ASKED,
    handled,
    plan_many,
    plan_next,
    written_to,
)
from outreach_sdk.errors import IncompleteSequence, NotFound, TransitionRefused
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import (
    event,
    move_journey,
    move_journeys,
    move_outbox,
    move_step,
    open_attempt,
)

__all__ = [
    "activate",
    "ask_first",
    "cancel",
    "deactivate",
    "halt",
    "pause",
    "resolve",
    "resume",
    "sequence_problems",
    "statuses",
    "unhalt",
    "written_problems",
]


def sequence_problems(store: Store, sequence: dict[str, Any]) -> list[Problem]:
    """What keeps a sequence incomplete."""
    box = store.one("SELECT address FROM mailboxes WHERE id = ?", sequence["mailbox_id"])
    found = written_problems(store, sequence)
    if trouble := sender_trouble(store, sequence) or (None if box else NO_SENDER):
        found.append(Problem("sender", trouble))
    return found


def written_problems(store: Store, sequence: dict[str, Any]) -> list[Problem]:
    """What is wrong with how a sequence is written, whatever it is sent from."""
    steps = [step_plan(s) for s in live_steps(store, sequence["id"])]
    called = _snippets(sequence, steps, _all_snippets(store))
    return problems(sequence["name"], steps, snippets=called, sender="")


def _snippets(
    sequence: dict[str, Any], steps: list[StepPlan], rows: Callable[[], list[dict[str, Any]]]
) -> set[str] | None:
    """The snippets its steps can name, where they name any; `rows` gives all snippets."""
    if not any("snippet" in f"{v.subject}{v.body}" for s in steps for v in s.versions):
        return None
    return {
        r["name"]
        for r in rows()
        if r["workspace_id"] == sequence["workspace_id"]
        and (r["shared"] or r["owner_id"] == sequence["owner_id"])
    }


def _all_snippets(store: Store) -> Callable[[], list[dict[str, Any]]]:
    return functools.cache(lambda: store.rows("SELECT workspace_id, owner_id, name, shared FROM snippets"))


def statuses(store: Store, sequences: list[dict[str, Any]]) -> dict[int, SequenceStatus]:
    """The status of each, in as many statements for a hundred as for one."""
    found = {s["id"]: SequenceStatus.ACTIVE for s in sequences if s["active"]}
    rest = [s for s in sequences if not s["active"]]
    if not rest:
        return found
    ids = [s["id"] for s in rest]
    steps: dict[int, list[StepPlan]] = {}
    for row in store.rows(
        f"SELECT * FROM steps WHERE sequence_id IN {in_marks(ids)} AND removed_at IS NULL ORDER BY rank", *ids
    ):
        steps.setdefault(row["sequence_id"], []).append(step_plan(row))
    senders = {r["id"]: r["address"] for r in store.rows("SELECT id, address FROM mailboxes")}
    troubles, named = sender_troubles(store, ids), _all_snippets(store)
    for sequence in rest:
        wrong = problems(
            sequence["name"],
            steps.get(sequence["id"], []),
            snippets=_snippets(sequence, steps.get(sequence["id"], []), named),
            sender=senders.get(sequence["mailbox_id"]),
            sender_problem=troubles.get(sequence["id"]),
        )
        found[sequence["id"]] = SequenceStatus.INCOMPLETE if wrong else SequenceStatus.INACTIVE
    return found


def activate(engine: Engine, sequence_id: int) -> int:
    """Set a complete sequence going (rule 2); how many journeys got going, those that are overdue not counted.
    IncompleteSequence lists why not."""
    store, now = engine.store, engine.now()

    def work() -> int:
        sequence = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", sequence_id)
        if sequence is None:
            raise NotFound("There is no such sequence.")
        found = sequence_problems(store, sequence)
        if found:
            raise IncompleteSequence(sequence["name"] or "This sequence", [p.text for p in found])
        if sequence["active"]:
            return 0
        store.write(
            "UPDATE sequences SET active = ?, broken = ?, activated_at = ? WHERE id = ?",
            True,
            False,
            now,
            sequence_id,
        )
        move_journeys(
            store, "sequence_id = ? AND status = 'pending'", (sequence_id,), JourneyStatus.ACTIVE, None, now
        )
        plan_first(engine, sequence_id)
        late = store.rows(
            "SELECT id FROM journeys WHERE sequence_id = ? AND status = 'paused' AND reason = ? AND detail = ?",
            sequence_id,
            PauseReason.SEQUENCE_DEACTIVATED,
            LATE,
        )
        held = move_journeys(
            store,
            "sequence_id = ? AND status = 'paused' AND reason = ?",
            (sequence_id, PauseReason.SEQUENCE_DEACTIVATED),
            JourneyStatus.ACTIVE,
            None,
            now,
        )
        plan_many(
            store, sorted({int(journey["id"]) for journey in held} - {int(row["id"]) for row in late}), now
        )
        for row in late:
            plan_next(store, row["id"], now, late=True)
        event(store, {**sequence, "journey_id": None}, "sequence_activated", now, sequence["name"])
        return int(
            store.value(
                "SELECT COUNT(*) FROM journeys WHERE sequence_id = ? AND status = 'active'", sequence_id
            )
        )

    return store.run(work)


def deactivate(engine: Engine, sequence_id: int) -> int:
    """Hold a sequence (rule 3): nothing scheduled, nobody removed; how many journeys were paused."""
    store, now = engine.store, engine.now()

    def work() -> int:
        sequence = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", sequence_id)
        if sequence is None:
            raise NotFound("There is no such sequence.")
        if not sequence["active"]:
            return 0
        store.write("UPDATE sequences SET active = ?, broken = ? WHERE id = ?", False, False, sequence_id)
        moved = move_journeys(
            store,
            "sequence_id = ? AND status = 'active'",
            (sequence_id,),
            JourneyStatus.PAUSED,
            PauseReason.SEQUENCE_DEACTIVATED,
            now,
        )
        event(store, {**sequence, "journey_id": None}, "sequence_deactivated", now, sequence["name"])
        return len(moved)

    return store.run(work)


def _journey(store: Store, journey_id: int) -> dict[str, Any]:
    row = store.one(
        "SELECT j.*, s.active FROM journeys j JOIN sequences s ON s.id = j.sequence_id "
        f"WHERE j.id = ?{' FOR UPDATE OF j' if store.for_update else ''}",
        journey_id,
    )
    if row is None:
        raise NotFound("There is no such journey.")
    return row


def pause(engine: Engine, journey_id: int) -> None:
    """Hold one journey by hand; activation doesn't lift it. TransitionRefused if it has ended."""
    store, now = engine.store, engine.now()

    def work() -> None:
        row = _journey(store, journey_id)
        if not move_journey(store, journey_id, JourneyStatus.PAUSED, PauseReason.MANUAL, now):
            raise TransitionRefused(f"This journey is {row['status']}: it can't be paused.")

    store.run(work)


LATE = "what is overdue leaves once the sequence is activated"
"""Of a journey that a person resumed while its sequence was off."""


def ask_first(store: Store, journey_id: int) -> None:
    """TransitionRefused while only a person can say whether an e-mail of the journey left."""
    if store.value(
        f"SELECT 1 FROM journeys j, outbox o WHERE j.id = ? AND {ASKED.format(j='j')}", journey_id
    ):
        raise TransitionRefused(
            "Say whether the e-mail left first: journey.resolve(step, sent=True or False)."
        )


def resume(engine: Engine, journey_id: int) -> None:
    """Let a paused journey go on; what it was paused as overdue for leaves now. Where its sequence is inactive it waits
    for activation instead."""
    store, now = engine.store, engine.now()

    def work() -> None:
        row = _journey(store, journey_id)
        if row["status"] != JourneyStatus.PAUSED:
            raise TransitionRefused(f"This journey is {row['status']}, not paused.")
        if not row["email"]:
            raise TransitionRefused("This journey has no e-mail address: journey.use_email(address) first.")
        ask_first(store, journey_id)
        if row["active"]:
            move_journey(store, journey_id, JourneyStatus.ACTIVE, None, now)
            plan_next(store, journey_id, now, late=row["reason"] == PauseReason.OVERDUE)
        elif row["next_step_id"] is None:  # it never started, so activation starts it like any other
            move_journey(store, journey_id, JourneyStatus.PENDING, None, now)
        else:
            late = LATE if row["reason"] == PauseReason.OVERDUE else None
            paused = JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED
            move_journey(store, journey_id, *paused, now, detail=late)

    store.run(work)


def cancel(engine: Engine, journey_id: int, reason: CancelReason = CancelReason.MANUAL) -> None:
    """Stop one journey for good. Once this returns, nothing of it starts to leave any more."""
    store, now = engine.store, engine.now()

    def work() -> None:
        row = _journey(store, journey_id)
        if not move_journey(store, journey_id, JourneyStatus.CANCELLED, reason, now):
            raise TransitionRefused(f"This journey is {row['status']} already.")

    store.run(work)


def resolve(engine: Engine, journey_id: int, step_id: int, *, sent: bool) -> None:
    """A person settles a send nobody could: True records it as sent; False permits one new attempt, unless its step was
    taken out meanwhile."""
    store, now = engine.store, engine.now()

    def work() -> None:
        entry = store.one(
            "SELECT o.*, COALESCE(x.rank, t.rank) AS rank, t.removed_at FROM outbox o JOIN steps t ON t.id = o.step_id "
            "LEFT JOIN journey_steps x ON x.journey_id = o.journey_id AND x.step_id = o.step_id WHERE o.journey_id = ? "
            "AND o.step_id = ? ORDER BY o.attempt DESC LIMIT 1",
            journey_id,
            step_id,
        )
        if entry is None or entry["state"] != OutboxState.NEEDS_PERSON:
            raise TransitionRefused("This step doesn't wait for anybody's word.")
        row = _journey(store, journey_id)
        to = OutboxState.SENT if sent else OutboxState.FAILED
        at = entry["sending_at"]
        move_outbox(store, entry["id"], entry["generation"], to, **({"sent_at": at} if sent else {}))
        status = StepStatus.SENT if sent else StepStatus.DUE
        if not sent and entry["removed_at"] is not None:
            status = StepStatus.CANCELLED
        elif not sent:
            open_attempt(store, entry["id"], engine.new_key())
        move_step(store, journey_id, step_id, status, at if sent else now)
        if row["status"] == JourneyStatus.PAUSED and row["reason"] == PauseReason.UNKNOWN_SEND:
            if row["active"]:
                move_journey(store, journey_id, JourneyStatus.ACTIVE, None, now)
            else:
                move_journey(store, journey_id, JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now)
        if sent:
            written_to(store, entry, at)
            handled(store, journey_id, entry["rank"], at, now)
        else:
            plan_next(store, journey_id, now)

    store.run(work)


def halt(engine: Engine, who: str) -> None:
    """Stop all sending in the installation at once; calls already at the provider end as they end."""
    engine.store.write("UPDATE installation SET halted_at = ?, halted_by = ?", engine.now(), who)


def unhalt(engine: Engine) -> None:
    """Lift the halt."""
    engine.store.write("UPDATE installation SET halted_at = NULL, halted_by = NULL")
