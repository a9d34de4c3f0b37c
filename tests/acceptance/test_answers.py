"""docs/answers.md, row by row: what a provider says, and what becomes of the e-mail, its journey and its mailbox."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import notifications
from tests.harness import ADDRESS, ROOT, House
from tests.mail import fault_proxy as gmail_faults
from tests.mail import graph_proxy as graph_faults
from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import Fault, FaultProxy
from tests.mail.graph_emulator import graph_emulator
from tests.mail.worlds import outlook_sent


@dataclass
class Desk:
    """A sequence of one e-mail for three people from one mailbox, on a clock that the test moves."""

    provider: str
    house: House
    box: Mailbox
    proxy: FaultProxy
    count_sent: object
    send_path: str
    create_path: str
    now: dt.datetime

    def __post_init__(self) -> None:
        self.house.engine.now = lambda: self.now
        self.seq = Sequence.create("One", mailbox=self.box, timezone="UTC")
        self.seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}")
        self.seq.enroll(self.house.people(3))

    def go(self, *faults: Fault) -> None:
        self.proxy.add(*faults)
        self.seq.activate()
        self.drain()

    def drain(self, by: dt.timedelta = dt.timedelta(0)) -> None:
        self.now += by
        dispatch.drain_sends(self.house.engine, threads=1)

    def sent(self) -> int:
        assert callable(self.count_sent)
        return int(self.count_sent())

    def asked(self) -> int:
        return self.proxy.count("POST", self.send_path)

    def statuses(self) -> list[tuple[str, str | None]]:
        table = self.seq.candidates()
        return list(zip(table["status"].to_list(), table["reason"].to_list(), strict=True))

    def told(self, kind: str) -> list[str]:
        table = notifications()
        return table.filter(table["kind"] == kind)["text"].to_list()

    def answer(self, row: str) -> Fault:
        status, reason, headers = ANSWERS[row][self.provider]
        path = self.create_path if row.startswith("draft") else self.send_path
        return Fault("answer", path=path, method="POST", status=status, reason=reason, headers=headers)


# Row of docs/answers.md -> provider -> (status, the vendor's reason, headers)
Wire = tuple[int, str, dict[str, str]]
ANSWERS: dict[str, dict[str, Wire]] = {
    "slow down": {
        "gmail": (429, "rateLimitExceeded", {"Retry-After": "300"}),
        "outlook": (429, "ApplicationThrottled", {"Retry-After": "300"}),
    },
    "the day's allowance is used up": {
        "gmail": (403, "dailyLimitExceeded", {}),
        "outlook": (403, "ErrorExceededMessageLimit", {}),
    },
    "this message can't be taken": {
        "gmail": (413, "uploadTooLarge", {}),
        "outlook": (403, "ErrorSendAsDenied", {}),
    },
    "the grant is gone": {
        "gmail": (403, "forbidden", {}),
        "outlook": (403, "ErrorAccessDenied", {}),
    },
    "draft: out of order": {
        "gmail": (503, "backendError", {}),
        "outlook": (503, "ErrorServerBusy", {}),
    },
    "draft: slow down": {
        "gmail": (429, "userRateLimitExceeded", {"Retry-After": "300"}),
        "outlook": (429, "ApplicationThrottled", {"Retry-After": "300"}),
    },
    "send: out of order": {
        "gmail": (503, "backendError", {}),
        "outlook": (504, "UnknownError", {}),
    },
}


@pytest.fixture(params=["gmail", "outlook"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Desk]:
    with ExitStack() as stack:
        env = {"OUTREACH_SEND_TIMEOUT": "5", "OUTREACH_DRAIN_SECONDS": "10"}
        count: object
        if request.param == "gmail":
            emulator = stack.enter_context(google_emulator(ADDRESS))
            proxy = stack.enter_context(gmail_faults.fault_proxy(emulator.base_url))
            env |= {
                "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
                "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
            }
            credentials = (emulator.refresh_token, emulator.client_id, emulator.client_secret)
            paths = (gmail_faults.SEND, gmail_faults.CREATE)
            count = lambda: len(emulator.sent())  # noqa: E731
        else:
            graph = stack.enter_context(graph_emulator(ADDRESS))
            proxy = graph_front = stack.enter_context(graph_faults.graph_proxy(graph.base_url))
            env |= {
                "OUTREACH_GRAPH_ENDPOINT": proxy.base_url,
                "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url,
            }
            credentials = (graph.refresh_token, graph.client_id, graph.client_secret)
            paths = (graph_faults.SEND, r"/me/messages(\?|$)")
            count = lambda: len(list(outlook_sent(graph, graph_front)))  # noqa: E731
        house = House(tmp_path / "home", database_url, env)
        box = Mailbox.from_refresh_token(
            request.param,
            ADDRESS,
            refresh_token=credentials[0],
            client_id=credentials[1],
            client_secret=credentials[2],
            name="Ada",
        )
        yield Desk(
            request.param, house, house.trusted(box), proxy, count, *paths, now=dt.datetime.now(dt.UTC)
        )
        house.close()


def test_the_table_in_the_docs_has_these_rows() -> None:
    table = (ROOT / "docs" / "answers.md").read_text()
    assert set(re.findall(r"^\| \*\*(.+?)\*\* \|", table, re.M)) == set(ANSWERS)
    for by_provider in ANSWERS.values():
        for status, reason, _ in by_provider.values():
            assert f"{status} {reason}" in table


@pytest.mark.rule(13)
@pytest.mark.parametrize("row", ["slow down", "draft: slow down"])
def test_slow_down_makes_the_mailbox_wait_as_long_as_it_says(desk: Desk, row: str) -> None:
    desk.go(dataclasses.replace(desk.answer(row), count=1))
    assert desk.sent() == 0
    asked = desk.proxy.count("POST", desk.create_path) + desk.asked()
    assert desk.box.waits is not None
    desk.drain(dt.timedelta(seconds=290))
    assert desk.proxy.count("POST", desk.create_path) + desk.asked() == asked, "nothing is asked meanwhile"
    desk.drain(dt.timedelta(seconds=20))
    assert desk.sent() == 3
    assert desk.statuses() == [("completed", None)] * 3
    assert desk.box.waits is None
    assert desk.told("send_failed") == []


@pytest.mark.rule(13)
def test_a_used_up_day_is_a_wait_that_is_told_and_not_a_failure(desk: Desk) -> None:
    desk.go(dataclasses.replace(desk.answer("the day's allowance is used up"), count=3))
    assert desk.sent() == 0
    assert len(desk.told("mailbox_waits")) == 1
    assert {status for status, _ in desk.statuses()} == {"active"}
    for _ in range(4):
        desk.drain(dt.timedelta(hours=1, seconds=1))
    assert desk.sent() == 3
    assert len(desk.told("mailbox_waits")) == 1


@pytest.mark.rule(13)
def test_a_message_that_cannot_be_taken_pauses_its_journey_alone(desk: Desk) -> None:
    desk.go(dataclasses.replace(desk.answer("this message can't be taken"), count=1))
    assert desk.sent() == 2
    assert sorted(desk.statuses()) == [("completed", None)] * 2 + [("paused", "send_failed")]
    assert len(desk.told("send_failed")) == 1


@pytest.mark.rule(12)
def test_a_lost_grant_pauses_everybody_and_reconnecting_resumes(desk: Desk) -> None:
    desk.go(dataclasses.replace(desk.answer("the grant is gone"), count=None))
    assert desk.sent() == 0
    assert desk.box.status == "reauthorise"
    assert desk.statuses() == [("paused", "reauthorise")] * 3
    assert len(desk.told("reauthorise")) == 1
    asked = desk.asked()
    desk.drain(dt.timedelta(hours=3))
    assert desk.asked() == asked


@pytest.mark.rule(13)
def test_an_outage_before_the_send_is_waited_out(desk: Desk) -> None:
    # As often as the reads and drafts are tried before a call gives up, four times over.
    desk.go(dataclasses.replace(desk.answer("draft: out of order"), count=None))
    for _ in range(3):
        desk.drain(dt.timedelta(minutes=16))
    assert desk.sent() == 0
    assert {status for status, _ in desk.statuses()} == {"active"}
    desk.proxy.clear()
    desk.drain(dt.timedelta(minutes=16))
    desk.drain(dt.timedelta(minutes=16))
    assert desk.sent() == 3


@pytest.mark.rule(14)
def test_an_outage_at_the_send_is_looked_up_and_never_doubled(desk: Desk) -> None:
    fault = dataclasses.replace(desk.answer("send: out of order"), kind="answer-after", count=2)
    desk.go(fault)
    for _ in range(6):
        desk.drain(dt.timedelta(minutes=3))
    assert desk.sent() == 3
    assert desk.statuses() == [("completed", None)] * 3
