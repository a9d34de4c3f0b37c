"""Statistics follow people through to the end (rule 31), also where that comes after their journey."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from outreach_sdk.engine import dispatch
from outreach_sdk.notebook.card import Table
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.acceptance.scenarios import Clock, NoWake, address, provider_of
from tests.harness import ADDRESS, House


def written_to(house: House, people: int, name: str = "One", start: int = 0) -> tuple[Sequence, Clock]:
    """So many people whose journeys end with their only e-mail."""
    box = house.hostile()
    seq = Sequence.create(name, mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.enroll(house.people(people, start=start))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    assert set(seq.candidates()["status"]) == {"completed"}
    return seq, Clock(house)


def read(house: House, clock: Clock) -> None:
    clock.on(minutes=6)
    dispatch.drain_polls(house.engine)
    dispatch.tick(house.engine, NoWake())


def entry(house: House, number: int) -> Any:
    return next(a for a in provider_of(house).ledger() if address(number) in a.recipients)


def counted(seq: Sequence, **more: Any) -> dict[str, int]:
    (row,) = seq.stats(**more).to_dicts()
    names = ("replied", "bounced", "opted_out", "meetings", "interviews")
    return {name: row[name] for name in names if row[name]}


@pytest.mark.rule(31)
def test_what_comes_after_the_last_e_mail_counts(house: House) -> None:
    seq, clock = written_to(house, 6)
    provider = provider_of(house)
    provider.deliver_bounce(entry(house, 0), at=clock.now)
    provider.deliver_reply(entry(house, 1), "Please unsubscribe me.", at=clock.now)
    provider.deliver_reply(entry(house, 2), "Sounds interesting, let's talk.", at=clock.now)
    read(house, clock)
    for number in (2, 3):
        Candidate.get(address(number)).record_interview(clock.now + dt.timedelta(days=2), title="Interview")
    Candidate.get(address(4)).suppress("by hand")
    Candidate.get(address(5)).erase()
    assert counted(seq) == {"replied": 2, "bounced": 1, "opted_out": 1, "interviews": 2}
    assert counted(seq, by="step") == {"replied": 2, "bounced": 1, "opted_out": 1, "interviews": 2}
    assert "met" in seq._repr_html_()


@pytest.mark.rule(31)
def test_an_interview_is_what_the_last_sequence_led_to(house: House) -> None:
    seq, clock = written_to(house, 1)
    clock.on(days=100)
    later = Sequence.create("Two", mailbox=ADDRESS, timezone="UTC")
    later.add_email("Hello again", "Hi")
    later.enroll(house.people(1))
    later.activate()
    dispatch.drain_sends(house.engine, threads=1)
    Candidate.get(address(0)).record_interview(clock.now + dt.timedelta(days=2), title="Interview")
    assert (counted(seq), counted(later)) == ({}, {"interviews": 1})


@pytest.mark.rule(31)
def test_who_was_stopped_by_hand_or_erased_opted_out_of_nothing(house: House) -> None:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    Candidate.get(address(0)).suppress("by hand")
    Candidate.get(address(1)).erase()
    assert counted(seq) == {}


@pytest.mark.rule(31)
def test_cards_count_answers_as_the_statistics_do(house: House) -> None:
    seq, clock = written_to(house, 3)
    provider = provider_of(house)
    for number in (0, 1):
        provider.deliver_reply(entry(house, number), "Please unsubscribe me.", at=clock.now)
    read(house, clock)
    assert counted(seq)["replied"] == 2
    shown = Workspace(house.session)._looks()
    (table,) = [p for p in shown.parts if isinstance(p, Table) and "answered" in p.headers]
    (row,) = table.rows
    assert row[table.headers.index("answered")] == 2


@pytest.mark.rule(31)
def test_an_answer_is_its_writers_whosever_thread_it_is_in(house: House) -> None:
    box, clock = house.hostile(), Clock(house)
    seq = Sequence.create("Both", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.enroll([{**p, "Title": title} for p, title in zip(house.people(2), ("CTO", "CEO"), strict=True)])
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    provider_of(house).deliver_reply(
        entry(house, 0), "I'm interested, let's talk.", sender=address(1), at=clock.now
    )
    read(house, clock)
    source = seq.stats(by="title").to_dicts()
    assert [(r["title"], r["replied"], r["interested"]) for r in source if r["replied"]] == [("CEO", 1, 1)]
