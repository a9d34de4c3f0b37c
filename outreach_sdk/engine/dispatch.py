"""The clock's tick and the workers' drains."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.engine import (
    apart,
    calendars,
    deliveries,
    enrich,
    passages,
    recover,
    selftest,
    set_back,
    sync,
    tasks,
)
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.draining import drain_sends
from outreach_sdk.engine.progress import plan_next
from outreach_sdk.errors import OutreachError
from outreach_sdk.storage.claims import claim_mailbox_polls, due_soon
from outreach_sdk.storage.transitions import move_journey

__all__ = [
    "alive",
    "beat",
    "drain_polls",
    "drain_sends",
    "hurry",
    "start_clock",
    "tick",
    "trouble",
    "upkeep_due",
]

logger = logging.getLogger(__name__)

OUTAGE = dt.timedelta(seconds=60)
"""A clock silent for longer than this was an outage, which counts as lateness."""

ALIVE = dt.timedelta(seconds=15)
"""A heartbeat younger than this means the process is alive."""


class Wake(Protocol):
    """How the clock wakes workers: True if the job is in the queue now."""

    def enqueue(self, queue: str, function: str, bucket: int) -> bool: ...


def beat(engine: Engine, role: str, name: str, started: dt.datetime, *, trouble: str | None = None) -> None:
    """Say in the database that this process is alive, and what `trouble` keeps it from its work."""
    engine.store.write(
        "INSERT INTO heartbeats (role, name, seen_at, started_at, trouble) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, trouble = excluded.trouble",
        role,
        name,
        engine.now(),
        started,
        trouble,
    )


def alive(engine: Engine) -> dict[str, int]:
    """How many processes of each role are alive: {"clock": 1, "send": 2, …}."""
    return dict(Counter(str(row["role"]) for row in _living(engine)))


def trouble(engine: Engine) -> str | None:
    """What keeps every clock that is alive from waking workers; None where one can, or none is alive."""
    told = [row["trouble"] for row in _living(engine) if row["role"] == "clock"]
    return None if None in told else next(iter(told), None)


def _living(engine: Engine) -> list[dict[str, Any]]:
    now = engine.now()
    return engine.store.rows(
        "SELECT role, trouble FROM heartbeats WHERE seen_at > ? AND seen_at <= ? ORDER BY id",
        now - ALIVE,
        now + ALIVE,  # further ahead it is from a clock that was wrong
    )


def start_clock(engine: Engine) -> dt.timedelta | None:
    """Note how long no clock was alive, where that was an outage; old heartbeats are swept."""
    store, now = engine.store, engine.now()
    with store.tx():
        seen = store.one("SELECT clock_seen_at FROM installation")
        last: dt.datetime | None = seen["clock_seen_at"] if seen else None
        store.write("UPDATE installation SET clock_seen_at = ?", now)
        store.write("DELETE FROM heartbeats WHERE seen_at < ?", now - dt.timedelta(hours=1))
        if last is None or now - last < OUTAGE:
            return None
        store.write("INSERT INTO outages (started_at, ended_at) VALUES (?, ?)", last, now)
        return now - last


def tick(engine: Engine, wake: Wake, *, workers: int = 1) -> dict[str, int]:
    """One pass: open and skip tasks, end pauses, act on what came in, wake workers for what is due.
    Its work follows what is due, not what is stored."""
    store, now = engine.store, engine.now()
    set_back.put_right(engine)
    start_clock(engine)
    done = {
        "tasks_opened": apart.part(lambda: tasks.open_due(engine), "opening tasks"),
        "tasks_skipped": apart.part(lambda: tasks.auto_skip(engine), "skipping tasks"),
        "resumed": apart.part(lambda: _end_pauses(engine), "ending pauses"),
        "inbound": apart.part(lambda: sync.process_open(engine), "acting on what came in"),
        "deliveries": 0,
        "drains": 0,
    }
    apart.part(lambda: passages.give_up(engine), "giving up passages")
    if passages.waiting(engine):
        done["drains"] += wake.enqueue("bulk", "drain_passages", int(now.timestamp() // 2))
    due = due_soon(store, now)
    if due is not None and due <= now + dt.timedelta(seconds=1):
        bucket = int(now.timestamp() // 2)
        done["drains"] += sum(wake.enqueue("send", "drain_sends", bucket * 64 + n) for n in range(workers))
    told, polls = hurry(engine, wake)
    done["deliveries"] += told
    done["drains"] += polls
    if selftest.waiting(engine, 1) or store.value(
        "SELECT 1 FROM mailboxes WHERE revoking IS NOT NULL UNION ALL SELECT 1 FROM test_sends WHERE lease_until <= ? "
        "LIMIT 1",
        now,
    ):
        done["drains"] += wake.enqueue("read", "drain_checks", int(now.timestamp() // 2))
    if store.value(
        "SELECT 1 FROM imports WHERE lease_until <= ? ORDER BY lease_until LIMIT 1",
        now,
    ):
        done["drains"] += wake.enqueue("bulk", "drain_imports", int(now.timestamp() // 2))
    # `add` and `link` let people flow at once: this is what a killed process left.
    if store.value(
        "SELECT 1 FROM shortlist_links l JOIN shortlists s ON s.id = l.shortlist_id WHERE l.ended_at IS NULL AND "
        "s.last_member_id > l.done_id LIMIT 1"
    ):
        done["drains"] += wake.enqueue("bulk", "drain_shortlists", int(now.timestamp() // 2))
    if calendars.waiting(engine):
        done["drains"] += wake.enqueue("read", "drain_calendars", int(now.timestamp() // 2))
    if enrich.waiting(engine):
        done["drains"] += wake.enqueue("bulk", "drain_enrichment", int(now.timestamp() // 2))
    return done


DELIVERY_SECONDS = 0.3
"""How long a tick deals with webhook deliveries itself; workers help with what is left."""


def hurry(engine: Engine, wake: Wake) -> tuple[int, int]:
    """What can't wait for the next tick: deliveries that came in, and polls that are due; (how many were dealt
    with, how many jobs were enqueued). Redis may be away: deliveries are dealt with here."""
    store, now = engine.store, engine.now()
    done, enqueued = 0, 0
    if deliveries.waiting(engine):
        done = deliveries.drain(engine, seconds=DELIVERY_SECONDS)
        if deliveries.waiting(engine):
            enqueued += wake.enqueue("read", "drain_deliveries", int(now.timestamp() // 2))
    if store.value("SELECT 1 FROM mailboxes WHERE status = 'connected' AND next_poll_at <= ? LIMIT 1", now):
        enqueued += wake.enqueue("read", "drain_polls", int(now.timestamp() // 2))
    return done, enqueued


UPKEEP_EVERY = dt.timedelta(minutes=5)


def upkeep_due(engine: Engine) -> bool:
    """Whether it is time for upkeep; True once each five minutes, to one clock."""
    now = engine.now()
    if not engine.store.value("SELECT 1 FROM installation WHERE upkeep_at IS NULL OR upkeep_at <= ?", now):
        return False
    claimed = "UPDATE installation SET upkeep_at = ? WHERE upkeep_at IS NULL OR upkeep_at <= ?"
    return engine.store.write(claimed, now + UPKEEP_EVERY, now) == 1


def _end_pauses(engine: Engine) -> int:
    """Journeys whose out-of-office time is over go on."""
    store, now = engine.store, engine.now()
    count = 0
    for row in store.rows(
        "SELECT j.id, s.active FROM journeys j JOIN sequences s ON s.id = j.sequence_id "
        "WHERE j.resume_at <= ? AND j.status = 'paused' ORDER BY j.resume_at LIMIT 200",
        now,
    ):

        def work(row: dict[str, Any] = row) -> bool:
            if not row["active"]:
                move_journey(store, row["id"], JourneyStatus.PAUSED, PauseReason.SEQUENCE_DEACTIVATED, now)
            elif move_journey(store, row["id"], JourneyStatus.ACTIVE, None, now):
                plan_next(store, row["id"], now)
                return True
            return False

        count += apart.each(engine, row["id"], work, "it was to go on, but can't be planned")
    return count


LOOK_EVERY = 0.5
"""Seconds between two looks at which mailboxes are due while one is being read and none ends."""


def drain_polls(engine: Engine, *, threads: int = 8) -> dict[str, int]:
    """Check every mailbox whose check is due, each as one before it ends; how many were read and how many couldn't be."""
    ends = {"read": 0, "failed": 0, "messages": 0}
    until = time.monotonic() + engine.drain_for.total_seconds()

    def one(box: dict[str, Any]) -> int | None:
        try:
            new = sync.poll_mailbox(engine, box["id"])
            if box["look_up"]:
                recover.once_more(engine, box)
            return new
        except OutreachError:
            return None
        except Exception:  # one mailbox's trouble, of whatever kind, must not end everybody's checks
            logger.exception("mailbox %d", box["id"])
            return None
        finally:
            engine.store.idle()

    running: set[Future[int | None]] = set()
    old: set[Future[int | None]] = set()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="read") as pool:
        while True:
            late = time.monotonic() >= until
            # Those begun in time may be held up by their providers; the others don't wait for them.
            if not late or old & running:
                boxes = claim_mailbox_polls(
                    engine.store, engine.now(), limit=threads - len(running), lease=dt.timedelta(seconds=60)
                )
                begun = {pool.submit(one, box) for box in boxes}
                running |= begun
                old |= set() if late else begun
            if not running:  # the clock wakes the next one
                return ends
            done, running = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for each in done:
                result = each.result()
                ends["failed" if result is None else "read"] += 1
                ends["messages"] += result or 0
