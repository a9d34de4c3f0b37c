"""Sequences and journeys set going, held, stopped and settled; and the installation's halt."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable
from typing import Any

from outreach_sdk.domain.journey import CancelReason, JourneyStatus, OutboxState, PauseReason, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.schedule import next_due
from outreach_sdk.domain.sequence import (
    NO_SENDER,
    Later,
    NextBusinessDay,
    Problem,
    Schedule,
    SequenceStatus,
    StepKind,
    StepPlan,
    first_zone,
    problems,
    schedule_from_dict,
)
from outreach_sdk.domain.variants import live
from outreach_sdk.domain.windows import SendingRules, is_set_time, opening, sending_rules, share
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import sender_trouble, sender_troubles
from outreach_sdk.engine.progress import (
    NEVER,
    PASSED,
    handled,
    has_prompts,
    pause_all_overdue,
    plan_many,
    plan_next,
)
from outreach_sdk.errors import IncompleteSequence, NotFound, TransitionRefused
from outreach_sdk.storage.holds import hold
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
    "cancel",
    "deactivate",
    "first_has_passed",
    "halt",
    "pause",
    "plan_first",
    "resolve",
    "resume",
    "sequence_problems",
    "statuses",
    "step_plan",
    "unhalt",
    "written_problems",
]


def step_plan(row: dict[str, Any]) -> StepPlan:
    """A step's row as the domain reads it."""
    return StepPlan(
        kind=StepKind(row["kind"]),
        schedule=schedule_from_dict(json.loads(row["schedule"])),
        subject=row["subject"],
        body=row["body"],
        thread=row["thread"],
        manual=bool(row["manual"]),
        skip_after=row["skip_after"],
        cc=tuple(json.loads(row["cc"] or "[]")),
        bcc=tuple(json.loads(row["bcc"] or "[]")),
        mailbox_id=row["mailbox_id"],
        alias=row["alias"],
        variants=live(row["variants"]),
    )


def live_steps(store: Store, sequence_id: int) -> list[dict[str, Any]]:
    """A sequence's steps in order."""
    return store.rows(
        "SELECT * FROM steps WHERE sequence_id = ? AND removed_at IS NULL ORDER BY rank", sequence_id
    )


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
        held = move_journeys(
            store,
            "sequence_id = ? AND status = 'paused' AND reason = ?",
            (sequence_id, PauseReason.SEQUENCE_DEACTIVATED),
            JourneyStatus.ACTIVE,
            None,
            now,
        )
        plan_many(store, sorted(int(journey["id"]) for journey in held), now)
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


def plan_first(engine: Engine, sequence_id: int) -> int:
    """Schedule the first step of every active journey that has none yet, a statement for each time zone that
    matters; how many are overdue instead. They may be due at the same moment: the claim spaces them, in the order of
    enrolment. In a transaction."""
    store, now = engine.store, engine.now()
    steps = live_steps(store, sequence_id)
    sequence = store.one(
        "SELECT s.*, w.settings FROM sequences s JOIN workspace w ON w.id = s.workspace_id WHERE s.id = ?",
        sequence_id,
    )
    if not steps or sequence is None:
        return 0
    plan = step_plan(steps[0])
    rules = sending_rules(sequence["settings"], sequence["sending_window"])
    lane = (plan.mailbox_id or sequence["mailbox_id"]) if plan.automatic else None
    asks = has_prompts(steps[0])  # it waits for its passages first
    due_at = "held_due_at" if asks else "next_due_at"
    windowed = rules.window is not None and plan.automatic and not is_set_time(plan.schedule)
    if windowed and isinstance(plan.schedule, Later):
        _plan_each(store, sequence, steps[0], lane, plan.schedule, rules, now)
        _hold_first(store, sequence, steps[0])
        return 0
    overdue = 0
    zones: list[str | None] = [None]
    by_zone = windowed or (
        isinstance(plan.schedule, NextBusinessDay) and plan.schedule.timezone == "candidate"
    )
    if by_zone:
        zones = [
            r["timezone"]
            for r in store.rows(
                "SELECT DISTINCT c.timezone FROM journeys j JOIN candidates c ON c.id = j.candidate_id "
                f"WHERE {_UNPLANNED}",
                sequence_id,
                NEVER,
            )
        ]
    for name in zones:
        due = next_due(
            plan.schedule,
            anchor=now,
            now=now,
            sequence_zone=sequence["timezone"],
            candidate_zone=name,
            closed=rules.off,
        )
        where, params = _UNPLANNED, (sequence_id, NEVER)
        if by_zone:
            same = "c.timezone IS NULL" if name is None else "c.timezone = ?"
            where += f" AND EXISTS (SELECT 1 FROM candidates c WHERE c.id = j.candidate_id AND {same})"
            params += () if name is None else (name,)  # type: ignore[assignment]
        if due is None:
            late = store.rows(f"SELECT j.* FROM journeys j WHERE {where}", *params)
            pause_all_overdue(store, late, now, PASSED)
            overdue += len(late)
            continue
        when, moments = _due_sql(plan.schedule, due, now)
        if windowed and rules.window is not None:
            begins, ends = opening(rules.window, due, first_zone(name, sequence["timezone"]), rules.off)
            if begins > due:
                span = (ends - begins) // dt.timedelta(milliseconds=1)
                when, moments = (
                    f"CAST(? AS BIGINT) + {_share_sql(steps[0]['id'])} * {span} / 4294967296 * 1000",
                    (begins,),
                )
        store.write(
            f"UPDATE journeys SET next_step_id = ?, lane = ?, priority = ?, passages_at = ?, {due_at} = {when} "
            f"WHERE id IN (SELECT j.id FROM journeys j WHERE {where})",
            steps[0]["id"],
            lane,
            int(Priority.FIRST),
            now if asks else None,
            *moments,
            *params,
        )
    _hold_first(store, sequence, steps[0])
    return overdue


def first_has_passed(store: Store, sequence: dict[str, Any], now: dt.datetime) -> bool:
    """Whether whoever comes now is overdue at once: the first step's date and time are long past."""
    steps = live_steps(store, sequence["id"])
    if not steps:
        return False
    schedule = step_plan(steps[0]).schedule
    return next_due(schedule, anchor=now, now=now, sequence_zone=sequence["timezone"]) is None


def _hold_first(store: Store, sequence: dict[str, Any], step: dict[str, Any]) -> None:
    """First steps that were just planned wait for approval, or for their sequence to be repaired."""
    if sequence["review"] or sequence["broken"]:
        where = "sequence_id = ? AND next_step_id = ? AND last_rank = ?"
        hold(store, where, sequence["id"], step["id"], NEVER)


def _plan_each(
    store: Store,
    sequence: dict[str, Any],
    step: dict[str, Any],
    lane: int | None,
    schedule: Later,
    rules: SendingRules,
    now: dt.datetime,
) -> None:
    """First steps that each have a due time of their own, and so their own place in a window."""
    rows = store.rows(
        "SELECT j.id, j.anchor_at, c.timezone FROM journeys j JOIN candidates c ON c.id = j.candidate_id "
        f"WHERE {_UNPLANNED}",
        sequence["id"],
        NEVER,
    )
    asks = now if has_prompts(step) else None
    due_at = "next_due_at" if asks is None else "held_due_at"
    planned = []
    for row in rows:
        due = max(now, row["anchor_at"] + dt.timedelta(seconds=schedule.seconds))
        tz = first_zone(row["timezone"], sequence["timezone"])
        at = rules.due(schedule, due, tz, share(row["id"], step["id"]))
        planned.append((step["id"], lane, int(Priority.FIRST), asks, at, row["id"]))
    store.write_many(
        f"UPDATE journeys SET next_step_id = ?, lane = ?, priority = ?, passages_at = ?, {due_at} = ? WHERE id = ?",
        planned,
    )


_UNPLANNED = "j.sequence_id = ? AND j.status = 'active' AND j.last_rank = ? AND j.next_step_id IS NULL"


def _due_sql(schedule: Schedule, due: dt.datetime, now: dt.datetime) -> tuple[str, tuple[dt.datetime, ...]]:
    """When a first step is due, as SQL: the same moment for all, or a delay from each one's own enrolment."""
    at = "CAST(? AS BIGINT)"
    if not isinstance(schedule, Later):
        return at, (due,)
    after = dt.timedelta(seconds=schedule.seconds) // dt.timedelta(microseconds=1)
    return f"CASE WHEN anchor_at + {after} > {at} THEN anchor_at + {after} ELSE {at} END", (now, now)


def _share_sql(step_id: int) -> str:
    """`windows.share` of a journey's row, in 2^32ths."""
    return f"((id * 2654435761 + {step_id} * 40503) % 4294967296)"


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
        if row["reason"] == PauseReason.UNKNOWN_SEND:
            raise TransitionRefused(
                "Say whether the e-mail left first: journey.resolve(step, sent=True or False)."
            )
        if row["active"]:
            move_journey(store, journey_id, JourneyStatus.ACTIVE, None, now)
            plan_next(store, journey_id, now, late=row["reason"] == PauseReason.OVERDUE)
        elif row["next_step_id"] is None:  # it never started, so activation starts it like any other
            move_journey(store, journey_id, JourneyStatus.PENDING, None, now)
        else:
            move_journey(store, journey_id, JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now)

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
