"""An e-mail that was about to leave when the machine went down, or that nobody could find: what may have happened in the
hours since holds for it as for any other."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from outreach_sdk.domain.windows import SendingWindow
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import MailTemporary
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import use
from outreach_sdk.objects.workspace import notifications
from tests.acceptance.scenarios import (
    Clock,
    NoWake,
    address,
    another_mailbox,
    colleague,
    go,
    provider_of,
    through,
)
from tests.harness import House
from tests.mail.hostile import Faults, HostileTransport


class Down(HostileTransport):
    """Neither reads nor looks anything up."""

    def find_sent(self, **_: object) -> None:
        raise MailTemporary("503")

    def poll(self, *_: object, **__: object) -> None:
        raise MailTemporary("503")

    def read_thread(self, *_: object, **__: object) -> None:
        raise MailTemporary("503")


class Blind(HostileTransport):
    """Finds nothing that was sent."""

    def find_sent(self, **_: object) -> None:
        return None


def one_step(house: House) -> Sequence:
    seq = Sequence.create("One", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.enroll(house.people(1))
    return seq


def follow_up(house: House) -> Sequence:
    """A sequence whose follow-up to one person is due now."""
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == 1
    house.engine.store.write(
        "UPDATE journeys SET next_due_at = ? WHERE next_due_at IS NOT NULL", house.engine.now()
    )
    dispatch.drain_polls(house.engine)
    return seq


@pytest.mark.rule(16)
@pytest.mark.parametrize("sender", [None, "private@home.example"])
def test_an_answer_that_came_since_is_looked_for(house: House, sender: str | None) -> None:
    seq = follow_up(house)
    assert house.drain(failpoint="after_sending") == -9
    clock, provider = Clock(house), provider_of(house)
    clock.on(hours=8)
    provider.deliver_reply(
        provider.ledger()[0],
        "Sorry, I'm not looking.",
        at=clock.now - dt.timedelta(hours=6),
        **({} if sender is None else {"sender": sender}),
    )
    dispatch.drain_sends(house.engine, threads=2)  # a worker is first to start again
    assert seq.journey(address(0)).reason == "replied"
    assert seq.journey(address(0)).steps.select("status", "due_at").rows()[1] == ("planned", None)
    assert len(provider.ledger()) == 1
    assert provider.draft_keys() == []


@pytest.mark.rule(16)
def test_an_answer_that_came_in_a_providers_outage_is_looked_for(house: House) -> None:
    seq = follow_up(house)
    clock, provider = Clock(house), provider_of(house)
    provider.faults = dataclasses.replace(Faults.none(), send_5xx=1.0)
    dispatch.drain_sends(house.engine, threads=1)
    provider.faults = Faults.none()
    with through(house, Down):
        for _ in range(12):
            clock.on(minutes=15)
            go(house)
            dispatch.drain_polls(house.engine)
    provider.deliver_reply(provider.ledger()[0], "No, thanks.", at=clock.now - dt.timedelta(hours=1))
    clock.on(minutes=16)
    go(house)
    assert seq.journey(address(0)).reason == "replied"
    assert len(provider.ledger()) == 1


@pytest.mark.rule(6)
def test_one_that_a_month_went_by_pauses_as_overdue(house: House) -> None:
    seq = one_step(house)
    seq.activate()
    clock = Clock(house)
    dispatch.start_clock(house.engine)
    assert house.drain(failpoint="after_sending") == -9
    clock.on(days=30)
    go(house)
    assert (seq.journey(address(0)).status, seq.journey(address(0)).reason) == ("paused", "overdue")
    assert "overdue" in notifications()["kind"].to_list()
    assert (provider_of(house).ledger(), provider_of(house).draft_keys()) == ([], [])


@pytest.mark.rule(6)
def test_one_whose_hours_went_by_waits_for_the_next(house: House) -> None:
    seq = one_step(house)
    seq.activate()
    assert house.drain(failpoint="after_sending") == -9
    clock = Clock(house)
    clock.now = clock.now.replace(hour=0) + dt.timedelta(days=1, hours=2)
    opens = SendingWindow("09:00", "18:00", days="mon-sun")
    seq.window = opens
    go(house)
    assert provider_of(house).ledger() == []
    (due,) = seq.candidates()["next_due_at"].to_list()
    assert opens.opens <= due.time() < opens.closes
    clock.now = due
    dispatch.tick(house.engine, NoWake())
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == 1
    assert provider_of(house).draft_keys() == []


def left_says_a_person(house: House, seq: Sequence, clock: Clock) -> None:
    """The first e-mail left without anybody noticing, and a person says so."""
    provider = provider_of(house)
    provider.faults = dataclasses.replace(Faults.none(), send_answer_lost=1.0)
    dispatch.drain_sends(house.engine, threads=1)
    provider.faults = Faults.none()
    with through(house, Blind):
        for _ in range(14):
            clock.on(minutes=15)
            go(house)
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("paused", "unknown_send")
    journey.resolve(1, sent=True)


@pytest.mark.rule(16)
def test_what_left_by_a_persons_word_is_followed_up_after_a_look(house: House) -> None:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    clock, provider = Clock(house), provider_of(house)
    left_says_a_person(house, seq, clock)
    clock.on(minutes=30)
    dispatch.drain_polls(house.engine)
    clock.on(minutes=40)  # in which nobody reads
    provider.deliver_reply(provider.ledger()[0], "No, thanks.", at=clock.now - dt.timedelta(minutes=30))
    dispatch.tick(house.engine, NoWake())
    dispatch.drain_sends(house.engine, threads=1)
    assert seq.journey(address(0)).reason == "replied"
    assert len(provider.ledger()) == 1


@pytest.mark.rule(21)
def test_what_left_by_a_persons_word_holds_colleagues_back(house: House) -> None:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    left_says_a_person(house, seq, Clock(house))
    bob = colleague(house, "bob")
    box = another_mailbox(house, bob, "bob@agency.example")
    use(bob)
    his = Sequence.create("His", mailbox=box, timezone="UTC")
    his.add_email("Hello", "Hi")
    (row,) = his.enroll(house.people(1)).rows.iter_rows(named=True)
    assert "contacted_by_colleague" in str(row)
