"""What a change to a step means for tasks that are open, and for e-mails that become tasks or cease to be."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import NextBusinessDay, SpecificTime
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import TaskTaken
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import Clock, address, claim_once, go, through
from tests.acceptance.test_revised import START, Busy, by_hand, tasks
from tests.harness import House, at
from tests.mail.hostile import HostileTransport


@pytest.mark.rule(2, 8)
def test_made_manual_it_skips_itself_after_three_days(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = house.two_steps(box, delay=60)
    seq.edit_step(2, manual=True)
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    clock.on(minutes=2)
    go(house, 2)
    assert tasks()[0].skip_at == clock.now + dt.timedelta(days=3)
    seq.edit_step(1, manual=True, skip_after=False)
    assert seq.steps["manual"].to_list() == [True, True]
    assert house.engine.store.value("SELECT skip_after FROM steps ORDER BY rank LIMIT 1") is None


@pytest.mark.rule(2, 3, 8)
@pytest.mark.parametrize("old", [False, 3600])
def test_a_new_timer_reaches_open_tasks(house: House, old: Any) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = by_hand(house, box, 2, skip_after=old)
    frozen = seq.journey(address(1))
    clock.on(minutes=30)
    frozen.pause()
    clock.on(minutes=10)
    seq.edit_step(1, skip_after=dt.timedelta(hours=2))
    assert tasks()[0].skip_at == at("2026-03-02 11:00")
    frozen.resume()
    assert tasks()[1].skip_at == at("2026-03-02 11:10" if old else "2026-03-02 11:40")
    seq.edit_step(1, skip_after=60)
    clock.on(minutes=2)
    go(house, 2)
    assert tasks() == []
    assert sum(house.witness(box).values()) == 2


@pytest.mark.rule(2, 8)
def test_a_timer_taken_off_lets_the_task_wait(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = by_hand(house, box, 1, skip_after=3600)
    seq.edit_step(1, skip_after=False)
    clock.on(days=9)
    go(house, 2)
    assert [t.status for t in tasks()] == ["waiting"]


@pytest.mark.rule(2, 8)
@pytest.mark.parametrize("when", [NextBusinessDay("09:00"), SpecificTime("2026-03-03 09:00", timezone="UTC")])
def test_made_automatic_an_open_task_leaves_by_itself(house: House, when: Any) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("By itself", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", manual=True, when=when, skip_after=False)
    seq.enroll(house.people(2))
    seq.activate()
    clock.now = at("2026-03-03 09:00")
    go(house, 2)
    first, second = tasks()
    first.edit(body="Hi, in person")
    seq.journey(address(1)).pause()
    clock.on(minutes=30)
    seq.edit_step(1, manual=False)
    assert outreach.tasks() == []
    with pytest.raises(TaskTaken, match="leaves by itself"):
        first.send_now()
    go(house, 2)
    assert house.witness(box) == {(address(0), "Hello"): 1}
    assert "in person" in str(seq.journey(address(0)).steps["body_html"][0])
    seq.journey(address(1)).resume()
    clock.on(days=1)
    go(house, 2)
    assert second.status != "waiting"


@pytest.mark.rule(2, 8)
def test_made_manual_while_it_waits_for_the_mailbox(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("To hand", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.enroll(house.people(2))
    seq.activate()

    with through(house, Busy):
        claim_once(house)
    seq.edit_step(1, manual=True)
    clock.on(minutes=2)
    go(house, 2)
    assert not house.witness(box)
    assert len(tasks()) == 2
    for task in tasks():
        task.send_now()
    go(house, 2)
    assert len(house.witness(box)) == 2


@pytest.mark.rule(2, 8)
def test_made_manual_while_a_worker_has_it(house: House) -> None:
    box = house.hostile()
    seq = Sequence.create("To hand", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.enroll(house.people(1))
    seq.activate()

    class Edits(HostileTransport):
        def create_draft(self, *given: Any, **more: Any) -> Any:
            seq.edit_step(1, manual=True)
            return super().create_draft(*given, **more)

    with through(house, Edits):
        dispatch.drain_sends(house.engine, threads=1)
    go(house, 2)
    assert not house.witness(box)
    assert [t.status for t in tasks()] == ["waiting"]
    tasks()[0].send_now()
    go(house, 2)
    assert len(house.witness(box)) == 1
