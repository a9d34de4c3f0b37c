"""Dates and times that had passed when their step came up: said at once, and a person can still send."""

from __future__ import annotations

import datetime as dt

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Later, SpecificTime
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import Clock, address, go
from tests.harness import House, at

START = "2026-03-02 12:00"
PASSED = SpecificTime("2026-03-02 10:00", timezone="UTC")


@pytest.mark.rule(6)
def test_resumed_by_a_person_an_overdue_step_leaves(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Fair", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.add_email("The fair", "Hi", when=SpecificTime("2026-03-05 10:00", timezone="UTC"))
    seq.add_email("After the fair", "Hi", when=Later(days=1))
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    journey = seq.journey(address(0))
    journey.pause()
    clock.on(days=6)
    journey.resume()
    assert (journey.status, journey.reason) == ("paused", "overdue"), "nobody said that it may be late"
    journey.resume()
    assert journey.status == "active"
    go(house, 2)
    clock.on(days=1)
    go(house, 2)
    assert journey.status == "completed"
    mine = [subject for who, subject in house.witness(box).elements() if who == address(0)]
    assert sorted(mine) == ["After the fair", "Hello", "The fair"]
    assert len([n for n in outreach.notifications().to_dicts() if n["kind"] == "overdue"]) == 1


@pytest.mark.rule(3, 6)
def test_resumed_while_its_sequence_is_off_an_overdue_step_leaves_at_activation(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Fair", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.add_email("The fair", "Hi", thread="new", when=SpecificTime("2026-03-05 10:00", timezone="UTC"))
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    for n in range(2):
        seq.journey(address(n)).pause()
    clock.on(days=6)
    for n in range(2):
        seq.journey(address(n)).resume()
    seq.deactivate()
    seq.journey(address(0)).resume()
    assert seq.journey(address(0)).status == "paused"
    seq.activate()
    go(house, 2)
    assert [seq.journey(address(n)).status for n in range(2)] == ["completed", "paused"]
    assert house.witness(box)[address(0), "The fair"] == 1
    assert house.witness(box)[address(1), "The fair"] == 0


@pytest.mark.rule(4, 6)
@pytest.mark.parametrize("active", [True, False])
def test_enrolling_says_that_the_first_step_has_passed(house: House, active: bool) -> None:
    Clock(house, at(START))
    seq = Sequence.create("Fair", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello", "Hi", when=PASSED)
    if active:
        seq.activate()
    report = seq.enroll(house.people(3))
    assert "first step have passed" in str(report.notice)
    assert report.enrolled == 3
    if active:
        assert report.rows["reason"].to_list() == ["paused: overdue"] * 3
        assert "the time of the first step has passed" in report._repr_html_()
    else:
        assert seq.activate() == 0, "nobody got going"
    assert set(seq.candidates()["reason"]) == {"overdue"}
    told = [n["text"] for n in outreach.notifications().to_dicts() if n["kind"] == "overdue"]
    assert len(told) == 1
    assert told[0].startswith("3 journeys")
    for n in range(3):
        seq.journey(address(n)).resume()
    go(house, 2)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(2, 6)
def test_activation_counts_who_goes(house: House) -> None:
    Clock(house, at(START))
    seq = Sequence.create("Both", mailbox=house.hostile(), timezone="UTC")
    seq.add_email("Hello", "Hi", when=Later(days=1))
    seq.enroll(house.people(2))
    assert seq.activate() == 2
    assert "passed" not in str(seq.enroll(house.people(1, start=5)).notice)
    seq.deactivate()
    assert seq.activate() == 3


# -- what is ahead ------------------------------------------------------------------------------------
@pytest.mark.rule(2, 9)
def test_a_preview_midway_shows_what_was_and_what_is_ahead(house: House) -> None:
    clock, box = Clock(house, at("2026-03-02 09:00")), house.hostile()
    seq = Sequence.create("Midway", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.add_phone("Call", when=Later(days=3))
    seq.add_email(body="Just checking.", when=Later(days=2))
    seq.enroll(house.people(2))
    before = seq.preview(address(0))
    assert before["status"].to_list() == ["planned"] * 3
    assert before["at"].to_list() == [at("2026-03-02 09:00"), at("2026-03-05 09:00"), at("2026-03-07 09:00")]
    seq.activate()
    go(house, 2)
    seq.edit_step(1, subject="Good day {{ first_name }}")
    clock.on(days=2)
    midway = seq.preview(address(0))
    assert midway["status"].to_list() == ["sent", "due", "planned"]
    assert midway["subject"][0] == "Hello P0", "as it was sent"
    assert midway["at"].to_list() == [at("2026-03-02 09:00"), at("2026-03-05 09:00"), at("2026-03-07 09:00")]
    assert (
        seq.send_test("me@agency.example", candidate=address(0), wait=0)["subject"][0] == "[Test] Good day P0"
    )
    seq.add_email("Put in", "Hi")
    seq.move_step(4, 1)
    shown = seq.preview(address(0))
    assert shown["status"].to_list() == ["passed", "sent", "due", "planned"]
    assert shown["at"][0] is None
    clock.on(days=1)
    go(house, 2)
    clock.on(hours=5)
    assert seq.preview(address(0))["status"].to_list() == ["passed", "sent", "waiting", "planned"]
    outreach.tasks()[0].done()
    journey = seq.journey(outreach.tasks()[0].journey._row()["email"])
    journey.cancel()
    assert seq.preview(journey.email)["status"].to_list()[2:] == ["passed", "passed"]


@pytest.mark.rule(3)
def test_a_preview_of_somebody_paused_counts_from_where_they_were(house: House) -> None:
    clock = Clock(house, at("2026-03-02 09:00"))
    seq = house.two_steps(house.hostile(), delay=dt.timedelta(days=3).total_seconds())
    seq.enroll(house.people(1))
    seq.activate()
    go(house, 2)
    seq.journey(address(0)).pause()
    clock.on(days=1)
    assert seq.preview(address(0))["at"][1] == at("2026-03-05 09:00")
    clock.on(days=9)
    assert seq.preview(address(0))["at"][1] == clock.now
