"""What one person would get, and when: everything before anything leaves, and what is still ahead midway."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.given import FURTHEST
from outreach_sdk.domain.journey import JourneyStatus, StepStatus
from outreach_sdk.domain.message import is_html
from outreach_sdk.domain.variants import words_of
from outreach_sdk.domain.windows import SendingRules, share
from outreach_sdk.engine import compose, ordering
from outreach_sdk.errors import MissingField
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

    from outreach_sdk.objects.journey import Journey

__all__ = ["SequencePreview"]

Rows = list[dict[str, Any]]
HANDLED = (StepStatus.SENT, StepStatus.DONE, StepStatus.SKIPPED)
ENDED = (JourneyStatus.COMPLETED, JourneyStatus.CANCELLED)


class SequencePreview:
    """The part of a `Sequence` that shows what would leave."""

    id: int
    _session: Session

    if TYPE_CHECKING:

        def _row(self) -> dict[str, Any]: ...

        def _live(self) -> Rows: ...

        def _rules(self) -> SendingRules: ...

        def journey(self, candidate_or_email: Any) -> Journey: ...

    def preview(self, candidate: Any = None) -> pl.DataFrame:
        """Frame: step, kind, status, at (when it would leave if activated now), to, subject, text, missing. Sends
        nothing. `candidate`: as in `journey`; None takes the first enrolled, else an example person. Of somebody midway:
        what was sent as it was and when (status "sent", "done", "skipped"), what is next at its own time, and as "passed",
        without one, what doesn't come any more."""
        return frame(
            self._as_sent(self._expected(candidate)),
            step="int",
            kind="str",
            status="str",
            at="time",
            to="str",
            subject="str",
            text="str",
            missing="str",
        )

    def _expected(self, candidate: Any) -> Rows:
        row, store = self._row(), self._session.store
        if candidate is not None:
            journey_id = self.journey(candidate).id
        else:
            journey_id = store.value("SELECT MIN(id) FROM journeys WHERE sequence_id = ?", self.id)
        person = store.one("SELECT * FROM journeys WHERE id = ?", journey_id)
        if person is not None:
            found = store.one("SELECT * FROM candidates WHERE id = ?", person["candidate_id"]) or {}
            data = {**found, "current_email": person["email"]}
        else:
            data = dict.fromkeys(("company", "title", "linkedin", "phone"), "")
            data |= {"first_name": "Alex", "last_name": "Example", "fields": "{}", "timezone": None}
            data["current_email"] = "alex@example.com"
        box = store.one("SELECT * FROM mailboxes WHERE id = ?", row["mailbox_id"]) or {}
        merge = compose.merge_data(
            data, sender_name=box.get("name") or "", sender_email=box.get("address") or ""
        )
        out: list[dict[str, Any]] = []
        subject = ""
        known = compose.snippets(store, row["workspace_id"], row["owner_id"])
        said = [(step, words_of(step, journey_id)) for step in self._live()]
        texts = [t for _, w in said for t in (w.subject, w.body)] + [*known.values()]
        merge |= compose.links_of(store, journey_id, self._session.engine.public_url, *texts)
        times = self._times(row, person, [step for step, _ in said], data["timezone"])
        for number, ((step, words), (at, status)) in enumerate(zip(said, times, strict=True), 1):
            plan = ordering.step_plan(step)
            line: dict[str, Any] = {"step": number, "kind": plan.kind, "at": at, "to": data["current_email"]}
            line |= {"candidate": data.get("id"), "status": status, "of": (journey_id, step["id"])}
            subject = compose.with_snippets(words.subject, known, rich=False) or subject
            body = compose.with_snippets(words.body, known, rich=is_html(words.body or "")) or ""
            who = data.get("id") or 0
            try:
                line["subject"], line["text"], line["html"] = compose.render_step(
                    subject if plan.kind == "email" else None,
                    body,
                    merge,
                    signature=box.get("signature"),
                    passages=compose.passages_of(store, who, step["id"], subject, body),
                )
            except MissingField as exc:
                line |= {"subject": words.subject, "text": words.body, "missing": ", ".join(exc.fields)}
            if plan.thread == "reply" and plan.kind == "email" and line.get("subject"):
                line["subject"] = f"Re: {line['subject']}"
            out.append(line)
        return out

    def _times(
        self, row: dict[str, Any], journey: dict[str, Any] | None, steps: Rows, tz: str | None
    ) -> list[tuple[dt.datetime | None, str]]:
        """When each step left or would, and how far it is."""
        now, rules = self._session.now(), self._rules()
        known = {
            r["step_id"]: r
            for r in self._session.store.rows(
                "SELECT x.* FROM journey_steps x WHERE x.journey_id = ?", journey["id"] if journey else 0
            )
        }
        out: list[tuple[dt.datetime | None, str]] = []
        anchor = now if journey is None else journey["anchor_at"]
        for step in steps:
            state = known.get(step["id"], {"status": StepStatus.PLANNED, "due_at": None, "handled_at": None})
            came = journey is not None and journey["next_step_id"] == step["id"]
            known_due = (journey["next_due_at"] or journey["held_due_at"]) if journey and came else None
            if state["status"] in HANDLED:
                out.append((state["handled_at"], state["status"]))
                continue
            if (
                journey
                and not known_due
                and (journey["status"] in ENDED or step["rank"] <= journey["last_rank"])
            ):
                out.append((None, "passed"))
                continue
            if known_due:
                at, status = known_due, str(StepStatus.DUE)
            elif state["status"] != StepStatus.PLANNED:  # a task, or in a worker's hands
                at, status = state["due_at"], str(state["status"])
            else:
                plan = ordering.step_plan(step)
                status = str(StepStatus.PLANNED)
                at = rules.leaves(
                    plan.schedule,
                    anchor=anchor,
                    now=now,
                    sequence_zone=row["timezone"],
                    candidate_zone=tz,
                    at_share=share(journey["id"] if journey else 0, step["id"]) if plan.automatic else None,
                )
            if (
                at is not None and at >= FURTHEST
            ):  # ten years after ten years: nothing is reckoned on from there
                at = None
            out.append((at, status))
            anchor = now = max(at, now) if at is not None else now
        return out

    def _as_sent(self, lines: Rows) -> Rows:
        """What left, as it left."""
        for line in lines:
            if line["status"] != StepStatus.SENT:
                continue
            sent = self._session.store.one(
                "SELECT recipient, subject, body_text, sent_at FROM outbox WHERE journey_id = ? AND step_id = ? "
                "AND state = 'sent' ORDER BY attempt DESC LIMIT 1",
                *line["of"],
            )
            if sent is not None:
                line |= {"at": sent["sent_at"], "to": sent["recipient"], "missing": None}
                line |= {"subject": sent["subject"], "text": sent["body_text"]}
        return lines
