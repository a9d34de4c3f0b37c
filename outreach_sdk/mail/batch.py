"""One poll's share of what came in: so many messages, so many bytes, and what becomes of one that can't be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.errors import MailError, MailRefused, MailTemporary
from outreach_sdk.mail.port import BATCH, BATCH_BYTES, BATCH_SECONDS, Unread

__all__ = ["FEW", "STALLED", "Batch", "Failing", "unread"]

FEW = 3
"""Messages that can't be read and are passed over while no other can; more of them, and it isn't about the messages."""
STALLED = 20.0
"""Seconds after which a message whose reading fails isn't asked for in another form at once."""
TOLD_AFTER = 3600.0
GIVEN_UP_AFTER = 86_400.0
LONGEST = 3600.0
"""Seconds: after which a message that can't be read is told of, after which it isn't tried any more, and between two
tries at most."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A message that couldn't be read `since` then, to be tried again at `again`; both in seconds since 1970. `memo` is
    the adapter's own. `alone`: others could be read meanwhile."""

    since: float
    again: float
    why: str
    memo: str = ""
    alone: bool = False

    def encode(self) -> list[float | str]:
        return [round(self.since), round(self.again), self.why, self.memo, self.alone]

    @classmethod
    def decode(cls, value: Iterable[float | str]) -> Failing:
        since, again, why, memo, *rest = value
        return cls(float(since), float(again), str(why), str(memo), bool(rest and rest[0]))


class Batch:
    """Messages read one after the other by `read`, which is given an id and what to keep of it while it fails; it
    gives None for a message that has gone, or is none that came in. `failing`: what earlier polls couldn't read."""

    def __init__(
        self, read: Callable[[str, str], IncomingMessage | None], failing: Mapping[str, Failing]
    ) -> None:
        self._read = read
        self._now = time.time()
        self._until = time.monotonic() + BATCH_SECONDS
        self._seen: set[str] = set()
        self._bytes = 0
        self.messages: list[IncomingMessage] = []
        self.stopped: MailTemporary | None = None
        self.failing = {k: f for k, f in failing.items() if self._now - f.since < GIVEN_UP_AFTER}
        for message_id, known in list(self.failing.items()):
            if known.again <= self._now and time.monotonic() < self._until:
                self._one(message_id, known.memo)

    def take(self, some: Mapping[str, str], *, may_stop: bool) -> bool:
        """Read these, by id with the memo of each. False, where it `may_stop` before them: the batch is full or has taken
        long, or the provider has stopped answering; False too where it `stopped`."""
        fresh = {i: memo for i, memo in some.items() if i not in self._seen and i not in self.failing}
        full = len(self.messages) + len(fresh) > BATCH or self._bytes >= BATCH_BYTES
        full = full or time.monotonic() >= self._until
        if fresh and full and may_stop:
            return False
        try:
            for message_id, memo in fresh.items():
                self._one(message_id, memo)
                if self.stopped is not None:
                    return False
        except MailError:
            if not may_stop or not self.messages:
                raise
            return False
        return True

    def _one(self, message_id: str, memo: str) -> None:
        try:
            message = self._read(message_id, memo)
        except (MailTemporary, MailRefused) as exc:
            before = self.failing.get(message_id)
            young = (f for f in self.failing.values() if not f.alone and self._now - f.since < TOLD_AFTER)
            if before is None and sum(1 for _ in young) >= FEW:
                self.stopped = MailTemporary(str(exc))
                return
            since = before.since if before else self._now
            wait = min(max(self._now - since, 60.0), LONGEST)
            self.failing[message_id] = Failing(
                since, self._now + wait, str(exc), memo, bool(before and before.alone)
            )
            return
        self.failing.pop(message_id, None)
        self._seen.add(message_id)
        if message is not None:
            self.failing = {k: replace(f, alone=True) for k, f in self.failing.items()}
            self.messages.append(message)
            self._bytes += len(message.raw)

    def sorted(self) -> list[IncomingMessage]:
        """What was read, oldest first."""
        return sorted(self.messages, key=lambda m: m.received_at)

    def unread(self) -> list[Unread]:
        """What couldn't be read for so long that somebody should know."""
        return unread(self.failing, self._now)


def unread(failing: Mapping[str, Failing], now: float) -> list[Unread]:
    """Those that have been failing for so long."""
    return [Unread(i, f.why) for i, f in failing.items() if now - f.since >= TOLD_AFTER]
