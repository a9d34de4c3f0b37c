"""Several changes one upon another: where everybody stands stays clear, and nobody is left behind."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Instant, Later, NextBusinessDay, SpecificTime
from outreach_sdk.domain.windows import SendingWindow
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import (
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
    TransitionRefused,
)
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import Clock, NoWake, address, claim_once, go, provider_of, through
from tests.harness import House, at
from tests.mail.hostile import HostileTransport

START = "2026-03-02 09:00"  # a Monday


def other_box(house: House, name: str = "bob@agency.example") -> Mailbox:
    known = {"path": str(house.home / "provider.sqlite"), "timeout": 1}
    return Mailbox._save(house.session, "hostile", name, "Bob", known, None)


def subjects(house: House) -> list[str]:
    return [attempt.subject for attempt in provider_of(house).ledger()]


@pytest.mark.rule(3, 8)
def test_a_step_put_before_an_open_task_while_the_sequence_is_off(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Calls", mailbox=box, timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_phone("Call", skip_after=3600)
    seq.add_email("Last", "Hi", thread="new")
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    seq.deactivate()
    seq.add_linkedin("Connect", skip_after=False)
    seq.move_step(4, 2)
    clock.on(hours=5)
    seq.activate()
    go(house, 2)
    assert [t.kind for t in outreach.tasks()] == ["phone"] * 2, "each is asked of one thing at a time"
    outreach.tasks()[0].done()
    clock.on(hours=1, seconds=1)  # the hour that was left: time off doesn't count
    go(house, 3)
    assert subjects(house).count("Last") == 2
    assert set(seq.candidates()["status"]) == {"completed"}
    assert outreach.tasks() == []


@pytest.mark.rule(2)
def test_a_last_step_reaches_who_waits_at_one_that_was_moved_to_the_front(house: House) -> None:
    Clock(house, at(START))
    seq = Sequence.create("Calls", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_email("Second", "Hi", thread="new")
    seq.add_phone("Call")
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 3)
    seq.move_step(3, 1)
    seq.add_email("Last", "Hi", thread="new")
    outreach.tasks()[0].done()
    go(house, 2)
    assert subjects(house) == ["First", "Second", "Last"]
    assert seq.journey(address(0)).status == "completed"


@pytest.mark.rule(1, 8)
def test_a_manual_e_mail_whose_own_mailbox_is_lost_pauses_and_goes_on(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    bob = other_box(house)
    seq = Sequence.create("By hand", mailbox=box, timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_email("By hand", "Hi", thread="new", manual=True, mailbox=bob, skip_after=86_400)
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    bob.disconnect()
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("paused", "mailbox_disconnected")
    assert any("bob@agency.example was disconnected" in n for n in outreach.notifications()["text"])
    with pytest.raises(TransitionRefused, match="isn't active"):
        outreach.tasks()[0].send_now()
    clock.on(days=3)
    go(house)
    assert journey.status == "paused", "its time is frozen"
    other_box(house)
    assert journey.status == "active"
    outreach.tasks()[0].send_now()
    go(house)
    assert [(a.mailbox, a.subject) for a in provider_of(house).ledger()][1:] == [
        ("bob@agency.example", "By hand")
    ]


@pytest.mark.rule(1)
@pytest.mark.parametrize("paused_by_hand", [False, True])
def test_a_step_of_a_lost_mailbox_moved_back_lets_the_next_one_leave(
    house: House, paused_by_hand: bool
) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    bob = other_box(house)
    seq = Sequence.create("Two senders", mailbox=box, timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_email("Bob's", "Hi", thread="new", mailbox=bob, when=Later(hours=1))
    seq.add_email("Last", "Hi", thread="new", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    journey = seq.journey(address(0))
    if paused_by_hand:
        journey.pause()
    bob.disconnect()
    seq.move_step(2, 3)
    if paused_by_hand:
        assert (journey.status, journey.reason) == ("paused", "manual")
        journey.resume()
    clock.on(hours=1, seconds=1)
    go(house, 2)
    assert subjects(house) == ["First", "Last"]


@pytest.mark.rule(3, 6)
@pytest.mark.parametrize("zone", [None, "candidate"])
@pytest.mark.parametrize("enrolled", ["2026-02-27 10:00", "2026-03-02 10:00", "2026-03-03 06:00"])
@pytest.mark.parametrize("now", ["2026-03-03 07:30", "2026-03-03 12:00", "2026-03-07 12:00"])
def test_the_first_business_day_is_the_same_however_it_is_asked_for(
    house: House, zone: Any, enrolled: str, now: str
) -> None:
    clock = Clock(house, at(enrolled))
    seq = Sequence.create("Mornings", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello", "Hi", when=NextBusinessDay("09:00", timezone=zone))
    seq.enroll(house.people(2))
    house.engine.store.write("UPDATE candidates SET timezone = 'Asia/Tokyo' WHERE first_name = 'P1'")
    clock.now = at(now)
    journeys = [seq.journey(address(n)) for n in range(2)]

    def due() -> list[dt.datetime]:
        return [j.steps["due_at"][0] for j in journeys]

    shown = [seq.preview(address(n))["at"][0] for n in range(2)]
    seq.activate()
    assert due() == shown
    seq.deactivate()
    seq.activate()
    assert due() == shown
    for journey in journeys:
        journey.pause()
        journey.resume()
    assert due() == shown
    assert all(moment >= clock.now for moment in shown)


@pytest.mark.rule(6, 8)
@pytest.mark.parametrize("off", [{"hours": 2}, {"days": 8}])
def test_a_send_now_that_came_too_late_leaves_when_it_is_resumed(house: House, off: dict[str, int]) -> None:
    clock = Clock(house, at(START))
    when = SpecificTime(START, timezone="UTC") if "hours" in off else Instant()
    seq = Sequence.create("By hand", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello", "Hi", manual=True, when=when, skip_after=False)
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    outreach.tasks()[0].send_now()
    clock.on(**off)  # the laptop was shut before the clock looked
    go(house, 2)
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("paused", "overdue")
    journey.resume()
    go(house, 2)
    assert subjects(house) == ["Hello"]
    assert journey.status == "completed"


class Loses(HostileTransport):
    """Neither draft nor message is there afterwards, and nobody says what became of it."""

    def send_draft(self, provider_draft_id: str) -> Any:
        self.delete_draft(provider_draft_id)
        raise MailOutcomeUnknown("lost")


@pytest.mark.rule(13, 14)
@pytest.mark.parametrize("asked", ["before", "meanwhile"])
def test_who_is_taken_up_again_waits_for_word_of_an_e_mail_nobody_knows_of(house: House, asked: str) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Later", mailbox=box, timezone="UTC")
    for subject in ("First", "Second", "Third"):
        seq.add_email(subject, "Hi", thread="new", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()
    clock.on(hours=1, seconds=1)
    go(house, 2)
    clock.on(hours=1, seconds=1)
    with through(house, Loses):
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    provider_of(house).deliver_reply(provider_of(house).ledger()[0], "Not now.", at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    journey = seq.journey(address(0))
    assert (journey.status, journey.reason) == ("cancelled", "replied")

    def looked_for() -> None:
        for _ in range(40):
            clock.on(minutes=5)
            dispatch.tick(house.engine, NoWake())
            claim_once(house)

    if asked == "before":
        looked_for()
        with pytest.raises(TransitionRefused, match=r"journey\.resolve"):
            journey.reengage(after="2d")
        journey.resolve(2, sent=False)
        journey.reengage(after="2d")
    else:
        journey.reengage(after="2d")
        looked_for()
        clock.on(days=2)
        go(house, 2)
        assert (journey.status, journey.reason) == ("paused", "unknown_send"), "it isn't active for nothing"
        with pytest.raises(TransitionRefused, match=r"journey\.resolve"):
            journey.resume()
        journey.resolve(2, sent=False)
    clock.on(days=2, minutes=1)
    go(house, 3)
    clock.on(hours=1, seconds=1)
    go(house, 2)
    assert subjects(house) == ["First", "Second", "Third"]
    assert journey.status == "completed"


@pytest.mark.rule(1, 7)
@pytest.mark.parametrize("whose", ["the step's", "the sequence's"])
def test_resumed_by_hand_at_a_lost_mailbox_it_follows_to_another(house: House, whose: str) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    bob = other_box(house)
    seq = Sequence.create("Held", mailbox=box, timezone="UTC")
    seq.add_email("First", "Hi")
    seq.enroll(house.people(1))
    seq.activate()
    engine = house.engine
    claim_sends(
        engine.store, engine.now(), limit=1, cap=50, lease=engine.lease, new_key=engine.new_key
    )  # by a worker that died
    box.disconnect()
    journey = seq.journey(address(0))
    assert journey.status == "paused"
    journey.resume()
    if whose == "the step's":
        seq.edit_step(1, mailbox=bob)
    else:
        seq.set_mailbox(bob)
    clock.on(minutes=5)
    go(house, 2)
    assert [(a.mailbox, a.subject) for a in provider_of(house).ledger()] == [("bob@agency.example", "First")]


@pytest.mark.rule(7, 14)
def test_a_call_that_outlasts_its_lease_and_fails_takes_nothing_back(house: House) -> None:
    clock = Clock(house, at(START))
    seq = Sequence.create("Slow", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_email("Second", "Hi", thread="new", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()

    class Slow(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            clock.on(seconds=130)  # the laptop slept: another worker takes over and sends
            with through(house, HostileTransport):
                claim_once(house)
            raise MailTemporary("503")

    with through(house, Slow):
        claim_once(house)
    assert seq.journey(address(0)).steps["status"].to_list() == ["sent", "due"]
    clock.on(hours=1, seconds=1)
    go(house, 2)
    assert subjects(house) == ["First", "Second"]
    assert seq.journey(address(0)).steps["status"].to_list() == ["sent", "sent"]


@pytest.mark.rule(14, 15)
@pytest.mark.parametrize("why", ["busy", "refused"])
def test_no_draft_stays_behind_of_what_will_not_leave(house: House, why: str) -> None:
    clock = Clock(house, at(START))
    seq = Sequence.create("Drafts", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("First", "Hi")
    seq.enroll(house.people(1))
    seq.activate()

    class No(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            if why == "busy":
                raise MailRateLimited("slowly", retry_after=60)
            raise MailRefused("550 no such user")

    with through(house, No):
        claim_once(house)
    seq.journey(address(0)).cancel()
    clock.on(hours=1)
    go(house, 2)
    assert provider_of(house).draft_keys() == []
    assert subjects(house) == []


@pytest.mark.rule(6)
def test_a_workspaces_new_hours_and_days_reach_who_is_planned(house: House) -> None:
    Clock(house, at("2026-03-02 18:00"))
    ws = Workspace(house.session)
    ws.set(window=SendingWindow("09:00", "17:00"), closed=["2026-03-03"])
    box = house.hostile()
    hours = Sequence.create("Hours", mailbox=box, timezone="UTC")
    hours.add_email("Hello", "Hi")
    days = Sequence.create("Days", mailbox=box, timezone="UTC")
    days.add_email("Hello", "Hi", when=NextBusinessDay("09:00"))
    for number, seq in enumerate((hours, days)):
        seq.enroll(house.people(1, start=number))
        seq.activate()

    def planned() -> list[str]:
        return [f"{seq.journey(address(n)).steps['due_at'][0]:%d %H}" for n, seq in enumerate((hours, days))]

    before = planned()
    assert before[0].startswith("04")
    assert before[1] == "04 09"
    ws.set(closed=[])
    assert planned()[0].startswith("03")
    assert planned()[1] == "03 09"
    ws.set(window=None)
    assert planned() == ["02 18", "03 09"]
    ws.set(closed=["2026-03-03", "2026-03-04"])
    assert planned() == ["02 18", "05 09"]
