"""Providers that stop in the middle, messages that can't be read, conversations that are gone, keys that don't fit:
whose trouble it is, who hears of it, and that everything else goes on."""

from __future__ import annotations

import base64
import email
import json
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from outreach_sdk import notifications
from outreach_sdk.config import Settings
from outreach_sdk.domain.journey import OutboxState
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.context import Engine
from outreach_sdk.mail import batch
from outreach_sdk.mail.gmail import api
from outreach_sdk.mail.local.client import LocalTransport
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.wiring import Transports, open_engine
from tests.acceptance.scenarios import Clock, NoWake, address, go
from tests.acceptance.test_gmail import Gmail, gmail
from tests.acceptance.test_outlook import Outlook, outlook
from tests.harness import ADDRESS, House
from tests.mail.fault_proxy import CREATE, HISTORY, SEND, Fault
from tests.mail.graph_proxy import POLL
from tests.mail.worlds import incoming

__all__ = ["gmail", "outlook"]

FETCH = r"/messages/[^/?]+\?"


def reply(at: Gmail, number: int = 0, *, sender: str | None = None) -> str:
    """A person answers their first e-mail, or somebody else writes."""
    raw = incoming("Re: Hello", "Gladly.")
    if sender is None:
        (first,) = [r for r in at.emulator.sent() if address(number).encode() in r]
        opening = str(email.message_from_bytes(first)["Message-ID"])
        raw, sender = incoming("Re: Hello", "Gladly.", in_reply_to=opening), address(number)
    return at.emulator.deliver(raw.replace(b"bo@candidate.example", sender.encode()))


def told(kind: str) -> list[str]:
    frame = notifications()
    return list(frame.filter(frame["kind"] == kind)["text"])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries of a call to Gmail."""
    monkeypatch.setattr(api, "random", SimpleNamespace(uniform=lambda *_: 0.0))


def looked(house: House) -> dict[str, int]:
    dispatch.tick(house.engine, NoWake())
    return dispatch.drain_polls(house.engine)


@pytest.mark.rule(16)
def test_one_message_that_cant_be_read_holds_up_neither_answers_nor_follow_ups(
    gmail: Gmail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TOLD_AFTER", -1.0)
    seq = gmail.start(people=2, delay=3600)
    clock = Clock(gmail.house)
    go(gmail.house)
    looked(gmail.house)
    bad = reply(gmail, sender="news@shop.example")
    gmail.proxy.add(Fault("answer", method="GET", path=rf"/messages/{bad}(?![\w-])", status=500, count=None))
    reply(gmail, 0)
    for _ in range(3):
        clock.on(minutes=6)
        assert looked(gmail.house)["failed"] == 0
    assert seq.journey(address(0)).reason == "replied"
    (text,) = told("message_unread")
    assert ADDRESS in text
    clock.on(hours=1)
    looked(gmail.house)
    go(gmail.house)
    assert seq.journey(address(1)).status == "completed"
    assert gmail.proxy.count("POST", CREATE) == 3


@pytest.mark.rule(13, 14)
def test_looks_that_fail_are_counted_and_told_and_make_one_draft(gmail: Gmail) -> None:
    seq = gmail.start(people=1, delay=3600)
    clock = Clock(gmail.house)
    go(gmail.house)
    looked(gmail.house)
    first = gmail.emulator.sent_ids()[0]
    gmail.proxy.add(
        Fault("answer", method="GET", path=rf"/messages/{first}(?![\w-])", status=500, count=None)
    )
    clock.on(hours=1, minutes=1)
    before = gmail.proxy.count("POST", CREATE)
    for _ in range(20):
        clock.on(minutes=15)
        looked(gmail.house)
        go(gmail.house, 2)
    for _ in range(20):
        clock.on(minutes=15)
        looked(gmail.house)
        go(gmail.house)
    assert gmail.proxy.count("POST", CREATE) - before == 1
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("paused", "send_failed")
    (text,) = told("send_failed")
    assert "500" in text
    assert sum(gmail.witness().values()) == 1


@pytest.mark.rule(16)
def test_follow_ups_that_are_due_together_share_one_reading(gmail: Gmail) -> None:
    gmail.start(people=12, delay=3600)
    clock = Clock(gmail.house)
    go(gmail.house)
    for n in range(8):
        reply(gmail, sender=f"news{n}@shop.example")
    clock.on(days=2)
    gmail.proxy.clear()
    dispatch.tick(gmail.house.engine, NoWake())
    dispatch.drain_sends(gmail.house.engine, threads=12)
    assert sum(gmail.witness().values()) == 24
    # The first poll of all lists, those after it ask for history.
    assert gmail.proxy.count("GET", rf"{HISTORY}|/messages\?") <= 3
    assert gmail.proxy.count("GET", FETCH) <= 20 + 12 + 12 + 2, (
        "the news, the threads, what was sent, where the list ends"
    )


@pytest.mark.rule(15, 16)
def test_catching_up_goes_on_where_gmail_stopped_and_its_time_is_waited_for(gmail: Gmail) -> None:
    seq = gmail.start(people=1, delay=3600)
    clock = Clock(gmail.house)
    go(gmail.house)
    looked(gmail.house)
    for n in range(9):
        reply(gmail, sender=f"news{n}@shop.example")
    reply(gmail, 0)
    usual, reads = gmail.proxy.pick, Counter[Any]()

    def four_in_ten_minutes(method: str, path: str) -> Fault | None:
        if method == "GET" and re.search(FETCH, path):
            spell = int(clock.now.timestamp() // 600)
            reads[spell] += 1
            if reads[spell] > 4:
                return Fault("answer", status=429, reason="rateLimitExceeded", headers={"Retry-After": "600"})
        return usual(method, path)

    gmail.proxy.pick = four_in_ten_minutes  # type: ignore[method-assign]
    clock.on(days=1)
    for _ in range(30):
        clock.on(minutes=2)
        looked(gmail.house)
        go(gmail.house)
    assert seq.journey(address(0)).reason == "replied"
    assert sum(gmail.witness().values()) == 1, "nothing leaves before all was read"
    assert max(reads.values()) <= 6, "asked again only after the time it was told to wait"
    assert told("answers_unseen") == [], "it was read on and on"


@pytest.mark.rule(16)
def test_outlooks_own_time_to_wait_is_waited_for(outlook: Outlook) -> None:
    outlook.start(people=1, delay=3600)
    clock = Clock(outlook.house)
    go(outlook.house)
    looked(outlook.house)
    outlook.proxy.clear()
    outlook.proxy.add(
        Fault("answer", method="GET", path=POLL, status=429, count=None, headers={"Retry-After": "900"})
    )
    clock.on(minutes=6)
    for _ in range(14):
        looked(outlook.house)
        clock.on(minutes=1)
    assert outlook.proxy.count("GET", POLL) == 1
    outlook.proxy.clear()
    clock.on(minutes=3)
    looked(outlook.house)
    assert outlook.proxy.count("GET", POLL) == 1


@pytest.mark.rule(16)
def test_a_mailbox_that_cant_be_read_for_hours_is_told_of_once(gmail: Gmail) -> None:
    gmail.start(people=1, delay=86_400)
    clock = Clock(gmail.house)
    go(gmail.house)
    looked(gmail.house)
    gmail.proxy.add(Fault("answer", method="GET", path=HISTORY, status=503, count=None))
    for hours in range(4):
        clock.on(hours=1)
        looked(gmail.house)
        assert len(told("answers_unseen")) == int(hours > 1)
    gmail.proxy.clear()
    clock.on(minutes=6)
    assert looked(gmail.house)["read"] == 1


@pytest.mark.rule(15, 16)
def test_killed_between_a_batch_and_its_cursor_no_message_is_lost(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    store = house.engine.store
    assert house.read() == 0
    inbox = house.engine.transport(store.one("SELECT * FROM mailboxes") or {})
    assert isinstance(inbox, LocalTransport)
    arrived = {inbox.deliver(incoming("News", str(n)).replace(b"bo@", b"news@")) for n in range(70)}
    arrived.add(
        inbox.deliver(incoming("Hi", "Gladly.").replace(b"bo@candidate.example", address(0).encode()))
    )

    def over() -> None:  # the lease of the reader that died
        store.write("UPDATE mailboxes SET reading_until = NULL, next_poll_at = 0")

    for kill in (1, 2):
        over()
        assert house.read(failpoint=f"batch_stored:{kill}") == -9
    over()
    assert house.read() == 0
    known = [r["provider_message_id"] for r in store.rows("SELECT provider_message_id FROM inbound")]
    assert sorted(k for k in known if k in arrived) == sorted(arrived)
    assert seq.journey(address(0)).reason == "replied"
    assert len(told("replied")) == 1


@pytest.mark.rule(10, 13)
def test_a_deleted_conversation_is_no_trouble_of_the_others(gmail: Gmail) -> None:
    seq = gmail.start(people=3, delay=3600)
    clock = Clock(gmail.house)
    go(gmail.house)
    gone = gmail.house.engine.store.value(
        "SELECT provider_thread_id FROM outbox WHERE recipient = ?", address(0)
    )
    forward = gmail.proxy.forward

    def deleted(method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        if (
            method == "POST"
            and re.search(CREATE, path)
            and json.loads(body)["message"].get("threadId") == gone
        ):
            missing = {"error": {"code": 404, "message": "Not found.", "errors": [{"reason": "notFound"}]}}
            return 404, [("Content-Type", "application/json")], json.dumps(missing).encode()
        return forward(method, path, body, headers)

    gmail.proxy.forward = deleted  # type: ignore[method-assign]
    clock.on(hours=2)
    go(gmail.house)
    assert set(seq.candidates()["status"]) == {"completed"}
    letters = [email.message_from_bytes(r) for r in gmail.emulator.sent() if address(0).encode() in r]
    (second,) = [m for m in letters if str(m["Subject"]) == "Re: Hello P0"]
    first = seq.journey(address(0)).steps["rfc_message_id"].to_list()[0]
    assert str(second["In-Reply-To"]) == first


@pytest.mark.rule(13)
def test_a_draft_that_cant_be_made_is_that_entrys_trouble_alone(gmail: Gmail) -> None:
    missing = Fault("answer", method="POST", path=CREATE, status=404, reason="notFound", count=1)
    gmail.proxy.add(missing)
    seq = gmail.start(people=3, delay=3600)
    Clock(gmail.house)
    dispatch.drain_sends(gmail.house.engine, threads=1)
    assert sum(gmail.witness().values()) == 2
    assert missing.struck == 1
    assert set(seq.candidates()["status"]) == {"active"}


def accepted_unseen(gmail: Gmail) -> tuple[Sequence, Clock]:
    """An e-mail that Gmail took, and nobody knows."""
    gmail.proxy.add(Fault("answer-after", path=SEND, status=504, count=1))
    seq = gmail.start(people=1, delay=86_400)
    clock = Clock(gmail.house)
    dispatch.drain_sends(gmail.house.engine, threads=1)
    return seq, clock


@pytest.mark.rule(13, 14)
def test_nobody_is_asked_whether_it_left_before_a_look_could_be_taken(gmail: Gmail) -> None:
    seq, clock = accepted_unseen(gmail)
    gmail.proxy.add(Fault("reset", path="/gmail/", count=None))
    for _ in range(3):
        clock.on(hours=3)
        go(gmail.house)
    assert seq.journey(address(0)).steps["status"].to_list()[0] == "unknown"
    assert told("unknown_send") == []
    gmail.proxy.clear()
    clock.on(minutes=16)
    go(gmail.house)
    assert seq.journey(address(0)).steps["status"].to_list()[0] == "sent"
    assert sum(gmail.witness().values()) == 1


@pytest.mark.rule(13, 14)
def test_after_a_day_without_a_look_a_person_is_asked_and_told_why(gmail: Gmail) -> None:
    seq, clock = accepted_unseen(gmail)
    gmail.proxy.add(Fault("reset", path="/gmail/", count=None))
    for _ in range(10):
        clock.on(hours=3)
        go(gmail.house)
    (text,) = told("unknown_send")
    assert "can't be read" in text
    assert seq.journey(address(0)).reason == "unknown_send"


@pytest.mark.rule(12, 14)
@pytest.mark.parametrize("found", [True, False])
def test_what_a_person_was_asked_about_is_looked_up_once_more_when_connected_again(
    gmail: Gmail, found: bool
) -> None:
    seq, clock = accepted_unseen(gmail)
    nothing = Fault("answer", method="GET", path=r"/messages\?", status=200, count=None, page="{}")
    nothing.headers["Content-Type"] = "application/json"
    gmail.proxy.add(nothing)
    for _ in range(14):
        clock.on(minutes=15)
        go(gmail.house)
    journey = seq.journey(address(0))
    assert journey.reason == "unknown_send"
    if found:
        nothing.count = nothing.struck
    emulator = gmail.emulator
    Mailbox.from_refresh_token(
        "gmail",
        ADDRESS,
        refresh_token=emulator.refresh_token,
        client_id=emulator.client_id,
        client_secret=emulator.client_secret,
    )
    looked(gmail.house)
    go(gmail.house, 2)
    state = gmail.house.engine.store.value("SELECT state FROM outbox")
    assert state == (OutboxState.SENT if found else OutboxState.NEEDS_PERSON)
    assert (journey.status, journey.reason) == (("active", None) if found else ("paused", "unknown_send"))
    assert sum(gmail.witness().values()) == 1
    if found:
        assert any("had left" in text for text in told("unknown_send"))
        clock.on(days=2)
        looked(gmail.house)
        go(gmail.house)
        assert journey.status == "completed"
        assert gmail.witness() == Counter({(address(0), "Hello P0"): 1, (address(0), "Re: Hello P0"): 1})


def close(engine: Engine) -> None:
    assert isinstance(engine.transport, Transports)
    engine.transport.close()
    engine.store.close()


def with_another_key(house: House) -> Engine:
    env = {**house.env, "OUTREACH_SECRET_KEYS": Fernet.generate_key().decode()}
    return open_engine(Settings.from_env(env))


@pytest.mark.rule(1, 12, 13)
def test_a_wrong_key_shows_and_goes_on_by_itself_when_it_is_right_again(gmail: Gmail) -> None:
    seq = gmail.start(people=2, delay=86_400)
    clock = Clock(gmail.house)
    wrong = with_another_key(gmail.house)
    wrong.now = gmail.house.engine.now
    for _ in range(30):
        dispatch.drain_sends(wrong, threads=1)
        dispatch.drain_polls(wrong)
        clock.on(minutes=10)
    (text,) = told("mailbox_locked")
    assert "OUTREACH_SECRET_KEYS" in text
    (problem,) = seq.problems
    assert "OUTREACH_SECRET_KEYS" in problem
    assert "OUTREACH_SECRET_KEYS" in Mailbox.list()["detail"][0]
    assert "OUTREACH_SECRET_KEYS" in gmail.box._repr_html_()
    store = gmail.house.engine.store
    assert {r["state"] for r in store.rows("SELECT state FROM outbox")} == {"planned"}, "nobody holds them"
    assert set(seq.candidates()["status"]) == {"active"}
    looked(gmail.house)
    go(gmail.house)
    assert sum(gmail.witness().values()) == 2
    assert seq.problems == []
    assert Mailbox.list()["detail"][0] is None
    close(wrong)


@pytest.mark.rule(14)
def test_a_retried_e_mail_reads_no_drafts_of_its_owner(gmail: Gmail) -> None:
    raw = base64.urlsafe_b64encode(b"Date: Mon, 04 May 2020 12:00:00 +0000\r\nSubject: notes\r\n\r\nhi\r\n")
    for _ in range(30):
        gmail.emulator.call("POST", "drafts", {"message": {"raw": raw.decode()}})
    gmail.proxy.add(Fault("answer", path=SEND, status=429, reason="rateLimitExceeded", count=1))
    gmail.start(people=1, delay=86_400)
    clock = Clock(gmail.house)
    dispatch.drain_sends(gmail.house.engine, threads=1)
    other = open_engine(gmail.house.settings)  # a process that knows none of them
    other.now = gmail.house.engine.now
    gmail.proxy.clear()
    clock.on(minutes=2)
    dispatch.drain_sends(other, threads=1)
    assert sum(gmail.witness().values()) == 1
    assert gmail.proxy.count("GET", FETCH) <= 2
    assert len(gmail.emulator.draft_ids()) == 30
    close(other)
