"""Greenhouse tells that an interview was deleted by its number alone: whose it was is remembered from asking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from outreach_sdk.objects.workspace import notifications
from tests.ats.conftest import poll
from tests.ats.vendors import Vendors
from tests.harness import House
from tests.service import senders
from tests.service.test_bookings import BO, enrolled, give

Connect = Callable[..., House]
APPLICATION = 265277
SOON = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).replace(microsecond=0)


def told() -> list[str]:
    return [r["text"] for r in notifications().iter_rows(named=True)]


def cancelled() -> list[str]:
    return [t for t in told() if "was cancelled" in t]


@pytest.mark.rule(15)
@pytest.mark.parametrize("hooked", [True, False])
def test_a_deleted_interview_is_told_to_the_owner_and_restarts_nothing(
    database_url: str, connect: Connect, vendors: Vendors, hooked: bool
) -> None:
    house = connect(database_url, "greenhouse")
    seq = enrolled(house, 2)
    if hooked:
        give(house, senders.greenhouse(BO))
    vendors.put(APPLICATION, BO, starts=SOON)
    poll(house)
    assert seq.journey(BO).reason == "ats_interview"
    rows = give(house, senders.greenhouse_deleted(9000 + APPLICATION))
    assert rows[-1]["state"] == "done"
    (text,) = cancelled()
    assert "No e-mails start again by themselves" in text
    (row,) = house.engine.store.rows("SELECT status FROM bookings")
    assert row["status"] == "canceled"
    assert (seq.journey(BO).status, seq.journey("p1@candidate1.example").status) == ("cancelled", "active")
    give(house, senders.greenhouse_deleted(9000 + APPLICATION))
    assert len(cancelled()) == 1, "a repeat says nothing new"


@pytest.mark.rule(15)
def test_a_number_nobody_knows_calls_nothing_off(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    enrolled(house)
    vendors.put(APPLICATION, BO, starts=SOON)
    poll(house)
    # The second is the number of the kind of interview, which many people share.
    for number in (31087450, 2):
        rows = give(house, senders.greenhouse_deleted(number))
        assert rows[-1]["outcome"] == "It names nobody that could be found."
    assert not cancelled()
    assert house.engine.store.value("SELECT COUNT(*) FROM bookings WHERE status = 'scheduled'") == 1


@pytest.mark.rule(15)
def test_one_scheduled_anew_stands_though_the_old_one_was_deleted(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    enrolled(house)
    person = vendors.put(APPLICATION, BO, starts=SOON)
    poll(house)
    give(house, senders.greenhouse_deleted(9000 + APPLICATION))
    assert len(cancelled()) == 1
    # Another of the same kind, made before the old one was deleted, seen after.
    person.interview_id, person.starts = 77, SOON + dt.timedelta(days=1)
    poll(house)
    (row,) = house.engine.store.rows("SELECT status, starts_at FROM bookings WHERE stood")
    assert row == {"status": "scheduled", "starts_at": SOON + dt.timedelta(days=1)}
    give(house, senders.greenhouse_deleted(9000 + APPLICATION))  # Greenhouse repeats itself
    assert house.engine.store.value("SELECT status FROM bookings WHERE stood") == "scheduled"
    give(house, senders.greenhouse_deleted(77))
    assert house.engine.store.value("SELECT status FROM bookings WHERE stood") == "canceled"
    assert len(cancelled()) == 2


@pytest.mark.rule(15)
def test_one_deleted_before_anybody_knew_whose_it_was_doesnt_stand(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    seq = enrolled(house)
    give(house, senders.greenhouse_deleted(9000 + APPLICATION))
    vendors.put(APPLICATION, BO, starts=SOON, updated=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2))
    poll(house)  # what was answered before it was deleted
    assert house.engine.store.value("SELECT status FROM bookings WHERE stood") == "canceled"
    assert seq.journey(BO).status == "cancelled", "it had one when it was enrolled"
    assert len(cancelled()) == 1
