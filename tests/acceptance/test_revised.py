"""Steps and senders changed while people are on their way: what isn't `sending` follows, nothing is stuck or lost."""

from __future__ import annotations

from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Later, NextBusinessDay, SpecificTime
from outreach_sdk.engine import dispatch, outbox
from outreach_sdk.errors import MailOutcomeUnknown, MailRateLimited, MailTemporary, TaskTaken
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.task import Task
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import Clock, NoWake, address, claim_once, go, provider_of, through
from tests.harness import House, at
from tests.mail.hostile import Faults, HostileTransport

START = "2026-03-02 09:00"


class Busy(HostileTransport):
    """A provider that asks everybody to come back in a minute."""

    def create_draft(self, *given: Any, **more: Any) -> Any:
        raise MailRateLimited("slowly", retry_after=60)


def tasks() -> list[Task]:
    return sorted(outreach.tasks(), key=lambda t: t.id)


def spaced(house: House) -> None:
    house.engine.store.write("UPDATE mailboxes SET spacing_us = 3000000")


def step_states(seq: Sequence, n: int = 0) -> list[tuple[str | None, str]]:
    frame = seq.journey(address(n)).steps
    return list(zip(frame["kind"], frame["status"], strict=True))


def by_hand(house: House, box: Mailbox, people: int, **first: Any) -> Sequence:
    """A manual opening that waits for a person, and an e-mail after it."""
    seq = Sequence.create("By hand", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", manual=True, **first)
    seq.add_email("Second", "Are you open to talk?")
    seq.enroll(house.people(people))
    seq.activate()
    go(house, 2)
    return seq


# -- steps taken out -------------------------------------------------------------------------------
@pytest.mark.rule(2, 7)
@pytest.mark.parametrize("spacing", [True, False])
def test_a_step_taken_out_while_its_send_now_is_queued(house: House, spacing: bool) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = by_hand(house, box, 3)
    if spacing:
        spaced(house)
    for task in tasks():
        task.send_now()
    if spacing:
        claim_once(house)  # one leaves, two queue
    seq.remove_step(1)
    store = house.engine.store
    before = store.value("SELECT SUM(generation) FROM outbox")
    for _ in range(8):
        clock.on(seconds=4)
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    sent = house.witness(box)
    assert sum(n for (_, subject), n in sent.items() if subject == "Second") == 3
    assert sum(n for (_, subject), n in sent.items() if subject == "Hello") == (1 if spacing else 0)
    assert store.value("SELECT SUM(generation) FROM outbox") == before + 3, "each e-mail was claimed once"
    assert set(seq.candidates()["status"]) == {"completed"}
    assert step_states(seq, 2) == [("email", "cancelled"), ("email", "sent")]
    assert outreach.tasks() == []


@pytest.mark.rule(2, 14)
@pytest.mark.parametrize("when", ["claimed", "drafted"])
def test_a_step_taken_out_while_a_worker_has_its_e_mail(house: House, when: str) -> None:
    box = house.hostile()
    seq = Sequence.create("In hand", mailbox=box, timezone="UTC")
    seq.add_email("First", "Hi")
    seq.add_email("Second", "Hi")
    seq.enroll(house.people(1))
    seq.activate()
    removed: list[int] = []

    class Removes(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            made = super().create_draft(*given, **more) if when == "drafted" else None
            if not removed:
                removed.append(1)
                seq.remove_step(1)
            return made or super().create_draft(*given, **more)

    with through(house, Removes):
        dispatch.drain_sends(house.engine, threads=1)
    house.settle(seq)
    assert [s for _, s in house.witness(box).elements()] == ["Second"]
    assert provider_of(house).draft_keys() == []


@pytest.mark.rule(2, 9)
@pytest.mark.parametrize("why", ["missing field", "unapproved"])
def test_a_step_taken_out_just_before_its_e_mail_would_wait(house: House, why: str) -> None:
    box = house.hostile()
    seq = Sequence.create("Just before", mailbox=box, timezone="UTC")
    seq.add_email(
        "First {{ nick }}" if why == "missing field" else "First {{ company | fallback('x') }}", "Hi"
    )
    seq.add_email("Second", "Hi")
    seq.review = why == "unapproved"
    seq.enroll(house.people(1))
    seq.activate()
    engine = house.engine
    if seq.review:
        seq.approve(seq.drafts())
        engine.store.write("UPDATE candidates SET company = 'Acme'")
    (claim,) = claim_sends(
        engine.store, engine.now(), limit=1, cap=50, lease=engine.lease, new_key=engine.new_key, load=True
    ).items
    seq.remove_step(1)
    outbox.process(engine, claim)
    house.settle(seq)
    assert [s for _, s in house.witness(box).elements()] == ["Second"]


@pytest.mark.rule(2, 8)
@pytest.mark.parametrize("kind", ["phone", "email"])
def test_a_step_taken_out_while_its_task_is_open(house: House, kind: str) -> None:
    box = house.hostile()
    seq = Sequence.create("Call", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    if kind == "phone":
        seq.add_phone("Call", skip_after=False)
    else:
        seq.add_email("By hand", "Hi", manual=True, skip_after=False)
    seq.add_email("Last", "Hi")
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    seq.journey(address(1)).pause()
    task = tasks()[0]
    seq.remove_step(2)
    assert outreach.tasks() == []
    with pytest.raises(TaskTaken, match="its step was taken out"):
        task.skip()
    go(house, 2)
    assert seq.journey(address(0)).status == "completed"
    seq.journey(address(1)).resume()
    go(house, 2)
    assert sorted(s for _, s in house.witness(box).elements()) == ["Hello", "Hello", "Last", "Last"]


def in_three_steps(house: House, box: Mailbox) -> Sequence:
    seq = Sequence.create("Three", mailbox=box, timezone="UTC")
    for subject in ("First", "Second", "Third"):
        seq.add_email(subject, "Hi")
    seq.enroll(house.people(1))
    seq.activate()
    return seq


# -- sends that nobody can account for -------------------------------------------------------------
def lost(house: House) -> tuple[Clock, Sequence, Mailbox]:
    """A sequence whose first e-mail left nobody knows whither, after two hours of looking."""
    clock = Clock(house)
    box = house.hostile()
    seq = in_three_steps(house, box)

    class Loses(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            self.delete_draft(provider_draft_id)
            raise MailOutcomeUnknown("the answer was lost")

    with through(house, Loses):
        dispatch.drain_sends(house.engine, threads=1)
    return clock, seq, box


def looked_for(house: House, clock: Clock) -> None:
    for _ in range(40):
        clock.on(minutes=5)
        claim_once(house)


@pytest.mark.rule(2, 14)
@pytest.mark.parametrize("sent", [True, False])
def test_a_step_taken_out_that_waits_for_a_persons_word(house: House, sent: bool) -> None:
    clock, seq, box = lost(house)
    looked_for(house, clock)
    journey = seq.journey(address(0))
    seq.remove_step(1)
    assert list(journey.steps["status"]) == ["needs_person", "planned", "planned"]
    with pytest.raises(outreach.OutreachError, match="doesn't wait"):
        journey.resolve(2, sent=True)
    journey.resolve(1, sent=sent)
    house.settle(seq)
    assert sorted(s for _, s in house.witness(box).elements()) == ["Second", "Third"]
    assert journey.steps["status"][0] == ("sent" if sent else "cancelled")


@pytest.mark.rule(2, 14)
@pytest.mark.parametrize("when", ["looked for", "settled"])
def test_a_step_moved_whose_send_nobody_can_account_for(house: House, when: str) -> None:
    clock, seq, box = lost(house)
    if when == "looked for":
        seq.move_step(1, 3)
    looked_for(house, clock)
    if when == "settled":
        seq.move_step(1, 3)
    journey = seq.journey(address(0))
    assert list(journey.steps["status"]) == ["planned", "planned", "needs_person"]
    journey.resolve(3, sent=True)
    house.settle(seq)
    assert sorted(s for _, s in house.witness(box).elements()) == ["Second", "Third"]


@pytest.mark.rule(2, 14)
def test_a_step_moved_while_its_send_is_found_again(house: House) -> None:
    clock = Clock(house)
    box = house.hostile(Faults.none())
    seq = in_three_steps(house, box)

    class Silent(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            super().send_draft(provider_draft_id)
            raise MailOutcomeUnknown("the answer was lost")

    with through(house, Silent):
        claim_once(house)
    seq.move_step(1, 3)
    clock.on(minutes=1)
    for _ in range(4):
        clock.on(minutes=1)
        claim_once(house)
    assert sorted(s for _, s in house.witness(box).elements()) == ["First", "Second", "Third"]
    assert seq.journey(address(0)).status == "completed"


@pytest.mark.rule(2)
def test_what_waits_to_be_sent_again_and_is_moved_runs_where_it_stands(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = in_three_steps(house, box)

    with through(house, Busy):
        claim_once(house)
    seq.move_step(1, 3)
    for _ in range(8):
        clock.on(minutes=2)
        claim_once(house)
    order = [a.subject for a in provider_of(house).ledger()]
    assert order == ["Second", "Third", "First"]


# -- senders ---------------------------------------------------------------------------------------
def other_box() -> Mailbox:
    return Mailbox.connect_local("bob@agency.example", name="Bob")


@pytest.mark.rule(2, 12)
@pytest.mark.parametrize("change", ["another", "lost, then another"])
def test_queued_send_nows_follow_to_another_mailbox(house: House, change: str) -> None:
    clock, box = Clock(house, at(START)), house.local()
    seq = by_hand(house, box, 3)
    bob = other_box()
    spaced(house)
    for task in tasks():
        task.send_now()
    claim_once(house)
    if change != "another":
        box.disconnect()
        assert [n["kind"] for n in outreach.notifications().to_dicts()][:1] == ["mailbox_disconnected"]
        assert set(seq.candidates()["reason"]) <= {"mailbox_disconnected", None}
    seq.set_mailbox(bob)
    for _ in range(8):
        clock.on(seconds=4)
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    first = sum(n for (_, s), n in house.witness(box).items() if s == "Hello")
    rest = sum(n for (_, s), n in house.witness(bob).items() if s == "Hello")
    assert (first, rest) == (1, 2)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(2, 12)
def test_one_held_up_at_a_lost_mailbox_leaves_from_the_other(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = by_hand(house, box, 1)
    bob = other_box()

    class Down(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            raise MailTemporary("down")

    tasks()[0].send_now()
    with through(house, Down):
        claim_once(house)
    box.disconnect()
    seq.set_mailbox(bob)
    clock.on(minutes=30)
    go(house, 2)
    assert set(house.witness(bob)) == {(address(0), "Hello"), (address(0), "Second")}


@pytest.mark.rule(2, 12)
def test_a_step_taken_out_whose_e_mail_was_held_up_at_a_lost_mailbox(house: House) -> None:
    clock, bob = Clock(house, at(START)), house.hostile()
    box = other_box()
    seq = Sequence.create("Two senders", mailbox=box, timezone="UTC")
    seq.add_email("From Bob", "Hi", mailbox=bob)
    seq.add_email("Second", "Hi")
    seq.enroll(house.people(1))
    seq.activate()

    class Down(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            raise MailTemporary("down")

    with through(house, Down):
        claim_once(house)
    bob.disconnect()
    seq.remove_step(1)
    clock.on(minutes=30)
    go(house, 2)
    assert house.witness(box) == {(address(0), "Second"): 1}


@pytest.mark.rule(2, 14)
def test_what_a_worker_holds_when_the_mailbox_changes_leaves_from_the_new_one(house: House) -> None:
    box = house.hostile()
    bob = other_box()
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()
    usual = house.engine.transport
    changed: list[int] = []

    class Changes(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            if not changed:
                changed.append(1)
                seq.set_mailbox(bob)
            return super().create_draft(*given, **more)

    house.engine.transport = lambda row: (
        Changes(provider_of(house), row["address"]) if row["provider"] == "hostile" else usual(row)
    )
    house.settle(seq)
    house.engine.transport = usual
    assert not house.witness(box)
    assert provider_of(house).draft_keys() == []
    assert sum(house.witness(bob).values()) == 2


@pytest.mark.rule(1, 12)
@pytest.mark.parametrize("how", ["mailbox=None", "another mailbox", "removed"])
def test_a_step_that_lost_its_own_mailbox_is_repaired(house: House, how: str) -> None:
    clock, box = Clock(house, at(START)), house.local()
    bob = other_box()
    seq = Sequence.create("Two senders", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.add_email("From Bob", "Hi", thread="new", mailbox=bob, when=Later(days=1))
    seq.add_email("Last", "Hi", when=Later(days=1))
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    bob.disconnect()
    assert set(seq.candidates()["reason"]) == {"mailbox_disconnected"}
    clock.on(days=2)
    go(house, 2)
    if how == "removed":
        seq.remove_step(2)
    else:
        cyd = Mailbox.connect_local("cyd@agency.example", name="Cyd") if how != "mailbox=None" else None
        seq.edit_step(2, mailbox=cyd)
    assert seq.problems == []
    assert set(seq.candidates()["status"]) == {"active"}
    go(house, 2)
    clock.on(days=1, minutes=1)
    go(house, 2)
    assert set(seq.candidates()["status"]) == {"completed"}
    assert sum(house.witness(box).values()) == {"removed": 4, "mailbox=None": 6}.get(how, 4)


# -- what queues keeps its place --------------------------------------------------------------------
@pytest.mark.rule(2, 6, 7)
@pytest.mark.parametrize("kind", ["specific", "business day"])
@pytest.mark.parametrize("change", ["move", "window", "passage"])
def test_who_only_queues_is_not_put_off(house: House, kind: str, change: str) -> None:
    clock, box = Clock(house, at("2026-03-02 08:00")), house.hostile()
    when = (
        NextBusinessDay("09:00")
        if kind == "business day"
        else SpecificTime("2026-03-03 09:00", timezone="UTC")
    )
    seq = Sequence.create("Queue", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", when=when)
    seq.add_email(body="Again", when=Later(days=3))
    seq.add_phone("Call", when=Later(days=3))
    seq.enroll(house.people(3))
    seq.activate()
    spaced(house)
    clock.now = at("2026-03-03 09:00")
    claim_once(house)
    clock.now = at("2026-03-03 10:30")
    dispatch.tick(house.engine, NoWake())
    house.engine.store.write("DELETE FROM outages")  # they queued: the clock was alive
    if change == "move":
        seq.move_step(3, 2)
    elif change == "window":
        seq.window = {"start": "08:00", "end": "20:00"}
    else:
        seq.edit_step(1, body="{{ ai('a line', fallback='Hi') }}")
    assert set(seq.candidates()["status"]) == {"active"}
    for _ in range(4):
        clock.on(seconds=4)
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    assert sum(house.witness(box).values()) == 3


@pytest.mark.rule(2)
def test_a_move_plans_again_whose_next_step_is_another_one(house: House) -> None:
    Clock(house, at(START))
    seq = Sequence.create("Moved", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello", "Hi", when=Later(days=2))
    seq.add_email("Second", "Hi", when=Later(days=5))
    seq.enroll(house.people(1))
    seq.activate()
    seq.move_step(2, 1)
    shown = seq.journey(address(0)).steps
    assert shown["due_at"].to_list() == [at("2026-03-07 09:00"), None]
