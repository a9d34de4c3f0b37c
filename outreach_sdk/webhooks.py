"""What webhook_service may call: `record` what came in and is genuine, and let it be acted on."""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outreach_sdk.config import Settings
from outreach_sdk.engine import deliveries, dispatch, watching
from outreach_sdk.engine import unsubscribe as unsubscribing
from outreach_sdk.engine.deliveries import Explained
from outreach_sdk.engine.queues import Queues
from outreach_sdk.errors import OutreachError
from outreach_sdk.jobs import shared_engine

__all__ = [
    "Explained",
    "GmailPush",
    "counts",
    "explain",
    "generic_signature",
    "gmail_news",
    "gmail_push",
    "hurry",
    "idle",
    "listed",
    "outlook_news",
    "process",
    "ready",
    "record",
    "refuse",
    "replay",
    "secrets",
    "unsubscribe",
    "unsubscribe_known",
    "vendor_key",
    "waiting",
]


KEPT = 24
"""Database connections that the web service's threads hold on to between requests."""


@functools.cache
def settings() -> Settings:
    """This process's settings, read once, as its engine is."""
    return Settings.from_env()


def secrets(source: str) -> tuple[str, ...]:
    """The signing secrets of a source (`calendly`, `greenhouse`, …, or a generic one's name), newest first; none:
    it isn't set up."""
    return tuple(s.reveal() for s in settings().webhook_secrets.get(source, ()))


def vendor_key(provider: str) -> str | None:
    """The key of an enrichment provider, for those that sign with it; None: it isn't set up."""
    key = settings().vendor_keys.get(provider)
    return None if key is None else key.reveal()


def generic_signature(name: str) -> Mapping[str, str] | None:
    """How a generic source signs: {} for the way we propose; None where there is no such source."""
    config = settings().webhook_fields.get(name)
    return None if config is None else config.get("signature", {})


def record(source: str, delivery_id: str, headers: Mapping[str, str], body: bytes) -> int | None:
    """Store a delivery whose signature was right, before it is acknowledged, and have it acted on; its number, or
    None if it was stored before. DatabaseUnavailable where it can't be stored."""
    number = deliveries.record(shared_engine(), source, delivery_id, headers, body)
    if number is not None:
        hurry()
    return number


def process(delivery: int) -> Explained:
    """Act on a stored delivery now, again if need be. NotFound."""
    return deliveries.replay(shared_engine(), delivery)


replay = process


def explain(delivery: int) -> Explained:
    """What `process` would do; nothing is changed. NotFound."""
    return deliveries.explain(shared_engine(), delivery)


@dataclass(frozen=True, slots=True)
class GmailPush:
    """Whose tokens Gmail's pushes must bear."""

    audience: str
    account: str
    certs_url: str


def gmail_push() -> GmailPush | None:
    """None where pushes of Gmail aren't set up."""
    given = settings()
    audience = given.gmail_push_audience or (given.public_url and f"{given.public_url}/webhooks/gmail")
    if not given.gmail_push_account or not audience:
        return None
    return GmailPush(audience, given.gmail_push_account, given.google_certs_url)


def gmail_news(address: str) -> bool:
    """A mailbox of Gmail's has news: it is read at once, and again some seconds later. False: it isn't ours."""
    found = watching.news(shared_engine(), "gmail", address)
    if found:
        hurry()
    return found > 0


def outlook_news(items: list[dict[str, Any]]) -> int:
    """Graph's notifications; how many of them are genuine. Their mailboxes are read at once."""
    genuine = watching.notified(shared_engine(), items)
    if genuine:
        hurry()
    return genuine


def unsubscribe_known(token: str) -> None:
    """NotFound unless the link is one of ours. Changes nothing."""
    unsubscribing.journey_of(shared_engine(), token)


def unsubscribe(token: str) -> None:
    """Suppress whom the link was sent to, at once and everywhere. NotFound."""
    unsubscribing.unsubscribe(shared_engine(), token)


def counts() -> dict[str, Any]:
    """What there is to measure: {"deliveries": {(source, state): n}, "refused": {(source, reason): n}, "waiting": n,
    "oldest": seconds, "alive": {role: n}}. DatabaseUnavailable."""
    engine = shared_engine()
    store, now = engine.store, engine.now()
    oldest = store.one("SELECT MIN(received_at) AS first_at FROM deliveries WHERE lease_until IS NOT NULL")
    first = oldest["first_at"] if oldest else None
    by_state = store.rows("SELECT source, state, COUNT(*) AS n FROM deliveries GROUP BY source, state")
    refused = store.rows("SELECT source, reason, SUM(count) AS n FROM refusals GROUP BY source, reason")
    waits = store.value("SELECT COUNT(*) FROM booking_people WHERE candidate_id IS NULL")
    return {
        "deliveries": {(r["source"], r["state"]): int(r["n"]) for r in by_state},
        "refused": {(r["source"], r["reason"]): int(r["n"]) for r in refused},
        "waiting": int(waits),
        "oldest": 0.0 if first is None else max(0.0, (now - first).total_seconds()),
        "alive": dispatch.alive(engine),
    }


def idle() -> None:
    """At the end of a request: this thread's database connection goes back, unless few are lent out."""
    shared_engine().store.idle(keep=KEPT)


class _Behind:
    """A thread that does at once what a request needn't wait for, and what piles up meanwhile in one go."""

    def __init__(self) -> None:
        self._due = threading.Event()
        self._poke = False
        self._refused: Counter[tuple[str, str]] = Counter()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._queues: Queues | None = None

    def hurry(self) -> None:
        self._poke = True
        self._wake()

    def refuse(self, source: str, reason: str) -> None:
        with self._guard:
            self._refused[source, reason] += 1
        self._wake()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # a fork leaves threads behind
            with self._guard:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="behind", daemon=True)
                    self._thread.start()
        self._due.set()

    def _run(self) -> None:
        counted = 0.0
        while True:
            self._due.wait(None if not self._refused else 1.0)
            self._due.clear()
            if self._poke:
                self._poke = False
                if self._queues is None:
                    self._queues = Queues(settings().broker_url)
                self._queues.poke()
            if self._refused and time.monotonic() - counted >= 1.0:
                counted = time.monotonic()
                self.count()
            time.sleep(0.02)  # what a burst brings, one call tells of

    def count(self) -> None:
        """Add what was refused to the counters, at most once a second: forging costs us next to nothing."""
        with self._guard:
            counts, self._refused = self._refused, Counter()
        if not counts:
            return
        try:
            deliveries.refused(shared_engine(), counts)
        except OutreachError:
            with self._guard:
                self._refused.update(counts)
        finally:
            with contextlib.suppress(OutreachError):
                idle()


_behind = _Behind()
atexit.register(_behind.count)


def hurry() -> None:
    """Have the clock look at once. The request doesn't wait for Redis, which may be away."""
    _behind.hurry()


def refuse(source: str, reason: str) -> None:
    """Count a delivery that was turned away. Nothing of it is kept."""
    _behind.refuse(source, reason)


def ready() -> dict[str, bool]:
    """Whether the database and Redis answer. DatabaseUnavailable where the database doesn't."""
    from redis import Redis
    from redis.exceptions import RedisError

    shared_engine().store.value("SELECT 1")
    try:
        with Redis.from_url(Settings.from_env().broker_url, socket_timeout=2) as redis:
            redis_there = bool(redis.ping())
    except RedisError:
        redis_there = False
    return {"database": True, "redis": redis_there}


def listed(state: str | None = None, *, limit: int = 200) -> list[dict[str, Any]]:
    """Deliveries, newest first: id, source, received_at, state, tries, outcome. `state`: one of received, done,
    ignored, lookup, dead."""
    where = "WHERE state = ?" if state else ""
    return shared_engine().store.rows(
        "SELECT id, source, delivery_id, received_at, state, tries, outcome FROM deliveries "
        f"{where} ORDER BY id DESC LIMIT ?",
        *((state,) if state else ()),
        limit,
    )


def waiting(*, limit: int = 200) -> list[dict[str, Any]]:
    """Bookings that wait for a candidate with their address, newest first."""
    return shared_engine().store.rows(
        "SELECT b.source, b.kind, b.status, b.starts_at, b.title, p.address, p.created_at FROM booking_people p "
        "JOIN bookings b ON b.id = p.booking_id WHERE p.candidate_id IS NULL ORDER BY p.id DESC LIMIT ?",
        limit,
    )
