"""What is one's own, what is shared, and what is handed over."""

from __future__ import annotations

from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.engine import dispatch, draining, outbox
from outreach_sdk.errors import AccessDenied, InvalidInput, NotFound, TransitionRefused
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.journey import Task
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import (
    Clock,
    NoWake,
    address,
    claim_once,
    colleague,
    one_answered,
    provider_of,
)
from tests.harness import House


@pytest.fixture
def bea(house: House) -> Session:
    """A colleague, who is no admin."""
    return colleague(house, "bea")


def full(house: House) -> Sequence:
    """Adas: an e-mail that was sent and answered, and a task."""
    return one_answered(house, "Shared")


@pytest.mark.rule(26)
def test_what_is_not_shared_does_not_exist_and_what_is_does(house: House, bea: Session) -> None:
    seq = full(house)
    sessions.use(bea)

    def seen() -> tuple[int, int, int, int]:
        return (
            outreach.sequences().height,
            outreach.inbox().height,
            len(Task.list()),
            bea.scope.find("journeys").__len__(),
        )

    assert seen() == (0, 0, 0, 0)
    with pytest.raises(NotFound):
        Sequence.get("Shared")
    with pytest.raises(NotFound):
        Sequence(seq.id, bea).candidates()
    sessions.use(house.session)
    with pytest.raises(NotFound, match="cleo"):
        seq.share("cleo")
    seq.share("bea")
    seq.share("bea@agency.example")
    assert seq.shared_with["user"].to_list() == ["bea"]
    sessions.use(bea)
    assert seen() == (1, 1, 1, 2)
    theirs = Sequence.get("Shared")
    theirs.add_email(body="And one more.")
    Task.list()[0].done("spoke")
    assert outreach.notifications()["kind"].to_list() == ["shared"]
    with pytest.raises(NotFound, match="owner"):
        theirs.share("bea")
    with pytest.raises(NotFound, match="owner"):
        theirs.transfer("bea")
    sessions.use(house.session)
    seq.unshare("bea")
    sessions.use(bea)
    assert seen() == (0, 0, 0, 0)


@pytest.mark.rule(11, 26)
def test_handed_over_it_is_the_others_and_waits_for_a_mailbox_of_theirs(house: House, bea: Session) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) >= 1
    later = Sequence.create("Later", mailbox=box, timezone="UTC")
    later.add_email("Hello", "Hi")
    later.enroll(house.people(1, start=5))
    later.activate()
    later.transfer("bea")
    sessions.use(bea)
    mine = Sequence.get("Later")
    assert "isn't lent" in " ".join(mine.problems)
    before = len(provider_of(house).ledger())
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == before
    sessions.use(house.session)
    box.allow("bea")
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == before + 1
    sessions.use(bea)
    assert mine.candidates()["status"].to_list() == ["completed"]
    assert "You can't send from the mailbox of 'Later'" in " ".join(outreach.notifications()["text"])


@pytest.mark.rule(7, 11)
def test_what_was_to_be_sent_now_when_it_was_handed_over_takes_nobodys_slot(
    house: House, bea: Session
) -> None:
    clock, box = Clock(house), house.hostile()
    box.spacing = 3
    mine = Sequence.create("Mine", mailbox=box, timezone="UTC")
    mine.add_email("Mine", "Hi")
    handed = Sequence.create("Handed", mailbox=box, timezone="UTC")
    handed.add_email("Theirs", "Hi", manual=True, skip_after=False)
    handed.enroll(house.people(3))
    handed.activate()
    dispatch.tick(house.engine, NoWake())
    for task in Task.list():
        task.send_now()
    engine = house.engine
    claims = claim_sends(
        engine.store, engine.now(), limit=1, cap=50, lease=engine.lease, new_key=engine.new_key
    ).items  # one is in a worker's hands
    handed.transfer("bea")
    assert [outbox.process(engine, claim) for claim in claims] == ["released"]
    mine.enroll(house.people(5, start=10))
    mine.activate()
    for _ in range(12):
        clock.on(seconds=3)
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    assert [a.subject for a in provider_of(house).ledger()] == ["Mine"] * 5
    sessions.use(bea)
    theirs = Sequence.get("Handed").candidates()
    assert set(theirs["reason"]) == {"mailbox_disconnected"}
    sessions.use(house.session)
    box.allow("bea")
    for _ in range(6):
        clock.on(seconds=3)
        dispatch.tick(house.engine, NoWake())
        claim_once(house)
    assert [a.subject for a in provider_of(house).ledger()][5:] == ["Theirs"] * 3


@pytest.mark.rule(11)
def test_handed_to_whom_the_mailbox_belongs_it_goes_on(house: House, bea: Session) -> None:
    clock = Clock(house)
    house.hostile()
    sessions.use(bea)
    known = {"path": str(house.home / "provider.sqlite"), "timeout": 1}
    box = Mailbox._save(bea, "hostile", "bea@agency.example", "Bea", known, None)
    me = str(house.session.user["name"])
    box.allow(me)
    sessions.use(house.session)
    seq = house.two_steps(box, delay=60)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    sessions.use(bea)
    box.revoke(me)
    sessions.use(house.session)
    assert seq.candidates()["reason"].to_list() == ["mailbox_disconnected"]
    seq.transfer("bea")
    clock.on(minutes=2)
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == 2


@pytest.mark.rule(7, 11)
def test_a_drain_ends_where_what_is_due_cannot_leave_and_yet_waits_for_the_next_slot(
    house: House, bea: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = house.hostile()
    handed = Sequence.create("Handed over", mailbox=box, timezone="UTC")
    handed.add_email("Hello", "Hi")
    handed.enroll(house.people(2, start=5))
    handed.activate()
    # Nobody pauses them: as where a mailbox is taken back in the middle of it.
    house.engine.store.write("UPDATE journeys SET owner_id = ?", bea.user["id"])
    looks: list[int] = []
    claim = draining.claim_sends

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = claim(*args, **kwargs)
        looks.append(len(found.items))
        return found

    monkeypatch.setattr(draining, "claim_sends", counted)
    assert dispatch.drain_sends(house.engine, threads=1) == {}
    assert 1 < len(looks) < 50, "it ends of itself, having looked a few times"

    box.spacing = 1.5
    mine = Sequence.create("Mine", mailbox=box, timezone="UTC")
    mine.add_email("Hello {{ first_name }}", "Hi")
    mine.enroll(house.people(2))
    mine.activate()
    assert dispatch.drain_sends(house.engine, threads=1) == {"sent": 2}


@pytest.mark.rule(32)
def test_a_clone_has_the_steps_and_nobody_in_it(house: House) -> None:
    seq = full(house)
    seq.remove_step(2)
    seq.add_email(body="Again", cc=("boss@agency.example",))
    seq.prefer = "work"
    copy = seq.clone("Copy")
    assert copy.steps.drop("step").equals(seq.steps.drop("step"))
    assert (copy.name, copy.status, copy.prefer, copy.candidates().height) == ("Copy", "inactive", "work", 0)
    copy.edit_step(1, subject="Another")
    assert seq.steps["subject"][0] == "Hello {{ first_name }}"
    copy.enroll(house.people(1))
    copy.activate()
    dispatch.drain_sends(house.engine, threads=1)
    assert {a.subject for a in provider_of(house).ledger()} == {
        "Hello P0",
        "Hello P1",
        "Another",
        "Re: Another",
    }
    with pytest.raises(InvalidInput, match="name"):
        seq.clone("  ")


def test_a_list_of_sequences_takes_as_many_queries_for_thirty_as_for_three(house: House) -> None:
    house.local()
    store = house.engine.store

    def cost(count: int) -> int:
        for n in range(count):
            Sequence.create(f"S{n}", timezone="UTC").add_email("Hi" if n % 2 else None, "x")
        before = store.statements
        listed = outreach.sequences()
        assert set(listed["status"]) == {"inactive", "incomplete"}
        return store.statements - before

    assert cost(3) == cost(27) <= 5


@pytest.mark.rule(5)
def test_sequences_are_hidden_for_one_or_for_all_and_what_runs_goes_on(house: House, bea: Session) -> None:
    ws = outreach.Workspace(house.session)
    house.engine.store.write("UPDATE users SET name = 'ada' WHERE id = ?", house.session.user["id"])
    box = house.hostile()
    box.allow("bea")
    sessions.use(bea)
    seq = Sequence.create("Beas", mailbox="ada@agency.example", timezone="UTC")
    seq.add_email("Hello", "Hi")
    seq.enroll(house.people(1))
    seq.activate()
    with pytest.raises(NotFound, match="admin"):
        outreach.Workspace(bea).set(sequences=False)
    with pytest.raises(NotFound, match="admin"):
        outreach.Workspace(bea).give_access("bea")

    def refused(why: str) -> None:
        for ask in (
            outreach.sequences,
            outreach.inbox,
            Task.list,
            seq.candidates,
            lambda: Sequence.get("Beas"),
            lambda: Sequence.create("More"),
        ):
            with pytest.raises(AccessDenied, match=f"{why}.*Ask ada"):
                ask()

    ws.give_access("bea", False)
    refused("no access")
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == 1, "what runs goes on"
    ws.give_access("bea")
    assert seq.candidates()["status"].to_list() == ["completed"]
    ws.set(sequences=False)
    refused("switched off")
    assert "Ask ada" in repr(outreach.Workspace(bea))
    assert "Ask ada" in outreach.Workspace(bea)._repr_html_()
    ws.set(sequences=True)
    assert outreach.sequences().height == 1


# -- people whom several write to ------------------------------------------------------------------
def told(session: Session, kind: str) -> list[str]:
    sessions.use(session)
    found = outreach.notifications()
    return list(found.filter(found["kind"] == kind)["text"])


def of_both(house: House, bea: Session) -> Sequence:
    """Ada's sequence, whose one candidate Bea knows, too."""
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    sessions.use(bea)
    Candidate.create(email=address(0), first_name="P0")
    return seq


@pytest.mark.rule(26)
def test_a_member_erases_nobody_whom_colleagues_write_to_and_an_admin_tells_them(
    house: House, bea: Session
) -> None:
    of_both(house, bea)
    with pytest.raises(TransitionRefused, match="ask an admin"):
        Candidate.get(address(0)).erase()
    assert outreach.Candidate.get(address(0)).first_name == "P0"
    sessions.use(house.session)
    theirs = house.two_steps(house.hostile(), delay=3600)
    theirs.transfer("bea")
    theirs.enroll(house.people(1, 5))
    Candidate.get(address(5)).erase()
    (sentence,) = told(bea, "erased")
    assert (
        sentence
        == "Somebody you wrote to was erased, as they may ask for. A journey of yours has stopped with that."
    )


@pytest.mark.rule(19, 26)
@pytest.mark.parametrize("how", ["person", "workspace"])
def test_colleagues_are_told_whose_journeys_a_suppression_stops(house: House, bea: Session, how: str) -> None:
    seq = of_both(house, bea)
    if how == "person":
        Candidate.get(address(0)).suppress("asked on the phone")
    else:
        Workspace(bea).suppress(address(0), "asked on the phone")
    assert told(bea, "suppressed") == []
    (sentence,) = told(house.session, "suppressed")
    assert (
        "isn't to be written to any more, says a colleague (asked on the phone). A journey of yours"
        in sentence
    )
    assert seq.journey(address(0)).reason == "suppressed"
