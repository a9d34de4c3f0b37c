"""Addresses of a person, who is left alone, and what is held of anybody."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import InvalidInput, TransitionRefused
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.shortlist import Shortlist
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage.migrations import PARTS
from outreach_sdk.storage.store import Store
from tests.acceptance.scenarios import Clock, address, provider_of
from tests.harness import House

GRACE = {"First Name": "Grace", "Last Name": "Hopper", "Email": "grace@navy.example"}


def sequence(house: House, name: str | None = None) -> Sequence:
    seq = Sequence.create(name or f"Number {Sequence.list().height}", timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}")
    return seq


def row(report: Any) -> tuple[str, str | None]:
    (only,) = report.rows.select("outcome", "reason").rows()
    return only


@pytest.mark.rule(22)
def test_the_preference_stated_nearest_decides_which_address_is_used(house: House) -> None:
    house.local()
    ws = Workspace(house.session)
    grace = Candidate.create(email="grace@navy.example", first_name="Grace")
    grace.add_email("grace.hopper@gmail.com", verified=True, source="hunter")
    assert grace.emails.select("address", "kind", "verified", "source").rows() == [
        ("grace@navy.example", "work", None, "by hand"),
        ("grace.hopper@gmail.com", "personal", True, "hunter"),
    ]

    def used(seq: Sequence, **how: Any) -> str | None:
        seq.enroll([GRACE], **how)
        return seq.journey(grace).email

    assert used(sequence(house)) == "grace@navy.example"
    ws.set(prefer="personal")
    assert used(sequence(house)) == "grace.hopper@gmail.com"
    ws.set_mine(prefer="work")
    assert used(sequence(house)) == "grace@navy.example"
    own = sequence(house)
    own.prefer = "personal"
    assert used(own) == "grace.hopper@gmail.com"
    other = sequence(house)
    other.prefer = "personal"
    assert used(other, prefer="work") == "grace@navy.example"
    assert set(grace.emails["chosen"]) == {True}
    with pytest.raises(InvalidInput, match="personal"):
        used(sequence(house), prefer="home")


@pytest.mark.rule(21)
def test_an_address_is_one_persons(house: House) -> None:
    grace = Candidate.create(email="grace@navy.example")
    Candidate.create(email="ada@math.example")
    with pytest.raises(InvalidInput, match="Another candidate"):
        grace.add_email("Ada@Math.example")
    with pytest.raises(InvalidInput, match="kind"):
        grace.add_email("g@home.example", kind="secret")
    grace.add_email("grace@navy.example", verified=True)
    assert grace.emails["verified"].to_list() == [True]


@pytest.mark.rule(21)
def test_whoever_is_in_another_active_sequence_is_held_back_where_the_workspace_says_so(house: House) -> None:
    house.local()
    first, second, third = (sequence(house, n) for n in ("One", "Two", "Three"))
    first.enroll([GRACE])
    Workspace(house.session).set(one_sequence=True)
    assert row(second.enroll([GRACE])) == ("enrolled", None), "the first isn't active"
    first.activate()
    assert row(third.enroll([GRACE])) == ("held_back", "in_another_sequence")
    assert row(third.enroll([GRACE], override=["in_another_sequence"])) == ("enrolled", None)


@pytest.mark.rule(19, 21)
def test_a_list_of_addresses_and_domains_goes_in_and_comes_out(house: House, tmp_path: Path) -> None:
    house.local()
    ws = Workspace(house.session)
    seq = sequence(house)
    seq.enroll([GRACE, {"First Name": "Ada", "Email": "ada@sub.math.example"}, *house.people(1)])
    seq.activate()
    given = tmp_path / "never.csv"
    given.write_text("Email;Reason\nGRACE@navy.example;asked by phone\n", encoding="utf-8")
    assert ws.suppress(given) == 1
    assert ws.suppress(["@sub.math.example", "grace@navy.example"], reason="off limits") == 1
    assert ws.suppressions.select("value", "kind", "reason").rows() == [
        ("sub.math.example", "domain", "off limits"),
        ("grace@navy.example", "address", "asked by phone"),
    ]
    states = dict(seq.candidates().select("email", "reason").rows())
    assert states == {
        "grace@navy.example": "suppressed",
        "ada@sub.math.example": "suppressed",
        address(0): None,
    }
    with pytest.raises(InvalidInput):
        ws.suppress(["fine.example", "not an address"])
    assert ws.suppressions.height == 2, "nothing half-written"
    out = tmp_path / "out.csv"
    ws.suppressions.write_csv(out)
    for value in ws.suppressions["value"]:
        ws.unsuppress(value)
    assert ws.suppress(out) == 2
    with pytest.raises(InvalidInput, match="isn't on the list"):
        ws.unsuppress("nobody.example")


def everything(store: Store) -> str:
    """Every value of every table, as text."""
    found = []
    for model in (t for part in PARTS for t in part.TABLES):
        name = model._meta.table_name  # type: ignore[attr-defined]
        for line in store.rows(f"SELECT * FROM {name}"):
            found += [f"{name}.{k}={bytes(v) if isinstance(v, memoryview) else v}" for k, v in line.items()]
    return "\n".join(found).lower()


def found_by_a_provider(house: House, person: Candidate) -> None:
    """As enrichment leaves it: a number, what was asked, and what came of it."""
    store, now = house.engine.store, house.engine.now()
    own = {"workspace_id": house.session.workspace_id, "owner_id": house.session.user["id"]}
    store.insert(
        "candidate_phones",
        {
            **own,
            "candidate_id": person.id,
            "number": "+1202navy.example",
            "kind": "work",
            "source": "x",
            "created_at": now,
        },
    )
    run = store.insert(
        "enrichment_runs", {**own, "fields": "[]", "state": "done", "hold": False, "created_at": now}
    )
    about = {"run_id": run, "candidate_id": person.id, "field": "email", "state": "done"}
    item = store.insert(
        "enrichment_items",
        {**own, **about, "generation": 1, "reserved": 0, "credits": 3, "value": "hopper@navy.example"},
    )
    store.insert(
        "enrichment_asks",
        {
            "workspace_id": own["workspace_id"], **about, "item_id": item, "role": "find", "provider": "hunter",
            "question": "digest", "points": '["hopper@navy.example"]', "detail": "for Grace", "tries": 1, "cached": False,
            "asked_at": now,
        },
    )  # fmt: skip


@pytest.mark.rule(19)
def test_who_is_erased_is_nowhere_and_never_comes_back(house: House) -> None:
    box = house.hostile()
    clock = Clock(house)
    seq = house.two_steps(box, delay=3600)
    seq.enroll(
        [
            {**GRACE, "LinkedIn URL": "https://linkedin.com/in/amazing-grace", "Ship": "USS Hopper"},
            *house.people(1),
        ]
    )
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    provider = provider_of(house)
    sent = next(a for a in provider.ledger() if "grace@navy.example" in a.recipients)
    provider.deliver_reply(sent, "Write to Commander Hopper instead. Grace", at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    grace = Candidate.get("grace@navy.example")
    grace.add_email("amazing@home.example")
    grace.record_interview(clock.now + dt.timedelta(days=3), title="Grace Hopper and the board")
    house.engine.store.write(
        "INSERT INTO deliveries (workspace_id, source, delivery_id, headers, body, received_at, state, tries, looks) "
        "VALUES (1, 'lever', 'd1', '{}', ?, ?, 'done', 0, 0)",
        b'{"email": "Grace@Navy.example"}',
        clock.now,
    )
    shortlist = Shortlist.create("Admirals")
    shortlist.add([GRACE])
    found_by_a_provider(house, grace)
    held = grace.export()
    assert held["person"]["first_name"] == "Grace"
    assert held["received"][0]["body_text"].startswith("Write to Commander")
    assert held["sent"][0]["subject"] == "Hello Grace"
    assert all(held[k] for k in ("emails", "journeys", "bookings", "events", "imports"))

    before = everything(house.engine.store)
    words = ("grace", "hopper", "amazing", "navy.example")
    assert all(w in before for w in words)
    grace.erase()
    left = everything(house.engine.store)
    assert [line for line in left.splitlines() if any(w in line for w in words)] == []
    assert seq.journey(address(0)).status == "active"
    assert seq.stats()["reached"].to_list() == [2], "what happened still counts"

    clock.on(hours=2)
    provider.deliver_reply(sent, "And another thing. Grace", at=clock.now)
    sync.poll_mailbox(house.engine, box.id)
    again = house.two_steps(box)
    for person in (
        GRACE,
        {"First Name": "G", "Email": "amazing@home.example"},
        {"First Name": "G", "Email": "new@x.example", "LinkedIn URL": "linkedin.com/in/Amazing-Grace/"},
    ):
        assert row(again.enroll([person])) == ("held_back", "erased")
    with pytest.raises(InvalidInput, match="erased"):
        Candidate.create(email="grace@navy.example")
    with pytest.raises(InvalidInput, match="doesn't want"):
        Candidate.get(address(0)).add_email("grace@navy.example")
    with pytest.raises(InvalidInput, match="override"):
        again.enroll([GRACE], override=["erased"])
    with pytest.raises(InvalidInput, match="asked to be erased"):
        grace.add_email("somebody@else.example")
    with pytest.raises(InvalidInput, match="asked to be erased"):
        seq.journey(grace.id).use_email("somebody@else.example")
    told = {
        "id": "b9",
        "status": "scheduled",
        "start": "2030-01-02T10:00:00Z",
        "emails": ["grace@navy.example"],
    }
    assert told
    left = everything(house.engine.store)
    assert [line for line in left.splitlines() if any(w in line for w in words)] == []


def test_nobody_is_erased_while_an_email_to_them_is_under_way(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    assert house.drain(failpoint="after_sending") == -9
    with pytest.raises(TransitionRefused, match="under way"):
        Candidate.get(address(0)).erase()
    assert (seq.journey(address(0)).status, seq.journey(address(0)).reason) == ("cancelled", "suppressed")
    house.settle(seq)
    Candidate.get(address(0)).erase()
    assert Candidate.find("P0").height == 0


def test_mail_of_strangers_is_not_kept(house: House) -> None:
    box = house.hostile()
    provider_of(house).deliver(
        box.address,
        b"From: mum@home.example\r\nTo: ada@agency.example\r\nSubject: Sunday lunch\r\n\r\nCome!\r\n",
    )
    sync.poll_mailbox(house.engine, box.id)
    assert house.engine.store.value("SELECT COUNT(*) FROM inbound") == 1
    kept = everything(house.engine.store)
    assert "mum@home" not in kept
    assert "sunday" not in kept
