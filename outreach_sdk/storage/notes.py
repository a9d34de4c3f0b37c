"""Notes to applicant tracking systems, written down in the transaction in which what they tell of happens."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from outreach_sdk.storage.store import Store

__all__ = ["ended", "replied", "sent"]

JUDGED_AFTER = dt.timedelta(minutes=3)
"""An answer's note waits for the model to have said of what kind it is."""


def sent(store: Store, row: dict[str, Any], now: dt.datetime) -> None:
    """An e-mail was sent; `row` has the entry's id and journey, and where its sequence writes to (`write_back`)."""
    if row["write_back"] is not None:
        _plan(store, row, "sent", str(row["id"]), now, now)


def replied(store: Store, inbound_id: int, now: dt.datetime) -> None:
    """Somebody answered."""
    for row in store.rows(
        "SELECT j.workspace_id, j.owner_id, j.id AS journey_id, j.candidate_id, j.sequence_id, s.write_back "
        "FROM inbound i JOIN journeys j ON j.id = i.journey_id JOIN sequences s ON s.id = j.sequence_id "
        "WHERE i.id = ? AND s.write_back IS NOT NULL",
        inbound_id,
    ):
        _plan(store, row, "replied", str(inbound_id), now, now + JUDGED_AFTER)


def ended(store: Store, moved: list[dict[str, Any]], now: dt.datetime) -> None:
    """Journeys ended; `moved` as `move_journeys` gives them."""
    for row in moved:
        if row["write_back"] is not None:
            about = {**row, "journey_id": row["id"]}
            # After the note of the e-mail or answer that ended it.
            due = now + 2 * JUDGED_AFTER
            _plan(store, about, "outcome", f"{row['id']}:{row['generation']}", now, due)


def _plan(
    store: Store, row: dict[str, Any], kind: str, about: str, now: dt.datetime, due: dt.datetime
) -> None:
    store.write(
        "INSERT INTO write_backs (workspace_id, owner_id, source, sequence_id, journey_id, candidate_id, kind, about, "
        "state, marker, tries, happened_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'planned', ?, 0, ?, ?) "
        "ON CONFLICT (kind, about) DO NOTHING",
        row["workspace_id"],
        row["owner_id"],
        row["write_back"],
        row["sequence_id"],
        row["journey_id"],
        row["candidate_id"],
        kind,
        about,
        secrets.token_hex(8),
        now,
        due,
    )
