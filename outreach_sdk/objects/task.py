"""Steps that wait for a person."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.journey import StepStatus
from outreach_sdk.domain.snippets import literal
from outreach_sdk.engine import drafting, soundness, tasks
from outreach_sdk.errors import NotFound, TransitionRefused
from outreach_sdk.notebook.card import Banner, Card, Mail, Note, Shown, Table
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.session import Session, current

if TYPE_CHECKING:
    from outreach_sdk.objects.journey import Journey

__all__ = ["Task"]

_SELECT = (
    "SELECT x.*, j.sequence_id, j.email, s.name AS sequence, c.first_name, c.last_name FROM journey_steps x "
    "JOIN journeys j ON j.id = x.journey_id JOIN sequences s ON s.id = j.sequence_id "
    "JOIN candidates c ON c.id = x.candidate_id"
)


_NAMES = {"email": "An e-mail", "phone": "A call", "linkedin": "A LinkedIn message", "sms": "An SMS"}


class TaskList(list["Task"], Shown):
    """Open tasks, as a list that shows itself."""

    def _card(self) -> Card:
        rows = [(_NAMES[t.kind], t.candidate, t.sequence, t.due_at, t.skip_at) for t in self[:50]]
        return Card(
            "Tasks",
            f"{len(self):,} open",
            [
                Table(["what", "who", "sequence", "since", "skips itself"], rows),
                Note("Nothing waits for you." if not rows else None),
                Note(f"{len(self) - 50:,} more are in the list." if len(self) > 50 else None),
            ],
        )

    def _line(self) -> str:
        return list.__repr__(self)


@carried(here="get list", also="draft problem")
class Task(Shown):
    """A step that waits for a person. Get them with `outreach.tasks()`."""

    def __init__(self, row: dict[str, Any], session: Session) -> None:
        self._session = session
        self._row = row
        self.id: int = row["id"]
        self.kind: str = row["kind"]
        """ "email" | "phone" | "linkedin" | "sms"."""
        self.due_at: dt.datetime | None = row["due_at"]
        self.skip_at: dt.datetime | None = row["skip_at"]
        """When it skips itself; None: never, or its journey is paused."""
        name = f"{row['first_name']} {row['last_name']}".strip()
        self.candidate: str = name or row["email"] or "a candidate"
        self.sequence: str = row["sequence"]

    @classmethod
    def list(cls) -> TaskList:
        """Open tasks, the soonest to skip themselves first."""
        session = current()
        condition, own = session.scope.mine("x", "j.sequence_id")
        rows = session.store.rows(
            f"{_SELECT} WHERE {condition} AND x.status = ? ORDER BY COALESCE(x.skip_at, 9000000000000000000), x.id",
            *own,
            StepStatus.WAITING,
        )
        return TaskList(cls(r, session) for r in rows)

    @classmethod
    def get(cls, task_id: int) -> Task:
        """A task by its id, open or not; NotFound."""
        session = current()
        condition, own = session.scope.mine("x", "j.sequence_id")
        row = session.store.one(f"{_SELECT} WHERE {condition} AND x.id = ?", *own, task_id)
        if row is None:
            raise NotFound("There is no such task.")
        return cls(row, session)

    def _read(self) -> tuple[Any, Any]:
        """The draft as it was when this task was read: an edit over a newer one is refused."""
        return self._row["draft_subject"], self._row["draft_body"]

    def _read_again(self) -> None:
        self._row = Task.get(self.id)._row

    @classmethod
    def _as_read(cls, task_id: int, read: tuple[Any, ...]) -> Task:
        found = cls.get(task_id)
        found._row["draft_subject"], found._row["draft_body"] = read
        return found

    def _mine(self) -> dict[str, Any]:
        """Its row as it is now; NotFound where one may not see it any more."""
        return self._session.scope.get("journey_steps", self.id, "task")

    @property
    def status(self) -> str:
        """ "waiting" while it is open, then "done", "skipped" or "cancelled"; of an e-mail how far it is: "due",
        "sending", "sent" …"""
        return str(self._mine()["status"])

    @property
    def note(self) -> str | None:
        """What was noted when it was done."""
        found = self._mine()["note"]
        return None if found is None else str(found)

    @property
    def journey(self) -> Journey:
        """The journey it is a step of."""
        self._mine()
        from outreach_sdk.objects.journey import Journey

        return Journey(self._row["journey_id"], self._session)

    @property
    def draft(self) -> dict[str, str]:
        """{"to", "subject", "body"}: a manual e-mail as it would leave now, unsigned; of other tasks the number or page
        to use, and the note as body. Fields that are missing stay visible as {{ field }}."""
        self._mine()
        made = self._rendered()
        return {"to": self._to(), "subject": made.subject if self.kind == "email" else "", "body": made.body}

    @property
    def problem(self) -> str | None:
        """What keeps the e-mail from leaving, sent now or not, or None."""
        self._mine()
        return self._problem(self._rendered()) if self.kind == "email" else None

    def _problem(self, made: drafting.Draft) -> str | None:
        store = self._session.store
        row = store.one("SELECT * FROM sequences WHERE id = ? AND broken", self._row["sequence_id"])
        return made.problem if row is None else soundness.sentence(store, row, "Its sequence")

    def _rendered(self) -> drafting.Draft:
        engine, store = self._session.engine, self._session.store
        sequence = store.one("SELECT * FROM sequences WHERE id = ?", self._row["sequence_id"])
        step = store.one("SELECT * FROM steps WHERE id = ?", self._row["step_id"])
        if sequence is None or step is None:
            raise NotFound("There is no such task.")
        table = drafting.desk(engine, sequence, [self._row["journey_id"]], ended=True)
        stored = table.stored.get((self._row["journey_id"], step["id"]), {})
        number = next((n for n, s in enumerate(table.steps, 1) if s["id"] == step["id"]), 0)
        return table.render(table.journeys[0], number, step, stored)

    def _to(self) -> str:
        if self.kind == "email":
            return str(self._row["email"] or "")
        person = self._session.store.one(
            "SELECT c.linkedin, COALESCE(c.phone, (SELECT p.number FROM candidate_phones p WHERE p.candidate_id = c.id "
            "ORDER BY p.id LIMIT 1)) AS number FROM candidates c WHERE c.id = ?",
            self._row["candidate_id"],
        )
        if person is None:
            return ""
        if self.kind == "linkedin":
            return f"https://www.{person['linkedin']}" if person["linkedin"] else ""
        return str(person["number"] or "")

    # -- acting --------------------------------------------------------------------------------
    def edit(self, subject: str | None = None, body: str | None = None, *, fields: bool = True) -> None:
        """Change the drafted text; merge fields still work in it, unless `fields` is False: then it is taken as it
        stands. TaskTaken; TaskChanged where somebody else edited it since this task was read."""
        if not fields:
            subject = None if subject is None else literal(subject)
            body = None if body is None else literal(body)
        self._mine()
        read = (self._row["draft_subject"], self._row["draft_body"])
        tasks.edit(
            self._session.engine, self._row["journey_id"], self._row["step_id"], subject, body, read=read
        )
        self._row["draft_subject"] = read[0] if subject is None else subject
        self._row["draft_body"] = read[1] if body is None else body

    def send_now(self) -> None:
        """Let the e-mail go, ahead of everything automatic. TaskTaken if somebody was first."""
        self._mine()
        tasks.send_now(
            self._session.engine,
            self._row["journey_id"],
            self._row["step_id"],
            user_id=self._session.user["id"],
        )

    def done(self, note: str | None = None) -> None:
        """Mark it done; the journey goes on. TaskTaken if somebody was first."""
        if self.kind == "email":
            raise TransitionRefused("An e-mail is sent (send_now) or skipped (skip).")
        self._finish(True, note)

    def skip(self) -> None:
        """Skip it; the journey goes on. TaskTaken if somebody was first."""
        self._finish(False, None)

    def _finish(self, done: bool, note: str | None) -> None:
        self._mine()
        tasks.finish(
            self._session.engine,
            self._row["journey_id"],
            self._row["step_id"],
            done=done,
            note=note,
            user_id=self._session.user["id"],
        )

    def _card(self) -> Card:
        status, draft = self.status, self.draft
        left = "" if self.skip_at is None else f"skips itself {self.skip_at:%d %b, %H:%M} UTC"
        made = self._rendered()
        mail = Mail([draft["to"]], draft["subject"], "plan", html=made.html if self.kind == "email" else None,
                    text=draft["body"])  # fmt: skip
        how = "edit, send_now or skip" if self.kind == "email" else "done or skip"
        return Card(
            f"{_NAMES[self.kind]} for {self.candidate}",
            status,
            [
                Note(" · ".join(x for x in (self.sequence, left) if x)),
                Banner(self._problem(made) if self.kind == "email" else None),
                mail,
                Note(f"It waits for you: {how}." if status == "waiting" else self.note),
            ],
        )

    def _line(self) -> str:
        return f"Task({self.kind} for {self.candidate})"
