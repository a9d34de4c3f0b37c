"""People who want no more, by a link: suppressed at once, everywhere."""

from __future__ import annotations

from typing import Any

from outreach_sdk.domain.journey import CancelReason, JourneyStatus, StepStatus
from outreach_sdk.domain.links import UNSUBSCRIBE, read_token
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.links import link_key
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.errors import NotFound
from outreach_sdk.storage.store import in_marks
from outreach_sdk.storage.transitions import event, move_journeys

__all__ = ["journey_of", "unsubscribe"]


def journey_of(engine: Engine, token: str) -> dict[str, Any]:
    """The journey a link was made for. NotFound, also where the link isn't ours."""
    journey_id = read_token(link_key(engine.store), UNSUBSCRIBE, token)
    row = None
    if journey_id is not None and journey_id < 2**63:
        row = engine.store.one("SELECT * FROM journeys WHERE id = ?", journey_id)
    if row is None:
        raise NotFound("This link isn't one of ours.")
    return row


def unsubscribe(engine: Engine, token: str) -> int:
    """Suppress the addresses this journey wrote to and stop all journeys of its person; how many stopped. Doing it
    again changes nothing. NotFound."""
    store, now = engine.store, engine.now()

    def work() -> int:
        row = journey_of(engine, token)
        store.write(
            "INSERT INTO suppressions (workspace_id, owner_id, kind, value, reason, source, created_at) "
            "SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), 'address', q.address, 'opted_out', 'link', CAST(? AS BIGINT) "
            "FROM (SELECT LOWER(email) AS address FROM journeys WHERE id = ? AND email IS NOT NULL "
            "UNION SELECT LOWER(recipient) FROM outbox WHERE journey_id = ? AND sending_at IS NOT NULL) AS q "
            "WHERE q.address <> '' ON CONFLICT (workspace_id, kind, value) DO NOTHING",
            row["workspace_id"],
            row["owner_id"],
            now,
            row["id"],
            row["id"],
        )
        moved = move_journeys(
            store,
            "candidate_id = ? AND workspace_id = ?",
            (row["candidate_id"], row["workspace_id"]),
            JourneyStatus.CANCELLED,
            CancelReason.OPTED_OUT,
            now,
        )
        if not store.value(
            "SELECT 1 FROM events WHERE journey_id = ? AND kind = 'opted_out' LIMIT 1", row["id"]
        ):
            event(store, row, "opted_out", now, "by their link")
        for journey in moved:
            event(store, journey, "journey_cancelled", now, CancelReason.OPTED_OUT)
        if moved:
            ids = [m["id"] for m in moved]
            store.write(
                "UPDATE journey_steps SET status = 'cancelled', skip_at = NULL WHERE status = ? AND journey_id IN "
                + in_marks(ids),
                StepStatus.WAITING,
                *ids,
            )
        who = person_name(store, row["candidate_id"])
        for owner in sorted({row["owner_id"], *(m["owner_id"] for m in moved)}):
            notify(
                store,
                workspace_id=row["workspace_id"],
                owner_id=owner,
                kind="opted_out",
                text=f"{who} unsubscribed: no more e-mails are sent to them.",
                dedupe=f"unsubscribed:{row['candidate_id']}:{owner}",
                now=now,
                journey_id=row["id"],
                sequence_id=row["sequence_id"],
            )
        return len(moved)

    return store.run(work)
