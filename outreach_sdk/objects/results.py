"""What came of a sequence: its people, its numbers, and all of it as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import exporting, stats
from outreach_sdk.engine.writing_back import SYSTEMS
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.frames import frame, written
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceResults"]


class SequenceResults:
    """The part of a `Sequence` that tells how it went."""

    id: int
    name: str
    _session: Session

    if TYPE_CHECKING:

        def _row(self) -> dict[str, Any]: ...

        def _live(self) -> list[dict[str, Any]]: ...

    def candidates(self) -> pl.DataFrame:
        """Frame: name, email, status, reason, detail, steps_sent, next_due_at, enrolled_at; by enrolment."""
        self._row()
        rows = self._session.store.rows(
            "SELECT j.*, c.first_name, c.last_name, (SELECT COUNT(*) FROM outbox o WHERE o.journey_id = j.id AND "
            "o.state = 'sent' AND o.answers_id IS NULL) AS steps_sent FROM journeys j "
            "JOIN candidates c ON c.id = j.candidate_id WHERE j.sequence_id = ? ORDER BY j.id",
            self.id,
        )
        for row in rows:
            row["name"] = f"{row['first_name']} {row['last_name']}".strip()
        return frame(
            rows,
            name="str",
            email="str",
            status="str",
            reason="str",
            detail="str",
            steps_sent="int",
            next_due_at="time",
            enrolled_at="time",
        )

    @property
    def write_back(self) -> str | None:
        """The applicant tracking system ("greenhouse", "lever", "ashby", "merge") that gets a note of each e-mail sent,
        each answer and the outcome from now on; None: none does. Set it to change it."""
        found = self._row()["write_back"]
        return None if found is None else str(found)

    @write_back.setter
    def write_back(self, system: str | None) -> None:
        if system is not None and system not in SYSTEMS:
            raise InvalidInput("write_back", system, f"Use {', '.join(SYSTEMS)}, or None.")
        self._row()
        self._session.store.write("UPDATE sequences SET write_back = ? WHERE id = ?", system, self.id)

    def write_backs(self) -> pl.DataFrame:
        """Frame, newest first: at (when it happened), name, kind (sent, replied, outcome), system, state (planned,
        writing, unknown, written, nobody, failed), note_id, written_at, error, body (as written)."""
        self._row()
        rows = self._session.store.rows(
            "SELECT w.*, c.first_name, c.last_name FROM write_backs w JOIN candidates c ON c.id = w.candidate_id "
            "WHERE w.sequence_id = ? ORDER BY w.id DESC",
            self.id,
        )
        for row in rows:
            row["name"] = f"{row['first_name']} {row['last_name']}".strip()
            row["at"], row["system"] = row["happened_at"], row["source"]
        return frame(
            rows,
            at="time",
            name="str",
            kind="str",
            system="str",
            state="str",
            note_id="str",
            written_at="time",
            error="str",
            body="str",
        )

    def stats(self, by: str | None = None) -> pl.DataFrame:
        """What came of it: one row, or one for each `by`: "step" (what came of a journey is credited to the last
        e-mail before the first answer), "source", "title", "company", "mailbox", or "variant" (of
        a step's text: "1A", "1B" …; "1 by hand" is what was edited as a draft; credited as for "step").

        Frame: the group (a step as its number), people (enrolled; for a step: who got it), reached (got an e-mail),
        sent, replied, then how many people's latest answer was interested, not_now, not_interested, question,
        referral, wrong_person, unsubscribe, unclear; auto_replies, bounced, opted_out, meetings, interviews (people
        each), reply_rate (replied of reached), interest_rate (interested of reached). InvalidInput.
        """
        self._row()
        if by is not None and by not in stats.GROUPS:
            raise InvalidInput("by", by, f"Use one of {', '.join(stats.GROUPS)}.")
        rows = stats.stats(self._session.store, self.id, by or "sequence")
        numbers = {step["id"]: n for n, step in enumerate(self._live(), 1)}
        for row in rows:
            if by == "variant":
                letter, n = row["variant"] or " by hand", numbers.get(row["grp"])
                row["variant"] = f"{n}{letter}" if n else f"removed {letter.strip()}"
            elif by == "step":
                row["step"] = numbers.get(row["grp"])
            else:
                row[by or "sequence"] = row["grp"] if by else self.name
            for rate, what in (("reply_rate", "replied"), ("interest_rate", "interested")):
                row[rate] = row[what] / row["reached"] if row["reached"] else None
        kinds = dict.fromkeys(stats.MEASURES, "int") | {"reply_rate": "float", "interest_rate": "float"}
        return frame(rows, **{by or "sequence": "int" if by == "step" else "str"}, **kinds)

    def export(self, path: str | Path, what: str = "candidates") -> Path:
        """Write .csv, .parquet, .xlsx or .jsonl: "candidates" (who they are, with their merge fields, and how far
        they got; imports again), "journeys" (a line a step), "messages" (both directions) or "events". Times are
        UTC; text that a spreadsheet would run as a formula begins with an apostrophe in .csv and .xlsx, which an
        import takes off again. InvalidInput."""
        self._row()
        if what not in exporting.TABLES:
            raise InvalidInput("what", what, f"Use one of {', '.join(exporting.TABLES)}.")
        if not isinstance(path, (str, Path)):
            raise InvalidInput("path", path, "Give the file to write, like people.csv.")
        rows, columns = exporting.TABLES[what](self._session.store, self.id)
        return written(frame(rows, **columns), Path(path))
