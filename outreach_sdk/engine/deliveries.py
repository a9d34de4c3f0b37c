"""Webhook deliveries: stored before they are acknowledged, then read and acted on, each once."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outreach_sdk.domain.events import EnrichmentReady, Event, NeedsLookup, NotForUs, Received, Unreadable
from outreach_sdk.engine import bookings, enrich
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import DatabaseUnavailable, InvalidInput, NotFound, OutreachError

__all__ = [
    "DEAD_AFTER",
    "POLLED",
    "Explained",
    "act",
    "drain",
    "explain",
    "process",
    "record",
    "refused",
    "replay",
    "system",
    "waiting",
]

logger = logging.getLogger(__name__)

LEASE = dt.timedelta(seconds=60)
DEAD_AFTER = 5
"""Tries after which a delivery that can't be dealt with waits for a person."""
AT_A_TIME = 25


class _Undo(Exception):
    """Undoes a dry run's transaction."""


class _Lost(Exception):
    """Another process settles this delivery."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What a delivery led to, or would: `state`, a sentence, and how many journeys stop."""

    state: str
    outcome: str
    stopped: int = 0


def record(
    engine: Engine, source: str, delivery_id: str, headers: Mapping[str, str], body: bytes
) -> int | None:
    """Store a delivery whose signature was right; its number, or None if it was stored before. DatabaseUnavailable,
    OutreachError where there is no workspace yet."""
    now = engine.now()
    number = engine.store.write_one(
        "INSERT INTO deliveries (workspace_id, source, delivery_id, headers, body, received_at, state, tries, looks, "
        "lease_until) SELECT id, ?, ?, ?, ?, CAST(? AS BIGINT), 'received', 0, 0, CAST(? AS BIGINT) FROM workspace "
        "WHERE id = (SELECT MIN(id) FROM workspace) ON CONFLICT (source, delivery_id) DO NOTHING RETURNING id",
        source,
        delivery_id,
        json.dumps(dict(headers)),
        body,
        now,
        now,
    )
    if number is None and not engine.store.value("SELECT 1 FROM workspace LIMIT 1"):
        raise OutreachError("There is no workspace yet: `outreach user add` makes one.", permanent=False)
    return None if number is None else int(number)


def refused(engine: Engine, counts: Mapping[tuple[str, str], int]) -> None:
    """Count what was turned away: {(source, reason): how many}."""
    day = f"{engine.now():%Y-%m-%d}"
    engine.store.write_many(
        "INSERT INTO refusals (source, reason, day, count) VALUES (?, ?, ?, ?) ON CONFLICT (source, reason, day) "
        "DO UPDATE SET count = refusals.count + excluded.count",
        [(source, reason, day, count) for (source, reason), count in sorted(counts.items())],
    )


def waiting(engine: Engine) -> bool:
    """Whether a delivery, or a booking whose person has appeared, is to be acted on."""
    store = engine.store
    return bool(
        store.value(
            "SELECT 1 FROM deliveries WHERE lease_until <= ? ORDER BY lease_until LIMIT 1", engine.now()
        )
        or store.value(
            "SELECT 1 FROM booking_people WHERE acted_at IS NULL AND candidate_id IS NOT NULL ORDER BY id LIMIT 1"
        )
    )


def drain(engine: Engine, *, seconds: float = 20.0) -> int:
    """Deal with what waits, oldest first, until nothing does or the time is up; how many deliveries."""
    deadline, done = time.monotonic() + seconds, 0
    while True:
        taken = _claim(engine)
        for row in taken:
            process(engine, row)
            done += 1
        if len(taken) < AT_A_TIME or time.monotonic() >= deadline:
            bookings.act_due(engine)
            return done


def _claim(engine: Engine) -> list[dict[str, Any]]:
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    if not store.value("SELECT 1 FROM deliveries WHERE lease_until <= ? ORDER BY lease_until LIMIT 1", now):
        return []
    with store.tx():
        rows = store.rows(
            "UPDATE deliveries SET lease_until = ?, tries = tries + 1 WHERE id IN (SELECT id FROM deliveries "
            f"WHERE lease_until <= ? ORDER BY lease_until, id LIMIT ?{skip}) RETURNING *",
            now + LEASE,
            now,
            AT_A_TIME,
        )
    return sorted(rows, key=lambda row: int(row["id"]))


def process(engine: Engine, row: dict[str, Any]) -> Explained | None:
    """Read and act on one delivery that this process has claimed; None if another settled it or it is to be tried
    again."""
    store = engine.store

    def work() -> Explained:
        end = _act(engine, row)
        settled = store.write(
            "UPDATE deliveries SET state = ?, outcome = ?, processed_at = ?, lease_until = NULL, "
            "look_at = CAST(? AS BIGINT), looks = 0 WHERE id = ? AND tries = ? AND lease_until IS NOT NULL",
            end.state,
            end.outcome,
            engine.now(),
            engine.now() if end.state == "lookup" else None,
            row["id"],
            row["tries"],
        )
        if settled != 1:
            raise _Lost
        return end

    try:
        end = store.run(work)
    except _Lost:
        return None
    except DatabaseUnavailable:
        raise
    except Exception as exc:
        # Whatever one delivery does to its reader, the others are dealt with.
        logger.warning("delivery %d of %s: %s", row["id"], row["source"], type(exc).__name__)
        _again(engine, row, exc)
        return None
    logger.info("delivery %d of %s: %s", row["id"], row["source"], end.outcome)
    return end


def _again(engine: Engine, row: dict[str, Any], why: Exception) -> None:
    now, dead = engine.now(), row["tries"] >= DEAD_AFTER
    said = f"It failed {row['tries']} times: {type(why).__name__}." if dead else None
    engine.store.write(
        "UPDATE deliveries SET state = ?, outcome = COALESCE(?, outcome), processed_at = ?, lease_until = ? "
        "WHERE id = ? AND tries = ? AND lease_until IS NOT NULL",
        "dead" if dead else "received",
        said,
        now if dead else None,
        None if dead else now + dt.timedelta(seconds=15 * 2 ** row["tries"]),
        row["id"],
        row["tries"],
    )


def _act(engine: Engine, row: dict[str, Any]) -> Explained:
    if row["body"] is None:
        return Explained(row["state"], "Its body was removed by retention.")
    if row["source"].startswith(SHORTLIST):
        from outreach_sdk.engine import shortlists  # reads files: the sending workers need not carry it

        name = row["source"].removeprefix(SHORTLIST)
        try:
            return Explained(
                "done", shortlists.receive(engine, row["workspace_id"], name, bytes(row["body"]))
            )
        except InvalidInput as exc:
            return Explained("dead", f"It can't be used: {exc}")
    read = engine.reader(row["source"])
    if read is None:
        return Explained("dead", f"Nothing here reads deliveries of {row['source']}.")
    received = Received(
        body=bytes(row["body"]),
        received_at=row["received_at"],
        headers=json.loads(row["headers"] or "{}"),
    )
    try:
        told = read(received)
    except Unreadable as exc:
        return Explained("dead", f"It can't be read: {exc}.")
    return act(engine, row, told)


def act(engine: Engine, row: dict[str, Any], told: list[Event]) -> Explained:
    """Act on what a delivery tells. In a transaction."""
    ends = [_one(engine, row, event) for event in told]
    if not ends:
        return Explained("ignored", "It says nothing about interviews or meetings.")
    worst = min(ends, key=lambda end: _ORDER.index(end.state))
    said = " ".join(dict.fromkeys(end.outcome for end in ends))
    return Explained(worst.state, said, sum(end.stopped for end in ends))


POLLED = ":poll"
"""After the name of a system, where it was asked rather than told."""
SHORTLIST = "shortlist:"
"""Before the name of the shortlist that a delivery is for."""
_ORDER = ("done", "lookup", "ignored")


def _one(engine: Engine, row: dict[str, Any], event: Event) -> Explained:
    if isinstance(event, NotForUs):
        return Explained("ignored", f"{event.why}.")
    if isinstance(event, EnrichmentReady):
        if enrich.ready(engine, event.provider, event.request_id):
            return Explained("done", "What it found is asked for.")
        return Explained("ignored", "Nobody waits for it.")
    if isinstance(event, NeedsLookup):
        return Explained(
            "lookup",
            f"{event.why}: {system(row['source'])} has to be asked about {event.what} {event.id}.",
        )
    store = engine.store
    booking, changed = bookings.take(engine, row["workspace_id"], system(row["source"]), event, engine.now())
    stopped = bookings.act_on(engine, booking)
    if stopped:
        return Explained("done", f"It stopped {stopped} journey{'s' if stopped > 1 else ''}.", stopped)
    if not store.value(
        "SELECT 1 FROM booking_people WHERE booking_id = ? AND candidate_id IS NOT NULL LIMIT 1", booking
    ):
        if store.value("SELECT 1 FROM booking_people WHERE booking_id = ? LIMIT 1", booking):
            return Explained("done", "No candidate has its address yet: it waits for one.")
        return Explained("done", "It names nobody that could be found.")
    if not changed:
        return Explained("done", "It says nothing that wasn't known.")
    return Explained("done", "It was noted; no journey of theirs is to be stopped by it.")


def system(source: str) -> str:
    """The system that a delivery is from, whichever way it came."""
    return source.removesuffix(POLLED)


def explain(engine: Engine, delivery: int) -> Explained:
    """What a delivery would do if it were dealt with now; nothing is changed. NotFound."""
    row = _row(engine, delivery)
    found: list[Explained] = []

    def rehearse() -> None:
        found.append(_act(engine, row))
        raise _Undo

    try:
        engine.store.run(rehearse)
    except _Undo:
        pass
    except OutreachError as exc:
        return Explained("dead", str(exc))
    return found[0]


def replay(engine: Engine, delivery: int) -> Explained:
    """Deal with a delivery again, whatever became of it. What it stopped once isn't stopped twice. NotFound."""
    _row(engine, delivery)
    with engine.store.tx():
        taken = engine.store.rows(
            "UPDATE deliveries SET state = 'received', tries = tries + 1, lease_until = ?, outcome = NULL, "
            "look_at = NULL "
            "WHERE id = ? RETURNING *",
            engine.now() + LEASE,
            delivery,
        )
    end = process(engine, {**taken[0]})
    if end is None:
        row = _row(engine, delivery)
        return Explained(row["state"], row["outcome"] or "It couldn't be dealt with and is tried again.")
    return end


def _row(engine: Engine, delivery: int) -> dict[str, Any]:
    row = engine.store.one("SELECT * FROM deliveries WHERE id = ?", delivery)
    if row is None:
        raise NotFound("There is no such delivery.")
    return row
