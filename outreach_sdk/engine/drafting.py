"""Every e-mail that would leave, as it would, for a person to read (rule 30). In as many statements for ten thousand
journeys as for one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from outreach_sdk.domain import template
from outreach_sdk.domain.journey import OPEN_OUTBOX, OutboxState
from outreach_sdk.domain.message import is_html
from outreach_sdk.domain.threading import reply_subject
from outreach_sdk.domain.variants import live, words_of
from outreach_sdk.engine import compose
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.links import FIELDS, link_maker
from outreach_sdk.engine.ordering import live_steps
from outreach_sdk.errors import MissingField, OutreachError
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["Desk", "Draft", "desk", "drafts", "lacking", "version_of"]

LEAVING = (*OPEN_OUTBOX, OutboxState.NEEDS_PERSON)
_HANDLED = ("sent", "done", "skipped", "cancelled", "sending", "unknown", "needs_person")


@dataclass(slots=True)
class Draft:
    """One e-mail as it would leave now, unsigned: `body` is what a person edits, text or HTML. Where it can't be
    rendered, `problem` says why and `subject` and `body` are as written."""

    journey: dict[str, Any]
    step: dict[str, Any]
    number: int
    subject: str
    body: str
    html: str
    problem: str | None
    stored: dict[str, Any]
    desk: Desk
    missing: tuple[str, ...] = ()

    def again(self, stored: dict[str, Any]) -> Draft:
        """The same e-mail with another text kept for it."""
        return self.desk.render(self.journey, self.number, self.step, stored)

    @property
    def id(self) -> str:
        return f"{self.journey['id']}.{self.step['id']}"

    @property
    def approval(self) -> str:
        """The hash that an approval of this text is kept by."""
        return compose.review_hash(self.subject if self.step["thread"] == "new" else None, self.html)

    @property
    def approved(self) -> bool:
        return self.stored.get("approved_hash") == self.approval and self.problem is None


def version_of(draft: Draft) -> str:
    """The same for the same text: what tells an edit from a text that changed underneath."""
    return hashlib.sha256(f"{draft.subject}\n{draft.body}".encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(slots=True)
class Desk:
    """What rendering the e-mails of one sequence takes, read once."""

    sequence: dict[str, Any]
    steps: list[dict[str, Any]]
    senders: dict[int, dict[str, Any]]
    owner_name: str
    snippets: dict[str, str]
    passages: dict[tuple[int, int], dict[str, str | None]]
    links: Any
    writes: bool
    journeys: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    leaving: set[tuple[int, int]] = field(default_factory=set)

    def texts(
        self, journey: dict[str, Any], step: dict[str, Any], stored: dict[str, Any]
    ) -> tuple[str | None, str | None]:
        """(subject, body) as written to one person, snippets in place."""
        words = words_of(step, journey["id"], stored)
        rich = is_html(words.body or "")
        return (
            compose.with_snippets(words.subject, self.snippets, rich=False),
            compose.with_snippets(words.body, self.snippets, rich=rich),
        )

    def data(self, journey: dict[str, Any], step: dict[str, Any]) -> dict[str, str]:
        """The merge fields of one person in one step."""
        sender = self.senders.get(step["mailbox_id"] or self.sequence["mailbox_id"] or 0, {})
        return compose.merge_data(
            {**journey, "current_email": journey["email"]},
            sender_name=sender.get("name") or self.owner_name,
            sender_email=sender.get("address") or "",
            links=self.links(journey["id"]),
        )

    def render(
        self, journey: dict[str, Any], number: int, step: dict[str, Any], stored: dict[str, Any]
    ) -> Draft:
        """One e-mail, whatever is wrong with it."""
        subject, body = self.texts(journey, step, stored)
        problem = None if journey["email"] else "There is no e-mail address to write to."
        out = Draft(journey, step, number, subject or "", body or "", "", problem, stored, self)
        if not (body or "").strip():
            out.problem = "It has no text."
            return out
        try:
            data = self.data(journey, step)
            known = self.passages.get((journey["candidate_id"], step["id"]), {})
            texts = {k: v for k, v in known.items() if v is not None}
            own = subject if step["thread"] == "new" else None
            line, text, out.html = compose.render_body(own, str(body), data, texts)
            out.body, out.subject = out.html if is_html(str(body)) else text, line
            asked = template.prompts(f"{subject or ''}{body}", data)
            if any(p.text is not None and p.digest not in known for p in asked):
                out.problem = problem or self._unwritten(journey, step)
        except MissingField as exc:
            out.missing = tuple(exc.fields)
            out.problem = f"Missing: {', '.join(exc.fields)}."
        except OutreachError as exc:
            out.problem = str(exc)
        if step["thread"] == "reply":
            out.subject = reply_subject(self._thread(journey, number))
        elif not out.subject.strip():
            out.problem = out.problem or "It has no subject."
        return out

    def _unwritten(self, journey: dict[str, Any], step: dict[str, Any]) -> str | None:
        """What to say of a passage that isn't there. Where no model is set up, its fallback stands: nothing."""
        if journey["passages_at"] is not None and journey["next_step_id"] == step["id"]:
            return "Its AI passage is being written."
        return "Its AI passage isn't written yet: seq.write_passages() writes it." if self.writes else None

    def _thread(self, journey: dict[str, Any], number: int) -> str:
        """The subject of the thread that an e-mail answers in: the one it has, or will have."""
        if journey["provider_thread_id"]:
            return str(journey["thread_subject"] or "")
        opening = next(
            (s for s in reversed(self.steps[:number]) if s["thread"] == "new" and s["subject"]), None
        )
        if opening is None:
            return ""
        stored = self.stored.get((journey["id"], opening["id"]), {})
        subject, _ = self.texts(journey, opening, stored)
        try:
            return " ".join(template.render(subject or "", self.data(journey, opening), html=False).split())
        except OutreachError:
            return subject or ""


def desk(
    engine: Engine, sequence: dict[str, Any], journeys: list[int] | None = None, *, ended: bool = False
) -> Desk:
    """The desk of a sequence with its journeys that go on, or all of them where `ended` ones count too (of `journeys`
    alone, where given)."""
    store: Store = engine.store
    steps = live_steps(store, sequence["id"])
    texts = "".join(f"{s['subject'] or ''}{s['body'] or ''}{s['variants']}" for s in steps)
    box_ids = sorted({b for b in (sequence["mailbox_id"], *(s["mailbox_id"] for s in steps)) if b})
    boxes = (
        store.rows(f"SELECT id, name, address FROM mailboxes WHERE id IN {in_marks(box_ids)}", *box_ids)
        if box_ids
        else []
    )
    owner = sequence["owner_id"]
    made = Desk(
        sequence=sequence,
        steps=steps,
        senders={b["id"]: b for b in boxes},
        owner_name=str(store.value("SELECT name FROM users WHERE id = ?", owner) or ""),
        snippets=compose.snippets(store, sequence["workspace_id"], owner) if "snippet" in texts else {},
        passages={},
        writes=engine.writer() is not None,
        links=lambda journey_id: {},
    )
    some, params = "j.sequence_id = ?", [sequence["id"]]
    if journeys is not None and len(journeys) <= 500:
        some, params = f"{some} AND j.id IN {in_marks(journeys or [0])}", [*params, *(journeys or [0])]
    going_on = "" if ended else " AND j.status IN ('pending', 'active', 'paused')"
    made.journeys = store.rows(
        "SELECT j.id, j.workspace_id, j.owner_id, j.candidate_id, j.email, j.status, j.last_rank, j.next_step_id, "
        "j.next_due_at, j.held_due_at, j.passages_at, j.lane, j.thread_subject, j.provider_thread_id, c.first_name, "
        "c.last_name, c.company, c.title, c.linkedin, c.phone, c.fields FROM journeys j JOIN candidates c "
        f"ON c.id = j.candidate_id WHERE {some}{going_on} ORDER BY j.id",
        *params,
    )
    if "ai" in texts:
        for row in store.rows(
            "SELECT p.candidate_id, p.step_id, p.digest, p.text FROM passages p JOIN journeys j ON "
            f"j.candidate_id = p.candidate_id WHERE {some} AND p.step_id IN (SELECT id FROM steps WHERE "
            "sequence_id = j.sequence_id)",
            *params,
        ):
            made.passages.setdefault((row["candidate_id"], row["step_id"]), {})[row["digest"]] = row["text"]
    for row in store.rows(
        "SELECT x.journey_id, x.step_id, x.status, x.draft_subject, x.draft_body, x.approved_hash, x.approved_at "
        f"FROM journeys j JOIN journey_steps x ON x.journey_id = j.id WHERE {some}",
        *params,
    ):
        made.stored[row["journey_id"], row["step_id"]] = row
    if any(live(s["variants"]) for s in steps):
        for row in store.rows(
            "SELECT o.journey_id, o.step_id, o.variant FROM journeys j JOIN outbox o ON o.journey_id = j.id WHERE "
            f"{some} AND o.state = 'planned' AND o.variant IS NOT NULL",
            *params,
        ):
            made.stored.setdefault((row["journey_id"], row["step_id"]), {})["variant"] = row["variant"]
    written = (f"{r['draft_subject'] or ''}{r['draft_body'] or ''}" for r in made.stored.values())
    if any("link" in t.lower() for t in (texts, *made.snippets.values(), *written)):
        made.links = link_maker(store, owner, engine.public_url, uses=FIELDS)
    for row in store.rows(
        "SELECT o.journey_id, o.step_id FROM journeys j JOIN outbox o ON o.journey_id = j.id "
        f"WHERE {some} AND o.state IN {in_marks(LEAVING)}",
        *params,
        *LEAVING,
    ):
        made.leaving.add((row["journey_id"], row["step_id"]))
    return made


def lacking(engine: Engine, sequence: dict[str, Any], most: int = 200) -> str | None:
    """How many of the first people lack fields that their e-mails need, in a sentence; None where nobody does."""
    store = engine.store
    texts = [
        t
        for s in live_steps(store, sequence["id"])
        if s["kind"] == "email"
        for t in (s["subject"], s["body"], *(t for v in live(s["variants"]) for t in (v.subject, v.body)))
    ]
    if not any("{" in (t or "") for t in texts):
        return None
    ids = [
        r["id"]
        for r in store.rows(
            "SELECT id FROM journeys WHERE sequence_id = ? AND status IN ('pending', 'active', 'paused') "
            "ORDER BY id LIMIT ?",
            sequence["id"],
            most,
        )
    ]
    if not ids:
        return None
    found = [d for d in drafts(engine, sequence, ids) if d.missing]
    people = len({d.journey["id"] for d in found})
    if not people:
        return None
    names = ", ".join(dict.fromkeys(f for d in found for f in d.missing))
    first = f"the first {len(ids)}" if len(ids) == most else f"{len(ids)}"
    verb = "lacks" if people == 1 else "lack"
    return f"{people} of {first} people {verb} what their e-mails name ({names}): seq.missing() lists them."


def drafts(engine: Engine, sequence: dict[str, Any], journeys: list[int] | None = None) -> list[Draft]:
    """Every e-mail that hasn't left, of everybody whose journey goes on, as it would leave now."""
    table = desk(engine, sequence, journeys)
    out = []
    for journey in table.journeys:
        for number, step in enumerate(table.steps, 1):
            key = journey["id"], step["id"]
            stored = table.stored.get(key, {})
            again = step["id"] == journey["next_step_id"] and (
                journey["next_due_at"] is not None or journey["held_due_at"] is not None
            )
            past = step["rank"] <= journey["last_rank"] or stored.get("status") in _HANDLED
            if step["kind"] == "email" and key not in table.leaving and (again or not past):
                out.append(table.render(journey, number, step, stored))
    return out
