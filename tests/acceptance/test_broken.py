"""An active sequence that breaks: nothing of it leaves, it costs nobody anything, it resumes when repaired."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.journey import StepStatus
from outreach_sdk.domain.sequence import Later, SpecificTime
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.progress import plan_next
from outreach_sdk.errors import IncompleteSequence
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.transitions import move_step, open_attempt
from tests.acceptance.scenarios import Clock, NoWake, address, claim_once, go, opened, provider_of, through
from tests.harness import House, at, wait_until
from tests.mail.hostile import HostileTransport

START = "2026-03-02 09:00"


def told(kind: str = "broken") -> list[str]:
    return [n["text"] for n in outreach.notifications().to_dicts() if n["kind"] == kind]


def states(seq: Sequence) -> set[str]:
    return set(seq.candidates()["status"])


@pytest.mark.rule(1)
def test_without_any_step_people_wait_and_a_step_added_starts_them(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Emptied", mailbox=box, timezone="UTC")
    seq.add_email("Old", "Hi", when=Later(days=1))
    seq.enroll(house.people(2))
    seq.activate()
    seq.remove_step(1)
    report = seq.enroll(house.people(2, start=2))
    assert (seq.status, states(seq)) == ("active", {"active"})
    why = "This sequence is broken: Add at least one step. Nothing leaves until it is repaired."
    assert seq.notice == why == report.notice
    assert told() == ["'Emptied' is broken: Add at least one step. Nothing leaves until it is repaired."]
    clock.on(days=2)
    go(house, 2)
    seq.add_email("New", "Hi")
    assert seq.notice is None or "broken" not in seq.notice
    go(house, 2)
    assert house.witness(box) == {(address(n), "New"): 1 for n in range(4)}
    assert states(seq) == {"completed"}


@pytest.mark.rule(1)
def test_who_has_handled_all_that_is_left_is_done(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    go(house, 2)
    seq.remove_step(2)
    assert states(seq) == {"completed"}


def _no_name(seq: Sequence) -> Callable[[], object]:
    seq.name = " "
    return lambda: setattr(seq, "name", "Again")


def _no_body(seq: Sequence) -> Callable[[], object]:
    seq.edit_step(2, body="")
    return lambda: seq.edit_step(2, body="Just checking.")


def _no_opening(seq: Sequence) -> Callable[[], object]:
    seq.remove_step(1)
    return lambda: (seq.add_email("Hello", "Hi"), seq.move_step(2, 1))


def _no_thread(seq: Sequence) -> Callable[[], object]:
    seq.edit_step(1, thread="reply")
    return lambda: seq.edit_step(1, thread="new")


def _no_snippet(seq: Sequence) -> Callable[[], object]:
    ws = Workspace(seq._session)
    ws.snippet("bye", "Bye")
    seq.edit_step(2, body='Just checking. {{ snippet("bye") }}')
    assert seq.problems == []
    ws.snippet("bye", None)
    return lambda: ws.snippet("bye", "Good bye")


def _no_snippet_in_a_variant(seq: Sequence) -> Callable[[], object]:
    letter = seq.add_variant(2, body='Still there? {{ snippet("bye") }}')
    return lambda: seq.remove_variant(2, letter)


@pytest.mark.rule(1)
@pytest.mark.parametrize(
    "broken", [_no_name, _no_body, _no_opening, _no_thread, _no_snippet, _no_snippet_in_a_variant]
)
def test_whatever_breaks_it_nothing_leaves_until_it_is_repaired(
    house: House, broken: Callable[[Sequence], Callable[[], object]]
) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Breaks", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", when=Later(minutes=1))
    seq.add_email(body="Just checking.", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()
    clock.on(minutes=2)
    go(house, 2)
    seq.enroll(house.people(1, start=1))  # one midway, one before the first step
    repair = broken(seq)
    clock.on(days=1)
    go(house, 4)
    seq.enroll(house.people(1, start=2))
    go(house, 2)
    assert sum(house.witness(box).values()) == 1
    assert seq.problems
    assert (seq.status, states(seq)) == ("active", {"active"})
    assert len(told()) == 1
    assert seq.notice is not None
    assert seq.problems[0] in seq.notice
    assert "broken" in seq.notice
    assert "until it is repaired" in seq._repr_html_()
    journey = seq.journey(address(1))
    assert set(journey.steps["status"]) == {"planned"}
    assert "repaired" in journey._repr_html_()
    assert dispatch.due_soon(house.engine.store, house.engine.now()) is None, "nothing to wake anybody for"
    repair()
    assert seq.problems == []
    assert "repaired" not in (seq.notice or "")
    for _ in range(3):
        go(house, 2)
        clock.on(hours=2)
    sent = house.witness(box)
    assert {who for who, _ in sent} == {address(n) for n in range(3)}
    assert max(sent.values()) == 1
    assert states(seq) == {"completed"}
    assert len(told()) == 1


@pytest.mark.rule(1, 7)
def test_a_broken_sequence_takes_nobody_elses_place(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(20))
    seq.activate()
    go(house, 2)
    seq.edit_step(2, body="")
    other = Sequence.create("Other", mailbox=box, timezone="UTC")
    other.add_email("Other", "Hi")
    other.enroll(house.people(3, start=100))
    other.activate()
    store = house.engine.store
    store.write("UPDATE mailboxes SET spacing_us = 3000000")
    clock.on(hours=2)
    before = store.value("SELECT SUM(generation) FROM outbox")
    for _ in range(4):
        clock.on(seconds=4)
        claim_once(house)
    assert sum(n for (_, subject), n in house.witness(box).items() if subject == "Other") == 3
    assert store.value("SELECT SUM(generation) FROM outbox") == before + 3, "three claims in all"


@pytest.mark.rule(1, 14)
def test_what_a_worker_held_when_it_broke_does_not_leave(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()

    class Breaks(HostileTransport):
        def create_draft(self, *given: object, **more: object) -> object:
            seq.name = ""
            return super().create_draft(*given, **more)  # type: ignore[arg-type]

    with through(house, Breaks):
        dispatch.drain_sends(house.engine, threads=1)
    assert not house.witness(box)
    assert house.provider is not None
    assert house.provider.draft_keys() == []
    seq.name = "Repaired"
    house.settle(seq)
    assert sorted(house.witness(box).values()) == [1, 1]


@pytest.mark.rule(1, 8)
def test_a_send_now_waits_for_the_repair_and_says_so(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("By hand", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", manual=True)
    seq.add_email(body="Just checking.", when=Later(days=1))
    seq.enroll(house.people(3))
    seq.activate()
    go(house, 2)
    first, second, third = sorted(outreach.tasks(), key=lambda t: t.id)
    first.send_now()
    seq.edit_step(2, body="")
    second.send_now()
    assert second.problem == (
        "Its sequence is broken: Step 2 needs a body. Nothing leaves until it is repaired."
    )
    assert "until it is repaired" in third._repr_html_()
    seq.journey(address(1)).pause()
    seq.journey(address(1)).resume()
    clock.on(minutes=10)
    go(house, 3)
    assert not house.witness(box)
    assert {first.status, second.status} == {"due"}
    seq.edit_step(2, body="Just checking.")
    assert third.problem is None
    go(house, 2)
    assert sorted(who for who, _ in house.witness(box)) == [address(0), address(1)]


@pytest.mark.rule(1, 6)
def test_its_set_time_passed_while_it_was_broken_and_it_leaves_when_repaired(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Set", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", when=SpecificTime("2026-03-02 12:00", timezone="UTC"))
    seq.enroll(house.people(1))
    seq.activate()
    seq.edit_step(1, body="")
    clock.on(hours=8)
    go(house, 2)
    assert states(seq) == {"active"}
    seq.edit_step(1, body="Hi again")
    go(house, 2)
    assert house.witness(box) == {(address(0), "Hello"): 1}


@pytest.mark.rule(1, 30)
def test_review_goes_on_on_top_of_it(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.review = True
    seq.enroll(house.people(2))
    seq.activate()
    seq.approve(seq.drafts().filter(seq.drafts()["step"] == 1).head(1))
    seq.edit_step(2, body="")
    go(house, 2)
    assert not house.witness(box)
    seq.approve(seq.drafts().filter(seq.drafts()["step"] == 1))
    seq.review = False
    seq.review = True
    go(house, 2)
    assert not house.witness(box), "approved or not, it is broken"
    seq.edit_step(2, body="Just checking.")
    go(house, 2)
    assert len(house.witness(box)) == 2
    clock.on(hours=2)
    go(house, 2)
    assert len(house.witness(box)) == 2
    assert set(seq.journey(address(0)).steps["status"]) == {"sent", "review"}


@pytest.mark.rule(1, 9)
def test_passages_do_not_let_go_of_it(house: House) -> None:
    clock, box = Clock(house, at(START)), house.hostile()
    seq = Sequence.create("Written", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "{{ ai('a line about them', fallback='Hi') }}")
    seq.enroll(house.people(1))
    seq.activate()
    seq.name = ""
    clock.on(minutes=30)
    go(house, 3)
    assert not house.witness(box)
    seq.name = "Named"
    go(house, 2)
    assert len(house.witness(box)) == 1


@pytest.mark.rule(1, 3)
def test_inactive_ones_are_refused_and_activation_starts_all(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    seq.remove_step(2)
    seq.remove_step(1)
    assert seq.deactivate() == 2
    with pytest.raises(IncompleteSequence, match="Add at least one step"):
        seq.activate()
    seq.add_email("New", "Hi")
    assert seq.activate() == 2
    house.settle(seq)
    assert house.witness(box) == {(address(n), "New"): 1 for n in range(2)}


@pytest.mark.rule(1, 18)
def test_what_is_tried_again_waits_too(house: House) -> None:
    clock = Clock(house)
    seq = opened(house)
    store = house.engine.store
    with store.tx():  # as a soft bounce does (test_soft_bounces.py)
        entry = store.one("SELECT * FROM outbox")
        assert entry is not None
        open_attempt(store, entry["id"], house.engine.new_key(), due_at=clock.now + dt.timedelta(hours=4))
        move_step(store, entry["journey_id"], entry["step_id"], StepStatus.DUE, clock.now)
        plan_next(store, entry["journey_id"], clock.now)
    seq.name = ""
    clock.on(hours=5)
    go(house, 2)
    assert len(provider_of(house).ledger()) == 1
    seq.name = "Named"
    go(house, 2)
    assert len(provider_of(house).ledger()) == 2


@pytest.mark.rule(1)
@pytest.mark.parametrize("what", ["resumed", "approved", "sent now"])
def test_what_is_held_while_somebody_repairs_it_is_let_go_too(house: House, what: str) -> None:
    box = house.hostile()
    seq = Sequence.create("Repaired", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi", manual=what == "sent now")
    seq.review = what == "approved"
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.tick(house.engine, NoWake())
    journey = seq.journey(address(0))
    if what == "resumed":
        journey.pause()
    seq.name = ""
    store, drafts = house.engine.store, seq.drafts()
    repair = threading.Thread(target=lambda: setattr(seq, "name", "Again"))
    with store.tx():
        if what == "resumed":
            journey.resume()
        elif what == "approved":
            seq.approve(drafts)
        else:
            outreach.tasks()[0].send_now()
        repair.start()
        if store.dialect == "postgresql":
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_until(lambda: store.value(waits) or not repair.is_alive(), seconds=20)
    repair.join(20)
    assert not repair.is_alive()
    assert seq.problems == []
    house.settle(seq, seconds=20)
    assert len(house.witness(box)) == 1
