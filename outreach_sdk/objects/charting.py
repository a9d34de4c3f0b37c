"""The frames behind the charts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.reply_answer import KINDS
from outreach_sdk.engine.limits import LEFT
from outreach_sdk.notebook import charts
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.looks import funnel_parts
from outreach_sdk.objects.looks_people import mailbox_load
from outreach_sdk.objects.session import Session
from outreach_sdk.storage.fields import from_us

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceCharts", "coverage_chart", "load_chart"]

_HOUR, _DAY = 3_600_000_000, 86_400_000_000


class SequenceCharts:
    """The part of a `Sequence` that draws it. Charts need altair (`pip install 'outreach-sdk[notebook]'`)."""

    id: int
    name: str
    _session: Session

    if TYPE_CHECKING:

        def _row(self) -> dict[str, Any]: ...

        def stats(self, by: str | None = None) -> pl.DataFrame: ...

    def funnel(self) -> Any:
        """Chart: how many were enrolled, reached, answered, were interested, met."""
        self._row()
        parts = funnel_parts(self._session, self.id)
        table = frame([{"stage": s, "people": n} for s, n in parts], stage="str", people="int")
        return charts.funnel(table, self.name)

    def replies(self) -> Any:
        """Chart: who answered what, by the step that is credited with it."""
        rows = [
            {"step": r["step"], "kind": kind, "people": r[kind]}
            for r in self.stats(by="step").iter_rows(named=True)
            for kind in KINDS
        ]
        return charts.replies(frame(rows, step="int", kind="str", people="int"), f"Answers: {self.name}")

    def timeline(self) -> Any:
        """Chart: what was sent, and what is planned, an hour a bar. What waits for its step to come up isn't planned
        yet."""
        self._row()
        rows = self._session.store.rows(
            f"SELECT o.sent_at / {_HOUR} AS hour, 'sent' AS what, COUNT(*) AS emails FROM journeys j JOIN outbox o ON "
            "o.journey_id = j.id WHERE j.sequence_id = ? AND o.state = 'sent' AND o.sent_at IS NOT NULL GROUP BY 1 "
            f"UNION ALL SELECT COALESCE(next_due_at, held_due_at) / {_HOUR}, 'planned', COUNT(*) FROM journeys "
            "WHERE sequence_id = ? AND lane IS NOT NULL AND COALESCE(next_due_at, held_due_at) IS NOT NULL GROUP BY 1",
            self.id,
            self.id,
        )
        for row in rows:
            row["at"] = from_us(int(row["hour"]) * _HOUR)
        table = frame(rows, at="time", what="str", emails="int")
        return charts.timeline(table, self.name, self._session.now())


def load_chart(session: Session, box: dict[str, Any], days: int) -> Any:
    """What a mailbox sent each day, against its limit of today."""
    now = session.now()
    since = (now - dt.timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    found = {
        int(r["day"]): int(r["emails"])
        for r in session.store.rows(
            f"SELECT sending_at / {_DAY} AS day, COUNT(*) AS emails FROM outbox WHERE mailbox_id = ? "
            f"AND sending_at >= ? AND {LEFT} GROUP BY 1",
            box["id"],
            since,
        )
    }
    cap = mailbox_load(session, [box])[0]["cap"]
    first = int(since.timestamp()) // 86_400
    rows = [
        {"day": from_us(day * _DAY), "emails": found.get(day, 0), "cap": cap}
        for day in range(first, first + days)
    ]
    return charts.load(frame(rows, day="time", emails="int", cap="int"), box["address"])


def coverage_chart(session: Session, run_id: int) -> Any:
    """What a run found of each field, and what each provider cost."""
    items = session.store.rows(
        "SELECT field, COALESCE(outcome, 'to do') AS outcome, COALESCE(source, '') AS provider, COUNT(*) AS people, "
        "CAST(COALESCE(SUM(credits), 0) AS BIGINT) AS credits FROM enrichment_items WHERE run_id = ? GROUP BY 1, 2, 3 "
        "ORDER BY 1, 2, 3",
        run_id,
    )
    found = [{**r, "finds": r["people"]} for r in items if r["outcome"] == "found"]
    return charts.coverage(
        frame(found, provider="str", field="str", finds="int", credits="int"),
        frame(items, field="str", outcome="str", people="int"),
        f"Enrichment {run_id}",
    )
