"""A drain goes on with what it claimed ahead: nobody waits for a claim, and every promise holds as before."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, draining
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.harness import House, wait_until
from tests.mail.hostile import HostileTransport


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    env = {
        "OUTREACH_LEASE_SECONDS": "600",
        "OUTREACH_DRAIN_SECONDS": "300",
        "OUTREACH_MAX_PARALLEL_SENDS": "3",
    }
    made = House(tmp_path / "home", database_url, env)
    transport = made.engine.transport
    yield made
    made.engine.transport = transport
    made.close()


def due(house: House, count: int) -> tuple[Sequence, Mailbox]:
    """A sequence of one e-mail with so many people, all due now."""
    box = house.hostile()
    seq = Sequence.create("One", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, are you open to talk?")
    seq.add_email(body="Just checking.", when=Later(days=3))
    seq.enroll(house.people(count))
    seq.activate()
    return seq, house.trusted(box)


class Watched:
    """The house's provider, with `meanwhile` run during each send; how many were under way at once, at most."""

    def __init__(self, house: House, meanwhile: Callable[[int], object]) -> None:
        self.most = self.now = self.begun = 0
        lock = threading.Lock()
        assert house.provider is not None
        provider = house.provider

        class Transport(HostileTransport):
            def send_draft(inner, provider_draft_id: str) -> Any:
                with lock:
                    self.now += 1
                    self.begun += 1
                    number = self.begun
                    self.most = max(self.most, self.now)
                try:
                    meanwhile(number)
                    return super().send_draft(provider_draft_id)
                finally:
                    with lock:
                        self.now -= 1

        house.engine.transport = lambda row: Transport(provider, row["address"], timeout=1.0)


def drains(house: House, *, threads: int, count: int) -> Callable[[], None]:
    """So many drains at once, in threads; what waits for their end."""

    def drain() -> None:
        dispatch.drain_sends(house.engine, threads=threads)
        house.engine.store.idle()

    running = [threading.Thread(target=drain) for _ in range(count)]
    for thread in running:
        thread.start()

    def join() -> None:
        for thread in running:
            thread.join(90)
        assert not any(t.is_alive() for t in running)

    return join


def once_each(house: House, box: Mailbox, count: int) -> None:
    assert house.witness(box) == Counter(
        {(f"p{n}@candidate{n}.example", f"Hello P{n}"): 1 for n in range(count)}
    )
    store = house.engine.store
    assert store.rows("SELECT id, state FROM outbox WHERE state <> 'sent' OR claimed_at IS NOT NULL") == []


@pytest.mark.rule(7)
def test_drains_that_pass_places_on_never_exceed_the_cap(house: House) -> None:
    _, box = due(house, 60)
    seen = Watched(house, lambda n: time.sleep(0.002 + n * 7 % 5 * 0.004))
    drains(house, threads=3, count=3)()
    once_each(house, box, 60)
    assert 1 < seen.most <= 3


@pytest.mark.rule(14)
@pytest.mark.parametrize("failpoint", ["after_sent:2", "after_sending:4", "after_claim:5"])
def test_what_a_killed_drain_had_in_hand_leaves_once_its_lease_is_out(
    tmp_path: Path, database_url: str, failpoint: str
) -> None:
    env = {"OUTREACH_LEASE_SECONDS": "1", "OUTREACH_MAX_PARALLEL_SENDS": "2"}
    house = House(tmp_path / "home", database_url, env)
    seq, box = due(house, 20)
    assert house.drain(failpoint=failpoint, threads=2) == -9
    assert waiting(house) > 0
    wait_until(
        lambda: dispatch.drain_sends(house.engine, threads=2) == {} and _all_sent(house, 20), every=0.2
    )
    once_each(house, box, 20)
    assert seq.journey("p19@candidate19.example").steps["status"][0] == "sent"
    house.close()


def waiting(house: House) -> int:
    """How many e-mails are in hand."""
    return int(house.engine.store.value("SELECT COUNT(*) FROM outbox WHERE ahead AND state = 'claimed'"))


def _all_sent(house: House, count: int) -> bool:
    return bool(house.engine.store.value("SELECT COUNT(*) FROM outbox WHERE state = 'sent'") == count)


@pytest.mark.rule(14)
def test_who_is_cancelled_while_in_hand_is_not_written_to(house: House) -> None:
    house.engine.cap = 1
    seq, box = due(house, 6)

    def cancel(number: int) -> None:
        if number == 1:
            wait_until(lambda: waiting(house) == 5)
            seq.journey("p1@candidate1.example").cancel()
            seq.journey("p2@candidate2.example").pause()

    Watched(house, cancel)
    dispatch.drain_sends(house.engine, threads=1)
    written = sorted(who for who, _ in house.witness(box))
    assert written == [f"p{n}@candidate{n}.example" for n in (0, 3, 4, 5)]
    seq.journey("p2@candidate2.example").resume()
    dispatch.drain_sends(house.engine, threads=1)
    assert house.witness(box)["p2@candidate2.example", "Hello P2"] == 1
    assert house.witness(box)["p1@candidate1.example", "Hello P1"] == 0


@pytest.mark.rule(9)
def test_who_changed_while_in_hand_is_written_to_as_they_are_now(house: House) -> None:
    house.engine.cap = 1
    _, box = due(house, 3)

    def rename(number: int) -> None:
        if number == 1:
            time.sleep(draining.LOOK_EVERY * 3)
            house.engine.store.write("UPDATE candidates SET first_name = 'Renamed' WHERE first_name = 'P1'")
            time.sleep(1.0)

    Watched(house, rename)
    dispatch.drain_sends(house.engine, threads=1)
    assert house.witness(box)["p1@candidate1.example", "Hello Renamed"] == 1


@pytest.mark.rule(7)
def test_what_waits_behind_slow_sends_is_given_to_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "OVERSTAYED", 0.3)
    _, box = due(house, 12)
    house.engine.cap = 2
    go_on = threading.Event()
    Watched(house, lambda n: go_on.wait(300) if n in (1, 2) else None)
    slow = drains(house, threads=2, count=1)
    try:
        wait_until(lambda: waiting(house) == 10)
        house.engine.cap = 4
        wait_until(
            lambda: dispatch.drain_sends(house.engine, threads=2) == {} and len(house.witness(box)) == 10
        )
        assert len(house.witness(box)) == 10, "all but the two that hang"
    finally:
        go_on.set()
        slow()
    once_each(house, box, 12)


@pytest.mark.rule(14)
def test_a_drain_that_is_stopped_gives_back_what_it_has_in_hand(house: House) -> None:
    house.engine.cap = 1
    _, box = due(house, 8)
    stop = threading.Event()

    def halt(number: int) -> None:
        wait_until(lambda: waiting(house) == 7)
        stop.set()
        wait_until(lambda: waiting(house) == 0)

    Watched(house, halt)
    assert dispatch.drain_sends(house.engine, threads=1, stop=stop) == {"sent": 1}
    Watched(house, lambda n: None)
    # At once: nobody has to wait for a lease.
    assert dispatch.drain_sends(house.engine, threads=1) == {"sent": 7}
    once_each(house, box, 8)


@pytest.mark.rule(13)
def test_one_that_cannot_leave_gives_its_place_to_the_next_all_the_same(house: House) -> None:
    house.engine.cap = 1
    box = house.hostile()
    seq = Sequence.create("Tea", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, {{ favourite }}?")
    seq.enroll([{**who, "Favourite": "tea" if n % 2 == 0 else ""} for n, who in enumerate(house.people(5))])
    seq.activate()
    house.trusted(box)
    assert dispatch.drain_sends(house.engine, threads=1) == {"sent": 3, "missing_field": 2}
    assert len(house.witness(box)) == 3


@pytest.mark.rule(32)
def test_once_all_sending_is_halted_nothing_in_hand_goes_on(house: House) -> None:
    house.engine.cap = 1
    _, box = due(house, 6)
    assert house.provider is not None

    def halt(number: int) -> None:
        wait_until(lambda: waiting(house) == 5)
        Workspace(house.session).halt()

    Watched(house, halt)
    dispatch.drain_sends(house.engine, threads=1)
    assert len(house.witness(box)) == 1
    assert house.provider.calls("create_draft") == 1
    Workspace(house.session).resume()
    Watched(house, lambda n: None)
    dispatch.drain_sends(house.engine, threads=1)
    once_each(house, box, 6)


@pytest.mark.rule(7)
def test_a_drain_whose_time_is_over_sends_what_it_has_in_hand(house: House) -> None:
    _, box = due(house, 60)
    house.engine.drain_for = dt.timedelta(seconds=0.4)
    Watched(house, lambda n: time.sleep(0.03))
    drains = 0
    while dispatch.drain_sends(house.engine, threads=3):
        drains += 1
    assert drains > 1
    once_each(house, box, 60)
    assert house.engine.store.value("SELECT MAX(generation) FROM outbox") == 1, "nothing was claimed twice"
