"""What the widgets read and do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.variants import FIRST
from outreach_sdk.domain.variants import live as live_variants
from outreach_sdk.engine import drafting, lifecycle
from outreach_sdk.engine import people as people_rows
from outreach_sdk.engine.headers import mapper_of
from outreach_sdk.errors import InvalidInput
from outreach_sdk.notebook.card import Banner, Card, Mail, Note, Table
from outreach_sdk.objects.session import Session, current
from outreach_sdk.objects.task import Task

if TYPE_CHECKING:
    from outreach_sdk.notebook import widgets
    from outreach_sdk.objects.sequence import Sequence

__all__ = ["SequencePanels", "mapping_editor", "task_queue"]

Text = tuple[int, str]
"""A step's number and the letter of a variant."""


class SequencePanels:
    """The part of a `Sequence` that gives widgets. They need ipywidgets (`pip install 'outreach-sdk[notebook]'`)."""

    id: int
    name: str
    _session: Session

    if TYPE_CHECKING:

        @property
        def notice(self) -> str | None: ...

        def _row(self) -> dict[str, Any]: ...

        def _live(self) -> list[dict[str, Any]]: ...

        def _card(self) -> Card: ...

        def activate(self) -> int: ...

        def deactivate(self) -> int: ...

        def edit_step(self, n: int, **changes: Any) -> None: ...

        def edit_variant(self, n: int, letter: str, **changes: str | None) -> None: ...

        def _nth(self, n: int) -> dict[str, Any]: ...

    def switch(self) -> widgets.Switch:
        """A switch that activates and deactivates; greyed out, with the reasons, while the sequence is incomplete."""
        from outreach_sdk.notebook import widgets

        self._row()

        def read() -> widgets.State:
            row, store = self._row(), self._session.store
            problems = [p.text for p in lifecycle.sequence_problems(store, row)]
            counts = {
                r["status"]: int(r["n"])
                for r in store.rows(
                    "SELECT status, COUNT(*) AS n FROM journeys WHERE sequence_id = ? GROUP BY status ORDER BY status",
                    self.id,
                )
            }
            active, notice = bool(row["active"]), self.notice
            card = widgets.state_card(row["name"], active, problems, notice, counts)
            return widgets.State(row["name"], active, problems, notice, card)

        def turn(on: bool) -> str:
            if on:
                return f"Activated. Journeys that go: {self.activate():,}."
            return f"Deactivated. Journeys paused where they are: {self.deactivate():,}."

        return widgets.Switch(read, turn)

    def editor(self) -> widgets.Editor:
        """An editor of the steps' and their variants' texts beside what they come to for somebody who is enrolled, as one
        types."""
        from outreach_sdk.notebook import widgets

        steps: list[tuple[Text, str]] = []
        for n, s in enumerate(self._live(), 1):
            others = live_variants(s["variants"])
            titled = f"{s['kind']}{': ' + s['subject'] if s['subject'] else ''}"
            steps.append(((n, FIRST), f"{n}{FIRST if others else ''}. {titled}"))
            steps += [((n, v.letter), f"{n}{v.letter}. {v.subject or titled}") for v in others]
        people = self._session.store.rows(
            "SELECT j.id, j.email, c.first_name, c.last_name FROM journeys j JOIN candidates c ON c.id = j.candidate_id "
            "WHERE j.sequence_id = ? ORDER BY j.id LIMIT 200",
            self.id,
        )
        named = [
            (f"{p['first_name']} {p['last_name']}".strip() or p["email"] or "somebody", p["id"])
            for p in people
        ]

        def texts(step: dict[str, Any], letter: str) -> tuple[str, str]:
            for one in live_variants(step["variants"]):
                if one.letter == letter:
                    subject = step["subject"] if one.subject is None else one.subject
                    return subject or "", (step["body"] if one.body is None else one.body) or ""
            return step["subject"] or "", step["body"] or ""

        def read(which: Text) -> tuple[str, str]:
            return texts(self._nth(which[0]), which[1])

        def preview(which: Text, journey: int | None, subject: str, body: str) -> str:
            n = which[0]
            if journey is None:
                return Card(
                    "Preview", None, [Note("Enrol somebody to see what it comes to for them.")]
                ).html()
            table = drafting.desk(self._session.engine, self._row(), [journey], ended=True)
            step = {**self._nth(n), "subject": subject or None, "body": body, "variants": "[]"}
            table.steps = [step if s["id"] == step["id"] else s for s in table.steps]
            made = table.render(table.journeys[0], n, step, {})
            mail = step["kind"] == "email"
            shown = Mail(
                [made.journey["email"]], made.subject if mail else "", "plan", html=made.html, text=made.body
            )
            return Card("Preview", None, [Banner(made.problem if mail else None), shown]).html()

        def save(which: Text, subject: str, body: str) -> str:
            n, letter = which
            step = self._nth(n)
            if letter != FIRST:
                before = dict(zip(("subject", "body"), texts(step, letter), strict=True))
                new = {k: v for k, v in {"subject": subject, "body": body}.items() if v != before[k]}
                if new:
                    self.edit_variant(n, letter, **new)
                return f"Step {n}{letter} is saved: it reaches whatever hasn't left."
            changes: dict[str, Any] = {"body": body}
            if step["kind"] == "email" and (subject or step["subject"]):
                changes["subject"] = subject or None
            self.edit_step(n, **changes)
            return f"Step {n} is saved: it reaches whatever hasn't left."

        return widgets.Editor(steps, named, read, preview, save)

    def live(self, every: float = 2.0) -> widgets.Live:
        """The sequence's card with a progress bar, looked at every few seconds while it runs."""
        from outreach_sdk.notebook import widgets

        if not 0.1 <= every <= 3_600:
            raise InvalidInput("every", every, "Give seconds from 0.1 to 3600.")
        self._row()
        store = self._session.store

        def read() -> tuple[int, int, str, bool]:
            self._row()
            counts = store.one(
                "SELECT COUNT(*) AS n, SUM(CASE WHEN ended_at IS NOT NULL THEN 1 ELSE 0 END) AS ended FROM journeys "
                "WHERE sequence_id = ?",
                self.id,
            ) or {"n": 0, "ended": 0}
            total, ended = int(counts["n"]), int(counts["ended"] or 0)
            return ended, total, self._card().html(), ended < total

        return widgets.Live(read, every, store.idle)


def task_queue() -> widgets.Queue:
    """What waits for a person, the soonest to skip itself first: read it, change it, send it, mark it done, skip it."""
    from outreach_sdk.notebook import widgets

    session = current()
    opened: dict[int, Task] = {}

    def fetch() -> list[tuple[int, str]]:
        opened.clear()
        opened.update({t.id: t for t in Task.list()[:200]})
        return [(t.id, f"{t.kind}: {t.candidate} · {t.sequence}") for t in opened.values()]

    def read(task_id: int) -> widgets.Waiting:
        task = opened[task_id] = Task.get(task_id)
        draft = task.draft
        return widgets.Waiting(
            task.id,
            f"{task.kind} for {task.candidate}, {task.sequence}",
            task.kind,
            draft["to"],
            draft["subject"],
            draft["body"],
            task.problem,
            task.skip_at,
            not draft["subject"].startswith("Re:"),
        )

    def save(task_id: int, subject: str, body: str) -> str:
        task = opened[task_id]
        draft = task.draft
        new_subject = subject if task.kind == "email" and subject != draft["subject"] else None
        new_body = body if body != draft["body"] else None
        if new_subject is None and new_body is None:
            return "Nothing to save: the text is as it was."
        # What is rendered is text; where a field is missing it stays a field, so that it can't leave as one.
        task.edit(new_subject, new_body, fields=task.problem is not None)
        return "Saved."

    def send(task_id: int, subject: str, body: str) -> str:
        save(task_id, subject, body)
        task = opened[task_id]
        if (problem := task.problem) is not None:
            raise InvalidInput("text", task.candidate, problem)
        task.send_now()
        return f"On its way to {task.candidate}."

    def done(task_id: int, _subject: str, note: str) -> str:
        opened[task_id].done(note.strip() or None)
        return f"Done: {opened[task_id].candidate}."

    def skip(task_id: int, _subject: str, _body: str) -> str:
        opened[task_id].skip()
        return f"Skipped: {opened[task_id].candidate}."

    return widgets.Queue(fetch, read, {"save": save, "send": send, "done": done, "skip": skip}, session.now)


def mapping_editor(people: str | Path | Any, sequence: Sequence | None = None) -> widgets.Columns:
    """Correct which column of a file (or frame) feeds which field, see the first rows as they would be read, then enrol
    into `sequence` or one that is chosen. `.mapping` is the mapping for `seq.enroll(…, mapping=…)`. ImportRefused for what
    can't be read at all."""
    from outreach_sdk.notebook import widgets
    from outreach_sdk.objects.sequence import Sequence

    session = current()
    mapper = mapper_of(session.engine, session.workspace_id)
    table = people_rows.open_table(people, mapper=mapper, anybody=False)
    mapping = table.mapping
    headers, sample = table.headers, next(table.frames, None)
    # Read once: what is looked at while one chooses is the first rows, however long the file.
    first = [] if sample is None else [dict(zip(headers, row, strict=True)) for row in sample.head(5).rows()]
    listed = Sequence.list()
    choices = [(r["name"] or f"Untitled {r['id']}", r["id"]) for r in listed.reverse().iter_rows(named=True)]
    if sequence is not None:
        choices = [(n, i) for n, i in choices if i == sequence.id] or [(sequence.name, sequence.id)]

    def look(chosen: dict[str, str | None]) -> tuple[str, bool]:
        read = people_rows.open_table(first or [dict.fromkeys(headers)], mapping=chosen)
        fed = [(field, column) for field, column in read.mapping.items() if column]
        shown = [[row[column] for _, column in fed] for row in first]
        extra = ", ".join(read.extra)
        facts = " · ".join(
            x
            for x in (
                table.encoding,
                f"separator {table.delimiter!r}" if table.delimiter else None,
                f"{table.skipped_lines} lines above the header" if table.skipped_lines else None,
            )
            if x
        )
        card = Card(
            "The first rows",
            None,
            [
                Note(facts or None),
                Table([field.replace("_", " ") for field, _ in fed], shown),
                Note(f"Merge fields: {extra}." if extra else None),
            ],
        )
        return card.html(), True

    def enroll(sequence_id: int, chosen: dict[str, str | None]) -> str:
        report = Sequence.get(sequence_id).enroll(people, mapping=chosen)
        return repr(report)

    return widgets.Columns(headers, mapping, choices, look, enroll)
