"""Notes to applicant tracking systems: of what is sent, answered and ended, once each whatever fails."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from outreach_sdk.engine import dispatch, writing_back
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import notifications
from tests.acceptance.test_contact_points import everything
from tests.ats.vendors import Vendors
from tests.harness import ADDRESS, ROOT, House
from tests.service.test_bookings import BO

Connect = Callable[..., House]
WRITERS = ("greenhouse", "lever", "ashby", "merge")


def sent(house: House, system: str | None) -> Sequence:
    """p0 and p1 got a first e-mail; only p0 is known there."""
    seq = house.two_steps(house.local(), delay=172_800)
    if system is not None:
        seq.write_back = system
    seq.activate()
    seq.enroll(house.people(2), override=["ats_in_process", "ats_unchecked"])
    dispatch.drain_sends(house.engine, threads=1)
    return seq


def answered(house: House, text: str = "Yes, tell me more.") -> None:
    root = house.home / "mail" / ADDRESS / "new"
    raw = f"From: {BO}\nTo: {ADDRESS}\nSubject: Re: Hello P0\nMessage-ID: <r1@c.example>\n\n{text}\n"
    root.mkdir(parents=True, exist_ok=True)
    (root / "r1.eml").write_text(raw)
    house.engine.store.write("UPDATE mailboxes SET next_poll_at = 0")
    dispatch.drain_polls(house.engine)


def write(house: House) -> int:
    """As when all that waits has waited long enough."""
    house.engine.store.write("UPDATE write_backs SET due_at = due_at - 100000000000 WHERE due_at IS NOT NULL")
    return writing_back.drain(house.engine)


def states(house: House) -> list[tuple[str, str]]:
    rows = house.engine.store.rows("SELECT kind, state FROM write_backs ORDER BY id")
    return [(r["kind"], r["state"]) for r in rows]


@pytest.mark.rule(24)
@pytest.mark.parametrize("vendor", WRITERS)
def test_what_is_sent_answered_and_ended_is_noted_once_each(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    person = vendors.put(1, BO)
    seq = sent(house, vendor)
    assert write(house) == 1
    assert states(house) == [("sent", "written"), ("sent", "nobody")]
    assert "sent from ada@agency.example" in person.notes[0]
    assert "Hi P0, are you open to talk?" in person.notes[0]
    answered(house)
    assert write(house) == 2
    assert [n.split()[0] for n in person.notes] == ["E-mail", "Answered", "Sequence"]
    assert "Yes, tell me more." in person.notes[1]
    assert "interested" in person.notes[1]
    assert "replied, after 1 e-mail." in person.notes[2]
    assert write(house) == 0
    frame = seq.write_backs()
    assert frame["kind"].to_list() == ["outcome", "replied", "sent", "sent"]
    assert frame["state"].to_list() == ["written", "written", "nobody", "written"]
    assert "knows nobody" in frame["error"][2]
    assert frame["body"][1] in person.notes[1]


@pytest.mark.rule(24)
def test_it_is_switched_on_for_each_sequence(database_url: str, connect: Connect, vendors: Vendors) -> None:
    house = connect(database_url, "lever")
    vendors.put(1, BO)
    seq = sent(house, None)
    assert (seq.write_back, states(house)) == (None, [])
    with pytest.raises(InvalidInput, match="greenhouse, lever"):
        seq.write_back = "bullhorn"
    seq.write_back = "lever"
    answered(house)
    assert [k for k, _ in states(house)] == ["replied", "outcome"]
    assert not writing_back.waiting(house.engine), "the model is waited for"
    seq.write_back = None
    assert seq.clone("Other").write_back is None


UNKNOWN: dict[str, tuple[str, tuple[int, dict[str, str], bytes] | None]] = {
    "done, without an answer": ("POST .*(notes|createNote|activities)", None),
    "a gateway's answer": ("POST .*(notes|createNote|activities)", (502, {}, b"<html>")),
}


@pytest.mark.rule(24)
@pytest.mark.parametrize("fault", UNKNOWN)
@pytest.mark.parametrize("vendor", WRITERS)
def test_without_an_answer_it_is_looked_for_and_not_repeated_blindly(
    tmp_path: Path, connect: Connect, vendors: Vendors, vendor: str, fault: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor)
    person = vendors.put(1, BO)
    seq = sent(house, vendor)
    vendors.faults = [UNKNOWN[fault]]
    assert write(house) == 0
    assert ("sent", "unknown") in states(house)
    write(house)
    write(house)
    if vendor == "merge":  # which lists no notes of one person
        assert len(person.notes) == (fault == "done, without an answer")
        row = next(r for r in seq.write_backs().iter_rows(named=True) if r["state"] == "unknown")
        assert "isn't repeated" in row["error"]
        assert notifications()["kind"].to_list() == ["write_back_unknown"]
    else:
        assert len(person.notes) == 1
        assert states(house)[0] == ("sent", "written")


@pytest.mark.rule(24)
@pytest.mark.parametrize("failpoint", ["note_before_write", "note_after_write"])
@pytest.mark.parametrize("vendor", ["greenhouse", "ashby"])
def test_killed_around_the_request_the_note_is_there_once(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str, failpoint: str
) -> None:
    house = connect(database_url, vendor)
    person = vendors.put(1, BO)
    sent(house, vendor)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    code = "from outreach_sdk.jobs import drain_notes; drain_notes()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"OUTREACH_FAILPOINT": failpoint},
        cwd=ROOT,
        timeout=300,
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert len(person.notes) == (failpoint == "note_after_write")
    assert ("sent", "writing") in states(house)
    vendors.faults = [("activity_feed$|listNotes", (429, {}, b""))]  # the first look fails
    write(house)
    write(house)
    assert len(person.notes) == 1
    assert states(house)[0] == ("sent", "written")


FAULTS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "denied": (403, {}, b""),
    "busy": (429, {"Retry-After": "600"}, b""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_system_that_says_no_for_now_gets_it_later(
    database_url: str, connect: Connect, vendors: Vendors, fault: str
) -> None:
    house = connect(database_url, "lever")
    person = vendors.put(1, BO)
    sent(house, "lever")
    vendors.faults = [("POST .*notes", FAULTS[fault])]
    assert write(house) == 0
    row = house.engine.store.one("SELECT * FROM write_backs ORDER BY id LIMIT 1")
    assert row is not None
    assert row["state"] == "planned"
    assert (row["due_at"] - dt.datetime.now(dt.UTC)).total_seconds() > {"busy": 590, "denied": 1700}[fault]
    assert write(house) == 1
    assert len(person.notes) == 1


def test_what_it_refuses_for_good_isnt_tried_again_and_trying_ends(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    vendors.put(1, BO)
    sent(house, "greenhouse")
    vendors.faults = [("POST .*notes", (422, {}, b"{}"))]
    write(house)
    assert states(house)[0] == ("sent", "failed")
    answered(house)
    vendors.faults = [("candidates", (500, {}, b""))] * 200
    for _ in range(4 * writing_back.DEAD_AFTER):  # one that fails ends a round
        write(house)
    assert {s for _, s in states(house)} <= {"failed", "nobody"}
    assert not writing_back.waiting(house.engine)


def test_erasing_takes_notes_that_wait_and_what_was_written(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "ashby")
    person = vendors.put(1, BO)
    sent(house, "ashby")
    write(house)
    answered(house)
    Candidate.get(BO).erase()
    write(house)
    assert len(person.notes) == 1
    assert "open to talk" not in everything(house.engine.store).replace(
        "hi {{ first_name }}, are you open to talk?", ""
    ).replace("hi p1, are you open to talk?", "")
