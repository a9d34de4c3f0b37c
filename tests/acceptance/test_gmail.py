"""Whole journeys through Gmail over HTTP: a third-party Gmail behind a proxy that fails as Gmail does."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch, failpoints, sync
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from tests.harness import ADDRESS, House, wait_until
from tests.mail.emulator import GoogleEmulator, google_emulator
from tests.mail.fault_proxy import SEND, Fault, FaultProxy, Kind, expired_history, fault_proxy, rate_limited
from tests.mail.worlds import incoming


class Gmail:
    """A house whose mailbox is Gmail."""

    def __init__(self, house: House, box: Mailbox, emulator: GoogleEmulator, proxy: FaultProxy) -> None:
        self.house, self.box, self.emulator, self.proxy = house, box, emulator, proxy

    def start(self, people: int = 2, delay: float = 0.0) -> Sequence:
        seq = self.house.two_steps(self.box, delay=delay)
        seq.enroll(self.house.people(people))
        seq.activate()
        return seq

    def witness(self) -> Counter[tuple[str, str]]:
        parsed = [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.emulator.sent()]
        return Counter((m["To"].addresses[0].addr_spec, str(m["Subject"])) for m in parsed)


@pytest.fixture
def gmail(tmp_path: Path, database_url: str) -> Iterator[Gmail]:
    with google_emulator(ADDRESS) as emulator, fault_proxy(emulator.base_url) as proxy:
        env = {
            "OUTREACH_GMAIL_ENDPOINT": proxy.base_url,
            "OUTREACH_GOOGLE_TOKEN_URI": f"{proxy.base_url}/oauth2/token",
            "OUTREACH_SEND_TIMEOUT": "5",
        }
        house = House(tmp_path / "home", database_url, env)
        box = Mailbox.from_refresh_token(
            "gmail",
            ADDRESS,
            refresh_token=emulator.refresh_token,
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
            name="Ada",
        )
        yield Gmail(house, house.trusted(box), emulator, proxy)
        house.close()


def expected(people: int) -> Counter[tuple[str, str]]:
    return Counter(
        (f"p{n}@candidate{n}.example", s) for n in range(people) for s in (f"Hello P{n}", f"Re: Hello P{n}")
    )


@pytest.mark.rule(14)
@pytest.mark.failure("crash between the provider's yes and the database write")
@pytest.mark.parametrize("failpoint", [n for n in failpoints.NAMES if n != "during_recovery"])
def test_killed_anywhere_nothing_twice_nothing_lost(gmail: Gmail, failpoint: str) -> None:
    seq = gmail.start()
    assert gmail.house.drain(failpoint=f"{failpoint}:2") == -9
    gmail.house.settle(seq)
    assert gmail.witness() == expected(2)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(13)
def test_a_rate_refusal_is_waited_out(gmail: Gmail) -> None:
    gmail.proxy.add(rate_limited(retry_after=1, count=2))
    seq = gmail.start()
    gmail.house.settle(seq)
    assert gmail.witness() == expected(2)


@pytest.mark.rule(10, 15, 16)
@pytest.mark.failure("follow-ups not threaded")
def test_a_follow_up_threads_on_gmails_own_id_and_an_answer_to_it_stops_the_journey(gmail: Gmail) -> None:
    seq = gmail.start(people=1, delay=1.6)
    dispatch.drain_sends(gmail.house.engine, threads=2)
    (first,) = gmail.emulator.sent()
    gmails_id = str(email.message_from_bytes(first)["Message-ID"])
    assert gmails_id.endswith("@mail.gmail.com>")
    steps = seq.journey("p0@candidate0.example").steps
    assert steps["rfc_message_id"].to_list()[0] == gmails_id
    raw = incoming("Re: Hello P0", "Gladly.", in_reply_to=gmails_id)
    gmail.emulator.deliver(raw.replace(b"bo@candidate.example", b"p0@candidate0.example"))
    gmail.house.settle(seq)
    assert seq.journey("p0@candidate0.example").reason == "replied"
    assert gmail.witness() == Counter({("p0@candidate0.example", "Hello P0"): 1})


@pytest.mark.rule(10)
@pytest.mark.failure("follow-ups not threaded")
def test_gmail_itself_lists_both_messages_in_one_thread(gmail: Gmail) -> None:
    seq = gmail.start(people=2)
    gmail.house.settle(seq)
    threads = gmail.emulator.call("GET", "threads?maxResults=100")["threads"]
    assert len(threads) == 2
    for thread in threads:
        whole = gmail.emulator.call("GET", f"threads/{thread['id']}?format=full")
        headers = [
            {h["name"].lower(): h["value"] for h in m["payload"]["headers"]} for m in whole["messages"]
        ]
        first, second = sorted(headers, key=lambda h: h["subject"].startswith("Re: "))
        assert second["subject"] == f"Re: {first['subject']}"
        assert second["in-reply-to"] == first["message-id"]
        assert first["message-id"] in second["references"]
        assert second["to"] == first["to"]


@pytest.mark.rule(14)
@pytest.mark.failure("client retries a send after a read time-out")
def test_a_send_that_gmail_takes_and_does_not_answer_is_asked_for_once(gmail: Gmail) -> None:
    gmail.proxy.add(Fault("stall-after", path=SEND, seconds=7))  # the time-out here is 5 s
    seq = gmail.start(people=1, delay=3600)
    dispatch.drain_sends(gmail.house.engine, threads=1)
    assert gmail.proxy.count("POST", SEND) == 1

    def settled() -> bool:
        dispatch.drain_sends(gmail.house.engine, threads=1)
        return seq.journey("p0@candidate0.example").steps["status"].to_list()[0] == "sent"

    wait_until(settled)
    assert gmail.proxy.count("POST", SEND) == 1
    assert gmail.witness() == Counter({("p0@candidate0.example", "Hello P0"): 1})


@pytest.mark.rule(14)
@pytest.mark.failure("Graph send answered 504, mail delivered four times")
@pytest.mark.parametrize("kind", ["answer", "answer-after"])
@pytest.mark.parametrize("status", [503, 504])
def test_a_5xx_is_no_answer_and_the_mail_arrives_once(gmail: Gmail, kind: Kind, status: int) -> None:
    gmail.proxy.add(Fault(kind, path=SEND, status=status, count=2))
    seq = gmail.start()
    gmail.house.settle(seq)
    assert gmail.witness() == expected(2)
    assert gmail.proxy.count("POST", SEND) == (4 if kind == "answer-after" else 6), (
        "the same draft, asked anew"
    )
    assert gmail.emulator.draft_ids() == []


@pytest.mark.rule(16)
@pytest.mark.failure(
    "stale push NACKed → redelivered for ever; history empty for seconds after a push; expired historyId → 500 for ever"
)
def test_an_expired_history_id_costs_one_wider_look(gmail: Gmail) -> None:
    seq = gmail.start(people=1, delay=3600)
    engine = gmail.house.engine
    dispatch.drain_sends(engine, threads=1)
    sync.poll_mailbox(engine, gmail.box.id)
    (first,) = gmail.emulator.sent()
    # A Date has whole seconds: in the same one the stand-in may take the opening for the newest message.
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    opening = str(email.message_from_bytes(first)["Message-ID"])
    raw = incoming("Re: Hello P0", "Gladly.", in_reply_to=opening, at=soon)
    gmail.emulator.deliver(raw.replace(b"bo@candidate.example", b"p0@candidate0.example"))
    gmail.proxy.add(expired_history())
    sync.poll_mailbox(engine, gmail.box.id)
    assert seq.journey("p0@candidate0.example").reason == "replied"
    for _ in range(3):
        before = gmail.proxy.count(path="/gmail/")
        sync.poll_mailbox(engine, gmail.box.id)
        assert gmail.proxy.count(path="/gmail/") - before == 1, "no second resync"
    assert engine.store.value("SELECT COUNT(*) FROM notifications WHERE kind = 'replied'") == 1


@pytest.mark.rule(16)
def test_an_idle_check_is_one_call(gmail: Gmail) -> None:
    gmail.start(people=1, delay=3600)
    dispatch.drain_sends(gmail.house.engine, threads=1)
    sync.poll_mailbox(gmail.house.engine, gmail.box.id)
    before = gmail.proxy.count(path="/gmail/")
    sync.poll_mailbox(gmail.house.engine, gmail.box.id)
    assert gmail.proxy.count(path="/gmail/") - before == 1


@pytest.mark.rule(12)
def test_a_revoked_grant_shows_and_no_secret_does(gmail: Gmail) -> None:
    gmail.emulator.revoke()
    seq = gmail.start()
    gmail.house.settle(seq)
    assert gmail.box.status == "reauthorise"
    dump = "".join(
        str(row)
        for table in ("mailboxes", "journeys", "outbox", "notifications", "events")
        for row in gmail.house.engine.store.rows(f"SELECT * FROM {table}")
    )
    assert gmail.emulator.refresh_token not in dump
    assert gmail.emulator.client_secret not in dump
