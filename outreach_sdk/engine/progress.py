"""What comes next for a journey: the one place that sets a due time."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Sequence
from typing import Any

from outreach_sdk.domain.journey import OPEN_OUTBOX, JourneyStatus, PauseReason, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.sequence import Schedule, schedule_from_dict
from outreach_sdk.domain.variants import live
from outreach_sdk.domain.windows import sending_rules, share
from outreach_sdk.engine.notify import notify
from outreach_sdk.storage.holds import hold, sound
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import events, move_journey, move_journeys

__all__ = [
    "ASKED",
    "NEVER",
    "NEXT_STEP",
    "PASSED",
    "UNSURE",
    "handled",
    "has_prompts",
    "next_step",
    "pause_all_overdue",
    "pause_overdue",
    "person_name",
    "plan_many",
    "plan_next",
    "reschedule",
    "written_to",
]

NEVER = -1e300
"""`last_rank` of a journey that has handled no step."""


NEXT_STEP = (
    "COALESCE((SELECT h.step_id FROM journey_steps h JOIN steps f ON f.id = h.step_id WHERE h.journey_id = j.id "
    "AND f.removed_at IS NULL AND (h.status = 'waiting' OR (h.status = 'due' AND EXISTS (SELECT 1 FROM outbox p WHERE "
    f"p.journey_id = j.id AND p.step_id = h.step_id AND p.state = 'planned' AND p.priority = {int(Priority.PERSON)}))) "
    "ORDER BY h.rank LIMIT 1), "
    "(SELECT f.id FROM steps f WHERE f.sequence_id = j.sequence_id AND f.removed_at IS NULL AND f.rank > j.last_rank "
    "AND NOT EXISTS (SELECT 1 FROM journey_steps h WHERE h.journey_id = j.id AND h.step_id = f.id "
    "AND h.status IN ('sent', 'done', 'skipped')) ORDER BY f.rank LIMIT 1))"
)
"""SQL: the step that waits for a person already, else the first live step after the last handled one of the journey `j`
that isn't handled itself. A step inserted or moved before either doesn't run; one moved behind the last handled one
after it ran doesn't run again."""


def next_step(store: Store, journey_id: int) -> int | None:
    """The step that a journey comes to next."""
    found = store.value(f"SELECT {NEXT_STEP} FROM journeys j WHERE j.id = ?", journey_id)
    return None if found is None else int(found)


def written_to(store: Store, entry: dict[str, Any], at: dt.datetime) -> None:
    """This owner wrote to this person then: colleagues hold back, and what comes next looks for an answer first."""
    store.write(
        "INSERT INTO contacted (workspace_id, candidate_id, owner_id, last_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (candidate_id, owner_id) DO UPDATE SET last_at = "
        "CASE WHEN contacted.last_at > excluded.last_at THEN contacted.last_at ELSE excluded.last_at END",
        entry["workspace_id"],
        entry["candidate_id"],
        entry["owner_id"],
        at,
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


_OPEN = ", ".join(f"'{state}'" for state in OPEN_OUTBOX)
ASKED = "o.journey_id = {j}.id AND o.answers_id IS NULL AND o.state = 'needs_person'"
"""SQL: that nobody but a person can say whether an e-mail `o` of the journey left."""
_STEP = ("id", "kind", "manual", "schedule", "mailbox_id", "subject", "body", "variants")
_PLAN = (
    "SELECT j.id, j.workspace_id, j.owner_id, j.sequence_id, j.candidate_id, j.status, j.generation, j.last_rank, "
    "j.next_step_id, j.next_due_at, j.held_due_at, "
    "j.anchor_at, s.timezone AS sequence_zone, s.mailbox_id AS sequence_mailbox, c.timezone AS candidate_zone, "
    "s.sending_window AS sequence_window, s.review, s.broken, w.settings, "
    "NOT EXISTS (SELECT 1 FROM steps e WHERE e.sequence_id = j.sequence_id AND e.removed_at IS NULL) AS stepless, "
    "EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = j.id AND o.answers_id IS NULL "
    f"AND o.state IN ({_OPEN})) AS unsettled, "
    f"EXISTS (SELECT 1 FROM outbox o WHERE {ASKED.format(j='j')}) AS asked, "
    "EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = j.id AND o.state = 'planned') AS planned, "
    f"{', '.join(f'n.{name} AS step_{name}' for name in _STEP)}, "
    "x.id AS task_id, x.status AS task_status, x.skip_left_us "
    "FROM journeys j JOIN sequences s ON s.id = j.sequence_id JOIN candidates c ON c.id = j.candidate_id "
    f"JOIN workspace w ON w.id = j.workspace_id LEFT JOIN steps n ON n.id = {NEXT_STEP} "
    "LEFT JOIN journey_steps x ON x.journey_id = j.id AND x.step_id = n.id"
)
"""All that decides what a journey does next, in one row."""

_SCHEDULE = (
    "UPDATE journeys SET next_step_id = ?, next_due_at = ?, lane = ?, priority = ?, held_due_at = NULL, "
    "passages_at = NULL WHERE id = ? AND status = 'active' AND generation = ? AND last_rank = ?"
)
"""Of a journey that is still where it was read."""

UNSURE = "nobody can say whether the last e-mail left"
"""Why a journey waits for its owner's word (`resolve`)."""

PASSED = "its date and time had passed when the step came up"
"""Why a journey whose `SpecificTime` is long past is paused as overdue."""


def plan_next(store: Store, journey_id: int, now: dt.datetime, *, again: int = 3, late: bool = False) -> None:
    """Schedule an active journey's next step by its own timing, or complete it. Does nothing while an
    outbox entry is open (its outcome will call this) or a task is open (a person or its timer will). Where the journey
    moved on in between, it is looked at `again`. `late`: a step whose time is long past leaves now. In a transaction."""
    row = next(iter(_rows(store, [journey_id], now)), None)
    if row is None:
        return
    if row["planned"] and _plan_retry(store, row, now):
        _hold(store, [row])
        return
    if row["step_id"] is None and row["stepless"]:
        _unschedule(store, [journey_id])
        return
    if row["step_id"] is None:
        move_journey(store, journey_id, JourneyStatus.COMPLETED, None, now, bump=False)
        return
    if row["task_id"] is not None and _resume_task(store, row, now, late=late):
        return
    due = _due(row, now) or (now if late else None)
    if due is None:
        pause_overdue(store, row, now, PASSED)
        return
    if not store.write(_SCHEDULE, *_scheduled(row, due)):
        if again:
            plan_next(store, journey_id, now, again=again - 1, late=late)
        return
    if _asks(row):
        hold(store, "id = ?", journey_id, passages_at=now)
    _hold(store, [row])


def plan_many(store: Store, journeys: Sequence[int], now: dt.datetime, *, keep: bool = False) -> None:
    """`plan_next` for each of them, in a few statements for every five hundred. With `keep` those that go on with the
    step that is scheduled keep its time. In a transaction."""
    overdue: list[dict[str, Any]] = []
    for start in range(0, len(journeys), 500):
        ids = journeys[start : start + 500]
        found = _rows(store, ids, now)
        retried = [row for row in found if row["planned"] and _plan_retry(store, row, now)]
        rows = [row for row in found if row not in retried] if retried else found
        _unschedule(store, [row["id"] for row in rows if row["step_id"] is None and row["stepless"]])
        _complete(store, [row["id"] for row in rows if row["step_id"] is None and not row["stepless"]], now)
        _thaw(store, [row["task_id"] for row in rows if _timed(row)], now)
        planned, asking = [], []
        for row in rows:
            if row["step_id"] is None or _timed(row):
                continue
            if row["task_id"] is not None and _resume_task(store, row, now):
                continue
            due = (_known_due(row) if keep else None) or _due(row, now)
            if due is None:
                overdue.append(row)
                continue
            planned.append(_scheduled(row, due))
            if _asks(row):
                asking.append(row["id"])
        if _schedule_all(store, planned) < len(planned):  # some moved on in between, by steps as they were
            for *_, journey_id, _, _ in planned:
                plan_next(store, journey_id, now)
        if asking:
            hold(store, f"id IN {in_marks(asking)}", *asking, passages_at=now)
        _hold(store, found)
    pause_all_overdue(store, overdue, now, PASSED)


def _rows(store: Store, ids: Sequence[int], now: dt.datetime) -> list[dict[str, Any]]:
    """The `_PLAN` rows of those among these journeys that something is to be planned for. Those of whose last e-mail
    only a person can say whether it left wait for that."""
    query = f"{_PLAN} WHERE j.id IN {in_marks(ids)} ORDER BY j.id"
    rows = store.rows(query, *ids)
    if [row for row in _one_each(rows) if not sound(store, row["id"])]:
        rows = store.rows(query, *ids)  # as it is now that nobody can repair it before this ends
    going = [row for row in rows if row["status"] == JourneyStatus.ACTIVE]
    _ask_first(store, [row["id"] for row in going if row["asked"]], now)
    return [row for row in going if not row["unsettled"] and not row["asked"]]


def _ask_first(store: Store, ids: list[int], now: dt.datetime) -> None:
    if ids:
        paused, why = (JourneyStatus.PAUSED, PauseReason.UNKNOWN_SEND), UNSURE
        moved = move_journeys(store, f"id IN {in_marks(ids)}", tuple(ids), *paused, now, detail=why)
        events(store, moved, f"journey_{JourneyStatus.PAUSED}", now, f"{PauseReason.UNKNOWN_SEND} {why}")


def _one_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A journey of each broken sequence."""
    return list({row["sequence_id"]: row for row in rows if row["broken"]}.values())


def _hold(store: Store, rows: list[dict[str, Any]]) -> None:
    """What was just planned waits for approval, or for its sequence to be repaired."""
    ids = [row["id"] for row in rows if row["review"] or row["broken"]]
    if ids:
        hold(store, f"id IN {in_marks(ids)}", *ids)


def _unschedule(store: Store, ids: list[int]) -> None:
    """Their sequence has no steps at all: nothing comes next until it has."""
    if ids:
        store.write(
            "UPDATE journeys SET next_due_at = NULL, held_due_at = NULL, passages_at = NULL "
            f"WHERE id IN {in_marks(ids)}",
            *ids,
        )


def _schedule_all(store: Store, planned: list[tuple[Any, ...]]) -> int:
    """`_SCHEDULE` for each, by one statement; for how many."""
    if not planned:
        return 0
    rows = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * (len(planned) - 1))
    kinds = ("BIGINT", "BIGINT", "BIGINT", "INTEGER", "BIGINT", "INTEGER", "DOUBLE PRECISION")
    typed = ", ".join(f"CAST(? AS {kind})" for kind in kinds)
    # `WITH … UPDATE` would read better, but Python's sqlite3 doesn't count its rows.
    return store.write(
        "UPDATE journeys SET next_step_id = p.column1, next_due_at = p.column2, lane = p.column3, priority = p.column4, "
        f"held_due_at = NULL, passages_at = NULL FROM (VALUES ({typed}){', ' if rows else ''}{rows}) AS p "
        "WHERE journeys.id = p.column5 AND journeys.generation = p.column6 AND journeys.last_rank = p.column7 "
        "AND journeys.status = 'active'",
        *(value for row in planned for value in row),
    )


def _due(row: dict[str, Any], now: dt.datetime) -> dt.datetime | None:
    """When the next step of a `_PLAN` row is due; None: its time is long past."""
    return sending_rules(row["settings"], row["sequence_window"]).leaves(
        _schedule(row["step_schedule"]),
        anchor=row["anchor_at"],
        now=now,
        sequence_zone=row["sequence_zone"],
        candidate_zone=row["candidate_zone"],
        at_share=share(row["id"], row["step_id"]) if _automatic(row) else None,
    )


def _known_due(row: dict[str, Any]) -> dt.datetime | None:
    """When the next step is scheduled already."""
    known: dt.datetime | None = row["next_due_at"] or row["held_due_at"]
    return known if row["next_step_id"] == row["step_id"] else None


@functools.lru_cache(maxsize=512)
def _schedule(stored: str) -> Schedule:
    return schedule_from_dict(json.loads(stored))


def _automatic(row: dict[str, Any]) -> bool:
    return row["step_kind"] == "email" and not row["step_manual"]


def _asks(row: dict[str, Any]) -> bool:
    return has_prompts({name: row[f"step_{name}"] for name in ("subject", "body", "variants")})


def _scheduled(row: dict[str, Any], due: dt.datetime) -> tuple[Any, ...]:
    """What `_SCHEDULE` takes."""
    return (
        row["step_id"],
        due,
        (row["step_mailbox_id"] or row["sequence_mailbox"]) if _automatic(row) else None,
        int(Priority.FOLLOW_UP if row["last_rank"] > NEVER else Priority.FIRST),
        row["id"],
        row["generation"],
        row["last_rank"],
    )


def _timed(row: dict[str, Any]) -> bool:
    """Whether its next step is a task that waits for a person already."""
    return row["task_id"] is not None and row["task_status"] == StepStatus.WAITING


def _complete(store: Store, ids: list[int], now: dt.datetime) -> None:
    if ids:
        moved = move_journeys(
            store, f"id IN {in_marks(ids)}", tuple(ids), JourneyStatus.COMPLETED, None, now, bump=False
        )
        events(store, moved, f"journey_{JourneyStatus.COMPLETED}", now)


def _thaw(store: Store, tasks: list[int], now: dt.datetime) -> None:
    """The timers of waiting tasks go on with the time they had left."""
    if tasks:
        store.write(
            "UPDATE journey_steps SET skip_at = CAST(? AS BIGINT) + skip_left_us, skip_left_us = NULL "
            f"WHERE id IN {in_marks(tasks)} AND skip_left_us IS NOT NULL",
            now,
            *tasks,
        )


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
        "UPDATE journeys SET next_step_id = ?, next_due_at = ?, lane = ?, priority = ?, held_due_at = NULL, "
        "passages_at = NULL WHERE id = ? AND status = ?",
        retry["step_id"],
        max(now, retry["due_at"]),
        retry["mailbox_id"] or journey["sequence_mailbox"] or retry["first_mailbox"],
        max(retry["priority"], int(Priority.FOLLOW_UP)),
        journey["id"],
        JourneyStatus.ACTIVE,
    )
    return True


def _resume_task(store: Store, row: dict[str, Any], now: dt.datetime, *, late: bool = False) -> bool:
    """Thaw the task that is open at the next step, its timer going on with the time it had left; a Send now
    that was waiting goes out, unless the sequence is broken, `late` as if it were said now. False: no task is open."""
    if _timed(row):
        if row["skip_left_us"] is not None:
            _thaw(store, [row["task_id"]], now)
        return True
    said = (now,) if late else ()
    return (
        store.write(
            f"UPDATE outbox SET lease_until = ?{', due_at = ?' * late} WHERE journey_id = ? AND step_id = ? "
            "AND state = 'planned' AND priority = ?",
            None if row["broken"] else now,
            *said,
            row["id"],
            row["step_id"],
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


def pause_all_overdue(store: Store, journeys: Sequence[dict[str, Any]], now: dt.datetime, why: str) -> None:
    """Pause many as overdue. Their owner is told once for all of a sequence."""
    if len(journeys) == 1:
        pause_overdue(store, journeys[0], now, why)
        return
    paused: dict[int, list[dict[str, Any]]] = {}
    for start in range(0, len(journeys), 500):
        ids = [journey["id"] for journey in journeys[start : start + 500]]
        moved = move_journeys(
            store,
            f"id IN {in_marks(ids)}",
            tuple(ids),
            JourneyStatus.PAUSED,
            PauseReason.OVERDUE,
            now,
            detail=why,
        )
        events(store, moved, f"journey_{JourneyStatus.PAUSED}", now, f"{PauseReason.OVERDUE} {why}")
        for row in moved:
            paused.setdefault(row["sequence_id"], []).append(row)
    for sequence_id, rows in paused.items():
        name = store.value("SELECT name FROM sequences WHERE id = ?", sequence_id)
        several = "journeys of" if len(rows) > 1 else "journey of"
        notify(
            store,
            workspace_id=rows[0]["workspace_id"],
            owner_id=rows[0]["owner_id"],
            kind="overdue",
            text=f"{len(rows):,} {several} {name!r} {'are' if len(rows) > 1 else 'is'} paused as overdue: {why}. "
            "Resume them to send, or cancel them.",
            dedupe=f"overdue:{sequence_id}:{rows[0]['id']}:{rows[0]['generation']}",
            now=now,
            sequence_id=sequence_id,
        )


def handled(
    store: Store,
    journey_id: int,
    rank: float,
    at: dt.datetime,
    now: dt.datetime,
    *,
    plan: bool = True,
    **columns: Any,
) -> None:
    """A step was sent, done or skipped at `at`: remember how far the journey got (and `columns`), `plan` what
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
    if plan:
        plan_next(store, journey_id, now)


def reschedule(store: Store, journey_id: int, at: dt.datetime) -> None:
    """Let an active journey's current step come up again at `at`, or once its sequence is repaired."""
    column = "next_due_at" if sound(store, journey_id) else "held_due_at"
    store.write(
        f"UPDATE journeys SET {column} = ? WHERE id = ? AND status = 'active' AND next_step_id IS NOT NULL",
        at,
        journey_id,
    )
