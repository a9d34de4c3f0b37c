"""Whole journeys through Outlook over HTTP: a third-party Graph behind a proxy that answers as Graph does."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime
from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch, failpoints, sync
from outreach_sdk.errors import InvalidInput, MailTemporary
from outreach_sdk.mail.outlook.graph import READ_ATTEMPTS
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.vault import Vault, binding
from outreach_sdk.wiring import Transports, open_engine
from tests.harness import ADDRESS, House, wait_until
from tests.mail.fault_proxy import Fault
from tests.mail.graph_emulator import GraphEmulator, graph_emulator
from tests.mail.graph_proxy import SEND, TOKEN, GraphProxy, graph_proxy, throttled
from tests.mail.worlds import incoming, outlook_sent


class Outlook:
    """A house whose mailbox is Outlook."""

    def __init__(self, house: House, box: Mailbox, emulator: GraphEmulator, proxy: GraphProxy) -> None:
        self.house, self.box, self.emulator, self.proxy = house, box, emulator, proxy

    def start(self, people: int = 2, delay: float = 0.0) -> Sequence:
        seq = self.house.two_steps(self.box, delay=delay)
        seq.enroll(self.house.people(people))
        seq.activate()
        return seq

    def sent(self) -> list[email.message.EmailMessage]:
        return [
            email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[arg-type]
            for _, raw in outlook_sent(self.emulator, self.proxy)
        ]

    def witness(self) -> Counter[tuple[str, str]]:
        return Counter((m["To"].addresses[0].addr_spec, str(m["Subject"])) for m in self.sent())

    def row(self) -> dict[str, object]:
        found = self.house.engine.store.one("SELECT * FROM mailboxes WHERE id = ?", self.box.id)
        assert found is not None
        return found


@pytest.fixture
def outlook(tmp_path: Path, database_url: str) -> Iterator[Outlook]:
    with graph_emulator(ADDRESS) as emulator, graph_proxy(emulator.base_url) as proxy:
        env = {
            "OUTREACH_GRAPH_ENDPOINT": proxy.base_url,
            "OUTREACH_MICROSOFT_AUTHORITY": proxy.base_url,
            "OUTREACH_SEND_TIMEOUT": "5",
        }
        house = House(tmp_path / "home", database_url, env)
        box = Mailbox.from_refresh_token(
            "outlook",
            ADDRESS,
            refresh_token=emulator.refresh_token,
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
            name="Ada",
        )
        yield Outlook(house, house.trusted(box), emulator, proxy)
        house.close()


def expected(people: int) -> Counter[tuple[str, str]]:
    return Counter(
        (f"p{n}@candidate{n}.example", s) for n in range(people) for s in (f"Hello P{n}", f"Re: Hello P{n}")
    )


@pytest.mark.rule(14)
@pytest.mark.failure("crash between the provider's yes and the database write")
@pytest.mark.parametrize("failpoint", [n for n in failpoints.NAMES if n != "during_recovery"])
def test_killed_anywhere_nothing_twice_nothing_lost(outlook: Outlook, failpoint: str) -> None:
    seq = outlook.start()
    assert outlook.house.drain(failpoint=f"{failpoint}:2") == -9
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)
    assert set(seq.candidates()["status"]) == {"completed"}
    assert outlook.proxy.without_immutable_ids == []


@pytest.mark.rule(14)
@pytest.mark.parametrize("failpoint", ["after_accept", "after_sent"])
def test_killed_where_the_sent_copy_has_another_id(outlook: Outlook, failpoint: str) -> None:
    outlook.proxy.sends_change_ids = True
    seq = outlook.start()
    assert outlook.house.drain(failpoint=failpoint) == -9
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(14)
def test_killed_again_while_recovering(outlook: Outlook) -> None:
    seq = outlook.start()
    assert outlook.house.drain(failpoint="after_accept") == -9
    wait_until(lambda: outlook.house.drain(failpoint="during_recovery") == -9)
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)


@pytest.mark.rule(14)
def test_drafts_left_by_claims_that_died_are_taken_away(outlook: Outlook) -> None:
    seq = outlook.start()
    assert outlook.house.drain(failpoint="after_drafted", threads=1) == -9
    wait_until(lambda: outlook.house.drain(failpoint="after_draft", threads=1) == -9)
    wait_until(outlook.proxy.quiet)
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)
    assert outlook.emulator.records("drafts") == []


@pytest.mark.rule(14)
@pytest.mark.parametrize("failpoint", ["after_sending", "after_accept", "after_drafted"])
def test_a_cancel_between_the_kill_and_the_recovery_holds(outlook: Outlook, failpoint: str) -> None:
    seq = outlook.start()
    assert outlook.house.drain(failpoint=failpoint) == -9
    wait_until(outlook.proxy.quiet)
    left = outlook.witness()
    for n in range(2):
        seq.journey(f"p{n}@candidate{n}.example").cancel()
    outlook.house.settle(seq)
    assert outlook.witness() == left, "nothing leaves after a committed cancel"
    assert outlook.emulator.records("drafts") == [], "the drafts of cancelled journeys are taken away"


@pytest.mark.rule(14)
@pytest.mark.failure("Graph send answered 504, mail delivered four times")
@pytest.mark.parametrize("kind", ["answer-after", "answer", "lost", "reset"])
def test_a_send_without_a_clear_answer_leaves_once(outlook: Outlook, kind: str) -> None:
    fault = Fault(kind, path=SEND, count=3, status=504, reason="UnknownError")  # type: ignore[arg-type]
    outlook.proxy.add(fault)
    seq = outlook.start()
    outlook.house.settle(seq)
    assert fault.struck == 3
    assert outlook.witness() == expected(2)


@pytest.mark.rule(13)
def test_a_rate_refusal_is_waited_out(outlook: Outlook) -> None:
    outlook.proxy.add(throttled(retry_after="1", count=2))
    seq = outlook.start()
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)


@pytest.mark.rule(10, 15, 16)
@pytest.mark.failure("follow-ups not threaded")
def test_a_follow_up_is_a_reply_to_the_candidate_in_the_same_conversation(outlook: Outlook) -> None:
    seq = outlook.start(people=1)
    outlook.house.settle(seq)
    first, second = sorted(outlook.sent(), key=lambda m: len(str(m["Subject"])))
    assert second["In-Reply-To"] == first["Message-ID"]
    assert str(first["Message-ID"]) in str(second["References"])
    assert [a.addr_spec for a in second["To"].addresses] == ["p0@candidate0.example"]
    assert len({m["conversation_id"] for m in outlook.emulator.records("sentitems")}) == 1
    steps = seq.journey("p0@candidate0.example").steps
    assert steps["rfc_message_id"].to_list() == [first["Message-ID"], second["Message-ID"]]


@pytest.mark.rule(10, 15)
def test_an_answer_stops_the_journey(outlook: Outlook) -> None:
    seq = outlook.start(people=1, delay=1.6)
    dispatch.drain_sends(outlook.house.engine, threads=2)
    (first,) = outlook.sent()
    raw = incoming("Re: Hello P0", "Gladly.", in_reply_to=str(first["Message-ID"]))
    raw = raw.replace(b"bo@candidate.example", b"p0@candidate0.example")
    outlook.proxy.raw[outlook.emulator.deliver(raw)] = raw
    outlook.house.settle(seq)
    assert seq.journey("p0@candidate0.example").reason == "replied"
    assert outlook.witness() == Counter({("p0@candidate0.example", "Hello P0"): 1})


@pytest.mark.rule(18)
def test_a_bounce_report_stops_the_journey(outlook: Outlook) -> None:
    seq = outlook.start(people=1, delay=3600)
    dispatch.drain_sends(outlook.house.engine, threads=1)
    (first,) = outlook.sent()
    report = MIMEMultipart("report", report_type="delivery-status")
    report["From"] = "Microsoft Outlook <MicrosoftExchange329e71ec@agency.example>"
    report["To"] = ADDRESS
    report["Subject"] = "Undeliverable: Hello P0"
    report["Date"] = format_datetime(dt.datetime.now(dt.UTC))
    report["In-Reply-To"] = str(first["Message-ID"])
    report.attach(MIMEText("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found"))
    status = Message()
    status["Content-Type"] = "message/delivery-status"
    fields = Message()
    fields["Final-Recipient"] = "rfc822; p0@candidate0.example"
    fields["Action"], fields["Status"] = "failed", "5.1.10"
    status.set_payload([fields])
    report.attach(status)
    outlook.proxy.raw[outlook.emulator.deliver(report.as_bytes())] = report.as_bytes()
    sync.poll_mailbox(outlook.house.engine, outlook.box.id)
    assert seq.journey("p0@candidate0.example").reason == "bounced"


@pytest.mark.rule(16)
def test_an_idle_check_is_one_call(outlook: Outlook) -> None:
    outlook.start(people=1, delay=3600)
    dispatch.drain_sends(outlook.house.engine, threads=1)
    sync.poll_mailbox(outlook.house.engine, outlook.box.id)
    before = outlook.proxy.count(path="/v1.0/")
    other = open_engine(outlook.house.settings, outlook.house.engine.store)
    for engine in (outlook.house.engine, other):
        sync.poll_mailbox(engine, outlook.box.id)
    assert outlook.proxy.count(path="/v1.0/") - before == 2
    assert isinstance(other.transport, Transports)
    other.transport.close()


@pytest.mark.rule(12)
def test_a_revoked_grant_shows_and_no_secret_does(outlook: Outlook) -> None:
    outlook.emulator.revoke()
    seq = outlook.start()
    outlook.house.settle(seq)
    assert outlook.box.status == "reauthorise"
    assert outlook.sent() == []
    dump = "".join(
        str(row)
        for table in ("mailboxes", "journeys", "outbox", "notifications", "events")
        for row in outlook.house.engine.store.rows(f"SELECT * FROM {table}")
    )
    assert outlook.emulator.refresh_token not in dump
    assert outlook.emulator.client_secret not in dump


def everyone(house: House, before: dict[str, object], transports: list[Transports]) -> set[str]:
    """The addresses that many threads are told, spread over the processes' transports: fifty in one, but
    no more together than a mailbox may be asked at a time by several."""

    def ask(n: int) -> str:
        try:
            return transports[n % len(transports)](dict(before)).address()
        finally:
            house.engine.store.idle()

    with ThreadPoolExecutor(50 if len(transports) == 1 else 4) as pool:
        return set(pool.map(ask, range(50)))


@pytest.mark.rule(12)
def test_fifty_threads_renew_once_and_the_rotated_token_is_kept(outlook: Outlook) -> None:
    settings, store, before = outlook.house.settings, outlook.house.engine.store, outlook.row()
    first, later = Transports(settings, store), Transports(settings, store)
    assert everyone(outlook.house, before, [first]) == {ADDRESS}
    assert outlook.proxy.count("POST", TOKEN) == 1
    assert everyone(outlook.house, before, [first, later]) == {ADDRESS}
    assert outlook.proxy.count("POST", TOKEN) == 1, "another process takes over what it finds"
    kept = Vault(settings).open(str(outlook.row()["credentials"]), bound_to=binding(outlook.row()))
    assert kept["refresh_token"] != outlook.emulator.refresh_token
    assert kept["refresh_token"] not in str(outlook.row())
    assert kept["access_token"] not in str(outlook.row())
    for transports in (first, later):
        transports.close()


@pytest.mark.rule(12)
def test_of_processes_that_would_renew_at_once_one_does(outlook: Outlook) -> None:
    settings, store = outlook.house.settings, outlook.house.engine.store
    four = [Transports(settings, store) for _ in range(4)]
    outlook.proxy.add(Fault("stall-after", path=TOKEN, count=2, seconds=0.3))
    assert everyone(outlook.house, outlook.row(), four) == {ADDRESS}
    assert outlook.proxy.count("POST", TOKEN) == 1
    for transports in four:
        transports.close()


@pytest.mark.rule(12)
def test_what_a_process_killed_while_renewing_left_is_taken_up(outlook: Outlook) -> None:
    store = outlook.house.engine.store
    until = outlook.house.engine.now() + dt.timedelta(seconds=0.7)
    store.write("UPDATE mailboxes SET renewing_until = ?", until)
    assert outlook.box.transport.address() == ADDRESS
    assert outlook.house.engine.now() >= until
    assert outlook.row()["renewing_until"] is None


@pytest.mark.rule(12)
def test_a_renewal_that_fails_holds_up_nobody(outlook: Outlook) -> None:
    outlook.proxy.add(
        Fault("answer", path=TOKEN, status=503, reason="temporarily_unavailable", count=READ_ATTEMPTS)
    )
    with pytest.raises(MailTemporary):
        outlook.box.transport.address()
    assert outlook.row()["renewing_until"] is None
    assert outlook.box.transport.address() == ADDRESS


@pytest.mark.rule(12)
def test_an_access_token_graph_refuses_is_renewed(outlook: Outlook) -> None:
    assert outlook.box.transport.address() == ADDRESS
    outlook.proxy.add(
        Fault("answer", path="/v1.0/me", status=401, reason="InvalidAuthenticationToken", count=1)
    )
    assert outlook.box.transport.address() == ADDRESS
    assert outlook.proxy.count("POST", TOKEN) == 2


@pytest.mark.rule(12)
def test_a_mailbox_connected_again_uses_the_new_grant(outlook: Outlook) -> None:
    outlook.emulator.revoke()
    seq = outlook.start()
    outlook.house.settle(seq)
    assert outlook.box.status == "reauthorise"
    fresh = "refresh-fresh"
    outlook.emulator.grant(fresh)
    again = Mailbox.from_refresh_token(
        "outlook",
        ADDRESS,
        refresh_token=fresh,
        client_id=outlook.emulator.client_id,
        client_secret=outlook.emulator.client_secret,
        name="Ada",
    )
    assert again.id == outlook.box.id
    outlook.house.settle(seq)
    assert outlook.witness() == expected(2)


@pytest.mark.rule(12)
@pytest.mark.parametrize("tenant", ["", "a/b", "common/../x", "co mmon"])
def test_a_tenant_is_a_name(outlook: Outlook, tenant: str) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        Mailbox.from_refresh_token(
            "outlook", ADDRESS, refresh_token="r", client_id="c", client_secret="s", tenant=tenant
        )
