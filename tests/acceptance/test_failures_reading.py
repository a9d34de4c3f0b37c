"""What went wrong elsewhere while reading (docs/failures.md)."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Instant
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.objects.mailbox import Mailbox
from tests.acceptance.scenarios import Clock, address, everything, provider_of, through
from tests.harness import House
from tests.mail.hostile import HostileTransport


def second_mailbox(house: House) -> Mailbox:
    """A colleague's, at the same provider."""
    config = {"path": str(provider_of(house).path), "timeout": 1.0}
    return Mailbox._save(house.session, "hostile", "bea@agency.example", "Bea", config, None)


def letter(
    sender: str, to: str, subject: str, answers: str, text: str = "See below.", **headers: str
) -> bytes:
    more = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{abs(hash((sender, text)))}@x.example>\r\n"
        f"In-Reply-To: {answers}\r\nReferences: {answers}\r\n{more}\r\n{text}\r\n"
    ).encode()


@pytest.mark.rule(11, 16)
@pytest.mark.failure("own follow-up in Sent counted as a reply, across mailboxes too")
def test_what_the_team_writes_is_no_answer_in_whichever_mailbox(house: House) -> None:
    box = house.hostile()
    other = second_mailbox(house)
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider = provider_of(house)
    (first,) = provider.ledger()
    for sender, to in (
        ("Bea <bea@agency.example>", box.address),
        ("Bea <Bea+jobs@Agency.example>", box.address),
        ("Ada <ada@agency.example>", other.address),  # one's own follow-up, copied to a colleague
        ("Ada <ada@agency.example>", box.address),
    ):
        provider.deliver(to, letter(sender, to, "Re: Hello P0", first.rfc_message_id, f"{sender} {to}"))
    for mailbox in (box, other):
        sync.poll_mailbox(house.engine, mailbox.id)
    assert seq.journey(address(0)).status == "active"
    assert house.engine.store.value("SELECT COUNT(*) FROM notifications") == 0
    provider.deliver(
        other.address, letter(address(0), other.address, "Re: Hello P0", first.rfc_message_id, "Yes!")
    )
    sync.poll_mailbox(house.engine, other.id)
    assert seq.journey(address(0)).reason == "replied", "an answer counts, whosever mailbox it came to"


@pytest.mark.rule(17)
@pytest.mark.failure(
    "auto-replies counted as replies, in other languages; `Auto-Submitted: no` taken for one"
)
@pytest.mark.parametrize(
    ("text", "headers", "ends"),
    [
        ("Ich bin bis auf Weiteres nicht im Büro.", (("Auto-Submitted", "auto-replied"),), "out_of_office"),
        ("Estaré fuera de la oficina.", (("X-Autoreply", "yes"),), "out_of_office"),
        ("現在不在にしております。", (("Auto-Submitted", "auto-replied; owner=x"),), "out_of_office"),
        ("Gern, wann passt es?", (("Auto-Submitted", "no"),), "replied"),
        ("Sure.", (("X-Auto-Response-Suppress", "All"),), "replied"),
    ],
)
def test_a_machine_s_answer_pauses_and_a_person_s_stops(
    house: House, text: str, headers: tuple[tuple[str, str], ...], ends: str
) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider = provider_of(house)
    provider.deliver_reply(provider.ledger()[0], text, headers=headers)
    sync.poll_mailbox(house.engine, box.id)
    assert seq.journey(address(0)).reason == ends


@pytest.mark.rule(19)
@pytest.mark.failure("unsubscribe ignored by pending steps; one person's unsubscribe stopped everybody")
def test_who_asks_to_be_left_alone_is_and_nobody_else(house: House) -> None:
    box = house.hostile()
    both = [house.two_steps(box, delay=3600), house.two_steps(box, delay=3600)]
    for seq in both:
        seq.enroll(house.people(3))
        seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    provider = provider_of(house)
    sent = next(a for a in provider.ledger() if a.subject == "Hello P0")
    provider.deliver_reply(sent, "Please remove me from your list.")
    sync.poll_mailbox(house.engine, box.id)
    for seq in both:
        found = {
            address(n): (seq.journey(address(n)).status, seq.journey(address(n)).reason) for n in range(3)
        }
        assert found == {
            address(0): ("cancelled", "opted_out"),
            address(1): ("active", None),
            address(2): ("active", None),
        }
        seq.edit_step(2, when=Instant())
        house.settle(seq)
    got = Counter(who for who, _ in house.witness(box).elements())
    assert got == {address(0): 2, address(1): 4, address(2): 4}


@pytest.mark.rule(19)
def test_who_asks_at_one_address_is_left_alone_at_all_of_theirs(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.journey(address(0)).use_email("p0@home.example")
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "Please unsubscribe me.")
    sync.poll_mailbox(house.engine, box.id)
    for theirs in ("p0@home.example", address(0)):
        report = house.two_steps(box).enroll([{"First Name": "P0", "Email": theirs}])
        assert report.rows["reason"].to_list() == ["suppressed"]


@pytest.mark.rule(14, 19)
@pytest.mark.failure("unsubscribe ignored by pending steps; one person's unsubscribe stopped everybody")
@pytest.mark.parametrize(("kind", "value"), [("address", address(0)), ("domain", "candidate0.example")])
def test_a_suppression_that_comes_while_the_draft_is_made_holds(house: House, kind: str, value: str) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    provider, session = provider_of(house), house.session

    class Meanwhile(HostileTransport):
        def create_draft(self, *args: Any, **kwargs: Any) -> Any:
            draft = super().create_draft(*args, **kwargs)
            house.engine.store.write(
                "INSERT INTO suppressions (workspace_id, owner_id, kind, value, reason, source, created_at) "
                "VALUES (?, ?, ?, ?, 'asked', 'link', ?) ON CONFLICT (workspace_id, kind, value) DO NOTHING",
                session.workspace_id,
                session.user["id"],
                kind,
                value,
                house.engine.now(),
            )
            return draft

    with through(house, Meanwhile):
        dispatch.drain_sends(house.engine, threads=2)
    house.settle(seq)
    assert house.witness(box) == everything(1, start=1)
    assert seq.journey(address(0)).reason == "suppressed"
    assert provider.draft_keys() == []


@pytest.mark.rule(16)
@pytest.mark.failure(
    "stale push NACKed → redelivered for ever; history empty for seconds after a push; expired historyId → 500 for ever"
)
def test_an_expired_cursor_costs_one_wider_look_and_no_more(house: House) -> None:
    box = house.hostile()
    clock = Clock(house)
    seq = house.two_steps(box, delay=9 * 86_400)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider = provider_of(house)
    sync.poll_mailbox(house.engine, box.id)
    provider.expire_cursors()
    clock.on(minutes=10)
    provider.deliver_reply(provider.ledger()[0], "Yes.", at=clock.now)
    before = provider.calls("poll")
    looks: list[bool] = []

    class Looking(HostileTransport):
        def poll(self, *args: Any, **kwargs: Any) -> Any:
            result = super().poll(*args, **kwargs)
            looks.append(result.resynced)
            return result

    with through(house, Looking):
        for _ in range(4):
            clock.on(minutes=6)
            assert dispatch.drain_polls(house.engine)["failed"] == 0
    assert looks == [True, False, False, False]
    assert provider.calls("poll") - before == 4
    assert house.engine.store.value("SELECT COUNT(*) FROM notifications WHERE kind = 'replied'") == 1
    replied = seq.journey(min(provider.ledger()[0].recipients))
    assert (replied.status, replied.reason) == ("cancelled", "replied")


@pytest.mark.rule(16)
@pytest.mark.failure('Graph notifications missing in bulk moves; restored mail fires "created" again')
def test_two_checks_at_once_and_late_ones_see_each_message_once(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(5))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    provider = provider_of(house)
    for sent in provider.ledger():
        provider.deliver_reply(sent, "Yes.")
    old = house.engine.store.value("SELECT cursor FROM mailboxes")

    def check() -> None:
        sync.poll_mailbox(house.engine, box.id)
        house.engine.store.idle()

    for _ in range(3):
        threads = [threading.Thread(target=check) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        house.engine.store.write("UPDATE mailboxes SET cursor = ?", old)  # a stale one comes late
    assert house.engine.store.value("SELECT COUNT(*) FROM inbound") == 5
    assert house.engine.store.value("SELECT COUNT(*) FROM notifications WHERE kind = 'replied'") == 5
    assert house.engine.store.value("SELECT COUNT(*) FROM events WHERE kind = 'replied'") == 5
