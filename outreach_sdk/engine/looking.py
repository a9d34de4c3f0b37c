"""Deliveries that prove or tell too little: their own system is asked, outside any transaction, then acted on."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from typing import Any

from outreach_sdk.ats.port import Asker
from outreach_sdk.domain.events import Event, NeedsLookup, Received, Unreadable
from outreach_sdk.engine import deliveries
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.deliveries import Explained
from outreach_sdk.errors import AtsError, AtsNotFound, DatabaseUnavailable
from outreach_sdk.storage.store import in_marks

__all__ = ["DEAD_AFTER", "drain", "waiting"]

logger = logging.getLogger(__name__)

DEAD_AFTER = 8
"""Tries after which a delivery waits for a person."""
LEASE = dt.timedelta(minutes=5)
LONGEST = dt.timedelta(hours=2)
AT_A_TIME = 5


def waiting(engine: Engine) -> bool:
    """Whether a system that can be asked is to be asked."""
    sources = _sources(engine)
    return bool(sources) and bool(
        engine.store.value(
            f"SELECT 1 FROM deliveries WHERE look_at <= ? AND source IN {in_marks(sources)} LIMIT 1",
            engine.now(),
            *sources,
        )
    )


def _sources(engine: Engine) -> tuple[str, ...]:
    return (*engine.askable, *(name + deliveries.POLLED for name in engine.askable))


def drain(engine: Engine, *, seconds: float = 60.0) -> int:
    """Ask about what waits, oldest first; how many deliveries."""
    deadline, done = time.monotonic() + seconds, 0
    while waiting(engine) and time.monotonic() < deadline:
        for row in _claim(engine):
            _one(engine, row)
            done += 1
    return done


def _claim(engine: Engine) -> list[dict[str, Any]]:
    store, now, sources = engine.store, engine.now(), _sources(engine)
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    with store.tx():
        return store.rows(
            "UPDATE deliveries SET look_at = ?, looks = looks + 1 WHERE id IN (SELECT id FROM deliveries "
            f"WHERE look_at <= ? AND source IN {in_marks(sources)} ORDER BY look_at, id LIMIT ?{skip}) RETURNING *",
            now + LEASE,
            now,
            *sources,
            AT_A_TIME,
        )


def _one(engine: Engine, row: dict[str, Any]) -> None:
    try:
        told = _ask(engine, row)
    except AtsNotFound as exc:
        _settle(engine, row, Explained("ignored", str(exc)))
    except DatabaseUnavailable:
        raise
    except Exception as exc:
        # Whatever one answer does to its reader, the others are dealt with.
        logger.warning("look-up for delivery %d of %s: %s", row["id"], row["source"], type(exc).__name__)
        _again(engine, row, exc)
    else:
        _act(engine, row, told)


def _ask(engine: Engine, row: dict[str, Any]) -> list[Event]:
    read, asker = engine.reader(row["source"]), engine.asker(deliveries.system(row["source"]))
    if row["body"] is None or read is None or not isinstance(asker, Asker):
        raise AtsNotFound("Its body was removed by retention.")
    received = Received(
        body=bytes(row["body"]), received_at=row["received_at"], headers=json.loads(row["headers"] or "{}")
    )
    try:
        events = read(received)
    except Unreadable as exc:
        raise AtsNotFound(f"It can't be read: {exc}.") from None
    told: list[Event] = []
    for event in events:
        told += asker.look_up(event, received.received_at) if isinstance(event, NeedsLookup) else [event]
    return told


def _act(engine: Engine, row: dict[str, Any], told: list[Event]) -> None:
    def work() -> None:
        # Settled first: who lost the claim changes nothing.
        if not _settle(engine, row, Explained("done", "")):
            return
        end = deliveries.act(engine, row, told)
        if not told:
            end = Explained("ignored", "Asked, its system shows no interview.")
        engine.store.write(
            "UPDATE deliveries SET state = ?, outcome = ? WHERE id = ?", end.state, end.outcome, row["id"]
        )

    engine.store.run(work)


def _settle(engine: Engine, row: dict[str, Any], end: Explained) -> bool:
    return (
        engine.store.write(
            "UPDATE deliveries SET state = ?, outcome = ?, processed_at = ?, look_at = NULL "
            "WHERE id = ? AND looks = ? AND look_at IS NOT NULL AND state = 'lookup'",
            end.state,
            end.outcome,
            engine.now(),
            row["id"],
            row["looks"],
        )
        == 1
    )


def _again(engine: Engine, row: dict[str, Any], why: Exception) -> None:
    said = str(why) if isinstance(why, AtsError) else f"Asking failed: {type(why).__name__}."
    if row["looks"] >= DEAD_AFTER:
        _settle(engine, row, Explained("dead", f"Asked {row['looks']} times without an answer. {said}"))
        return
    wait = dt.timedelta(seconds=getattr(why, "retry_after", None) or 0)
    engine.store.write(
        "UPDATE deliveries SET look_at = ?, outcome = ? WHERE id = ? AND looks = ? AND look_at IS NOT NULL",
        engine.now() + max(wait, min(LONGEST, dt.timedelta(seconds=15 * 2 ** row["looks"]))),
        f"It is asked about again later. {said}",
        row["id"],
        row["looks"],
    )
