"""What a sequence and a workspace show of themselves: each in a handful of statements, however much there is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.pacing import spacing_of
from outreach_sdk.domain.sequence import SequenceStatus, describe_schedule
from outreach_sdk.domain.variants import live
from outreach_sdk.engine import lifecycle, ordering, stats
from outreach_sdk.notebook.card import Banner, Bar, Bullets, Card, Note, Part, Table
from outreach_sdk.objects.session import Session

__all__ = ["funnel_parts", "next_sends", "sequence_card", "step_counts", "workspace_card"]

MOST_STEPS, MOST_SEQUENCES = 30, 50
_DONE = ("sent", "done")


def next_sends(session: Session, sequence_id: int, most: int = 5) -> list[tuple[str, dt.datetime, str]]:
    """(who, when, what) of what comes next, this sequence alone considered: a mailbox spaces its e-mails."""
    due = session.store.rows(
        "SELECT c.first_name, c.last_name, j.email, j.next_due_at, j.lane, s.kind, m.spacing_us, m.next_slot_at "
        "FROM journeys j JOIN candidates c ON c.id = j.candidate_id LEFT JOIN mailboxes m ON m.id = j.lane "
        "LEFT JOIN steps s ON s.id = j.next_step_id WHERE j.sequence_id = ? AND j.next_due_at IS NOT NULL "
        "ORDER BY j.next_due_at, j.id LIMIT ?",
        sequence_id,
        most,
    )
    out, slot = [], session.now()
    for row in due:
        at = row["next_due_at"]
        if row["lane"] is not None:
            at = max(at, row["next_slot_at"], slot)
            slot = at + spacing_of(row["spacing_us"])
        name = f"{row['first_name']} {row['last_name']}".strip()
        out.append((name or row["email"] or "somebody", at, row["kind"] or ""))
    return out


def step_counts(session: Session, sequence_id: int) -> dict[int, dict[str, int]]:
    """{step id: {status: how many}} of what journeys recorded, and "next" for those it is next for."""
    found: dict[int, dict[str, int]] = {}
    for row in session.store.rows(
        "SELECT x.step_id AS step, x.status, COUNT(*) AS n FROM journeys j JOIN journey_steps x ON x.journey_id = j.id "
        "WHERE j.sequence_id = ? GROUP BY x.step_id, x.status",
        sequence_id,
    ):
        found.setdefault(row["step"], {})[row["status"]] = int(row["n"])
    for row in session.store.rows(
        "SELECT next_step_id AS step, COUNT(*) AS n FROM journeys WHERE sequence_id = ? AND status = 'active' "
        "AND (next_due_at IS NOT NULL OR held_due_at IS NOT NULL) GROUP BY next_step_id",
        sequence_id,
    ):
        found.setdefault(row["step"], {})["next"] = int(row["n"])
    return found


def funnel_parts(session: Session, sequence_id: int) -> list[tuple[str, int]]:
    """Enrolled, reached, answered, interested, met."""
    row = stats.stats(session.store, sequence_id, "sequence")[0]
    return [
        ("enrolled", int(row["people"] or 0)),
        ("reached", int(row["reached"] or 0)),
        ("answered", int(row["replied"] or 0)),
        ("interested", int(row["interested"] or 0)),
        ("met", int(row["met"] or 0)),
    ]


def _what(step: dict[str, Any]) -> str:
    title = step["subject"] or ("in the thread" if step["kind"] == "email" else step["body"] or "")
    more = len(live(step["variants"]))
    return f"{title} ({more + 1} variants)" if more else title


def sequence_card(session: Session, row: dict[str, Any], notice: str | None) -> Card:
    """What it is, why it doesn't run, how far everybody is, who is next."""
    store, sequence_id = session.store, row["id"]
    problems = [p.text for p in lifecycle.sequence_problems(store, row)]
    active = SequenceStatus.ACTIVE if row["active"] else SequenceStatus.INACTIVE
    status = SequenceStatus.INCOMPLETE if problems and not row["active"] else active
    counts = step_counts(session, sequence_id)
    steps = []
    plan = ordering.live_steps(store, sequence_id)
    for number, step in enumerate(plan[:MOST_STEPS], 1):
        n = counts.get(step["id"], {})
        kind = f"{step['kind']}, by hand" if step["manual"] else step["kind"]
        steps.append(
            (
                number,
                kind,
                describe_schedule(ordering.step_plan(step).schedule),
                _what(step),
                n.get("next", 0) or None,
                n.get("waiting", 0) or None,
                sum(n.get(s, 0) for s in _DONE) or None,
                n.get("skipped", 0) or None,
            )
        )
    journeys = store.rows(
        "SELECT status, reason, COUNT(*) AS n FROM journeys WHERE sequence_id = ? GROUP BY status, reason ORDER BY 1, 2",
        sequence_id,
    )
    told = [
        (" · ".join(x for x in (r["status"], r["reason"]) if x).replace("_", " "), int(r["n"]))
        for r in journeys
    ]
    parts: list[Part] = [Bullets(problems), Banner(notice)]
    parts.append(Table(["step", "kind", "when", "what", "next", "waiting", "done", "skipped"], steps))
    if len(plan) > MOST_STEPS:
        parts.append(Note(f"{len(plan) - MOST_STEPS} more steps are in seq.steps."))
    if told:
        parts += [Bar(funnel_parts(session, sequence_id)), Table(["journeys", ""], told)]
    else:
        parts.append(Note("Nobody is enrolled yet: seq.enroll(people)."))
    parts.append(Table(["next", "at", ""], next_sends(session, sequence_id)))
    return Card(row["name"] or "Untitled sequence", status, parts)


def workspace_card(session: Session, state: dict[str, Any]) -> Card:
    """One's sequences, and what keeps them."""
    if not state["access"]:
        return Card("My sequences", state["user"], [Banner(state["notice"])])
    condition, own = session.scope.mine("s", "s.id")
    rows = session.store.rows(
        f"SELECT s.* FROM sequences s WHERE {condition} ORDER BY s.active DESC, s.id DESC LIMIT {MOST_SEQUENCES + 1}",
        *own,
    )
    shown = rows[:MOST_SEQUENCES]
    statuses = lifecycle.statuses(session.store, shown)
    counts = {
        r["sequence_id"]: r
        for r in session.store.rows(
            "SELECT j.sequence_id, COUNT(*) AS n, SUM(CASE WHEN j.status = 'active' THEN 1 ELSE 0 END) AS going, "
            "MIN(j.next_due_at) AS next_due_at "
            f"FROM journeys j JOIN sequences s ON s.id = j.sequence_id WHERE {condition} GROUP BY j.sequence_id",
            *own,
        )
    }
    answered = stats.answered(session.store, condition, own)
    table = []
    for row in shown:
        n = counts.get(row["id"], {})
        table.append(
            (
                row["name"] or "Untitled",
                str(statuses[row["id"]]),
                int(n.get("n") or 0),
                int(n.get("going") or 0) or None,
                answered.get(row["id"]),
                n.get("next_due_at"),
            )
        )
    tasks, unread = state["tasks"], state["unread"]
    open_now = [f"Tasks that wait for you, outreach.tasks(): {tasks:,}"] * bool(tasks)
    open_now += [f"Unread notices, outreach.notifications(): {unread:,}"] * bool(unread)
    alive = ", ".join(f"{n} {role}" for role, n in sorted(state["alive"].items()))
    parts: list[Part] = [
        Banner(state["notice"]),
        Table(["sequence", "status", "journeys", "going", "answered", "next"], table),
    ]
    if not table:
        parts.append(Note("No sequence yet: Sequence.create(name) begins one."))
    if len(rows) > MOST_SEQUENCES:
        parts.append(Note("Older ones are in outreach.sequences()."))
    parts += [Bullets(open_now), Note(f"Alive: {alive}." if alive else None)]
    return Card("My sequences", state["user"], parts)
