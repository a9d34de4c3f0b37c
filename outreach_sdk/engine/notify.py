"""Telling owners, each thing once."""

from __future__ import annotations

import datetime as dt

from outreach_sdk.storage.store import Store

__all__ = ["notify"]


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
    """Record a notification in the product (e-mailed later where SMTP is set). `dedupe` names the fact,
    so that being told twice of it tells the owner once. False if it was known."""
    return (
        store.write(
            "INSERT INTO notifications (workspace_id, owner_id, kind, text, journey_id, sequence_id, dedupe, "
            "created_at, mail_tries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (dedupe) DO NOTHING",
            workspace_id,
            owner_id,
            kind,
            text,
            journey_id,
            sequence_id,
            dedupe,
            now,
        )
        == 1
    )
