"""A worker's drain: claims what is due and keeps its threads fed."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from outreach_sdk.engine import outbox, release
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.hand import Hand
from outreach_sdk.errors import OutreachError
from outreach_sdk.storage.claims import Claim, claim_sends, due_soon

__all__ = ["drain_sends"]

logger = logging.getLogger(__name__)

AT_ONCE = 10
"""The most that one claim puts in flight."""

AHEAD, LOW = 24, 4
"""How many e-mails are claimed ahead of the places, and how few of them are left when more are claimed."""

OVERSTAYED = 2.0
"""Seconds after which one that waits for a place in vain is given back, for others to take."""

GATHER = 0.003
"""Seconds to wait once a place is free: others are about to be, and one claim is for all of them."""

LOOK_EVERY = 0.1
"""Seconds between two looks at what is due while e-mails are in flight and none ends."""

BARREN = (1.0, 10.0)
"""A drain with nothing in flight that can't claim what is due for twice the mailboxes' spacing, in seconds at least and
at most so long, ends: whatever is in the way (a mailbox that isn't lent any more, others at the cap), the clock's next
drain looks again."""

PAUSES = (0.01, 0.1)
"""Seconds between two looks of a drain with nothing in flight: at first, and as they double at most."""


def drain_sends(
    engine: Engine,
    *,
    threads: int = 50,
    log: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> dict[str, int]:
    """Claim due e-mails a few at a time and keep `threads` threads fed until nothing is due soon, what is due can't be
    claimed (`BARREN`), the time budget is spent or `stop` is set; how many ended how. Each goes on as one before it
    ends: one slow send holds nobody up."""
    drain = _Drain(engine, threads, log)
    deadline = time.monotonic() + engine.drain_for.total_seconds()
    try:
        stopped = stop.is_set if stop is not None else lambda: False
        drain.run(lambda: time.monotonic() >= deadline or stopped())
        drain.finish(stopped)
    finally:
        drain.close()
    return dict(drain.ends)


class _Drain:
    """`busy` threads each send one e-mail after another, those in `hand` first; the drain's own thread claims."""

    def __init__(self, engine: Engine, threads: int, log: Callable[[str], None]) -> None:
        self.engine = engine
        self.threads = threads
        self.log = log
        self.ends: Counter[str] = Counter()
        self.hand = Hand(engine)
        self.busy = 0
        self.given_back_at = -1
        self.capped = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="send")

    def run(self, over: Callable[[], bool]) -> None:
        """Claim and send until it is `over` or nothing can be done."""
        barren_until: float | None = None
        pause = PAUSES[0]
        while not over():
            self._wake.clear()
            got = self._feed()
            if self.busy:
                barren_until, pause = None, PAUSES[0]
                if not got or self.busy >= self.threads:
                    self._rest()
                continue
            now = self.engine.now()
            soon = due_soon(self.engine.store, now)
            if soon is None or soon > now + dt.timedelta(seconds=1):
                return
            if barren_until is None:
                barren_until = time.monotonic() + _patience(self.engine)
            if time.monotonic() >= barren_until:
                return
            time.sleep(pause)
            pause = min(2 * pause, PAUSES[1])

    def finish(self, stopped: Callable[[], bool]) -> None:
        """Send what is in hand, give it back where that takes long or all is `stopped`, and wait for what is in
        flight."""
        self._wait(lambda: len(self.hand) > 0 and not stopped(), OVERSTAYED)
        self._give_back(self.hand.close())
        self._wait(lambda: True, self.engine.lease.total_seconds())

    def _wait(self, goes_on: Callable[[], bool], seconds: float) -> None:
        """As long as something is in flight and it `goes_on`."""
        until = time.monotonic() + seconds
        while self.busy and goes_on() and time.monotonic() < until:
            self._wake.clear()
            if self.busy:
                self._wake.wait(LOOK_EVERY)

    def close(self) -> None:
        """Let the threads go; what none of them has begun is left to its lease."""
        self.hand.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _rest(self) -> None:
        """Until a place is free or the hand is low, for a while at most."""
        if self._wake.wait(LOOK_EVERY) and self.busy and self.busy < self.threads:
            time.sleep(GATHER)

    def _feed(self) -> int:
        """Fill the free places and the hand; how many e-mails that brought."""
        stale = self.hand.overstayed(OVERSTAYED)
        if stale:
            self._give_back(stale)
            self.given_back_at = self.ends.total()
        started: list[Claim] = []
        while self.busy + len(started) < self.threads and (claim := self.hand.start()) is not None:
            started.append(claim)
        self._begin(started)
        free = self.threads - self.busy
        room = min(AT_ONCE, free)
        full = free <= AT_ONCE or (self.capped and self.busy > 0)
        moved = self.ends.total() > self.given_back_at
        ahead = AHEAD - len(self.hand) if full and moved and len(self.hand) <= LOW else 0
        if room <= 0 and ahead <= 0:
            return len(started)
        engine = self.engine
        claims = claim_sends(
            engine.store,
            engine.now(),
            limit=room,
            cap=engine.cap,
            lease=engine.lease,
            new_key=engine.new_key,
            holder=engine.holder,
            load=True,
            ahead=ahead,
        )
        self.capped = claims.capped
        self.hand.add(claims.ahead)
        self._begin(claims.items)
        return len(started) + len(claims.items) + len(claims.ahead)

    def _begin(self, claims: list[Claim]) -> None:
        with self._lock:
            self.busy += len(claims)
        for claim in claims:
            self._pool.submit(self._work, claim)

    def _work(self, claim: Claim | None) -> None:
        """Send one, then whoever gets its place."""
        try:
            while claim is not None:
                claim = self._send(claim)
        finally:
            with self._lock:
                self.busy -= 1
            self._wake.set()

    def _send(self, claim: Claim) -> Claim | None:
        engine, end = self.engine, "abandoned"
        try:
            end = outbox.process(engine, claim, self.hand)
        except OutreachError as exc:
            end = type(exc).__name__
            self.log(f"{end}: {exc}")
        except Exception as exc:  # one entry's trouble, of whatever kind, must not end everybody's drain
            end = type(exc).__name__
            logger.exception("outbox entry %d", claim.outbox_id)
            with suppress(OutreachError):
                release.unforeseen(engine, claim.outbox_id, claim.generation, end)
        following: Claim | None = None
        try:
            with suppress(OutreachError):  # the database is away: the drain's own thread says so
                following = self.hand.following(claim.outbox_id, ended=end == "sent")
        finally:
            engine.store.idle()
            with self._lock:
                self.ends[end] += 1
        if len(self.hand) <= LOW:
            self._wake.set()
        return following

    def _give_back(self, claims: list[Claim]) -> None:
        for claim in claims:
            entry = outbox.load(self.engine, claim)
            if entry is not None:
                release.release(self.engine, entry, due=entry["due_at"])


def _patience(engine: Engine) -> float:
    spacing = engine.store.value("SELECT MAX(spacing_us) FROM mailboxes WHERE status = 'connected'")
    return min(max(2 * (spacing or 0) / 1e6, BARREN[0]), BARREN[1])
