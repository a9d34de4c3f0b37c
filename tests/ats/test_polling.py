"""Systems asked for interviews: what is found counts once, whichever way it came first."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from outreach_sdk.engine import looking, polling, polls
from outreach_sdk.objects.workspace import notifications
from tests.ats.conftest import poll
from tests.ats.vendors import Vendors
from tests.harness import House
from tests.service import senders
from tests.service.test_bookings import BO, enrolled, give

Connect = Callable[..., House]
DI = "p1@candidate1.example"
NOW = dt.datetime.now(dt.UTC)
SOON = (NOW + dt.timedelta(days=3)).replace(microsecond=0)
POLLED = ("greenhouse", "lever", "ashby", "merge", "bullhorn")


@pytest.mark.rule(15)
@pytest.mark.parametrize("vendor", POLLED)
def test_an_interview_that_is_asked_for_stops_the_journey(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    seq = enrolled(house, 2)
    for n in range(3):
        vendors.put(10 + n, f"x{n}@elsewhere.example", starts=SOON)
    vendors.put(20, BO, starts=SOON)
    assert poll(house) >= 1
    assert (seq.journey(BO).status, seq.journey(BO).reason) == ("cancelled", "ats_interview")
    assert seq.journey(DI).status == "active"
    row = house.engine.store.one("SELECT source, starts_at FROM bookings WHERE starts_at IS NOT NULL")
    assert row == {"source": vendor, "starts_at": SOON}
    texts = [r["text"] for r in notifications().iter_rows(named=True)]
    assert len(texts) == 1
    assert "Their e-mails have stopped" in texts[0]
    stored = house.engine.store.value("SELECT COUNT(*) FROM deliveries")
    poll(house)
    assert house.engine.store.value("SELECT COUNT(*) FROM deliveries") == stored, "nothing counts twice"
    assert notifications().height == 1


@pytest.mark.rule(15)
def test_what_a_webhook_told_before_is_the_same_interview(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    seq = enrolled(house)
    give(house, senders.greenhouse(BO))
    assert seq.journey(BO).reason == "ats_interview"
    vendors.put(265277, BO, starts=SOON)
    poll(house)
    assert house.engine.store.value("SELECT COUNT(*) FROM bookings") == 1
    assert house.engine.store.one("SELECT starts_at FROM bookings") == {"starts_at": SOON}
    assert len([t for t in notifications()["text"] if "have stopped" in t]) == 1


@pytest.mark.parametrize("vendor", ["ashby", "merge", "bullhorn"])
def test_one_that_was_called_off_is_told_of_and_restarts_nothing(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    seq = enrolled(house)
    vendors.put(20, BO, starts=SOON)
    poll(house)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    vendors.put(20, BO, starts=SOON, dropped=True, updated=later)
    poll(house)
    assert house.engine.store.value("SELECT status FROM bookings") == "canceled"
    assert seq.journey(BO).status == "cancelled"
    assert any("was cancelled" in t for t in notifications()["text"])


def test_what_is_over_isnt_taken_in_nor_what_names_only_strangers(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "lever", "merge")
    enrolled(house)
    vendors.put(1, "stranger@elsewhere.example", starts=SOON)
    vendors.put(2, BO, starts=NOW - dt.timedelta(days=9))
    poll(house)
    rows = house.engine.store.rows("SELECT source, delivery_id FROM deliveries ORDER BY id")
    assert [r["source"] for r in rows] == ["lever:poll", "merge:poll"], (
        "who it is says Lever, when it is Merge"
    )
    assert rows[0]["delivery_id"].startswith("a2:")
    assert rows[1]["delivery_id"].startswith("i1:")


FAULTS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "denied": (401, {}, b""),
    "busy": (429, {"Retry-After": "600"}, b""),
    "broken": (500, {}, b"<html>"),
    "junk": (200, {}, b"[1, 2"),
    "another shape": (200, {}, b'"x"'),
    "elsewhere": (302, {"Location": "http://127.0.0.1:9/"}, b""),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("vendor", ["greenhouse", "ashby"])
def test_a_system_that_fails_is_asked_again_from_where_it_failed(
    tmp_path: Any, connect: Connect, vendors: Vendors, vendor: str, fault: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor)
    seq, store = enrolled(house), house.engine.store
    store.write("DELETE FROM ats_polls WHERE what = 'people'")
    vendors.put(20, BO, starts=SOON)
    vendors.faults = [("interview", FAULTS[fault])]
    assert poll(house) == 0
    row = store.one("SELECT * FROM ats_polls")
    assert row is not None
    least = {"busy": 590, "denied": 1700}.get(fault, 20)
    assert (row["next_at"] - dt.datetime.now(dt.UTC)).total_seconds() > least
    assert row["error"]
    assert "the-key" not in row["error"]
    assert row["complete_at"] is None
    poll(house)
    assert seq.journey(BO).status == "cancelled"
    assert store.value("SELECT error FROM ats_polls") is None


def test_a_killed_poll_is_gone_on_with_and_one_that_came_late_moves_no_cursor(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "ashby")
    seq, store = enrolled(house), house.engine.store
    store.write("DELETE FROM ats_polls WHERE what = 'people'")
    vendors.put(20, BO, starts=SOON)
    row = polls.claim(house.engine)
    assert row is not None
    assert polls.claim(house.engine) is None, "others leave it alone"
    store.write("UPDATE ats_polls SET next_at = ?", NOW)
    polling._one(house.engine, row)  # whose lease is over
    assert store.value("SELECT cursor FROM ats_polls") is None
    poll(house)
    assert seq.journey(BO).status == "cancelled"
    assert store.value("SELECT COUNT(*) FROM deliveries") == 1


def test_bullhorn_logs_in_again_when_its_session_ends_and_says_so_when_it_may_not(
    tmp_path: Any, connect: Connect, vendors: Vendors
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", "bullhorn")
    seq = enrolled(house)
    poll(house)
    vendors.over = True
    vendors.put(20, BO, starts=SOON)
    poll(house)
    assert vendors.sessions == 2
    assert seq.journey(BO).status == "cancelled"
    house.engine.asker("bullhorn")._password = "wrong"
    vendors.over = True
    poll(house)
    assert "refuses the user name" in str(house.engine.store.value("SELECT error FROM ats_polls"))


def test_what_has_no_key_isnt_polled(database_url: str, connect: Connect, vendors: Vendors) -> None:
    house = connect(database_url, "lever", "smartrecruiters")
    rows = house.engine.store.rows("SELECT source, what FROM ats_polls ORDER BY source, what")
    assert [(r["source"], r["what"]) for r in rows] == [
        ("lever", "hooks"),
        ("lever", "interviews"),
        ("lever", "people"),
        ("smartrecruiters", "hooks"),
        ("smartrecruiters", "people"),
    ]
    house.engine.connected = ()
    assert not polling.waiting(house.engine)
    polls.ensure(house.engine)
    assert house.engine.store.value("SELECT COUNT(*) FROM ats_polls") == 0


def nameless() -> senders.Delivery:
    """Greenhouse's, of somebody without an address in it."""
    made = senders.greenhouse(BO)
    data = json.loads(made.body)
    data["payload"]["application"]["candidate"]["email_addresses"] = []
    return senders.Delivery(made.path, json.dumps(data).encode(), made.headers)


@pytest.mark.rule(15)
@pytest.mark.parametrize(
    ("vendor", "make"),
    [
        ("greenhouse", nameless),
        ("merge", lambda: senders.merge(BO)),
        ("smartrecruiters", lambda: senders.smartrecruiters(BO)),
        ("teamtailor", lambda: senders.teamtailor(BO)),
    ],
)
def test_deliveries_that_name_nobody_are_asked_about(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str, make: Callable[[], senders.Delivery]
) -> None:
    house = connect(database_url, vendor)
    seq, store = enrolled(house), house.engine.store
    vendors.put(1, BO, starts=SOON)
    (row,) = give(house, make())
    assert row["state"] == "lookup"
    data = json.loads(bytes(row["body"]))
    where = {"merge": ("data", "application"), "smartrecruiters": ("", "interview_id")}.get(vendor)
    inner = (
        data["payload"].get("data", data["payload"].get("application"))
        if where is None
        else data.get(where[0], data)
    )
    inner["id" if where is None else where[1]] = "a1"  # the sample's own is somebody else's
    store.write("UPDATE deliveries SET body = ?", json.dumps(data).encode())
    looking.drain(house.engine)
    assert seq.journey(BO).reason == "ats_interview"
    assert store.value("SELECT state FROM deliveries ORDER BY id LIMIT 1") == "done"
