"""The first step of everybody who hasn't started: scheduled for a whole sequence at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.schedule import local_moment, next_due
from outreach_sdk.domain.sequence import Later, NextBusinessDay, Schedule, first_zone
from outreach_sdk.domain.windows import SendingRules, is_set_time, opening, sending_rules, share
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.ordering import live_steps, step_plan
from outreach_sdk.engine.progress import NEVER, PASSED, has_prompts, pause_all_overdue
from outreach_sdk.storage.holds import hold
from outreach_sdk.storage.store import Store

__all__ = ["first_has_passed", "plan_first"]


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
        when, moments = _due_sql(plan.schedule, due, now, name, sequence["timezone"], rules)
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


def _due_sql(
    schedule: Schedule,
    due: dt.datetime,
    now: dt.datetime,
    candidate_zone: str | None,
    sequence_zone: str,
    rules: SendingRules,
) -> tuple[str, tuple[dt.datetime, ...]]:
    """When a first step is due, as SQL: the same moment for all, a delay from each one's own enrolment, or a business
    day: today's, for who was enrolled before today, as long as its hour is ahead."""
    at = "CAST(? AS BIGINT)"
    if isinstance(schedule, NextBusinessDay):
        own = candidate_zone if schedule.timezone == "candidate" else schedule.timezone
        tz = first_zone(own, sequence_zone)
        today = local_moment(now.astimezone(tz).date(), dt.time(0), tz)
        earlier = next_due(
            schedule,
            anchor=today - dt.timedelta(hours=12),
            now=now,
            sequence_zone=sequence_zone,
            candidate_zone=candidate_zone,
            closed=rules.off,
        )
        return f"CASE WHEN anchor_at >= {at} THEN {at} ELSE {at} END", (today, due, earlier or due)
    if not isinstance(schedule, Later):
        return at, (due,)
    after = dt.timedelta(seconds=schedule.seconds) // dt.timedelta(microseconds=1)
    return f"CASE WHEN anchor_at + {after} > {at} THEN anchor_at + {after} ELSE {at} END", (now, now)


def _share_sql(step_id: int) -> str:
    """`windows.share` of a journey's row, in 2^32ths."""
    return f"((id * 2654435761 + {step_id} * 40503) % 4294967296)"
