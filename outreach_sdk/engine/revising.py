"""What a change to a step, or to what a sequence sends from, means for the journeys that are on their way.

It reaches whatever isn't `sending` yet, and plans again only what it changes: what queues already keeps its place. All
of it in the transaction of the change itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from outreach_sdk.domain.journey import StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.sequence import SpecificTime
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import sender_repaired
from outreach_sdk.engine.ordering import live_steps, step_plan
from outreach_sdk.engine.progress import NEXT_STEP, plan_many
from outreach_sdk.storage.store import in_marks
from outreach_sdk.storage.transitions import cancel_planned, give_back, leave_tasks

__all__ = [
    "by_itself",
    "hours_changed",
    "moved",
    "removed",
    "replan",
    "sender_changed",
    "timer_changed",
    "window_changed",
]

_JOURNEYS = "journey_id IN (SELECT j.id FROM journeys j WHERE j.sequence_id = ?)"
_SCHEDULED = "j.sequence_id = ? AND j.status = 'active' AND COALESCE(j.next_due_at, j.held_due_at)"
_LOST = "mailbox_id IN (SELECT m.id FROM mailboxes m WHERE m.status <> 'connected')"
"""SQL: of an entry that nobody can be asked about: whoever took it to send it has nothing to send it with."""


def replan(engine: Engine, sequence_id: int, step_id: int, *, keep: bool) -> None:
    """Journeys whose next step is this one look again at what comes next; with `keep` at the time they have."""
    store = engine.store
    found = store.rows(
        f"SELECT j.id FROM journeys j WHERE {_SCHEDULED} IS NOT NULL AND j.next_step_id = ? ORDER BY j.id",
        sequence_id,
        step_id,
    )
    plan_many(store, [row["id"] for row in found], engine.now(), keep=keep)


def moved(engine: Engine, sequence_id: int, step_id: int) -> None:
    """Journeys whose next step is another one now are planned again. A step that is yet to come counts where it stands
    from now on; one that left, may have, or waits for a person, where it stood."""
    store = engine.store
    store.write(
        "UPDATE journey_steps SET rank = (SELECT s.rank FROM steps s WHERE s.id = journey_steps.step_id) "
        f"WHERE step_id = ? AND {_JOURNEYS} AND handled_at IS NULL AND status IN ('planned', 'due', 'failed') "
        "AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = journey_steps.journey_id AND o.step_id = "
        "journey_steps.step_id AND (o.state NOT IN ('planned', 'failed', 'cancelled') OR (o.state = 'planned' AND "
        "o.priority = ?)))",
        step_id,
        sequence_id,
        int(Priority.PERSON),
    )
    found = store.rows(
        f"SELECT j.id FROM journeys j WHERE {_SCHEDULED} IS NOT NULL "
        f"AND (j.next_step_id IS NULL OR j.next_step_id <> COALESCE({NEXT_STEP}, 0)) ORDER BY j.id",
        sequence_id,
    )
    plan_many(store, [row["id"] for row in found], engine.now())
    _paused_at_next(engine, sequence_id)


def _paused_at_next(engine: Engine, sequence_id: int) -> None:
    """Who is paused comes to another step next, which may not need the mailbox that they waited for."""
    engine.store.write(
        f"UPDATE journeys AS j SET next_step_id = {NEXT_STEP}, lane = (SELECT CASE WHEN t.kind = 'email' AND NOT t.manual "
        f"THEN COALESCE(t.mailbox_id, s.mailbox_id) END FROM steps t JOIN sequences s ON s.id = t.sequence_id "
        f"WHERE t.id = {NEXT_STEP}) WHERE j.sequence_id = ? AND j.status = 'paused' AND j.next_step_id <> {NEXT_STEP}",
        sequence_id,
    )
    sender_changed(engine, sequence_id)


def window_changed(engine: Engine, sequence_id: int, steps: Sequence[int]) -> None:
    """What is to come of these steps, which have no time of their own, finds its place in another window. What is due
    already is seen to when its turn comes."""
    if not steps:
        return
    store, now = engine.store, engine.now()
    found = store.rows(
        f"SELECT j.id FROM journeys j WHERE {_SCHEDULED} > ? AND j.next_step_id IN {in_marks(steps)} ORDER BY j.id",
        sequence_id,
        now,
        *steps,
    )
    plan_many(store, [row["id"] for row in found], now)


def hours_changed(engine: Engine, workspace_id: int) -> None:
    """What is to come of a workspace's running sequences finds its place in the hours and days that there are now. One
    sequence after the other: what leaves before its turn is held to today's hours all the same."""
    store = engine.store
    for row in store.rows(
        "SELECT id FROM sequences WHERE workspace_id = ? AND active ORDER BY id", workspace_id
    ):
        steps = [
            step["id"]
            for step in live_steps(store, row["id"])
            if not isinstance(step_plan(step).schedule, SpecificTime)
        ]
        with store.tx():
            window_changed(engine, row["id"], steps)


def removed(engine: Engine, sequence_id: int, step_id: int) -> None:
    """Nobody waits at a step that was taken out, and what isn't on its way of it never leaves: the next one comes."""
    store, now = engine.store, engine.now()
    give_back(store, f"step_id = ? AND answers_id IS NULL AND {_JOURNEYS} AND {_LOST}", step_id, sequence_id)
    gone = set(cancel_planned(store, f"step_id = ? AND {_JOURNEYS}", step_id, sequence_id))
    gone |= set(
        leave_tasks(store, f"step_id = ? AND {_JOURNEYS}", step_id, sequence_id, to=StepStatus.CANCELLED)
    )
    gone |= {
        row["id"]
        for row in store.rows(
            f"SELECT j.id FROM journeys j WHERE {_SCHEDULED} IS NOT NULL AND j.next_step_id = ?",
            sequence_id,
            step_id,
        )
    }
    plan_many(store, sorted(gone), now)
    _paused_at_next(engine, sequence_id)


def by_itself(engine: Engine, sequence_id: int, step_id: int) -> None:
    """A manual e-mail leaves without a person from now on, also where it waits for one."""
    store, now = engine.store, engine.now()
    waited = leave_tasks(store, f"step_id = ? AND {_JOURNEYS}", step_id, sequence_id, to=StepStatus.PLANNED)
    for start in range(0, len(waited), 500):
        ids = waited[start : start + 500]
        store.write(
            f"UPDATE journeys SET next_due_at = ? WHERE id IN {in_marks(ids)} AND status = 'active' AND next_step_id = ?",
            now,
            *ids,
            step_id,
        )
    replan(engine, sequence_id, step_id, keep=True)


def timer_changed(
    engine: Engine, sequence_id: int, step_id: int, *, old: float | None, new: float | None
) -> None:
    """Open tasks skip themselves so long after they opened; time they were frozen doesn't count."""
    if old == new:
        return
    store, second = engine.store, dt.timedelta(seconds=1) // dt.timedelta(microseconds=1)
    where = f"step_id = ? AND {_JOURNEYS} AND status = 'waiting'"
    if new is None:
        store.write(
            f"UPDATE journey_steps SET skip_at = NULL, skip_left_us = NULL WHERE {where}",
            step_id,
            sequence_id,
        )
        return
    span = round(new * second)
    if old is not None:
        longer = span - round(old * second)
        left = f"skip_left_us + {longer}"
        store.write(
            f"UPDATE journey_steps SET skip_at = skip_at + {longer}, skip_left_us = CASE WHEN {left} > 0 THEN {left} "
            f"WHEN skip_left_us IS NOT NULL THEN 0 END WHERE {where}",
            step_id,
            sequence_id,
        )
        return
    runs = "EXISTS (SELECT 1 FROM journeys a WHERE a.id = journey_steps.journey_id AND a.status = 'active')"
    store.write(
        f"UPDATE journey_steps SET skip_at = CASE WHEN {runs} THEN due_at + {span} END, "
        f"skip_left_us = CASE WHEN NOT {runs} THEN {span} END WHERE {where}",
        step_id,
        sequence_id,
    )


def sender_changed(engine: Engine, sequence_id: int) -> None:
    """What isn't `sending` yet leaves from the mailbox that its step, or else its sequence, has now; what waited for
    another one goes on."""
    store = engine.store
    of_step = (
        "SELECT COALESCE(t.mailbox_id, s.mailbox_id) FROM steps t JOIN sequences s ON s.id = t.sequence_id "
        "WHERE t.id = {step}"
    )
    taken_back = give_back(
        store,
        f"answers_id IS NULL AND {_JOURNEYS} AND mailbox_id <> ({of_step.format(step='outbox.step_id')}) "
        f"AND {_LOST}",
        sequence_id,
    )
    store.write(
        f"UPDATE outbox SET mailbox_id = COALESCE(({of_step.format(step='outbox.step_id')}), mailbox_id) "
        f"WHERE state = 'planned' AND answers_id IS NULL AND {_JOURNEYS}",
        sequence_id,
    )
    store.write(
        f"UPDATE journeys SET lane = ({of_step.format(step='journeys.next_step_id')}) WHERE sequence_id = ? "
        "AND next_step_id IS NOT NULL AND lane IS NOT NULL AND status IN ('active', 'paused')",
        sequence_id,
    )
    plan_many(store, taken_back, engine.now())  # those that nothing paused
    sender_repaired(engine, sequence_id)
