"""Steps that wait for a person: opened when due, done or skipped, skipped by themselves at their time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain import template
from outreach_sdk.domain.given import check_line, check_text
from outreach_sdk.domain.journey import JourneyStatus, OutboxState, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.engine import apart
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import handled, person_name
from outreach_sdk.errors import InvalidInput, NotFound, TaskChanged, TaskTaken, TransitionRefused
from outreach_sdk.storage.holds import sound
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import move_step

__all__ = ["auto_skip", "edit", "finish", "open_due", "send_now"]


def open_due(engine: Engine, limit: int = 200) -> int:
    """Open the tasks that are due; how many."""
    store = engine.store
    opened = 0
    for row in store.rows(
        "SELECT j.id, j.generation FROM journeys j WHERE j.lane IS NULL AND j.next_due_at <= ? "
        "ORDER BY j.next_due_at, j.id LIMIT ?",
        engine.now(),
        limit,
    ):

        def work(row: dict[str, Any] = row) -> bool:
            return _open(engine, row)

        opened += apart.each(engine, row["id"], work, "its task couldn't be opened")
    return opened


def _open(engine: Engine, row: dict[str, Any]) -> bool:
    store, now = engine.store, engine.now()
    journey = store.one(
        "UPDATE journeys SET next_due_at = NULL WHERE id = ? AND generation = ? AND status = 'active' "
        "AND next_due_at <= ? RETURNING *",
        row["id"],
        row["generation"],
        now,
    )
    if journey is None:
        return False
    step = store.one("SELECT * FROM steps WHERE id = ?", journey["next_step_id"])
    if step is None or step["removed_at"] is not None:
        handled(store, journey["id"], journey["last_rank"], journey["anchor_at"], now)
        return False
    skip_at = None if step["skip_after"] is None else now + dt.timedelta(seconds=step["skip_after"])
    store.write(
        "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
        "due_at, skip_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (journey_id, step_id) DO UPDATE SET "
        "status = excluded.status, due_at = excluded.due_at, skip_at = excluded.skip_at, skip_left_us = NULL "
        "WHERE journey_steps.status IN ('planned', 'due', 'failed')",
        journey["workspace_id"],
        journey["owner_id"],
        journey["id"],
        step["id"],
        journey["candidate_id"],
        step["kind"],
        step["rank"],
        StepStatus.WAITING,
        now,
        skip_at,
    )
    kinds = {
        "email": "An e-mail to review",
        "phone": "A call",
        "linkedin": "A LinkedIn message",
        "sms": "An SMS",
    }
    notify(
        store,
        workspace_id=journey["workspace_id"],
        owner_id=journey["owner_id"],
        kind="task",
        text=f"{kinds[step['kind']]} for {person_name(store, journey['candidate_id'])} is waiting for you.",
        dedupe=f"task:{journey['id']}:{step['id']}",
        now=now,
        journey_id=journey["id"],
        sequence_id=journey["sequence_id"],
    )
    return True


def auto_skip(engine: Engine, limit: int = 200) -> int:
    """Skip the tasks whose time ran out; how many (rule 8)."""
    store = engine.store
    skipped = 0
    for row in store.rows(
        "SELECT x.journey_id, x.step_id FROM journey_steps x JOIN journeys j ON j.id = x.journey_id "
        "WHERE x.skip_at <= ? AND x.status = 'waiting' AND j.status = 'active' ORDER BY x.skip_at LIMIT ?",
        engine.now(),
        limit,
    ):

        def work(row: dict[str, Any] = row) -> bool:
            return _close(
                engine, row["journey_id"], row["step_id"], StepStatus.SKIPPED, "nobody acted in time", None
            )

        skipped += apart.each(engine, row["journey_id"], work, "what follows its task can't be planned")
    return skipped


def _close(
    engine: Engine, journey_id: int, step_id: int, to: StepStatus, note: str | None, user_id: int | None
) -> bool:
    store, now = engine.store, engine.now()
    store.one(f"SELECT id FROM journeys WHERE id = ?{store.for_update}", journey_id)
    if store.value(
        "SELECT status FROM journey_steps WHERE journey_id = ? AND step_id = ?", journey_id, step_id
    ) != StepStatus.WAITING or not move_step(
        store, journey_id, step_id, to, now, note=note, acted_by=user_id
    ):
        return False
    rank = store.value(
        "SELECT rank FROM journey_steps WHERE journey_id = ? AND step_id = ?", journey_id, step_id
    )
    handled(store, journey_id, float(rank), now, now)
    return True


def finish(
    engine: Engine, journey_id: int, step_id: int, *, done: bool, note: str | None = None, user_id: int
) -> None:
    """Mark a task done or skipped. TaskTaken if somebody else was first."""
    to = StepStatus.DONE if done else StepStatus.SKIPPED
    if not engine.store.run(lambda: _close(engine, journey_id, step_id, to, note, user_id)):
        raise _taken(engine.store, journey_id, step_id)


def _taken(store: Store, journey_id: int, step_id: int) -> TaskTaken | NotFound:
    """Who was first, and what they did."""
    row = store.one(
        "SELECT x.status, x.handled_at, t.removed_at, u.name AS who FROM journey_steps x LEFT JOIN steps t "
        "ON t.id = x.step_id LEFT JOIN users u ON u.id = x.acted_by "
        "WHERE x.journey_id = ? AND x.step_id = ?",
        journey_id,
        step_id,
    )
    if row is None:
        return NotFound("There is no such task.")
    did = _DID.get(row["status"], "sent it")
    at = f" at {row['handled_at']:%H:%M} UTC" if row["handled_at"] is not None else ""
    if row["status"] == StepStatus.CANCELLED:
        why = "its step was taken out" if row["removed_at"] else "its journey was cancelled"
    elif row["status"] == StepStatus.PLANNED:
        why = "its e-mail leaves by itself now"
    elif row["who"]:
        why = f"{row['who']} {did}{at}"
    elif row["status"] == StepStatus.SKIPPED:
        why = f"its time ran out{at}"
    else:
        why = "somebody acted on it"
    return TaskTaken(f"This task isn't open any more: {why}.", status=str(row["status"]), by=row["who"])


_DID = {"done": "marked it done", "skipped": "skipped it"}


def edit(
    engine: Engine,
    journey_id: int,
    step_id: int,
    subject: str | None,
    body: str | None,
    *,
    read: tuple[str | None, str | None],
) -> None:
    """Change the drafted text of a task, read as `read` (subject, body). TaskTaken, or TaskChanged where somebody else
    edited it since."""
    store = engine.store
    sets = {k: v for k, v in (("draft_subject", subject), ("draft_body", body)) if v is not None}
    if not sets:
        raise InvalidInput("subject, body", None, "Give the text to change.")
    if subject is not None:
        check_line("subject", subject)
    if body is not None:
        check_text("body", body)
    for text in sets.values():
        template.parse(text)
    same = " AND ".join(
        f"{name} IS NULL" if was is None else f"{name} = ?"
        for name, was in zip(("draft_subject", "draft_body"), read, strict=True)
    )
    changed = store.write(
        f"UPDATE journey_steps SET {', '.join(f'{k} = ?' for k in sets)} WHERE journey_id = ? AND step_id = ? "
        f"AND status = 'waiting' AND {same}",
        *sets.values(),
        journey_id,
        step_id,
        *[was for was in read if was is not None],
    )
    if changed == 1:
        return
    if store.value(
        "SELECT 1 FROM journey_steps WHERE journey_id = ? AND step_id = ? AND status = 'waiting'",
        journey_id,
        step_id,
    ):
        raise TaskChanged("Somebody else edited this draft meanwhile: read it again, then change it.")
    raise _taken(store, journey_id, step_id)


def send_now(engine: Engine, journey_id: int, step_id: int, *, user_id: int) -> None:
    """Let a manual e-mail go, ahead of everything automatic: the same outbox, fence and thread. Where its sequence is
    broken it waits for the repair. TaskTaken if somebody else was first."""
    store, now = engine.store, engine.now()

    def work() -> None:
        journey = store.one(
            "SELECT j.*, s.active, s.mailbox_id AS sequence_mailbox FROM journeys j "
            f"JOIN sequences s ON s.id = j.sequence_id WHERE j.id = ?{' FOR UPDATE OF j' if store.for_update else ''}",
            journey_id,
        )
        step = store.one("SELECT * FROM steps WHERE id = ?", step_id)
        if journey is None or step is None:
            raise NotFound("There is no such task.")
        if step["kind"] != "email":
            raise TransitionRefused("Only an e-mail can be sent; mark this task done instead.")
        if not journey["email"]:
            raise TransitionRefused(
                "There is no e-mail address to write to: journey.use_email(address) first."
            )
        if journey["status"] != JourneyStatus.ACTIVE or not journey["active"]:
            raise TransitionRefused("The journey or its sequence isn't active, so nothing leaves now.")
        waiting = store.value(
            "SELECT 1 FROM journey_steps WHERE journey_id = ? AND step_id = ? AND status = 'waiting'",
            journey_id,
            step_id,
        )
        if (
            not waiting
            or step["removed_at"] is not None
            or not move_step(store, journey_id, step_id, StepStatus.DUE, now, skip_at=None, acted_by=user_id)
        ):
            raise _taken(store, journey_id, step_id)
        _open_entry(engine, journey, step)

    store.run(work)


def _open_entry(engine: Engine, journey: dict[str, Any], step: dict[str, Any]) -> None:
    """The attempt that a Send now makes, in the place of one that was planned while the step was automatic."""
    store, now = engine.store, engine.now()
    last = store.one(
        "SELECT id, attempt, state FROM outbox WHERE journey_id = ? AND step_id = ? ORDER BY attempt DESC LIMIT 1",
        journey["id"],
        step["id"],
    )
    entry = {
        "journey_generation": journey["generation"],
        "lease_until": now if sound(store, journey["id"]) else None,
        "priority": int(Priority.PERSON),
        "mailbox_id": step["mailbox_id"] or journey["sequence_mailbox"],
        "recipient": journey["email"] or "",
        "due_at": now,
    }
    if last is not None and last["state"] == OutboxState.PLANNED:
        store.write(
            f"UPDATE outbox SET {', '.join(f'{name} = ?' for name in entry)} WHERE id = ?",
            *entry.values(),
            last["id"],
        )
        return
    store.insert(
        "outbox",
        {
            "workspace_id": journey["workspace_id"],
            "owner_id": journey["owner_id"],
            "journey_id": journey["id"],
            "step_id": step["id"],
            "candidate_id": journey["candidate_id"],
            "attempt": 1 if last is None else last["attempt"] + 1,
            "send_key": engine.new_key(),
            "state": OutboxState.PLANNED,
            "generation": 0,
            "cc": "[]",
            "bcc": "[]",
            "tries": 0,
            "looks": 0,
            **entry,
        },
    )
