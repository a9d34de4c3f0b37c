"""The last look before a follow-up: has this person answered meanwhile?"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.engine import sync
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import MailError
from outreach_sdk.mail.port import MailTransport

__all__ = ["last_look", "needed"]

THREADS = 5
"""Threads with the same person that are read, latest first."""

LOOK_BACK = dt.timedelta(days=180)


def needed(entry: dict[str, Any]) -> bool:
    """Whether anyone here wrote to this person before, so that there may be something to find."""
    return bool(entry["known_before"])


def last_look(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str | None:
    """None: go on. "answered": something came in that stops or moves this journey. "failed": a mailbox
    couldn't be read, so don't send yet. Only where it is `needed`."""
    store, now = engine.store, engine.now()
    try:
        if entry["polled_at"] is None or now - entry["polled_at"] > 2 * engine.poll_every:
            sync.poll_mailbox(engine, entry["mailbox_id"])
        threads = store.rows(
            "SELECT mailbox_id, provider_thread_id, MAX(sent_at) AS last_at FROM outbox WHERE candidate_id = ? "
            "AND sent_at > ? AND provider_thread_id IS NOT NULL GROUP BY mailbox_id, provider_thread_id "
            "ORDER BY 3 DESC LIMIT ?",
            entry["candidate_id"],
            now - LOOK_BACK,
            THREADS,
        )
        for thread in threads:
            box = store.one("SELECT * FROM mailboxes WHERE id = ?", thread["mailbox_id"])
            if box is None or (box["status"] != "connected" and box["id"] != entry["mailbox_id"]):
                continue
            reader = transport if box["id"] == entry["mailbox_id"] else engine.transport(box)
            for message in reader.read_thread(thread["provider_thread_id"]):
                sync.take_in(engine, box, message, again=True)
    except MailError:
        return "failed"
    sync.process_open(engine)
    journey = store.one("SELECT status, generation FROM journeys WHERE id = ?", entry["journey_id"])
    if (
        journey is None
        or journey["status"] != "active"
        or journey["generation"] != entry["journey_generation"]
    ):
        entry["journey_status"] = journey["status"] if journey is not None else "gone"
        return "answered"
    return None
