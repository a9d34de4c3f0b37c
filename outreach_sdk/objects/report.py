"""What became of an enrolment, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.notebook import html
from outreach_sdk.objects.frames import frame

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EnrollmentReport"]

OUTCOMES = ("enrolled", "updated", "duplicate", "held_back", "rejected")


class EnrollmentReport:
    """Counts that sum to the rows, and a frame that names what became of each."""

    def __init__(
        self, rows: list[dict[str, Any]], notice: str | None, mapping: dict[str, str | None]
    ) -> None:
        self._rows = rows
        self.notice = notice
        """The yellow banner's sentence, or None."""
        self.mapping = mapping
        """Which column fed which field."""

    def _count(self, outcome: str) -> int:
        return sum(r["outcome"] == outcome for r in self._rows)

    @property
    def enrolled(self) -> int:
        return self._count("enrolled")

    @property
    def updated(self) -> int:
        return self._count("updated")

    @property
    def duplicates(self) -> int:
        return self._count("duplicate")

    @property
    def held_back(self) -> int:
        return self._count("held_back")

    @property
    def rejected(self) -> int:
        return self._count("rejected")

    @property
    def rows(self) -> pl.DataFrame:
        """Frame: row (from 1), email, outcome, reason."""
        return frame(self._rows, row="int", email="str", outcome="str", reason="str")

    def counts(self) -> dict[str, int]:
        """Every outcome with its count."""
        return {o: self._count(o) for o in OUTCOMES}

    def __repr__(self) -> str:
        told = ", ".join(f"{n} {o.replace('_', ' ')}" for o, n in self.counts().items() if n) or "no rows"
        return f"EnrollmentReport({told})" + (f"\n{self.notice}" if self.notice else "")

    def _repr_html_(self) -> str:
        return html.report_card(self.counts(), self.notice)
