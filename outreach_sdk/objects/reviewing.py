"""Reading a sequence's e-mails before they leave, changing them, letting them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import approving, drafting, passages, review
from outreach_sdk.engine.staging import plain
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceReview", "as_rows"]

NEEDED = ("id", "subject", "body", "version")


class SequenceReview:
    """The part of a `Sequence` that lets a person read everything first."""

    id: int
    _session: Session

    if TYPE_CHECKING:

        def _row(self) -> dict[str, Any]: ...

        def _live(self) -> list[dict[str, Any]]: ...

    @property
    def review(self) -> bool:
        """Whether its automatic e-mails wait until somebody approves them (`drafts`, `approve`). Set it at any time: what
        isn't approved waits from then on, or goes on without."""
        return bool(self._row()["review"])

    @review.setter
    def review(self, value: bool) -> None:
        self._row()
        if not isinstance(value, bool):
            raise InvalidInput("review", value, "Use True or False.")
        review.switch(self._session.engine, self.id, value)

    def drafts(self) -> pl.DataFrame:
        """Every e-mail that hasn't left, of everybody enrolled whose journey goes on, as it would leave now, without the
        signature. Change `subject` and `body` as you like (text, or HTML, which is cleaned), leave rows out that shall
        wait, and give the frame to `approve`.

        Frame, what is due first: id, candidate, email, step, manual (a person sends it), subject, body, due_at (null
        until it comes up), problem (what keeps it from being rendered, e.g. a missing field: write the text yourself),
        approved, version.
        """
        rows = [
            {
                "id": d.id,
                "candidate": f"{d.journey['first_name']} {d.journey['last_name']}".strip(),
                "email": d.journey["email"],
                "step": d.number,
                "manual": d.step["manual"],
                "subject": d.subject,
                "body": d.body,
                "due_at": _due(d),
                "problem": d.problem,
                "approved": d.approved,
                "version": drafting.version_of(d),
            }
            for d in drafting.drafts(self._session.engine, self._row())
        ]
        table = frame(
            rows,
            id="str",
            candidate="str",
            email="str",
            step="int",
            manual="bool",
            subject="str",
            body="str",
            due_at="time",
            problem="str",
            approved="bool",
            version="str",
        )
        return table.sort("due_at", nulls_last=True, maintain_order=True)

    def approve(self, drafts: Any) -> pl.DataFrame:
        """Approve the rows of a frame of `drafts` (polars, pandas, or a list of dicts), edits of subject and body
        included: what waited for it leaves at its time (a manual one keeps your text, and waits for Send now). Exactly
        this text: should it come out differently later, because the step or the person's data changed, it waits again.

        Frame, a row each: id, candidate, email, step, outcome, reason. Outcomes: approved, edited (approved with your
        text), unchanged (was approved), changed (its text isn't what you read any more), not_editable (sent, leaving or
        cancelled meanwhile), refused (the reason says what is wrong), unknown. InvalidInput, before anything is
        written, for what isn't such a frame.
        """
        told = approving.approve(
            self._session.engine, self._row(), self._session.user["id"], [_read(r) for r in as_rows(drafts)]
        )
        return frame(told, id="str", candidate="str", email="str", step="int", outcome="str", reason="str")

    def withdraw(self, drafts: Any) -> int:
        """Take back the approval of rows of a frame of `drafts`: what hasn't left waits again; how many."""
        return approving.withdraw(
            self._session.engine,
            self._row(),
            self._session.user["id"],
            [str(r["id"]) for r in as_rows(drafts)],
        )

    def write_passages(self) -> dict[str, int]:
        """Have the model write every `ai(…)` that isn't written yet, for everybody and every step, here and now, so that
        `drafts` shows it; otherwise it is written when its step comes up. {"written", "fallback"}: where there is no
        OPENAI_API_KEY here, or the model gives nothing of use, the fallback stands, and is asked about again next time."""
        return passages.write(self._session.engine, self._row())

    @property
    def passages(self) -> pl.DataFrame:
        """Frame of what the model was asked to write: candidate, step, prompt, text (null: the fallback stands), why,
        created_at."""
        self._row()
        numbers = {s["id"]: n for n, s in enumerate(self._live(), 1)}
        rows = passages.kept(self._session.store, self.id)
        for row in rows:
            row["candidate"] = f"{row['first_name']} {row['last_name']}".strip()
            row["step"] = numbers.get(row["step_id"])
        return frame(
            rows, candidate="str", step="int", prompt="str", text="str", why="str", created_at="time"
        )

    def missing(self) -> pl.DataFrame:
        """What people lack for the e-mails they are to get: each would pause with `missing_field` when it comes up.
        Frame: candidate, email, step, problem."""
        found = self.drafts()
        return found.filter(found["problem"].is_not_null()).select("candidate", "email", "step", "problem")


def _due(draft: drafting.Draft) -> Any:
    journey = draft.journey
    if journey["next_step_id"] != draft.step["id"]:
        return None
    return journey["next_due_at"] or journey["held_due_at"]


def as_rows(table: Any) -> list[dict[str, Any]]:
    """Rows of a polars or pandas frame, or the dicts themselves. InvalidInput."""
    if isinstance(table, list):
        rows = table
    elif hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    elif hasattr(table, "to_dict"):
        rows = table.to_dict("records")
    else:
        raise InvalidInput("drafts", type(table).__name__, "Give the frame that seq.drafts() made.")
    for row in rows:
        if not isinstance(row, dict) or (lacks := [c for c in NEEDED if c not in row]):
            what = ", ".join(lacks) if isinstance(row, dict) else repr(row)[:40]
            raise InvalidInput("drafts", what, f"Keep the columns {', '.join(NEEDED)} of seq.drafts().")
    return rows


def _read(row: dict[str, Any]) -> approving.Read:
    def text(name: str) -> str | None:
        value = plain(row[name])
        if value is None:
            return None
        if not isinstance(value, str):
            raise InvalidInput(name, value, "Give text.")
        return value.replace("\r\n", "\n")

    return approving.Read(text("id") or "", text("subject"), text("body"), text("version") or "")
