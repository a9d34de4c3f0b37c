"""What went wrong elsewhere while sending (docs/failures.md)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.sequence import NextBusinessDay
from outreach_sdk.domain.windows import SendingWindow
from outreach_sdk.engine import dispatch, release, sync
from outreach_sdk.errors import UnknownTimezone
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import notifications
from tests.acceptance.scenarios import Clock, address, everything, provider_of, through
from tests.harness import ROOT, House, wait_until
from tests.mail.hostile import Faults, HostileTransport


@pytest.mark.rule(14)
@pytest.mark.failure("two workers claim one step")
def test_four_worker_processes_share_what_is_due(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(120))
    seq.activate()
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.driver", "4"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [w.communicate(timeout=300)[0] for w in workers]
    assert [w.returncode for w in workers] == [0] * 4
    assert house.witness(box) == Counter({(address(n), f"Hello P{n}"): 1 for n in range(120)})
    assert sum("'sent'" in s for s in said) >= 2, "more than one had some"


@pytest.mark.rule(14)
@pytest.mark.failure("checkpoint moved at fetch, not at send → people silently skipped, marked finished")
@pytest.mark.parametrize("failpoint", ["after_claim:3", "before_draft:4", "after_look:5", "after_sending:6"])
def test_killed_between_claim_and_send_nobody_is_passed_over(house: House, failpoint: str) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(8))
    seq.activate()
    assert house.drain(failpoint=failpoint) == -9
    left = house.witness(box)
    for row in seq.candidates().iter_rows(named=True):
        steps = seq.journey(row["email"]).steps
        for number, subject in enumerate(
            (f"Hello {row['name'].split()[0]}", f"Re: Hello {row['name'].split()[0]}")
        ):
            if steps["status"][number] == "sent":
                assert left[row["email"], subject] == 1, "nothing is marked sent that didn't leave"
        if row["status"] == "completed":
            assert left[row["email"], f"Re: Hello {row['name'].split()[0]}"] == 1
    house.settle(seq)
    assert house.witness(box) == everything(8)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(3, 14)
@pytest.mark.failure("pause and resume resends (3–5 copies for some, none for others)")
def test_switched_off_and_on_while_sending(house: House) -> None:
    box = house.hostile(dataclasses.replace(Faults.none(), latency=0.01, latency_sigma=0.5))
    seq = house.two_steps(box, delay=0.1)
    seq.enroll(house.people(30))
    seq.activate()
    stop = threading.Event()

    def keys(*states: str) -> set[str]:
        rows = house.engine.store.rows("SELECT send_key, state FROM outbox")
        return {r["send_key"] for r in rows if r["state"] in states}

    def work() -> None:
        while not stop.is_set():
            dispatch.drain_sends(house.engine, threads=4, stop=stop)
            stop.wait(0.01)
        house.engine.store.idle()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for goal in range(4, 56, 6):
            wait_until(lambda goal=goal: len(provider_of(house).ledger()) >= goal, every=0.01)
            seq.deactivate()
            may = keys("sending", "unknown", "sent")
            assert not seq.candidates()["next_due_at"].is_not_null().any()
            wait_until(lambda: not keys("claimed", "drafted", "sending"))
            assert {a.send_key for a in provider_of(house).ledger()} <= may, "nothing more begins to leave"
            seq.activate()
    finally:
        stop.set()
        worker.join(30)
    house.settle(seq)
    assert house.witness(box) == everything(30)


class Poisoned(HostileTransport):
    """Something nobody thought of happens with the message for one person."""

    def create_draft(self, message: Any, *, send_key: str) -> Any:
        if any(a.email == address(1) for a in message.to):
            raise ZeroDivisionError("nobody thought of this")
        return super().create_draft(message, send_key=send_key)


@pytest.mark.rule(13)
@pytest.mark.failure("one bad recipient makes the whole batch resend")
@pytest.mark.parametrize("poison", ["lacks a field", "is refused", "breaks the program"])
def test_one_poison_row_neither_stops_the_others_nor_makes_them_get_it_again(
    tmp_path: Path, database_url: str, poison: str
) -> None:
    env = {
        "OUTREACH_LEASE_SECONDS": "3" if poison == "breaks the program" else "1",
        "OUTREACH_DRAIN_SECONDS": "10",
    }
    house = House(tmp_path / "home", database_url, env)
    refused = (address(1),) if poison == "is refused" else ()
    box = house.hostile(dataclasses.replace(Faults.none(), refused=refused))
    people = house.people(6)
    if poison == "lacks a field":
        people[1]["First Name"] = ""
    seq = house.two_steps(box)
    seq.enroll(people)
    seq.activate()
    good = everything(1) + everything(4, start=2)

    def all_good() -> bool:
        dispatch.drain_sends(house.engine, threads=3)
        return len(provider_of(house).ledger()) >= len(good)

    with through(house, Poisoned if poison == "breaks the program" else HostileTransport):
        wait_until(all_good)
        dispatch.drain_sends(house.engine, threads=3)
    assert house.witness(box) == good
    statuses = dict(zip(seq.candidates()["email"], seq.candidates()["status"], strict=True))
    assert {s for e, s in statuses.items() if e != address(1)} == {"completed"}
    if poison != "breaks the program":
        journey = seq.journey(address(1))
        assert (journey.status, journey.reason) == (
            "paused",
            "missing_field" if poison == "lacks a field" else "send_failed",
        )
    house.close()


@pytest.mark.rule(13)
@pytest.mark.failure("one bad recipient makes the whole batch resend")
def test_a_fault_of_the_program_pauses_that_journey_in_the_end_and_its_owner_hears_of_it(
    house: House,
) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    moments = iter(dt.timedelta(minutes=20 * n) for n in range(1000))
    now = dt.datetime.now(dt.UTC)
    with through(house, Poisoned):
        for _ in range(release.MAX_TRIES + 2):
            house.engine.now = functools.partial(lambda moment: moment, now + next(moments))
            dispatch.drain_sends(house.engine, threads=2)
    journey = seq.journey(address(1))
    assert (journey.status, journey.reason) == ("paused", "send_failed")
    assert seq.journey(address(0)).status == "completed"
    (told,) = house.engine.store.rows("SELECT text FROM notifications WHERE kind = 'send_failed'")
    assert "an error in the program (ZeroDivisionError)" in told["text"]
    assert {r for a in provider_of(house).ledger() for r in a.recipients} == {address(0)}


@pytest.mark.rule(6)
def test_a_person_whose_zone_is_none_is_written_to_by_the_sequences(house: House) -> None:
    box = house.trusted(house.hostile())
    with pytest.raises(UnknownTimezone, match="Mars/X"):
        Candidate.create(email="mars@c.example", timezone="Mars/X")
    seq = Sequence.create("Zones", mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello {{ first_name }}", "Hi", when=NextBusinessDay("09:00", timezone="candidate"))
    seq.add_email(body="Just checking.", when=NextBusinessDay("09:00", timezone="candidate"))
    seq.window = SendingWindow()
    seq.enroll(house.people(2))
    # As another program, or a list of zones of another year, may have left it.
    house.engine.store.write("UPDATE candidates SET timezone = 'Mars/X' WHERE first_name = 'P0'")
    seq.activate()
    clock = Clock(house)
    for _ in range(7 * 24):
        clock.on(hours=1)
        sync.poll_mailbox(house.engine, box.id)
        dispatch.drain_sends(house.engine, threads=1)
    assert house.witness(box)[address(0), "Hello P0"] == 1
    assert house.witness(box)[address(0), "Re: Hello P0"] == 1


@pytest.mark.rule(13, 14)
@pytest.mark.parametrize("schedule", ['{"type": "someday"}', "{}"])
def test_an_e_mail_that_left_is_on_record_though_what_follows_cannot_be_planned(
    house: House, schedule: str
) -> None:
    box = house.trusted(house.hostile())
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()
    house.engine.store.write("UPDATE steps SET schedule = ? WHERE thread = 'reply'", schedule)
    assert dispatch.drain_sends(house.engine, threads=1) == {"sent": 1}
    frame = seq.candidates()
    assert frame["status"].to_list() == ["paused"]
    assert frame["reason"].to_list() == ["send_failed"]
    assert "what follows can't be planned" in notifications()["text"].to_list()[-1]
    assert seq.journey(address(0)).steps["status"][0] == "sent"
    assert len(house.witness(box)) == 1
