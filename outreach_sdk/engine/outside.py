"""What calendars, applicant tracking systems and the list of companies off limits say of people who are about to be
enrolled. Nobody is asked here: what was told before is gone by, and where that is too old nobody gets through."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.companies import OffLimits
from outreach_sdk.engine import calendars, roster
from outreach_sdk.engine.digests import Digester
from outreach_sdk.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

__all__ = ["HOLD_BACKS", "REJECTED_DAYS", "rules", "unchecked_notice", "why_held"]

Rules = list[tuple[str, str, str, tuple[Any, ...]]]

HOLD_BACKS = ("off_limits", *roster.REASONS, "ats_unchecked")
"""In this order: who has two reasons is held back by the first that isn't lifted."""
REJECTED_DAYS = 180
"""How long after a rejection somebody is left alone, unless the workspace says otherwise."""


def rules(store: Store, workspace_id: int, chunk: pl.DataFrame, now: dt.datetime, *, known: bool) -> Rules:
    """What holds rows of `staged` (`chunk` is what is in it) back: (outcome, reason, condition, parameters)."""
    settings = json.loads(store.value("SELECT settings FROM workspace WHERE id = ?", workspace_id) or "{}")
    found: Rules = []
    if off := OffLimits(settings.get("off_limits") or ()):
        found += _held("off_limits", _off_limits(store, chunk, off, known=known))
    asked, ahead = roster.connected(store, workspace_id), calendars.any_ahead(store, workspace_id, now)
    if not asked and not ahead:
        return found
    rows = _digests(store, workspace_id, chunk, known=known)
    if asked:
        since = now - dt.timedelta(days=float(settings.get("rejected_days", REJECTED_DAYS)))
        standing = roster.standing(store, workspace_id, rows, rejected_since=since)
        for reason in roster.REASONS:
            found += _held(reason, (row for digest in standing[reason] for row in rows[digest]))
        if roster.unchecked(store, workspace_id, now):
            found.append(("held_back", "ats_unchecked", "TRUE", ()))
    if ahead:
        meeting = calendars.ahead(store, workspace_id, now, rows)
        found += _held("interview_ahead", (row for digest in meeting for row in rows[digest]))
    return found


def why_held(store: Store, workspace_id: int, journey: dict[str, Any], now: dt.datetime) -> str | None:
    """What would have held somebody back whose address wasn't known when they were enrolled; None where nothing would,
    or where what would was lifted then."""
    settings = json.loads(store.value("SELECT settings FROM workspace WHERE id = ?", workspace_id) or "{}")
    person = journey["candidate_id"]
    rows = store.rows("SELECT address FROM candidate_emails WHERE candidate_id = ?", person)
    addresses = [str(r["address"]) for r in rows]
    reasons: list[str] = []
    off = OffLimits(settings.get("off_limits") or ())
    company = store.value("SELECT company FROM candidates WHERE id = ?", person) or ""
    if off and (off.company(company) or any(off.domain(a.rpartition("@")[2]) for a in addresses)):
        reasons.append("off_limits")
    digests = Digester(store, workspace_id).of_rows((person, a) for a in addresses)
    if roster.connected(store, workspace_id):
        since = now - dt.timedelta(days=float(settings.get("rejected_days", REJECTED_DAYS)))
        standing = roster.standing(store, workspace_id, digests, rejected_since=since)
        reasons += [reason for reason in roster.REASONS if standing[reason]]
        if roster.unchecked(store, workspace_id, now):
            reasons.append("ats_unchecked")
    if calendars.ahead(store, workspace_id, now, digests):
        reasons.append("interview_ahead")
    if not reasons:
        return None
    options = store.value(
        "SELECT i.options FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE r.candidate_id = ? AND "
        "i.sequence_id = ? AND r.outcome = 'enrolled' ORDER BY i.id DESC LIMIT 1",
        person,
        journey["sequence_id"],
    )
    lifted = json.loads(options or "{}").get("override") or ()
    return next((reason for reason in reasons if reason not in lifted), None)


def unchecked_notice(store: Store, workspace_id: int, now: dt.datetime) -> str | None:
    """Why people are held back as `ats_unchecked`, in a sentence; None where they aren't."""
    troubles = roster.unchecked(store, workspace_id, now)
    if not troubles:
        return None
    return (
        f"{' '.join(troubles.values())} Until it does, people are held back as ats_unchecked: enrol them again later, "
        'or with override=["ats_unchecked"].'
    )


def _off_limits(store: Store, chunk: pl.DataFrame, off: OffLimits, *, known: bool) -> set[int]:
    people = [tuple(r) for r in chunk.select("row", "email", "company").iter_rows()]
    if known:
        people += [
            (r["n"], r["address"], r["company"])
            for r in store.rows(
                "SELECT staged.row AS n, e.address, c.company FROM staged JOIN candidates c ON c.id = staged.known "
                "LEFT JOIN candidate_emails e ON e.candidate_id = c.id WHERE staged.outcome IS NULL"
            )
        ]
    domains = {(email or "").rpartition("@")[2] for _, email, _ in people}
    companies = {company or "" for _, _, company in people}
    shut = {d for d in domains if d and off.domain(d)}
    closed = {c for c in companies if c and off.company(c)}
    return {
        n for n, email, company in people if (email or "").rpartition("@")[2] in shut or company in closed
    }


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
