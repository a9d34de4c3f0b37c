"""One candidate's way through one sequence."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.journey import StepStatus
from outreach_sdk.engine import lifecycle, reopen
from outreach_sdk.engine.progress import person_name
from outreach_sdk.errors import InvalidInput
from outreach_sdk.notebook.card import Card, Shown
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.looks_people import journey_card
from outreach_sdk.objects.message import Message
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.settings import moment_after
from outreach_sdk.objects.task import Task

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Journey", "Task"]


@carried()
class Journey(Shown):
    """Get one with `seq.journey(candidate_or_email)`."""

    def __init__(self, journey_id: int, session: Session) -> None:
        self._session = session
        self.id = journey_id

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("journeys", self.id, "journey")

    @property
    def status(self) -> str:
        """ "pending" | "active" | "paused" | "completed" | "cancelled"."""
        return str(self._row()["status"])

    @property
    def reason(self) -> str | None:
        """Why it is paused or cancelled, by name; else None."""
        reason = self._row()["reason"]
        return None if reason is None else str(reason)

    @property
    def detail(self) -> str | None:
        """More about the reason, in words."""
        detail = self._row()["detail"]
        return None if detail is None else str(detail)

    @property
    def email(self) -> str | None:
        """The address this journey writes to."""
        email = self._row()["email"]
        return None if email is None else str(email)

    @property
    def steps(self) -> pl.DataFrame:
        """Frame: step (from 1), kind, status, due_at, sent_at, skip_at, subject, body_html as sent, variant (whose text
        that was; null where it was edited by hand), attempt, error, provider_message_id, provider_thread_id,
        rfc_message_id. One row a step; of several attempts the last."""
        row = self._row()
        rows = self._steps(row)
        broken = self._session.store.value("SELECT broken FROM sequences WHERE id = ?", row["sequence_id"])
        for number, step in enumerate(rows, 1):
            step["step"] = number
            if step["id"] != row["next_step_id"]:
                continue
            if row["next_due_at"] is not None:
                step["due_at"] = row["next_due_at"]
                step["status"] = StepStatus.DUE
            elif row["held_due_at"] is not None:
                step["due_at"] = row["held_due_at"]
                step["status"] = (
                    StepStatus.PLANNED if row["passages_at"] is not None or broken else StepStatus.REVIEW
                )
        return frame(
            rows,
            step="int",
            kind="str",
            status="str",
            due_at="time",
            sent_at="time",
            skip_at="time",
            subject="str",
            body_html="str",
            variant="str",
            attempt="int",
            error="str",
            provider_message_id="str",
            provider_thread_id="str",
            rfc_message_id="str",
        )

    def _steps(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Its sequence's steps in order, those taken out only where this journey was at them."""
        return self._session.store.rows(
            "SELECT s.id, s.kind, COALESCE(x.status, 'planned') AS status, x.due_at, x.handled_at, x.skip_at, "
            "o.sent_at, o.subject, o.body_html, o.variant, o.attempt, o.error, o.provider_message_id, o.provider_thread_id, "
            "o.rfc_message_id FROM steps s LEFT JOIN journey_steps x ON x.step_id = s.id AND x.journey_id = ? "
            "LEFT JOIN outbox o ON o.step_id = s.id AND o.journey_id = ? AND o.attempt = (SELECT MAX(a.attempt) "
            "FROM outbox a WHERE a.step_id = s.id AND a.journey_id = ?) WHERE s.sequence_id = ? "
            "AND (s.removed_at IS NULL OR x.status <> 'planned') ORDER BY s.rank",
            self.id,
            self.id,
            self.id,
            row["sequence_id"],
        )

    @property
    def messages(self) -> pl.DataFrame:
        """Frame, oldest first: id, at, direction ("out" | "in"), who, subject, text, classification, reply_kind,
        kind_by. `Message.get(id)` gives one."""
        self._row()
        rows = self._session.store.rows(
            "SELECT id, sent_at AS at, 'out' AS direction, recipient AS who, subject, body_text AS text, "
            "NULL AS classification, NULL AS reply_kind, NULL AS kind_by FROM outbox WHERE journey_id = ? "
            "AND state = 'sent' UNION ALL SELECT id, received_at, 'in', sender, subject, body_text, kind, reply_kind, "
            "kind_by FROM inbound WHERE journey_id = ? OR writer_journey_id = ? ORDER BY 2, 3",
            self.id,
            self.id,
            self.id,
        )
        from outreach_sdk.storage.fields import from_us

        for row in rows:
            row["at"] = from_us(row["at"]) if isinstance(row["at"], int) else row["at"]
            row["id"] = f"{row['direction']}{row['id']}"
        return frame(
            rows,
            id="str",
            at="time",
            direction="str",
            who="str",
            subject="str",
            text="str",
            classification="str",
            reply_kind="str",
            kind_by="str",
        )

    @property
    def replies(self) -> list[Message]:
        """What people answered, oldest first."""
        self._row()
        rows = self._session.store.rows(
            "SELECT id FROM inbound WHERE (journey_id = ? OR writer_journey_id = ?) AND kind = 'human' "
            "ORDER BY received_at, id",
            self.id,
            self.id,
        )
        return [Message(f"in{r['id']}", self._session) for r in rows]

    def cancel(self) -> None:
        """Stop it for good. TransitionRefused if it has ended."""
        self._row()
        lifecycle.cancel(self._session.engine, self.id)

    def pause(self) -> None:
        """Hold it until `resume()`; activating the sequence doesn't lift this."""
        self._row()
        lifecycle.pause(self._session.engine, self.id)

    def resume(self) -> None:
        """Let it go on from where it left off; what was overdue leaves now."""
        self._row()
        lifecycle.resume(self._session.engine, self.id)

    def resolve(self, step: int, *, sent: bool) -> None:
        """Settle a send that nobody can account for (step as `steps` counts it). False permits one new attempt, unless
        the step was taken out meanwhile."""
        ids = [row["id"] for row in self._steps(self._row())]
        if not isinstance(step, int) or not 1 <= step <= len(ids):
            raise InvalidInput("step", step, f"journey.steps has steps 1 to {len(ids)}.")
        lifecycle.resolve(self._session.engine, self.id, ids[step - 1], sent=sent)

    def use_email(self, address: str) -> None:
        """Write to this address of the candidate's from now on (it becomes theirs if it is new). A journey that was
        cancelled because an address bounced goes on: what came back is sent to the new one. InvalidInput where the
        address is somebody else's, came back before, or doesn't want to be written to."""
        self._row()
        reopen.use_email(self._session.engine, self.id, normalise_email(address), self._session.user["id"])

    def reengage(self, after: dt.timedelta | dt.datetime | str) -> None:
        """Take up a journey that has ended, for a "not now": `after` a time ("30d", a timedelta), or at an aware
        moment, it goes on with the first step it hasn't handled, unless they write again before. TransitionRefused
        where no step is left, or where they don't want to be written to."""
        self._row()
        reopen.reengage(self._session.engine, self.id, moment_after("after", after, self._session.now()))

    def _card(self) -> Card:
        return journey_card(self._session, self._row())

    def _line(self) -> str:
        row = self._row()
        who = person_name(self._session.store, row["candidate_id"])
        why = f", {row['reason']}" if row["reason"] else ""
        return f"Journey({who}: {row['status']}{why})"
