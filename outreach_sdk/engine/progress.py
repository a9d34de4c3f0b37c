"""What comes next for a journey: the one place that sets a due time."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.journey import OPEN_OUTBOX, JourneyStatus, OutboxState, PauseReason, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.schedule import next_due
from outreach_sdk.domain.sequence import schedule_from_dict, zone
from outreach_sdk.domain.variants import live
from outreach_sdk.domain.windows import sending_rules, share
from outreach_sdk.engine.notify import notify
from outreach_sdk.storage.holds import hold
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import move_journey

__all__ = ["NEVER", "handled", "has_prompts", "next_step", "person_name", "plan_next", "reschedule"]

NEVER = -1e300
"""`last_rank` of a journey that has handled no step."""


def next_step(store: Store, journey: dict[str, Any]) -> dict[str, Any] | None:
    """The first live step after the last handled one that isn't handled itself. A step inserted or moved
    before the last handled one doesn't run; one moved behind it after it ran doesn't run again."""
    return store.one(
        "SELECT s.* FROM steps s WHERE s.sequence_id = ? AND s.removed_at IS NULL AND s.rank > ? "
        "AND NOT EXISTS (SELECT 1 FROM journey_steps x WHERE x.journey_id = ? AND x.step_id = s.id "
        "AND x.status IN ('sent', 'done', 'skipped')) ORDER BY s.rank LIMIT 1",
        journey["sequence_id"],
        journey["last_rank"],
        journey["id"],
    )


def has_prompts(step: dict[str, Any]) -> bool:
    """Whether a step, or a variant of it, holds passages for the model to write."""
    texts = (step["subject"], step["body"], *(t for v in live(step["variants"]) for t in (v.subject, v.body)))
    return "ai(" in "".join(t or "" for t in texts).replace(" ", "")


def person_name(store: Store, candidate_id: int) -> str:
    """How a candidate is called in a sentence."""
    row = store.one("SELECT first_name, last_name FROM candidates WHERE id = ?", candidate_id)
    name = f"{row['first_name']} {row['last_name']}".strip() if row else ""
    if name:
        return name
    found = store.value(
        "SELECT address FROM candidate_emails WHERE candidate_id = ? ORDER BY id LIMIT 1", candidate_id
    )
    return str(found or "a candidate")


def plan_next(store: Store, journey_id: int, now: dt.datetime) -> None:
    """Schedule an active journey's next step by its own timing, or complete it. Does nothing while an
    outbox entry is open (its outcome will call this) or a task is open (a person or its timer will)."""
    unsettled = (*OPEN_OUTBOX, OutboxState.NEEDS_PERSON)
    journey = store.one(
        "SELECT j.*, s.timezone AS sequence_zone, s.mailbox_id AS sequence_mailbox, c.timezone AS candidate_zone, "
        "s.sending_window AS sequence_window, s.review, w.settings, "
        "EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = j.id AND o.answers_id IS NULL "
        f"AND o.state IN {in_marks(unsettled)}) AS unsettled "
        "FROM journeys j JOIN sequences s ON s.id = j.sequence_id JOIN candidates c ON c.id = j.candidate_id "
        "JOIN workspace w ON w.id = j.workspace_id WHERE j.id = ?",
        *unsettled,
        journey_id,
    )
    if journey is None or journey["status"] != JourneyStatus.ACTIVE or journey["unsettled"]:
        return
    if _plan_retry(store, journey, now):
        return
    step = next_step(store, journey)
    if step is None:
        move_journey(store, journey_id, JourneyStatus.COMPLETED, None, now, bump=False)
        return
    if _resume_task(store, journey_id, step["id"], now):
        return
    schedule = schedule_from_dict(json.loads(step["schedule"]))
    rules = sending_rules(journey["settings"], journey["sequence_window"])
    due = next_due(
        schedule,
        anchor=journey["anchor_at"],
        now=now,
        sequence_zone=journey["sequence_zone"],
        candidate_zone=journey["candidate_zone"],
        closed=rules.off,
    )
    if due is None:
        pause_overdue(store, journey, now, "its date and time had passed when the step came up")
        return
    automatic = step["kind"] == "email" and not step["manual"]
    if automatic:
        tz = zone(journey["candidate_zone"] or journey["sequence_zone"])
        due = rules.due(schedule, due, tz, share(journey_id, step["id"]))
    follows = journey["last_rank"] > NEVER
    store.write(
        "UPDATE journeys SET next_step_id = ?, next_due_at = ?, lane = ?, priority = ?, held_due_at = NULL, "
        "passages_at = NULL WHERE id = ? AND status = ?",
        step["id"],
        due,
        (step["mailbox_id"] or journey["sequence_mailbox"]) if automatic else None,
        int(Priority.FOLLOW_UP if follows else Priority.FIRST),
        journey_id,
        JourneyStatus.ACTIVE,
    )
    if has_prompts(step):
        hold(store, "id = ?", journey_id, passages_at=now)
    if journey["review"]:
        hold(store, "id = ?", journey_id)


def _plan_retry(store: Store, journey: dict[str, Any], now: dt.datetime) -> bool:
    """Schedule the further attempt that a soft bounce opened; what comes after waits for it. False: none."""
    retry = store.one(
        "SELECT o.step_id, o.due_at, o.priority, o.mailbox_id AS first_mailbox, s.mailbox_id FROM outbox o "
        "JOIN steps s ON s.id = o.step_id WHERE o.journey_id = ? AND o.state = 'planned' AND s.removed_at IS NULL "
        "AND EXISTS (SELECT 1 FROM outbox p WHERE p.journey_id = o.journey_id AND p.step_id = o.step_id "
        "AND p.attempt < o.attempt AND p.state = 'sent') LIMIT 1",
        journey["id"],
    )
    if retry is None:
        return False
    store.write(
        "UPDATE journeys SET next_step_id = ?, next_due_at = ?, lane = ?, priority = ? WHERE id = ? AND status = ?",
        retry["step_id"],
        max(now, retry["due_at"]),
        retry["mailbox_id"] or journey["sequence_mailbox"] or retry["first_mailbox"],
        max(retry["priority"], int(Priority.FOLLOW_UP)),
        journey["id"],
        JourneyStatus.ACTIVE,
    )
    return True


def _resume_task(store: Store, journey_id: int, step_id: int, now: dt.datetime) -> bool:
    """Thaw the task that is open at this step, its timer going on with the time it had left; a Send now
    that was waiting goes out. False: no task is open."""
    task = store.one(
        "SELECT id, status, skip_left_us FROM journey_steps WHERE journey_id = ? AND step_id = ?",
        journey_id,
        step_id,
    )
    if task is None:
        return False
    if task["status"] == StepStatus.WAITING:
        if task["skip_left_us"] is not None:
            store.write(
                "UPDATE journey_steps SET skip_at = ?, skip_left_us = NULL WHERE id = ?",
                now + dt.timedelta(microseconds=task["skip_left_us"]),
                task["id"],
            )
        return True
    return (
        store.write(
            "UPDATE outbox SET lease_until = ? WHERE journey_id = ? AND step_id = ? AND state = 'planned' "
            "AND priority = ?",
            now,
            journey_id,
            step_id,
            int(Priority.PERSON),
        )
        > 0
    )


def pause_overdue(store: Store, journey: dict[str, Any], now: dt.datetime, why: str) -> None:
    """Pause as overdue and tell the owner."""
    if move_journey(store, journey["id"], JourneyStatus.PAUSED, PauseReason.OVERDUE, now, detail=why):
        notify(
            store,
            workspace_id=journey["workspace_id"],
            owner_id=journey["owner_id"],
            kind="overdue",
            text=f"The journey of {person_name(store, journey['candidate_id'])} is paused as overdue: {why}. "
            "Resume it to send, or cancel it.",
            dedupe=f"overdue:{journey['id']}:{journey['generation']}",
            now=now,
            journey_id=journey["id"],
            sequence_id=journey["sequence_id"],
        )


def handled(
    store: Store, journey_id: int, rank: float, at: dt.datetime, now: dt.datetime, **columns: Any
) -> None:
    """A step was sent, done or skipped at `at`: remember how far the journey got (and `columns`), plan what
    follows."""
    sets = "".join(f", {name} = ?" for name in columns)
    # The caller may have read `rank` before the steps were numbered afresh; the journey's record has today's.
    store.write(
        "UPDATE journeys SET last_rank = (SELECT MAX(known.rank) FROM (SELECT journeys.last_rank AS rank UNION ALL "
        "SELECT CAST(? AS DOUBLE PRECISION) UNION ALL SELECT x.rank FROM journey_steps x WHERE x.journey_id = "
        "journeys.id AND x.status IN ('sent', 'done', 'skipped')) AS known), anchor_at = ?, "
        f"next_due_at = NULL, held_due_at = NULL, passages_at = NULL{sets} WHERE id = ?",
        rank,
        at,
        *columns.values(),
        journey_id,
    )
    plan_next(store, journey_id, now)


def reschedule(store: Store, journey_id: int, at: dt.datetime) -> None:
    """Let an active journey's current step come up again at `at`."""
    store.write(
        "UPDATE journeys SET next_due_at = ? WHERE id = ? AND status = 'active' AND next_step_id IS NOT NULL",
        at,
        journey_id,
    )
