"""Deliveries that prove or tell too little: their own system is asked, and what it answers counts."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import deliveries, looking
from tests.harness import House
from tests.service import senders
from tests.service.senders import ENV
from tests.service.test_bookings import BO, enrolled, give

NOW = dt.datetime.now(dt.UTC)
SOON = NOW + dt.timedelta(days=3)
Answer = tuple[int, dict[str, str], bytes]


def good(data: Any) -> Answer:
    return 200, {}, json.dumps(data).encode()


class Vendor:
    """Ashby and Lever on loopback, as documented, with the faults that are put in front."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.faults: list[Answer] = []
        self.canceled = False
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, data = vendor.answer(self.path, self.headers.get("Authorization", ""), body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _do

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, auth: str, body: bytes) -> Answer:
        self.asked.append(path)
        if self.faults:
            return self.faults.pop(0)
        if auth != "Basic " + base64.b64encode(b"the-key:").decode():
            return 401, {}, b""
        data = json.loads(body or b"{}")
        ms = int(SOON.timestamp() * 1000)
        dropped = int(NOW.timestamp() * 1000) if self.canceled else None
        status = "Cancelled" if self.canceled else "Scheduled"
        if path == "/application.info":
            if data["applicationId"] != "a1":
                return good({"success": False, "errors": ["application_not_found"]})
            return good({"success": True, "results": {"candidate": {"primaryEmailAddress": {"value": BO}}}})
        if path == "/interviewSchedule.list":
            if "cursor" not in data:
                other = {"id": "i0", "applicationId": "somebody-else", "status": "Scheduled"}
                more = {"moreDataAvailable": True, "nextCursor": "n2"}
                return good({"success": True, "results": [other], **more})
            mine = {"id": "i1", "applicationId": "a1", "status": status, "createdAt": senders.iso(NOW)}
            mine["interviewEvents"] = [{"startTime": senders.iso(SOON)}]  # type: ignore[assignment]
            return good({"success": True, "results": [mine], "moreDataAvailable": False})
        if path == "/opportunities/3410c8b9":
            return good({"data": {"id": "3410c8b9", "emails": [BO]}})
        if path == "/opportunities/3410c8b9/interviews?limit=100":
            return good({"data": [], "hasNext": True, "next": "t2"})
        if path == "/opportunities/3410c8b9/interviews?limit=100&offset=t2":
            mine = {"id": "i1", "subject": "On-site", "date": ms, "canceledAt": dropped}  # type: ignore[dict-item]
            return good({"data": [mine], "hasNext": False})
        return 404, {}, b"{}"


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def house(tmp_path: Path, database_url: str, vendor: Vendor) -> Iterator[House]:
    more = {f"OUTREACH_{n}_API_KEY": "the-key" for n in ("ASHBY", "LEVER")}
    more |= {f"OUTREACH_{n}_ENDPOINT": vendor.url for n in ("ASHBY", "LEVER")}
    made = House(tmp_path / "home", database_url, {**ENV, **more})
    made.engine.connected = ()  # this server knows nothing of who is in process
    yield made
    for name in ("ashby", "lever"):
        made.engine.asker(name)._api._session.close()  # type: ignore[union-attr]
    made.close()


def ashby() -> senders.Delivery:
    return senders.ashby("x@nowhere.example", action="interviewScheduleCreate")


def lever() -> senders.Delivery:
    return senders.lever("x@nowhere.example")


@pytest.mark.rule(15)
@pytest.mark.parametrize("make", [ashby, lever])
def test_what_tells_too_little_is_asked_about_and_then_stops_the_journey(
    house: House, vendor: Vendor, make: Callable[[], senders.Delivery]
) -> None:
    seq = enrolled(house)
    give(house, make(), make())
    assert seq.journey(BO).status == "active"
    assert looking.drain(house.engine) == 2
    assert seq.journey(BO).reason == "ats_interview"
    rows = house.engine.store.rows("SELECT state, outcome FROM deliveries ORDER BY id")
    assert [r["state"] for r in rows] == ["done", "done"]
    assert not looking.waiting(house.engine)
    assert house.engine.store.value("SELECT COUNT(*) FROM bookings") == 1
    assert house.engine.store.value("SELECT starts_at FROM bookings") is not None


@pytest.mark.parametrize("make", [ashby, lever])
def test_what_was_called_off_meanwhile_stops_nothing(
    house: House, vendor: Vendor, make: Callable[[], senders.Delivery]
) -> None:
    vendor.canceled = True
    seq = enrolled(house)
    give(house, make())
    looking.drain(house.engine)
    assert seq.journey(BO).status == "active"
    assert house.engine.store.value("SELECT status FROM bookings") == "canceled"


FAULTS: dict[str, Answer] = {
    "denied": (401, {}, b""),
    "busy": (429, {"Retry-After": "600"}, b""),
    "broken": (500, {}, b"<html>"),
    "junk": (200, {}, b"[1, 2"),
    "a list": (200, {}, b"[]"),
    "elsewhere": (302, {"Location": "http://127.0.0.1:9/"}, b""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_system_that_fails_is_asked_again_and_the_answer_counts(
    house: House, vendor: Vendor, fault: str
) -> None:
    vendor.faults = [FAULTS[fault]]
    seq, store = enrolled(house), house.engine.store
    give(house, lever())
    looking.drain(house.engine)
    row = store.one("SELECT * FROM deliveries")
    assert row is not None
    assert row["state"] == "lookup"
    assert "the-key" not in row["outcome"]
    least = {"busy": 590, "denied": 1700}.get(fault, 20)
    assert (row["look_at"] - dt.datetime.now(dt.UTC)).total_seconds() > least
    assert len(vendor.asked) == 1
    store.write("UPDATE deliveries SET look_at = ?", NOW)
    looking.drain(house.engine)
    assert seq.journey(BO).reason == "ats_interview"


def test_asking_ends_and_then_a_person_decides(house: House, vendor: Vendor) -> None:
    seq, store = enrolled(house), house.engine.store
    vendor.faults = [FAULTS["broken"]] * looking.DEAD_AFTER
    (row,) = give(house, lever())
    for _ in range(looking.DEAD_AFTER):
        store.write("UPDATE deliveries SET look_at = ? WHERE look_at IS NOT NULL", NOW)
        looking.drain(house.engine)
    assert store.value("SELECT state FROM deliveries") == "dead"
    assert not looking.waiting(house.engine)
    assert deliveries.replay(house.engine, row["id"]).state == "lookup"
    looking.drain(house.engine)
    assert seq.journey(BO).reason == "ats_interview"


@pytest.mark.parametrize(
    "fault", [(404, {}, b"{}"), good({"success": False, "errors": ["application_not_found"]})]
)
def test_what_its_system_does_not_know_is_ignored(house: House, vendor: Vendor, fault: Answer) -> None:
    vendor.faults = [fault]
    seq = enrolled(house)
    give(house, ashby())
    looking.drain(house.engine)
    assert house.engine.store.value("SELECT state FROM deliveries") == "ignored"
    assert seq.journey(BO).status == "active"


def test_without_a_key_it_stays_listed_until_there_is_one(house: House, vendor: Vendor) -> None:
    askable, house.engine.askable = house.engine.askable, ()
    seq = enrolled(house)
    give(house, lever())
    assert looking.drain(house.engine) == 0
    assert house.engine.store.value("SELECT state FROM deliveries") == "lookup"
    assert vendor.asked == []
    house.engine.askable = askable
    looking.drain(house.engine)
    assert seq.journey(BO).status == "cancelled"
