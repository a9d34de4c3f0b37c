"""What a drain has claimed ahead of the places in flight."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

from outreach_sdk.engine.context import Engine
from outreach_sdk.storage.claims import Claim, start, take_up

__all__ = ["Hand"]

FRESH = 1.0
"""Seconds for which what was read with a claim may be gone by; later it is read again."""


class Hand:
    """E-mails of one drain that wait for places. Whoever ends one passes its place on in the transaction that records
    the end, so that the installation's count never changes and nobody has to be woken to claim."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, Claim]] = deque()
        self._next: dict[int, tuple[float, Claim]] = {}
        self._aside: list[Claim] = []
        self._open = True

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, claims: list[Claim]) -> None:
        """Put claims made ahead behind the others."""
        now = time.monotonic()
        with self._lock:
            self._waiting.extend((now, claim) for claim in claims)

    def pass_on(self, entry_id: int) -> None:
        """In the transaction that ends `entry_id`, which was in flight until now: its place is the next one's."""
        engine = self._engine
        while (held := self._next.pop(entry_id, None) or self._take()) is not None:
            self._next[entry_id] = held
            if take_up(engine.store, held[1], engine.now(), engine.lease):
                return
            self._aside.append(self._next.pop(entry_id)[1])

    def following(self, entry_id: int, *, ended: bool) -> Claim | None:
        """Who goes on in the place of `entry_id`; `ended`: that its transaction was committed."""
        held = self._next.pop(entry_id, None)
        if held is not None and not ended:
            with self._lock:
                self._waiting.appendleft(held)
            held = None
        return _fresh(held) if held is not None else self.start()

    def start(self) -> Claim | None:
        """The next in hand, in flight from now on; None where none waits or there is no place."""
        engine = self._engine
        while (held := self._take()) is not None:
            got = start(engine.store, held[1], engine.now(), cap=engine.cap, lease=engine.lease)
            if got:
                return _fresh(held)
            if got is None:
                with self._lock:
                    self._waiting.appendleft(held)
                return None
            self._aside.append(held[1])
        return None

    def overstayed(self, seconds: float) -> list[Claim]:
        """Take out what has waited for so long, and what couldn't go on."""
        before = time.monotonic() - seconds
        with self._lock:
            out, self._aside = self._aside, []
            while self._waiting and self._waiting[0][0] <= before:
                out.append(self._waiting.popleft()[1])
        return out

    def close(self) -> list[Claim]:
        """Pass nothing on any more, and take out what still waits."""
        with self._lock:
            self._open = False
            out = [*self._aside, *(claim for _, claim in self._waiting)]
            self._waiting.clear()
            self._aside = []
        return out

    def _take(self) -> tuple[float, Claim] | None:
        with self._lock:
            return self._waiting.popleft() if self._open and self._waiting else None


def _fresh(held: tuple[float, Claim]) -> Claim:
    since, claim = held
    return claim if time.monotonic() - since < FRESH else replace(claim, entry=None)
