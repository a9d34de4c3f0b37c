"""What calendars and applicant tracking systems know of people who are about to be enrolled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import calendars
from outreach_sdk.engine.digests import Digester
from outreach_sdk.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

__all__ = ["rules"]

Rules = list[tuple[str, str, str, tuple[Any, ...]]]


def rules(store: Store, workspace_id: int, chunk: pl.DataFrame, now: dt.datetime, *, known: bool) -> Rules:
    """What holds rows of `staged` (`chunk` is what is in it) back: (outcome, reason, condition, parameters)."""
    if not calendars.any_ahead(store, workspace_id, now):
        return []
    rows = _digests(store, workspace_id, chunk, known=known)
    ahead = calendars.ahead(store, workspace_id, now, rows)
    return _held("interview_ahead", (row for digest in ahead for row in rows[digest]))


def _digests(store: Store, workspace_id: int, chunk: pl.DataFrame, *, known: bool) -> dict[str, list[int]]:
    """Rows by the digests of all their people's addresses."""
    digest = Digester(store, workspace_id)
    found = digest.of_rows(chunk.select("row", "email").iter_rows())
    if known:
        others = store.rows(
            "SELECT staged.row AS n, e.address FROM staged JOIN candidate_emails e ON e.candidate_id = staged.known "
            "WHERE staged.outcome IS NULL AND staged.known IS NOT NULL"
        )
        for one, rows in digest.of_rows((r["n"], r["address"]) for r in others).items():
            found.setdefault(one, []).extend(rows)
    return found


def _held(reason: str, rows: Iterable[int]) -> Rules:
    """A rule for rows by their numbers."""
    numbers = sorted(set(rows))
    if not numbers:
        return []
    return [("held_back", reason, f"staged.row IN ({', '.join(map(str, numbers))})", ())]
