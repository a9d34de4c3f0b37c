"""A person has read the drafts: what they changed is kept, what they approved may leave (rule 30)."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from outreach_sdk.domain.given import check_text
from outreach_sdk.domain.message import check_header_value, clean_html, is_html
from outreach_sdk.domain.snippets import literal
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.drafting import LEAVING, Draft, drafts, version_of
from outreach_sdk.errors import OutreachError
from outreach_sdk.storage.holds import hold, let_go
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event

__all__ = ["Read", "approve", "withdraw"]

_FIELD = ("{{", "{%", "{#")


@dataclass(frozen=True, slots=True)
class Read:
    """One row as it came back: the draft's id, its text, and the version that was read."""

    id: str
    subject: str | None
    body: str | None
    version: str


@dataclass(slots=True)
class _Verdict:
    read: Read
    outcome: str
    reason: str | None = None
    draft: Draft | None = None
    subject: str | None = None
    body: str | None = None
    hash: str | None = None


def approve(engine: Engine, sequence: dict[str, Any], user_id: int, read: Seq[Read]) -> list[dict[str, Any]]:
    """Keep the edits, approve the texts, let go of what waited for them: in one transaction. What can't be approved
    comes back named and is left as it was; one dict a row: id, candidate, email, step, outcome, reason."""
    wanted = [int(r.id.partition(".")[0]) for r in read if r.id.partition(".")[0].isdigit()]
    current = {d.id: d for d in drafts(engine, sequence, wanted)}
    seen: set[str] = set()
    verdicts: list[_Verdict] = []
    for row in read:
        found = _judge(current.get(row.id), row)
        if row.id in seen:
            found = _Verdict(row, "refused", "The frame has it twice.", found.draft)
        seen.add(row.id)
        verdicts.append(found)
    engine.store.run(lambda: _write(engine, sequence, user_id, verdicts))
    _explain(engine.store, sequence, [v for v in verdicts if v.outcome == "not_editable"])
    return [_told(v) for v in verdicts]


def withdraw(engine: Engine, sequence: dict[str, Any], user_id: int, ids: Seq[str]) -> int:
    """Take approvals back of what hasn't left and isn't leaving; how many."""
    store, now = engine.store, engine.now()
    wanted = {tuple(map(int, i.split("."))) for i in ids if i.replace(".", "", 1).isdigit() and "." in i}

    def work() -> int:
        if store.for_update:
            store.rows("SELECT id FROM journeys WHERE sequence_id = ? ORDER BY id FOR UPDATE", sequence["id"])
        standing = store.rows(
            "SELECT x.id, x.journey_id, x.step_id FROM journeys j JOIN journey_steps x ON x.journey_id = j.id "
            "WHERE j.sequence_id = ? AND x.approved_hash IS NOT NULL",
            sequence["id"],
        )
        open_ones = _editable(store, sequence["id"])
        found = [
            (r["id"],)
            for r in standing
            if (r["journey_id"], r["step_id"]) in wanted and f"{r['journey_id']}.{r['step_id']}" in open_ones
        ]
        if found:
            store.write_many(
                "UPDATE journey_steps SET approved_hash = NULL, approved_at = NULL WHERE id = ?", found
            )
            hold(store, "sequence_id = ?", sequence["id"])
            about = {**sequence, "journey_id": None}
            event(store, about, "approvals_withdrawn", now, f"{len(found)} by user {user_id}")
        return len(found)

    return store.run(work)


def _judge(draft: Draft | None, row: Read) -> _Verdict:
    if draft is None:
        return _Verdict(row, "not_editable")
    if row.version != version_of(draft):
        why = "Its text has changed since these drafts were read: read it again."
        return _Verdict(row, "changed", why, draft)
    subject, body = row.subject or "", row.body or ""
    new_subject, new_body = subject != draft.subject, body != draft.body
    if not (new_subject or new_body):
        if draft.problem:
            return _Verdict(row, "refused", draft.problem, draft)
        return _Verdict(row, "unchanged" if draft.approved else "approved", None, draft, hash=draft.approval)
    return _edited(draft, row, subject if new_subject else None, body if new_body else None)


def _edited(draft: Draft, row: Read, subject: str | None, body: str | None) -> _Verdict:
    if subject is not None and draft.step["thread"] == "reply":
        return _Verdict(row, "refused", "An answer in the thread keeps the thread's subject.", draft)
    for name, text, was in (("subject", subject, draft.subject), ("body", body, draft.body)):
        if text is not None and not text.strip():
            return _Verdict(row, "refused", f"The {name} is empty.", draft)
        if text is not None and any(
            text.count(mark) > (0 if draft.problem else was.count(mark)) for mark in _FIELD
        ):
            why = f"The {name} holds {{{{ … }}}}, which nothing fills any more: write the text itself."
            return _Verdict(row, "refused", why, draft)
    if draft.problem and not draft.journey["email"]:
        return _Verdict(row, "refused", draft.problem, draft)
    out = _Verdict(row, "edited", None, draft)
    try:
        if subject is not None:
            check_header_value("subject", subject)
        if body is not None:
            check_text("body", body)
            # Text that only looks like HTML for what was merged into it stays text.
            rich = is_html(body) and (
                draft.problem is not None or not is_html(draft.body) or draft.html == draft.body
            )
            out.body = literal(clean_html(body) if rich else body, plain=not rich)
        out.subject = None if subject is None else literal(subject)
        again = _as_stored(draft, out.subject, out.body)
    except OutreachError as exc:
        return _Verdict(row, "refused", str(exc), draft)
    if again.problem or not again.html.strip():
        return _Verdict(row, "refused", again.problem or "The body is empty.", draft)
    out.hash = again.approval
    return out


def _as_stored(draft: Draft, subject: str | None, body: str | None) -> Draft:
    """The e-mail as it will be rendered from what is kept."""
    stored = dict(draft.stored)
    if subject is not None:
        stored["draft_subject"] = subject
    if body is not None:
        stored["draft_body"] = body
    return draft.again(stored)


def _write(engine: Engine, sequence: dict[str, Any], user_id: int, verdicts: list[_Verdict]) -> None:
    store, now = engine.store, engine.now()
    good = [v for v in verdicts if v.hash is not None and v.draft is not None]
    if not good:
        return
    if store.for_update:  # a claim takes the same locks
        store.rows("SELECT id FROM journeys WHERE sequence_id = ? ORDER BY id FOR UPDATE", sequence["id"])
    open_ones = _editable(store, sequence["id"])
    rows = []
    for v in good:
        if v.draft is None or v.draft.id not in open_ones:
            v.outcome, v.reason = "not_editable", None
            continue
        if v.outcome == "unchanged":
            continue
        step, journey = v.draft.step, v.draft.journey
        rows.append(
            (
                journey["workspace_id"], journey["owner_id"], journey["id"], step["id"], journey["candidate_id"],
                step["kind"], step["rank"], v.subject, v.body, v.hash, now, user_id,
            )
        )  # fmt: skip
    if not rows:
        return
    store.write_many(
        "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
        "draft_subject, draft_body, approved_hash, approved_at, approved_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, ?) ON CONFLICT (journey_id, step_id) DO UPDATE SET "
        "draft_subject = COALESCE(excluded.draft_subject, journey_steps.draft_subject), "
        "draft_body = COALESCE(excluded.draft_body, journey_steps.draft_body), approved_hash = excluded.approved_hash, "
        "approved_at = excluded.approved_at, approved_by = excluded.approved_by",
        rows,
    )
    let_go(store, now, "sequence_id = ?", sequence["id"])
    event(store, {**sequence, "journey_id": None}, "drafts_approved", now, f"{len(rows)} by user {user_id}")


def _editable(store: Store, sequence_id: int) -> set[str]:
    """The e-mails of this sequence that haven't left and aren't leaving, by id."""
    rows = store.rows(
        "SELECT j.id AS journey, s.id AS step FROM journeys j JOIN steps s ON s.sequence_id = j.sequence_id "
        "LEFT JOIN journey_steps x ON x.journey_id = j.id AND x.step_id = s.id WHERE j.sequence_id = ? "
        "AND s.removed_at IS NULL AND s.kind = 'email' AND j.status IN ('pending', 'active', 'paused') "
        "AND (x.id IS NULL OR x.status IN ('planned', 'due', 'waiting', 'failed')) AND NOT EXISTS (SELECT 1 FROM outbox o "
        f"WHERE o.journey_id = j.id AND o.step_id = s.id AND o.state IN {in_marks(LEAVING)})",
        sequence_id,
        *LEAVING,
    )
    return {f"{r['journey']}.{r['step']}" for r in rows}


def _explain(store: Store, sequence: dict[str, Any], verdicts: list[_Verdict]) -> None:
    """Say of each why it can't be edited any more."""
    if not verdicts:
        return
    journeys = {
        r["id"]: r
        for r in store.rows(
            "SELECT j.id, j.email, j.status, j.reason, c.first_name, c.last_name FROM journeys j JOIN candidates c "
            "ON c.id = j.candidate_id WHERE j.sequence_id = ?",
            sequence["id"],
        )
    }
    steps = {
        f"{r['journey_id']}.{r['step_id']}": r["status"]
        for r in store.rows(
            "SELECT x.journey_id, x.step_id, x.status FROM journeys j JOIN journey_steps x ON x.journey_id = j.id "
            "WHERE j.sequence_id = ?",
            sequence["id"],
        )
    }
    for v in verdicts:
        head = v.read.id.partition(".")[0]
        journey = journeys.get(int(head)) if head.isdigit() else None
        status = steps.get(v.read.id)
        if journey is None:
            v.outcome, v.reason = "unknown", "No such draft is in this sequence."
        elif status in ("sent", "done", "skipped"):
            v.reason = f"It was {status}."
        elif journey["status"] in ("completed", "cancelled"):
            why = f" ({journey['reason']})" if journey["reason"] else ""
            v.reason = f"The journey is {journey['status']}{why}."
        elif status in ("due", "sending", "unknown", "needs_person"):
            v.reason = "It is leaving now."
        else:
            v.reason = "The step was removed, or the journey is past it."
        if journey is not None:
            v.subject, v.body = f"{journey['first_name']} {journey['last_name']}".strip(), journey["email"]


def _told(v: _Verdict) -> dict[str, Any]:
    if v.draft is not None:
        journey = v.draft.journey
        name = f"{journey['first_name']} {journey['last_name']}".strip()
        return {
            "id": v.read.id, "candidate": name, "email": journey["email"], "step": v.draft.number,
            "outcome": v.outcome, "reason": v.reason,
        }  # fmt: skip
    return {
        "id": v.read.id, "candidate": v.subject, "email": v.body, "step": None, "outcome": v.outcome, "reason": v.reason,
    }  # fmt: skip
