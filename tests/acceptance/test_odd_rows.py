"""One odd row in the database is its own trouble: its owner hears of it once, and everybody else's e-mails leave."""

from __future__ import annotations

import json

import pytest

from outreach_sdk.domain.sequence import Later, NextBusinessDay, SpecificTime
from outreach_sdk.engine import draining, shortlists, sync
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.shortlist import Shortlist
from outreach_sdk.objects.task import Task
from outreach_sdk.objects.workspace import notifications
from tests.acceptance.scenarios import Clock, address, go
from tests.harness import House

BEYOND = 2**62
"""A number of microseconds, or of seconds, that no calendar has."""


def told(kind: str = "send_failed") -> list[str]:
    found = notifications()
    return [str(text) for of, text in found.select("kind", "text").iter_rows() if of == kind]


@pytest.fixture
def box(house: House) -> Mailbox:
    return house.local()


def calls(house: House, box: Mailbox, people: int = 2) -> Sequence:
    """A call, then an e-mail."""
    seq = Sequence.create("Calls", mailbox=box, timezone="UTC")
    seq.add_phone("Call")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.enroll(house.people(people))
    return seq


def set_step(house: House, seq: Sequence, kind: str, **values: object) -> None:
    sets = ", ".join(f"{name} = ?" for name in values)
    house.engine.store.write(
        f"UPDATE steps SET {sets} WHERE sequence_id = ? AND kind = ?", *values.values(), seq.id, kind
    )


def mail_leaves(house: House, box: Mailbox, start: int = 50) -> bool:
    """Whether somebody else's e-mails go on."""
    other = Sequence.create(f"Others {start}", mailbox=box, timezone="UTC")
    other.add_email("To others", "Hi")
    other.enroll(house.people(2, start))
    other.activate()
    go(house, 2)
    left = house.witness(box)
    return all(left[address(n), "To others"] == 1 for n in (start, start + 1))


def test_a_task_that_cannot_be_opened_pauses_its_journeys_and_nobody_elses(
    house: House, box: Mailbox
) -> None:
    odd, fine = calls(house, box, 1), Sequence.create("Fine", mailbox=box, timezone="UTC")
    fine.add_phone("Call")
    fine.add_email("Hello", "Hi")
    fine.enroll(house.people(1, 10))
    set_step(house, odd, "phone", skip_after=float(BEYOND))
    odd.activate()
    fine.activate()
    go(house, 3)
    assert [task.sequence for task in Task.list()] == ["Fine"]
    journey = odd.journey(address(0))
    assert journey.status == "paused"
    [sentence] = told()
    assert "The journey of P0 Li in Calls is paused: its task couldn't be opened" in sentence
    assert "change that time, then resume it." in sentence
    assert mail_leaves(house, box)
    odd.edit_step(1, skip_after=60)
    journey.resume()
    go(house, 2)
    assert sorted(task.sequence for task in Task.list()) == ["Calls", "Fine"]
    assert len(told()) == 1


BROKEN = json.dumps({"type": "later", "seconds": 1e18})


def test_a_skip_whose_next_step_cannot_be_planned_pauses_that_journey(house: House, box: Mailbox) -> None:
    clock = Clock(house)
    odd, fine = calls(house, box, 1), Sequence.create("Fine", mailbox=box, timezone="UTC")
    fine.add_phone("Call", skip_after=60)
    fine.add_email("Hello", "Hi")
    fine.enroll(house.people(1, 10))
    odd.activate()
    fine.activate()
    go(house, 2)
    set_step(house, odd, "email", schedule=BROKEN)
    clock.on(days=4)
    go(house, 3)
    assert odd.journey(address(0)).status == "paused"
    [sentence] = told()
    assert "what follows its task can't be planned: delay: 1e+18." in sentence
    assert house.witness(box) == {(address(10), "Hello"): 1}


def test_a_pause_that_cannot_end_stays_one_and_the_others_end(house: House, box: Mailbox) -> None:
    clock = Clock(house)
    seq = calls(house, box)
    seq.activate()
    go(house, 2)
    store = house.engine.store
    store.write(
        "UPDATE journeys SET status = 'paused', reason = 'out_of_office', resume_at = ? WHERE sequence_id = ?",
        clock.now,
        seq.id,
    )
    store.write("DELETE FROM journey_steps")
    odd = seq.journey(address(0))
    store.write("UPDATE journeys SET anchor_at = ? WHERE id = ?", BEYOND, odd.id)
    set_step(house, seq, "phone", schedule=json.dumps({"type": "later", "seconds": 3600.0 * 24 * 3650}))
    clock.on(seconds=1)
    go(house, 3)
    assert (odd.status, seq.journey(address(1)).status) == ("paused", "active")
    [sentence] = told()
    assert "it was to go on, but can't be planned" in sentence


def test_an_answer_that_cannot_be_dealt_with_stops_its_journey_and_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = house.hostile()
    house.trusted(box)
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    assert house.provider is not None
    for sent in house.provider.ledger():
        house.provider.deliver_reply(sent, "Yes, please.")
    act = sync._act

    def fails(engine: object, row: dict[str, object], *rest: object) -> None:
        if row["journey_email"] == address(0):
            raise KeyError("odd")
        act(engine, row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sync, "_act", fails)
    sync.poll_mailbox(house.engine, box.id)
    go(house, 2)
    assert (seq.journey(address(0)).status, seq.journey(address(1)).status) == ("paused", "cancelled")
    [sentence] = told()
    assert "what came in for it can't be dealt with" in sentence
    monkeypatch.undo()
    go(house, 2)
    assert seq.journey(address(0)).status == "cancelled", "it waits for a version that can"


def test_a_spacing_no_calendar_has_holds_up_its_own_mailbox_alone(
    house: House, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "BARREN", (0.2, 1.0))  # what it would wait for is a day away
    other = Mailbox.connect_local("bea@agency.example")
    seq = Sequence.create("Odd", mailbox=other, timezone="UTC")
    seq.add_email("Odd", "Hi")
    seq.enroll(house.people(2))
    house.engine.store.write("UPDATE mailboxes SET spacing_us = ? WHERE id = ?", BEYOND, other.id)
    seq.activate()
    assert mail_leaves(house, box)


def test_a_list_that_cannot_flow_on_holds_no_other_back(
    house: House, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for n, name in enumerate(("Odd", "Fine")):
        seq = Sequence.create(name, mailbox=box, timezone="UTC")
        seq.add_email("Hello", "Hi")
        found = Shortlist.create(name)
        found.link(seq)
        with monkeypatch.context() as patch:
            patch.setattr(shortlists.imports, "enroll", killed)
            with pytest.raises(KeyboardInterrupt):
                found.add(house.people(1, n))
    store = house.engine.store
    first = store.value("SELECT MIN(id) FROM shortlist_links")
    store.write("UPDATE shortlist_links SET sequence_id = ? WHERE id = ?", BEYOND, first)
    shortlists.drain(house.engine)
    assert Sequence.get("Fine").candidates()["email"].to_list() == [address(1)]


def test_a_plan_far_beyond_is_shown_without_a_time(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Far", mailbox=box, timezone="UTC")
    seq.add_email("One", "Hi", when=SpecificTime("2199-12-31 23:00", timezone="UTC"))
    seq.add_email("Two", "Hi", when=Later(days=3_650))
    seq.add_email("Three", "Hi", when=NextBusinessDay("09:00", timezone="America/Los_Angeles"))
    times = seq.preview()["at"].to_list()
    assert (times[0].year, times[1]) == (2199, None)


def test_a_journey_that_lost_its_address_pauses_and_nobody_elses(house: House, box: Mailbox) -> None:
    seq = Sequence.create("Odd", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.enroll(house.people(2))
    seq.activate()
    house.engine.store.write("UPDATE journeys SET email = NULL WHERE id = ?", seq.journey(address(0)).id)
    go(house, 2)
    assert house.witness(box)[address(1), "Hello P1"] == 1
    assert mail_leaves(house, box)
    assert sorted(seq.candidates()["reason"].fill_null("").to_list()) == ["", "no_email"]
    [sentence] = told("no_email")
    assert "there is no e-mail address to write to" in sentence
