"""People enrolled without an address: found by themselves, and written to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk import Enrichment, Sequence
from outreach_sdk.engine import dispatch, enrich
from outreach_sdk.jobs import ALLOWED
from outreach_sdk.objects.workspace import Workspace
from tests.enrichment.conftest import Open, outcomes, summed
from tests.enrichment.vendors import Known, World
from tests.harness import ROOT, House

PEOPLE = [
    {"First Name": f"P{n}", "Last Name": "Li", "LinkedIn URL": f"linkedin.com/in/pat-{n}-li"} for n in (1, 2)
]


def states(seq: Sequence) -> list[Any]:
    return seq.candidates().select("status", "reason").rows()


def sequence(house: House) -> Sequence:
    seq = house.two_steps(house.trusted(house.local()))
    seq.activate()
    return seq


@pytest.mark.rule(25, 21)
def test_enrolled_without_an_address_they_get_one_and_go_on(
    opened: Open,
    world: World,
    database_url: str,
) -> None:
    house = opened("hunter", url=database_url)
    Enrichment.top_up(20)
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    report = seq.enroll(PEOPLE, enrich=True)
    assert report.enrolled == 2
    assert states(seq) == [("paused", "no_email")] * 2
    enrich.drain(house.engine)
    assert states(seq) == [("active", None), ("paused", "no_email")]
    assert seq.journey("pat@acme.example").status == "active"
    house.settle(seq)
    assert {to for to, _ in house.witness(seq_box(house))} == {"pat@acme.example"}
    assert Enrichment.credits().balance == 17


@pytest.mark.rule(25, 28)
def test_whoever_would_have_been_held_back_by_the_address_found_waits_for_a_person(
    opened: Open, world: World, database_url: str
) -> None:
    house = opened("hunter", url=database_url)
    Enrichment.top_up(20)
    for n in (1, 2):
        world.people["hunter"][f"pat-{n}-li"] = Known(f"pat{n}@acme.example")
    Workspace(house.session).set(off_limits=["acme.example"])
    seq = sequence(house)
    seq.enroll(PEOPLE[:1], enrich=True)
    seq.enroll(PEOPLE[1:], enrich=True, override=["off_limits"])
    enrich.drain(house.engine)
    assert states(seq) == [("paused", "manual"), ("active", None)]
    assert seq.candidates()["detail"][0] == "off_limits"
    seq.journey("pat1@acme.example").resume()
    assert states(seq)[0] == ("active", None)


def seq_box(house: House) -> Any:
    from outreach_sdk import Mailbox

    row = house.engine.store.one("SELECT * FROM mailboxes")
    return Mailbox(row or {}, house.session)


@pytest.mark.rule(25)
def test_without_credits_they_wait_as_such(opened: Open, world: World) -> None:
    house = opened("hunter")
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    seq.enroll(PEOPLE, enrich=True)
    enrich.drain(house.engine)
    assert states(seq) == [("paused", "no_credits")] * 2
    told = house.engine.store.value("SELECT text FROM notifications WHERE kind = 'no_credits'")
    assert "top_up" in told
    # A person who knows the address need not wait for credits, and it costs none.
    seq.journey(2).use_email("p2@acme.example")
    assert states(seq) == [("paused", "no_credits"), ("active", None)]
    Enrichment.top_up(20)
    enrich.drain(house.engine)
    assert states(seq) == [("active", None), ("active", None)]
    assert Enrichment.credits()["balance"] == 17


@pytest.mark.rule(25)
def test_enrolled_paused_they_stay_paused_with_their_address(opened: Open, world: World) -> None:
    house = opened("hunter")
    Enrichment.top_up(20)
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    seq.enroll(PEOPLE[:1], enrich=True, paused=True)
    enrich.drain(house.engine)
    assert states(seq) == [("paused", "manual")]
    assert seq.candidates()["email"].to_list() == ["pat@acme.example"]


@pytest.mark.rule(25)
def test_a_file_is_enriched_too_and_a_rehearsal_is_not(
    opened: Open,
    world: World,
    tmp_path: Path,
) -> None:
    house = opened("hunter")
    Enrichment.top_up(20)
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    seq.enroll(PEOPLE, enrich=True, dry_run=True)
    assert not enrich.waiting(house.engine)
    path = tmp_path / "people.csv"
    path.write_text(
        "First Name,Last Name,Email,LinkedIn URL\nPat,Li,,https://linkedin.com/in/pat-1-li\nBo,Ek,bo@ek.example,\n"
    )
    seq.enroll(path, enrich=True)
    enrich.drain(house.engine)
    assert states(seq) == [("active", None)] * 2
    assert len(world.calls) == 1


@pytest.mark.rule(25)
def test_a_sequence_is_enriched_afterwards(opened: Open, world: World) -> None:
    house = opened("hunter")
    Enrichment.top_up(20)
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    seq.enroll([*PEOPLE, {"First Name": "Bo", "Email": "bo@ek.example"}])
    assert Enrichment.estimate(seq) == 6
    assert Enrichment.estimate(seq, ("email", "phone")) == 36
    run = Enrichment.run(seq)
    assert outcomes(run) == ["found", "missed", "known"]
    assert states(seq)[0] == ("active", None)


def test_the_clock_wakes_a_worker_for_it(opened: Open, world: World) -> None:
    house = opened("hunter")
    Enrichment.top_up(20)
    run = Enrichment.run(PEOPLE[:1], wait=False)
    woken: list[tuple[str, str]] = []

    class Wake:
        def enqueue(self, queue: str, function: str, bucket: int) -> bool:
            woken.append((queue, function))
            return True

    dispatch.tick(house.engine, Wake())
    assert ("bulk", "drain_enrichment") in woken
    assert "outreach_sdk.jobs.drain_enrichment" in ALLOWED
    enrich.drain(house.engine)
    assert run.status == "done"
    woken.clear()
    dispatch.tick(house.engine, Wake())
    assert woken == []


def test_at_the_command_line(opened: Open, world: World) -> None:
    house = opened("hunter")
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    seq = sequence(house)
    seq.enroll(PEOPLE)

    def cli(*words: str) -> Any:
        import os

        env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
        done = subprocess.run(
            [sys.executable, "-m", "outreach_sdk.cli", *words, "--json"],
            cwd=ROOT,
            env={**env, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert cli("credits", "--top-up", "10", "--reference", "INV-1")[0]["balance"] == 10
    assert cli("credits", "--top-up", "10", "--reference", "INV-1")[0]["balance"] == 10
    assert cli("enrich", "Two steps", "--estimate") == [{"credits": 6}]
    (told,) = cli("enrich", "Two steps", "--field", "email")
    assert (told["status"], told["cost"]) == ("done", 3)
    assert cli("credits")[0]["balance"] == 7 == summed(house)
    assert cli("credits", "--ledger")[0]["kind"] == "top_up"
    assert {r["provider"]: r["state"] for r in cli("credits", "--providers")}["hunter"] == "ready"
