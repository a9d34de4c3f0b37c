"""Many deliveries in no order, and what an ordered world would have made of them."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.service import senders
from tests.service.senders import Delivery

DAY = dt.timedelta(days=1)


@dataclass
class Step:
    """One thing that happened: what tells of it, and what it means. `make` signs afresh each time."""

    make: Callable[..., Delivery]
    person: str
    booking: str
    at: dt.datetime
    status: str
    starts: dt.datetime | None


class Storm:
    """`count` deliveries about people p0, p1, … of `House.people`, the last tenth of whom are only forged about."""

    def __init__(self, count: int, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.began = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.steps: list[Step] = []
        self.people = 0
        genuine = int(count * 0.95 / 1.3)
        while len(self.steps) < genuine:
            self._story(self.people)
            self.people += 1
        self.steps = self.steps[:genuine]
        self.untouched = max(5, self.people // 10)
        plan: list[tuple[str, Step]] = [("good", step) for step in self.steps]
        plan += [("good", self.random.choice(self.steps)) for _ in range(int(genuine * 0.3))]
        bad = count - len(plan)
        for _ in range(bad):
            victim = self._address(self.people + self.random.randrange(self.untouched))
            step = self._booked(victim, f"forged-{self.random.getrandbits(60):x}", self.began + DAY)
            plan.append((self.random.choice(["forged", "stale", "bent"]), step))
        self.random.shuffle(plan)
        self.plan = plan
        self.bad = bad

    @staticmethod
    def _address(n: int) -> str:
        return f"p{n}@candidate{n}.example"

    def _booked(self, who: str, name: str, at: dt.datetime, **more: Any) -> Step:
        starts = at + DAY * self.random.uniform(1, 20)
        uri = f"https://api.calendly.com/i/{name}"

        spelt = self.random.choice([who, who.upper(), who.replace("@", "+c@")])

        def make(**how: Any) -> Delivery:
            return senders.calendly(spelt, invitee=uri, booked=at, starts=starts, **more, **how)

        return Step(make, who, uri, at, "scheduled", starts)

    def _dropped(self, step: Step, at: dt.datetime, *, moved: bool) -> Step:
        def make(**how: Any) -> Delivery:
            return senders.calendly(
                step.person,
                event="invitee.canceled",
                invitee=step.booking,
                booked=step.at,
                starts=step.starts,
                canceled=at,
                rescheduled=moved,
                **how,
            )

        return Step(make, step.person, step.booking, at, "moved" if moved else "canceled", step.starts)

    def _story(self, n: int) -> None:
        who, at = self._address(n), self.began + dt.timedelta(minutes=self.random.randrange(1, 600))
        hour = dt.timedelta(hours=1)
        first = self._booked(who, f"{n}-a", at)
        kind = self.random.choice(["booked", "dropped", "moved", "moved-dropped", "alone"])
        if kind == "alone":  # its booking never arrives: nothing stops
            self.steps.append(self._dropped(first, at + hour, moved=False))
            return
        self.steps.append(first)
        if kind == "dropped":
            self.steps.append(self._dropped(first, at + hour, moved=False))
        if kind.startswith("moved"):
            second = self._booked(who, f"{n}-b", at + hour, old=first.booking)
            self.steps += [self._dropped(first, at + hour, moved=True), second]
            if kind == "moved-dropped":
                self.steps.append(self._dropped(second, at + 2 * hour, moved=False))

    def oracle(self) -> tuple[set[str], dict[str, tuple[str, dt.datetime | None]]]:
        """Whose journeys stop, and the state of each booking: every step once, by the vendor's own times."""
        stopped: set[str] = set()
        bookings: dict[str, tuple[str, dt.datetime | None]] = {}
        for step in sorted(self.steps, key=lambda s: s.at):
            if step.status == "scheduled":
                stopped.add(step.person)
            bookings[step.booking] = (step.status, step.starts)
        return stopped, bookings

    def deliveries(self) -> list[tuple[bool, Delivery]]:
        """(genuine, what is sent), signed now."""
        made = []
        for how, step in self.plan:
            delivery = step.make(**({"secret": "guessed"} if how == "forged" else {}))
            if how == "stale":
                delivery = step.make(stamp=int(time.time()) - 600)
            if how == "bent":
                delivery.body = delivery.body.replace(b'"invitee.', b'"Invitee.')
            made.append((how == "good", delivery))
        return made


def send_all(
    deliveries: Sequence[tuple[bool, Delivery]],
    post: Callable[[Delivery], int],
    *,
    threads: int = 8,
    halfway: Callable[[], None] = lambda: None,
) -> list[tuple[int, float]]:
    """Post them from `threads` threads, `halfway` when half is sent; (status, seconds) of each, in order."""
    sent, guard = [0], threading.Lock()

    def one(item: tuple[bool, Delivery]) -> tuple[int, float]:
        with guard:
            sent[0] += 1
            now_half = sent[0] == len(deliveries) // 2
        if now_half:
            halfway()
        began = time.perf_counter()
        status = post(item[1])
        return status, time.perf_counter() - began

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, deliveries))


def outcome(rows: Callable[..., list[dict[str, Any]]]) -> tuple[set[str], dict[str, Any], dict[str, int]]:
    """(who was stopped, the state of each booking, deliveries by state), as the database has it."""
    stopped = {r["email"] for r in rows("SELECT email FROM journeys WHERE status = 'cancelled'")}
    bookings = {
        r["external_id"]: (r["status"], r["starts_at"])
        for r in rows("SELECT external_id, status, starts_at FROM bookings")
    }
    states = {
        r["state"]: int(r["n"]) for r in rows("SELECT state, COUNT(*) AS n FROM deliveries GROUP BY state")
    }
    return stopped, bookings, states
