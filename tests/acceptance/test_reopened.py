"""A person takes up a journey that had ended: later, at another address, or by an answer of their own."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import InvalidInput, MissingField, TransitionRefused
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.journey import Task
from outreach_sdk.objects.message import Message
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import notifications
from tests.acceptance.scenarios import Clock, NoWake, address, opened, provider_of
from tests.harness import House, wait_until
from tests.mail.hostile import Faults


def told(kind: str) -> list[str]:
    table = notifications()
    return table.filter(table["kind"] == kind)["text"].to_list()


def subjects(house: House) -> list[tuple[str, str]]:
    return sorted((min(a.recipients), a.subject) for a in provider_of(house).ledger())


def answered(house: House, text: str = "Not now, perhaps in spring.") -> tuple[Sequence, Clock]:
    """One candidate who answered the first of two e-mails."""
    box = house.hostile()
    clock = Clock(house)
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], text, at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("cancelled", "replied")
    return seq, clock


def go_on(house: House, clock: Clock, **units: float) -> None:
    clock.on(**units)
    dispatch.tick(house.engine, NoWake())
    dispatch.drain_sends(house.engine, threads=1)


@pytest.mark.rule(29)
def test_not_now_goes_on_later_with_the_step_that_was_next(house: House) -> None:
    seq, clock = answered(house)
    journey = seq.journey(address(0))
    journey.reengage(after="30d")
    assert (journey.status, journey.reason) == ("paused", "manual")
    assert "goes on after" in (journey.detail or "")
    go_on(house, clock, days=29)
    assert subjects(house) == [(address(0), "Hello P0")]
    go_on(house, clock, days=1, minutes=1)
    assert subjects(house) == [(address(0), "Hello P0"), (address(0), "Re: Hello P0")]
    assert journey.status == "completed"


@pytest.mark.rule(15, 29)
def test_who_writes_again_meanwhile_stops_it_again(house: House) -> None:
    seq, clock = answered(house)
    journey = seq.journey(address(0))
    journey.reengage(after=dt.timedelta(days=3))
    clock.on(days=1)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "Stop asking.", at=clock.now)
    go_on(house, clock, days=5)
    assert (journey.status, journey.reason) == ("cancelled", "replied")
    assert len(subjects(house)) == 1


@pytest.mark.rule(29)
def test_what_cannot_be_taken_up_is_refused_in_a_sentence(house: House) -> None:
    seq, _ = answered(house)
    journey = seq.journey(address(0))
    with pytest.raises(InvalidInput, match="past"):
        journey.reengage(after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    with pytest.raises(InvalidInput, match="time zone"):
        journey.reengage(after=dt.datetime(2099, 1, 1))  # noqa: DTZ001
    seq.remove_step(2)
    with pytest.raises(TransitionRefused, match="No step"):
        journey.reengage(after="30d")
    seq.add_email(body="Once more.", when=Later(days=1))
    Candidate.get(address(0)).suppress()
    with pytest.raises(TransitionRefused, match="doesn't want"):
        journey.reengage(after="30d")


@pytest.mark.rule(8)
def test_a_task_of_a_cancelled_journey_is_gone_and_comes_back_with_it(house: House) -> None:
    box = house.hostile()
    clock = Clock(house)
    seq = Sequence.create("Call", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.add_phone("Call {{ first_name }}", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()
    go_on(house, clock)
    go_on(house, clock, hours=2)
    assert [t.kind for t in Task.list()] == ["phone"]
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "Yes?", at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    assert Task.list() == []
    seq.journey(address(0)).reengage(after="2d")
    go_on(house, clock, days=2, minutes=1)
    go_on(house, clock, seconds=1)
    assert [t.kind for t in Task.list()] == ["phone"]
    Task.list()[0].done("spoke")
    assert seq.journey(address(0)).status == "completed"


@pytest.mark.rule(18, 22)
def test_a_bounce_offers_the_verified_address_and_goes_on_there(house: House) -> None:
    box = house.hostile()
    clock = Clock(house)
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    journey = seq.journey(address(0))
    candidate = Candidate.get(address(0))
    house.engine.store.write(
        "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, source, verified, invalid, "
        "created_at) SELECT workspace_id, owner_id, id, 'p0@home.example', 'personal', 'ats', ?, ?, created_at "
        "FROM candidates WHERE id = ?",
        True,
        False,
        candidate.id,
    )
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider_of(house).deliver_bounce(provider_of(house).ledger()[0])
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    assert (journey.status, journey.reason) == ("cancelled", "bounced")
    assert 'journey.use_email("p0@home.example")' in told("bounced")[0]
    with pytest.raises(InvalidInput, match="came back before"):
        journey.use_email(address(0))
    journey.use_email("p0@home.example")
    assert journey.status == "active"
    go_on(house, clock, minutes=1)
    go_on(house, clock, hours=2)
    assert subjects(house) == [
        ("p0@candidate0.example", "Hello P0"),
        ("p0@home.example", "Hello P0"),
        ("p0@home.example", "Re: Hello P0"),
    ]
    assert journey.status == "completed"


@pytest.mark.rule(22)
def test_another_address_midway_gets_a_thread_of_its_own(house: House) -> None:
    clock = Clock(house)
    seq = opened(house)
    seq.journey(address(0)).use_email("p0@home.example")
    go_on(house, clock, hours=2)
    first, second = provider_of(house).ledger()
    assert (second.subject, sorted(second.recipients)) == ("Hello P0", ["p0@home.example"])
    assert second.thread != first.thread


def only_message(seq: Sequence) -> Message:
    (reply,) = seq.journey(address(0)).replies
    return reply


@pytest.mark.rule(29)
def test_an_answer_leaves_once_in_the_thread_however_often_it_is_asked_for(house: House) -> None:
    seq, clock = answered(house)
    asked = only_message(seq)
    ids = {asked.reply("Thanks, {{ first_name }}. In spring then!").id for _ in range(3)}
    assert len(ids) == 1
    seq.deactivate()  # whatever becomes of the sequence
    go_on(house, clock, minutes=1)
    once = asked.reply("Thanks, {{ first_name }}. In spring then!")
    assert once.id in ids
    assert once.state == "sent"
    go_on(house, clock, minutes=1)
    first, second = provider_of(house).ledger()
    assert (second.subject, sorted(second.recipients)) == ("Re: Hello P0", [address(0)])
    assert second.thread == first.thread
    texts = seq.journey(address(0)).messages["text"].to_list()
    assert texts[-1].strip() == "Thanks, P0. In spring then!"
    asked.reply("One more thing.")
    go_on(house, clock, minutes=1)
    assert len(provider_of(house).ledger()) == 3


@pytest.mark.rule(19, 29)
def test_nobody_answers_who_asked_to_be_left_alone(house: House) -> None:
    seq, clock = answered(house)
    asked = only_message(seq)
    with pytest.raises(MissingField):
        asked.reply("Hi {{ nickname }}")
    asked.reply("Thanks.")
    Candidate.get(address(0)).suppress()
    go_on(house, clock, minutes=1)
    go_on(house, clock, minutes=1)
    assert len(provider_of(house).ledger()) == 1
    assert provider_of(house).draft_keys() == []
    assert "don't want to be written to" in told("answer_failed")[0]
    with pytest.raises(TransitionRefused, match="doesn't want"):
        asked.reply("Are you sure?")


@pytest.mark.rule(14, 29)
@pytest.mark.parametrize("failpoint", ["after_claim", "after_draft", "after_sending", "after_accept"])
def test_an_answer_outlives_a_killed_worker_and_leaves_once(house: House, failpoint: str) -> None:
    seq, _ = answered(house)
    house.engine.now = lambda: dt.datetime.now(dt.UTC)
    only_message(seq).reply("Thanks.")
    assert house.drain(failpoint=failpoint) == -9

    def gone() -> bool:
        dispatch.drain_sends(house.engine, threads=1)
        return house.engine.store.value("SELECT state FROM outbox WHERE answers_id IS NOT NULL") == "sent"

    wait_until(gone, every=0.2)
    assert subjects(house) == [(address(0), "Hello P0"), (address(0), "Re: Hello P0")]
    assert provider_of(house).draft_keys() == []


@pytest.mark.rule(13, 29)
def test_a_refused_answer_is_told_and_not_tried_again(house: House) -> None:
    seq, clock = answered(house)
    provider_of(house).faults = dataclasses.replace(Faults.none(), refused=(address(0),))
    only_message(seq).reply("Thanks.")
    for _ in range(3):
        go_on(house, clock, minutes=30)
    assert len(told("answer_failed")) == 1
    assert len(provider_of(house).ledger()) == 1


@pytest.mark.rule(29)
def test_somebody_without_an_address_is_taken_up_once_they_have_one(house: House) -> None:
    clock = Clock(house)
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll([{"First name": "Bo", "LinkedIn URL": "https://www.linkedin.com/in/bo-li"}])
    seq.activate()
    journey = seq.journey(house.engine.store.value("SELECT candidate_id FROM journeys"))
    assert (journey.status, journey.reason) == ("paused", "no_email")
    journey.cancel()
    with pytest.raises(TransitionRefused, match="no e-mail address to write to"):
        journey.reengage(after="1h")
    journey.use_email(address(0))
    journey.reengage(after="1h")
    go_on(house, clock, hours=2)
    assert subjects(house) == [(address(0), "Hello Bo")]
