"""What became of an enrolment, row by row."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from outreach_sdk.errors import ImportRefused, NotReady
from outreach_sdk.notebook.card import Banner, Bar, Card, Note, Shown, Table
from outreach_sdk.objects.frames import frame

if TYPE_CHECKING:
    import polars as pl

    from outreach_sdk.engine.context import Engine
    from outreach_sdk.objects.session import Session

__all__ = ["EnrollmentReport"]

OUTCOMES = ("enrolled", "updated", "duplicate", "held_back", "rejected")


_WHY = {
    "already_in_sequence": "in this sequence already",
    "same_person_in_file": "the same person stands further up",
    "no_email_and_no_linkedin_url": "no e-mail address and no LinkedIn URL",
    "empty_row": "nothing in the row",
    "suppressed": "doesn't want to be written to",
    "erased": "asked to be erased",
    "contacted_by_colleague": "a colleague wrote to them lately",
    "in_sequence_of_same_name": "in another sequence of yours of this name",
    "in_another_sequence": "in another active sequence",
    "invalid_address": "mail to this address came back",
    "interview_ahead": "has an interview ahead",
    "off_limits": "works at a company that is off limits",
    "ats_in_process": "in process at the applicant tracking system",
    "ats_rejected": "rejected lately at the applicant tracking system",
    "ats_hired": "hired, says the applicant tracking system",
    "ats_unchecked": "the applicant tracking system couldn't be asked",
    "paused: no_email": "waits for an e-mail address",
    "paused: overdue": "paused: the time of the first step has passed",
}
"""Reasons in words, for cards; `rows` has their names, which `override=` takes."""


class EnrollmentReport(Shown):
    """Counts that sum to the rows, and a frame that names what became of each.

    Of an import that runs in the background (`wait=False`) it tells what has been done so far; `wait()` follows
    it to its end.
    """

    def __init__(
        self,
        engine: Engine,
        import_id: int,
        notice: str | None,
        mapping: dict[str, str | None],
        *,
        rehearsed: list[dict[str, Any]] | None = None,
    ) -> None:
        self._engine = engine
        self._import_id = import_id
        self._rows = rehearsed
        self._counts: dict[str, int] | None = None
        self.notice = notice
        """The yellow banner's sentence, or None."""
        self.mapping = mapping
        """Which column fed which field."""

    def _packed(self) -> dict[str, Any]:
        return {
            "id": self._import_id,
            "notice": self.notice,
            "mapping": self.mapping,
            "rehearsed": self._rows,
        }

    @classmethod
    def _unpacked(cls, session: Session, given: dict[str, Any]) -> EnrollmentReport:
        """What `_packed` gave, in another process."""
        return cls(
            session.engine, given["id"], given["notice"], given["mapping"], rehearsed=given["rehearsed"]
        )

    # -- counts --------------------------------------------------------------------------------
    def counts(self) -> dict[str, int]:
        """Every outcome with its count."""
        from outreach_sdk.engine import imports

        if self._counts is not None:
            return dict(self._counts)
        if self._rows is not None:
            found = {o: sum(r["outcome"] == o for r in self._rows) for o in OUTCOMES}
            self._counts = found
            return dict(found)
        finished = self.done
        so_far = imports.counts(self._engine.store, self._import_id)
        found = {o: so_far.get(o, 0) for o in OUTCOMES}
        if finished:
            self._counts = found
        return dict(found)

    @property
    def enrolled(self) -> int:
        """Rows whose person is in the sequence now."""
        return self.counts()["enrolled"]

    @property
    def updated(self) -> int:
        """Rows of somebody in it already of whom more is known now."""
        return self.counts()["updated"]

    @property
    def duplicates(self) -> int:
        """Rows of somebody in it already, or named further up."""
        return self.counts()["duplicate"]

    @property
    def held_back(self) -> int:
        """Rows of people who aren't to be written to now; `rows` says why."""
        return self.counts()["held_back"]

    @property
    def rejected(self) -> int:
        """Rows nobody could be made of; `rows` says why."""
        return self.counts()["rejected"]

    @property
    def rows(self) -> pl.DataFrame:
        """Frame: row (from 1), email, outcome, reason."""
        from outreach_sdk.engine import imports

        rows = self._rows
        if rows is None:
            rows = imports.outcomes(self._engine.store, self._import_id)
        return frame(rows, row="int", email="str", outcome="str", reason="str")

    # -- in the background ---------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether every row has its outcome. ImportRefused where the import broke off, saying why."""
        if self._counts is not None or self._rows is not None:
            return True
        job = self._engine.store.one("SELECT state, error FROM imports WHERE id = ?", self._import_id)
        if job is not None and job["state"] == "failed":
            raise ImportRefused("file", f"import {self._import_id}", str(job["error"]))
        return job is None or job["state"] == "done"

    def wait(self, timeout: float | None = None) -> EnrollmentReport:
        """Follow the import to its end with a progress bar; itself. NotReady after `timeout` seconds, without
        stopping the import."""
        from tqdm.auto import tqdm

        until = None if timeout is None else time.monotonic() + timeout
        with tqdm(unit=" rows", desc="enrolling", delay=1.0, leave=False) as bar:
            while not self.done:
                if until is not None and time.monotonic() >= until:
                    raise NotReady(
                        f"The import goes on: {bar.n:,} rows so far. Look again later; nothing is lost by waiting."
                    )
                rows = self._engine.store.value("SELECT progress FROM imports WHERE id = ?", self._import_id)
                bar.update(int(rows or 0) - bar.n)
                time.sleep(0.2)
        return self

    def _line(self) -> str:
        told = ", ".join(f"{n:,} {o.replace('_', ' ')}" for o, n in self.counts().items() if n) or "no rows"
        going = "" if self._counts is not None else ", still going on"
        return f"EnrollmentReport({told}{going})" + (f"\n{self.notice}" if self.notice else "")

    def _card(self) -> Card:
        counts = self.counts()
        if self._rows is not None:
            why = Counter((r["outcome"], r["reason"]) for r in self._rows if r["reason"])
        else:
            rows = self._engine.store.rows(
                "SELECT outcome, reason, COUNT(*) AS n FROM import_rows WHERE import_id = ? AND reason IS NOT NULL "
                "GROUP BY outcome, reason ORDER BY 3 DESC, 1, 2 LIMIT 12",
                self._import_id,
            )
            why = Counter({(r["outcome"], r["reason"]): int(r["n"]) for r in rows})
        told = [(o.replace("_", " "), n) for o, n in counts.items() if n]
        reasons = [(o.replace("_", " "), _WHY.get(str(r), str(r)), n) for (o, r), n in why.most_common(12)]
        mapped = [(field.replace("_", " "), column) for field, column in self.mapping.items() if column]
        return Card(
            "Enrolment",
            f"{sum(counts.values()):,} rows",
            [
                Banner(self.notice),
                Note(None if self._counts is not None else "It is still going on."),
                Bar(told),
                Table(["outcome", "why", "rows"], reasons),
                Table(["field", "from column"], mapped),
            ],
        )
