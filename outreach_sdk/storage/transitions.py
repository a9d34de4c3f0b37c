"""Changes of status, each a compare-and-set whose WHERE clause is the domain's table.

These are the only statements in the package that assign a journey's, step's or outbox entry's status.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from outreach_sdk.domain.journey import (
    REOPENABLE,
    JourneyStatus,
    OutboxState,
    StepStatus,
    allowed_from,
    outbox_from,
    step_from,
)
from outreach_sdk.storage import notes
from outreach_sdk.storage.store import Store, in_marks

__all__ = [
    "cancel_planned",
    "event",
    "events",
    "give_back",
    "leave_tasks",
    "move_journey",
    "move_journeys",
    "move_outbox",
    "move_step",
    "open_attempt",
    "reopen_journey",
]

FINAL = (JourneyStatus.COMPLETED, JourneyStatus.CANCELLED)


@functools.cache
def _among(known: tuple[StrEnum, ...]) -> str:
    """`('sent', 'failed', …)` for an IN clause: statuses of ours, so in the text of the statement."""
    return "(" + ", ".join(f"'{value}'" for value in known) + ")"


def move_journeys(
    store: Store,
    where: str,
    params: tuple[Any, ...],
    to: JourneyStatus,
    reason: StrEnum | None,
    now: dt.datetime,
    *,
    detail: str | None = None,
    resume_at: dt.datetime | None = None,
    bump: bool = True,
) -> list[dict[str, Any]]:
    """Move every journey matching `where` that may go to `to`; those moved (id, owner_id, …).

    The generation goes up, which voids claims made before; due times are cleared, so nothing stays
    scheduled. The final status of a journey that waits is decided by a person's or engine's later call.
    """
    written_back = ""
    if to in FINAL:
        written_back = (
            ", (SELECT q.write_back FROM sequences q WHERE q.id = journeys.sequence_id) AS write_back"
        )
    ended = now if to in FINAL else None
    moved = store.rows(
        f"UPDATE journeys SET status = ?, reason = ?, detail = ?, generation = generation + {int(bump)}, "
        "next_due_at = NULL, held_due_at = NULL, passages_at = NULL, resume_at = ?, ended_at = ? "
        f"WHERE {where} AND status IN {_among(allowed_from(to, reason))} "
        f"RETURNING id, workspace_id, owner_id, sequence_id, candidate_id, generation, email{written_back}",
        to,
        reason,
        detail,
        resume_at,
        ended,
        *params,
    )
    if to is JourneyStatus.PAUSED:
        _freeze_timers(store, [m["id"] for m in moved], now)
    elif to is JourneyStatus.CANCELLED:
        _close_tasks(store, [m["id"] for m in moved])
    if to in FINAL:
        notes.ended(store, moved, now)
    return moved


def _close_tasks(store: Store, journeys: list[int]) -> None:
    """Nobody is asked any more for what a cancelled journey waited for."""
    for start in range(0, len(journeys), 500):
        ids = journeys[start : start + 500]
        store.write(
            f"UPDATE journey_steps SET status = 'cancelled', skip_at = NULL WHERE journey_id IN {in_marks(ids)} "
            "AND status = 'waiting'",
            *ids,
        )


def _freeze_timers(store: Store, journeys: list[int], now: dt.datetime) -> None:
    """Auto-skip timers keep what they have left while their journey is paused."""
    for start in range(0, len(journeys), 500):
        ids = journeys[start : start + 500]
        store.write(
            "UPDATE journey_steps SET skip_left_us = CASE WHEN skip_at > ? THEN skip_at - ? ELSE 0 END, skip_at = NULL "
            f"WHERE skip_at IS NOT NULL AND journey_id IN {in_marks(ids)}",
            now,
            now,
            *ids,
        )


def move_journey(
    store: Store,
    journey_id: int,
    to: JourneyStatus,
    reason: StrEnum | None,
    now: dt.datetime,
    *,
    detail: str | None = None,
    resume_at: dt.datetime | None = None,
    bump: bool = True,
) -> bool:
    """One journey, with its event; False if it may not go there from where it is."""
    moved = move_journeys(
        store, "id = ?", (journey_id,), to, reason, now, detail=detail, resume_at=resume_at, bump=bump
    )
    for row in moved:
        event(store, row, f"journey_{to}", now, " ".join(x for x in (reason, detail) if x) or None)
    return bool(moved)


def reopen_journey(
    store: Store,
    journey_id: int,
    to: JourneyStatus,
    reason: StrEnum | None,
    now: dt.datetime,
    *,
    detail: str | None = None,
    resume_at: dt.datetime | None = None,
) -> bool:
    """A person takes up a journey that had ended. Apart from `move_journey`, so that nothing the machine does can
    bring back what was stopped; False where it ended for a reason that no one may lift."""
    reasons = REOPENABLE[to]
    moved = store.rows(
        "UPDATE journeys SET status = ?, reason = ?, detail = ?, generation = generation + 1, next_due_at = NULL, "
        "held_due_at = NULL, passages_at = NULL, "
        f"resume_at = ?, ended_at = NULL WHERE id = ? AND ((status = 'cancelled' AND reason IN {in_marks(reasons)}) "
        "OR status = 'completed') RETURNING id, workspace_id, owner_id",
        to,
        reason,
        detail,
        resume_at,
        journey_id,
        *reasons,
    )
    for row in moved:
        store.write(
            "UPDATE journey_steps SET status = 'planned' WHERE journey_id = ? AND status = 'cancelled' "
            "AND step_id IN (SELECT id FROM steps WHERE removed_at IS NULL)",
            journey_id,
        )
        event(store, row, "journey_reopened", now, detail)
    return bool(moved)


@functools.cache
def _step_sql(to: StepStatus, names: tuple[str, ...]) -> str:
    sets = "".join(f", {name} = ?" for name in names)
    return (
        f"UPDATE journey_steps SET status = ?{sets} WHERE journey_id = ? AND step_id = ? "
        f"AND status IN {_among(step_from(to))}"
    )


def move_step(
    store: Store, journey_id: int, step_id: int, to: StepStatus, now: dt.datetime, **columns: Any
) -> bool:
    """One recorded step of a journey; False if it may not go there."""
    handled = to in (StepStatus.SENT, StepStatus.DONE, StepStatus.SKIPPED)
    if handled:
        columns = {"handled_at": now, "skip_at": None, **columns}
    return (
        store.write(
            _step_sql(to, tuple(columns)),
            to,
            *columns.values(),
            journey_id,
            step_id,
        )
        == 1
    )


def leave_tasks(store: Store, where: str, *params: Any, to: StepStatus) -> list[int]:
    """Nobody is asked any more for the steps of journeys that match and wait for a person; those journeys."""
    return _ids(
        store.rows(
            f"UPDATE journey_steps SET status = ?, skip_at = NULL, skip_left_us = NULL WHERE {where} "
            f"AND status = 'waiting' AND status IN {_among(step_from(to))} RETURNING journey_id",
            to,
            *params,
        )
    )


def cancel_planned(store: Store, where: str, *params: Any) -> list[int]:
    """Close the attempts that match and are in nobody's hands, answers aside, with their steps; their journeys."""
    gone = store.rows(
        f"UPDATE outbox SET state = 'cancelled', lease_until = NULL WHERE state = 'planned' AND answers_id IS NULL "
        f"AND {where} RETURNING journey_id, step_id",
        *params,
    )
    if gone:
        store.write_many(
            f"UPDATE journey_steps SET status = 'cancelled', skip_at = NULL WHERE journey_id = ? AND step_id = ? "
            f"AND status IN {_among(step_from(StepStatus.CANCELLED))}",
            [(row["journey_id"], row["step_id"]) for row in gone],
        )
    return _ids(gone)


def give_back(store: Store, where: str, *params: Any) -> list[int]:
    """Attempts that match, and that somebody took but didn't send, are in nobody's hands any more; their journeys."""
    gone = store.rows(
        "UPDATE outbox SET state = 'planned', generation = generation + 1, lease_until = NULL, claimed_at = NULL, "
        f"ahead = FALSE, provider_draft_id = NULL WHERE state IN ('claimed', 'drafted') AND {where} "
        "RETURNING journey_id",
        *params,
    )
    return _ids(gone)


def _ids(rows: list[dict[str, Any]]) -> list[int]:
    return sorted({int(row["journey_id"]) for row in rows})


_SENT = (
    " RETURNING id, workspace_id, owner_id, journey_id, candidate_id, (SELECT j.sequence_id FROM journeys j "
    "WHERE j.id = outbox.journey_id) AS sequence_id, (SELECT s.write_back FROM journeys j JOIN sequences s "
    "ON s.id = j.sequence_id WHERE j.id = outbox.journey_id) AS write_back"
)


@functools.cache
def _outbox_sql(first: OutboxState, names: tuple[str, ...], sent: bool) -> str:
    sets = "".join(f", {name} = ?" for name in names)
    return (
        f"UPDATE outbox SET state = ?{sets} WHERE id = ? AND generation = ? AND state IN {_among(outbox_from(first))}"
        f"{_SENT if sent else ''}"
    )


def move_outbox(
    store: Store,
    outbox_id: int,
    generation: int,
    to: OutboxState,
    *,
    through: OutboxState | None = None,
    **columns: Any,
) -> bool:
    """One outbox entry, if it is still in this claim's hands; False: walk away. `through`: a state that it passes on
    the way, in the same commit."""
    if through is not None and through not in outbox_from(to):
        raise ValueError(f"An outbox entry doesn't go from {through} to {to}.")
    sql = _outbox_sql(to if through is None else through, tuple(columns), to is OutboxState.SENT)
    params = (to, *columns.values(), outbox_id, generation)
    if to is not OutboxState.SENT:
        return store.write(sql, *params) == 1
    with store.tx():
        moved = store.one(sql, *params)
        if moved is not None:
            notes.sent(store, moved, columns.get("sent_at") or dt.datetime.now(dt.UTC))
    return moved is not None


def open_attempt(
    store: Store,
    entry_id: int,
    send_key: str,
    *,
    due_at: dt.datetime | None = None,
    priority: int | None = None,
) -> None:
    """One more attempt at a step, `planned`. Only in the transaction that records the one before as
    definitely refused, finally bounced, or settled by a person."""
    store.write(
        "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
        "generation, journey_generation, priority, mailbox_id, recipient, cc, bcc, tries, looks, due_at, variant) "
        "SELECT workspace_id, owner_id, journey_id, step_id, candidate_id, attempt + 1, ?, 'planned', 0, "
        "journey_generation, COALESCE(?, priority), mailbox_id, recipient, '[]', '[]', 0, 0, COALESCE(?, due_at), variant "
        "FROM outbox WHERE id = ?",
        send_key,
        priority,
        due_at,
        entry_id,
    )


def event(store: Store, row: dict[str, Any], kind: str, now: dt.datetime, detail: str | None = None) -> None:
    """Append to what happened. `row` has workspace_id, owner_id and id (the journey's)."""
    store.write(
        "INSERT INTO events (workspace_id, owner_id, journey_id, kind, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
        row["workspace_id"],
        row["owner_id"],
        row.get("journey_id", row.get("id")),
        kind,
        detail,
        now,
    )


def events(
    store: Store, rows: Sequence[dict[str, Any]], kind: str, now: dt.datetime, detail: str | None = None
) -> None:
    """The same event of many journeys, by one statement."""
    if rows:
        store.write_many(
            "INSERT INTO events (workspace_id, owner_id, journey_id, kind, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
            [(row["workspace_id"], row["owner_id"], row["id"], kind, detail, now) for row in rows],
        )
