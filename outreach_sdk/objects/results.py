"""What came of a sequence: its people, its numbers, and all of it as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import exporting, stats
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

    def stats(self, by: str | None = None) -> pl.DataFrame:
        """What came of it: one row, or one for each `by`: "step" (what came of a journey is credited to the last
        e-mail before the first answer), "source", "title", "company" or "mailbox".

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
            row[by or "sequence"] = row["grp"] if by else self.name
            if by == "step":
                row["step"] = numbers.get(row["grp"])
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
        rows, columns = exporting.TABLES[what](self._session.store, self.id)
        return written(frame(rows, **columns), Path(path))
