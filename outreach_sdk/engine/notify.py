"""Telling owners, each thing once: in the product at once, outside it as they wish (engine/telling.py)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.sequence import zone
from outreach_sdk.storage.store import Store

__all__ = ["DIGEST_AT", "digest_time", "notify"]

DIGEST_AT = "08:00"


def digest_time(now: dt.datetime, at: str | None, tz: str | None) -> dt.datetime:
    """The next time a digest goes out: at so many o'clock where its reader is."""
    local = now.astimezone(zone(tz or "UTC"))
    hour, minute = map(int, (at or DIGEST_AT).split(":"))
    today = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    chosen = today if today > local else today + dt.timedelta(days=1)
    return chosen.astimezone(dt.UTC)


def notify(
    store: Store,
    *,
    workspace_id: int,
    owner_id: int,
    kind: str,
    text: str,
    dedupe: str,
    now: dt.datetime,
    journey_id: int | None = None,
    sequence_id: int | None = None,
) -> bool:
    """Record a notification in the product, to be told outside it too as its owner wishes. `dedupe` names the
    fact, so that being told twice of it tells the owner once. False if it was known."""
    mail, slack = _due(
        store.one("SELECT tell, tell_at, tell_zone, slack_url FROM users WHERE id = ?", owner_id), now
    )
    return (
        store.write(
            "INSERT INTO notifications (workspace_id, owner_id, kind, text, journey_id, sequence_id, dedupe, "
            "created_at, mail_due_at, slack_due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (dedupe) DO NOTHING",
            workspace_id,
            owner_id,
            kind,
            text,
            journey_id,
            sequence_id,
            dedupe,
            now,
            mail,
            slack,
        )
        == 1
    )


def _due(user: dict[str, Any] | None, now: dt.datetime) -> tuple[dt.datetime | None, dt.datetime | None]:
    """When the mail and the Slack message go out."""
    if user is None or user["tell"] == "off":
        return None, None
    at = digest_time(now, user["tell_at"], user["tell_zone"]) if user["tell"] == "digest" else now
    return at, at if user["slack_url"] else None
