"""A computer's clock that goes ahead and comes back silences nobody, and keeps nobody alive who isn't."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch, sync
from outreach_sdk.engine.identity import check_identity, note_seen
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import Clock, go
from tests.harness import House


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    # A drain of a moment: the test's clock stands still while one waits for a slot.
    env = {"OUTREACH_STAGGER_SECONDS": "3", "OUTREACH_DRAIN_SECONDS": "0.1"}
    made = House(tmp_path / "home", database_url, env=env)
    yield made
    made.close()


def sending(house: House, people: int = 6) -> Mailbox:
    box = house.local()
    seq = Sequence.create("Out", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.enroll(house.people(people))
    seq.activate()
    return box


def moments(house: House) -> list[dt.datetime]:
    rows = house.engine.store.rows("SELECT sending_at FROM outbox WHERE state = 'sent' ORDER BY sending_at")
    return [row["sending_at"] for row in rows]


@pytest.mark.parametrize("ahead", [dt.timedelta(days=1), dt.timedelta(hours=2)])
def test_a_day_ahead_and_back_goes_on_at_once_and_keeps_the_spacing(
    house: House, ahead: dt.timedelta
) -> None:
    box, clock = sending(house), Clock(house)
    go(house)
    clock.on(seconds=4)
    clock.now += ahead
    go(house)
    clock.on(seconds=4)
    go(house)
    assert sync.poll_mailbox(house.engine, box.id) == 0
    assert sum(house.witness(box).values()) == 3
    store = house.engine.store
    store.write(
        "UPDATE mailboxes SET wait_until = ?, wait_reason = 'busy'", clock.now + dt.timedelta(minutes=1)
    )
    clock.now -= ahead
    for _ in range(40):
        clock.on(seconds=2)
        go(house)
    assert sum(house.witness(box).values()) == 6
    assert all(b - a >= dt.timedelta(seconds=3) for a, b in pairwise(moments(house)))
    assert store.value("SELECT 1 FROM mailboxes WHERE polled_at > ?", clock.now) is None
    assert store.value("SELECT 1 FROM mailboxes WHERE next_poll_at <= ?", clock.now) == 1, "replies are due"


def test_another_machines_clock_ahead_holds_a_mailbox_up_no_longer_than_its_spacing(house: House) -> None:
    box, clock = sending(house, 2), Clock(house)
    go(house)
    far = clock.now + dt.timedelta(hours=6)
    house.engine.store.write(
        "UPDATE mailboxes SET last_call_at = ?, next_slot_at = ?, next_poll_at = ?", far, far, far
    )
    go(house)
    assert sum(house.witness(box).values()) == 1, "it counts as now: the spacing holds from here"
    clock.on(seconds=3)
    go(house)
    assert sum(house.witness(box).values()) == 2


def test_spacing_of_ten_minutes_and_a_limit_of_the_mailbox_stay_as_they_are(house: House) -> None:
    box, clock = sending(house, 4), Clock(house)
    box.spacing = 600
    box.set_limits(per_day=2)
    clock.on(minutes=10)
    for _ in range(12):
        go(house)
        clock.on(minutes=5)
    times = moments(house)
    assert len(times) == 2
    assert times[1] - times[0] >= dt.timedelta(minutes=10)
    assert box.waits is not None


def test_who_beat_in_the_future_is_dead(house: House) -> None:
    clock = Clock(house)
    for role in ("clock", "send"):
        dispatch.beat(house.engine, role, f"{role}-1", clock.now)
    assert dispatch.alive(house.engine) == {"clock": 1, "send": 1}
    clock.on(hours=5)
    for role in ("clock", "send"):
        dispatch.beat(house.engine, role, f"{role}-1", clock.now)
    clock.on(hours=-5)
    assert dispatch.alive(house.engine) == {}
    dispatch.beat(house.engine, "send", "send-1", clock.now)
    assert dispatch.alive(house.engine) == {"send": 1}, "who lives says so"


def test_the_database_isnt_taken_for_one_rolled_back(house: House) -> None:
    clock = Clock(house)
    assert check_identity(house.engine, house.home) is None
    go(house)
    clock.on(days=1)
    go(house)
    note_seen(house.engine, house.home)
    clock.on(days=-1)
    go(house)
    note_seen(house.engine, house.home)
    assert check_identity(house.engine, house.home) is None
    assert house.engine.store.value("SELECT COUNT(*) FROM outages WHERE ended_at > ?", clock.now) == 0
