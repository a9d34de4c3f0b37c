"""Runs: what is found, what it costs, and that neither crashes nor crowds make it cost more."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from outreach_sdk import Candidate, Enrichment
from outreach_sdk.engine import enrich, gates
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.workspace import Workspace
from tests.enrichment.conftest import Clock, Open, outcomes, person, summed
from tests.enrichment.vendors import KEYS, Known, World
from tests.harness import ROOT


@pytest.mark.rule(25, 22)
def test_an_address_is_found_kept_and_paid_for_once(opened: Open, world: World, database_url: str) -> None:
    opened("hunter", "prospeo", url=database_url)
    Enrichment.top_up(20, "INV-1")
    world.people["prospeo"]["pat-1-li"] = Known("pat@acme.example")
    cand = person()
    assert Enrichment.estimate(cand) == 3
    run = cand.enrich()
    assert (run.status, run.cost, outcomes(run)) == ("done", 3, ["found"])
    found = cand.emails.row(0, named=True)
    assert (found["address"], found["kind"], found["verified"], found["source"]) == (
        "pat@acme.example",
        "work",
        True,
        "prospeo",
    )
    asked = run.attempts.filter(run.attempts["state"] == "answered")
    assert asked.select("provider", "found").rows() == [("hunter", 0), ("prospeo", 1)]
    # What is known is free, and nobody is asked again.
    calls = len(world.calls)
    again = cand.enrich()
    assert (again.cost, outcomes(again), len(world.calls)) == (0, ["known"], calls)
    assert Enrichment.estimate(cand) == 0
    assert Enrichment.credits().balance == 17 == Enrichment.ledger()["amount"].sum()
    assert Enrichment.ledger()["kind"].to_list() == ["top_up", "reserve", "settle"]


@pytest.mark.rule(25)
def test_a_number_costs_ten_and_a_miss_nothing(opened: Open, world: World) -> None:
    opened("pdl", "lusha")
    Enrichment.top_up(50)
    world.people["lusha"]["pat-1-li"] = Known(phone="+1 415 568 8415")
    one, two = person(1), person(2)
    run = Enrichment.run([one, two], fields=("phone",))
    assert (run.cost, outcomes(run)) == (10, ["found", "missed"])
    assert one.phones.rows() == [("+14155688415", "personal", True, "lusha")]
    assert two.phones.height == 0
    assert Enrichment.credits().balance == 40


@pytest.mark.rule(25)
def test_an_address_nobody_vouches_for_goes_to_the_verifiers(opened: Open, world: World) -> None:
    house = opened("pdl", "hunter", "prospeo", "zerobounce", "neverbounce")
    Workspace(house.session).set(enrich_email=["pdl", "prospeo"], enrich_verify=["zerobounce", "neverbounce"])
    Enrichment.top_up(50)
    for n, said in enumerate(("valid", "accept_all", "invalid", "role", "unknown"), 1):
        world.people["pdl"][f"pat-{n}-li"] = Known(f"pat{n}@acme.example")
        world.judged[f"pat{n}@acme.example"] = said
    # One whose domain takes anything is looked for further; the next one knows a better address.
    world.people["prospeo"]["pat-2-li"] = Known("pat2@sure.example")
    run = Enrichment.run([person(n) for n in range(1, 6)])
    assert outcomes(run) == ["found", "found", "missed", "missed", "unverified"]
    assert run.results["value"].to_list()[:2] == ["pat1@acme.example", "pat2@sure.example"]
    assert run.results["source"].to_list()[:2] == ["pdl", "prospeo"]
    assert run.cost == 6
    # The second verifier is asked where the first can't tell, and for nobody else.
    assert [c.body.count("pat5") for c in world.asked("neverbounce")] == [1]
    assert world.asked("hunter") == []
    assert run.results.row(4, named=True)["verified"] is False
    assert Candidate.get(5).emails.height == 0


@pytest.mark.rule(25)
def test_roles_and_other_peoples_addresses_are_no_finds(opened: Open, world: World) -> None:
    opened("hunter", "prospeo")
    Enrichment.top_up(50)
    Candidate.create(email="taken@acme.example", first_name="Other")
    taken = Known("taken@acme.example")
    world.people["hunter"] = {"pat-1-li": Known("info@acme.example"), "pat-2-li": taken, "pat-3-li": taken}
    world.people["prospeo"] = {"pat-1-li": Known("pat@acme.example"), "pat-3-li": Known("bo@acme.example")}
    run = Enrichment.run([person(1), person(2), person(3)])
    assert outcomes(run) == ["found", "not_usable", "found"]
    assert run.results["value"].to_list() == ["pat@acme.example", None, "bo@acme.example"]
    assert run.cost == 6


@pytest.mark.rule(25, 18)
def test_one_that_bounced_is_replaced_for_nothing(opened: Open, world: World) -> None:
    house = opened("hunter", "prospeo")
    Enrichment.top_up(3)
    cand = person()
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    cand.enrich()
    house.engine.store.write("UPDATE candidate_emails SET invalid = ?", True)
    world.people["prospeo"]["pat-1-li"] = Known("pat@new.example")
    run = cand.enrich()
    assert (outcomes(run), run.cost) == (["found"], 0)
    assert cand.emails["address"].to_list() == ["pat@acme.example", "pat@new.example"]
    assert Enrichment.credits().balance == 0
    # The answer that was paid for before is used again: the first provider isn't asked twice.
    assert len(world.asked("hunter")) == 1


@pytest.mark.rule(25, 19)
def test_a_found_address_that_wants_no_mail_is_not_used(opened: Open, world: World) -> None:
    house = opened("hunter")
    Enrichment.top_up(3)
    house.engine.store.insert(
        "suppressions",
        {
            "workspace_id": 1,
            "owner_id": 1,
            "kind": "domain",
            "value": "acme.example",
            "reason": "client",
            "source": "",
            "created_at": house.engine.now(),
        },
    )
    world.people["hunter"]["pat-1-li"] = Known("pat@acme.example")
    cand = person()
    assert outcomes(cand.enrich()) == ["not_usable"]
    assert (cand.emails.height, Enrichment.credits().balance) == (0, 3)


@pytest.mark.rule(25, 21)
def test_suppressed_people_are_not_looked_for(opened: Open, world: World) -> None:
    opened("pdl")
    Enrichment.top_up(50)
    cand = Candidate.create(email="no@thanks.example", linkedin_url="linkedin.com/in/pat-1-li")
    cand.suppress()
    assert Enrichment.estimate(cand, ("phone",)) == 0
    run = cand.enrich(("phone",))
    assert (outcomes(run), world.calls, run.cost) == (["suppressed"], [], 0)


@pytest.mark.rule(25)
def test_without_credits_it_waits_and_a_top_up_lets_it_go_on(
    opened: Open, world: World, database_url: str
) -> None:
    opened("hunter", url=database_url)
    Enrichment.top_up(7)
    for n in range(1, 5):
        world.people["hunter"][f"pat-{n}-li"] = Known(f"pat{n}@acme.example")
    run = Enrichment.run([person(n) for n in range(1, 5)])
    assert (run.status, run.cost) == ("paused", 6)
    assert "2 still to do" in str(run.notice)
    assert "2 still to do" in run._repr_html_()
    assert Enrichment.credits().balance == 1
    Enrichment.top_up(5, "INV-2")
    assert run.status == "running"
    run.wait()
    assert (run.status, run.cost, outcomes(run)) == ("done", 12, ["found"] * 4)
    assert Enrichment.credits().balance == 0
    assert len(world.asked("hunter")) == 4


@pytest.mark.rule(25)
def test_the_allowance_is_spent_first_expires_and_comes_back(
    opened: Open, world: World, clock: Clock
) -> None:
    house = opened("hunter")
    ws = Workspace(house.session)
    ws.set_plan(monthly_credits=4)
    Enrichment.top_up(3)
    world.people["hunter"] = {f"pat-{n}-li": Known(f"pat{n}@acme.example") for n in (1, 2, 3)}
    person(1).enrich()
    left = Enrichment.credits()
    assert (left.allowance, left.top_ups, left.monthly) == (1, 3, 4)
    person(2).enrich()
    assert (Enrichment.credits().allowance, Enrichment.credits().top_ups) == (0, 1)
    run = person(3).enrich()
    assert run.status == "paused"
    clock.forward(days=32)
    assert enrich.waiting(house.engine)
    enrich.drain(house.engine)
    assert (run.status, run.cost) == ("done", 3)
    assert (Enrichment.credits().allowance, Enrichment.credits().top_ups) == (1, 1)
    clock.forward(days=32)
    assert (Enrichment.credits().allowance, Enrichment.credits().top_ups) == (4, 1)
    assert Enrichment.ledger().filter(Enrichment.ledger()["kind"] == "expire")["amount"].to_list() == [-1]


@pytest.mark.rule(25, 26)
def test_only_admins_set_the_plan_and_anyone_tops_up(opened: Open) -> None:
    house = opened()
    house.session.user["role"] = "member"
    with pytest.raises(NotFound, match="admin"):
        Workspace(house.session).set_plan(monthly_credits=500)
    assert Enrichment.top_up(5).balance == 5
    with pytest.raises(InvalidInput, match="credits"):
        Enrichment.top_up(-5)


@pytest.mark.rule(25)
def test_a_run_keeps_to_its_own_limit(opened: Open, world: World) -> None:
    opened("hunter")
    Enrichment.top_up(100)
    world.people["hunter"] = {f"pat-{n}-li": Known(f"pat{n}@acme.example") for n in (1, 2, 3)}
    run = Enrichment.run([person(n) for n in (1, 2, 3)], max_credits=7)
    assert (run.status, run.cost) == ("done", 6)
    assert sorted(outcomes(run)) == ["found", "found", "over_max"]


def test_without_a_provider_it_waits_and_says_so(opened: Open) -> None:
    opened()
    Enrichment.top_up(10)
    run = person().enrich()
    assert run.status == "paused"
    assert "OUTREACH_HUNTER_API_KEY" in repr(run)
    assert set(Enrichment.providers()["state"].to_list()) == {"no_key"}
    assert set(run.attempts["state"].to_list()) == {"skipped"}


def test_asking_when_ready(opened: Open, world: World, clock: Clock, database_url: str) -> None:
    house = opened("dropcontact", url=database_url)
    Enrichment.top_up(10)
    world.people["dropcontact"]["pat-1-li"] = Known("pat@acme.example")
    run = Enrichment.run(person(), wait=False)
    enrich.drain(house.engine)
    assert run.results["status"].to_list() == ["pending"]
    assert Enrichment.credits().balance == 7  # held while nobody knows
    for _ in range(2):
        clock.forward(seconds=31)
        enrich.drain(house.engine)
    assert outcomes(run) == ["found"]
    assert [c.method for c in world.asked("dropcontact")] == ["POST", "GET", "GET"]


def test_one_that_never_gets_ready_is_given_up(opened: Open, world: World, clock: Clock) -> None:
    house = opened("dropcontact")
    Enrichment.top_up(10)
    world.rounds = 1000
    world.people["dropcontact"]["pat-1-li"] = Known("pat@acme.example")
    run = Enrichment.run(person(), wait=False)
    enrich.drain(house.engine)
    clock.forward(minutes=31)
    enrich.drain(house.engine)
    assert (outcomes(run), Enrichment.credits().balance) == (["missed"], 10)
    assert "in time" in str(run.attempts["detail"][0])


def test_a_request_under_way_outlives_bad_moments(opened: Open, world: World, clock: Clock) -> None:
    house = opened("rocketreach")
    Enrichment.top_up(10)
    world.rounds = 3
    world.people["rocketreach"]["pat-1-li"] = Known("pat@acme.example")
    run = Enrichment.run(person(), wait=False)
    enrich.drain(house.engine)
    world.faults["rocketreach"] = [(500, {}, b""), (429, {"Retry-After": "5"}, b""), (503, {}, b"")] * 2
    for _ in range(15):
        clock.forward(seconds=70)
        enrich.drain(house.engine)
    assert outcomes(run) == ["found"]
    assert [c.path for c in world.asked("rocketreach")].count("/api/v2/person/lookup") == 1


def test_not_now_makes_everybody_wait_as_long_as_it_said(opened: Open, world: World, clock: Clock) -> None:
    house = opened("pdl")
    Enrichment.top_up(20)
    world.faults["pdl"] = [(429, {"Retry-After": "40"}, b"{}")]
    world.people["pdl"]["pat-1-li"] = Known(phone="+14155688415")
    run = Enrichment.run(person(), ("phone",), wait=False)
    enrich.drain(house.engine)
    assert len(world.calls) == 1
    clock.forward(seconds=35)
    enrich.drain(house.engine)
    assert len(world.calls) == 1
    clock.forward(seconds=6)
    enrich.drain(house.engine)
    assert (outcomes(run), len(world.calls)) == (["found"], 2)


def test_a_provider_out_of_order_is_left_alone_by_everybody(
    opened: Open, world: World, clock: Clock, database_url: str
) -> None:
    house = opened("hunter", "prospeo", url=database_url)
    Enrichment.top_up(100)
    world.faults["hunter"] = [(500, {}, b"")] * 50
    world.people["prospeo"] = {f"pat-{n}-li": Known(f"p{n}@acme.example") for n in range(9)}
    run = Enrichment.run([person(n) for n in range(9)], wait=False)
    for _ in range(8):
        enrich.drain(house.engine)
        clock.forward(seconds=31)
    assert outcomes(run) == ["found"] * 9
    assert len(world.asked("hunter")) < 20
    assert "out_of_order" in run.attempts["detail"].to_list()
    world.faults["hunter"].clear()
    clock.forward(hours=2)
    assert gates.states(house.engine) == {}


def test_a_refused_key_is_tried_once_and_shown(opened: Open, world: World) -> None:
    house = opened("hunter", "prospeo")
    Enrichment.top_up(100)
    world.faults["hunter"] = [(401, {}, b"{}")] * 50
    world.people["prospeo"] = {f"pat-{n}-li": Known(f"p{n}@acme.example") for n in range(4)}
    enrich.THREADS, before = 1, enrich.THREADS
    try:
        run = Enrichment.run([person(n) for n in range(4)])
    finally:
        enrich.THREADS = before
    assert (run.cost, len(world.asked("hunter"))) == (12, 1)
    states = dict(Enrichment.providers().select("provider", "state").rows())
    assert states["hunter"] == "denied"
    assert states["prospeo"] == "ready"
    stored = str(house.engine.store.rows("SELECT * FROM enrichment_asks"))
    assert not any(key in stored + repr(run) + run._repr_html_() for key in KEYS.values())


@pytest.mark.rule(25)
def test_a_miss_is_remembered_until_it_is_old(opened: Open, world: World, clock: Clock) -> None:
    house = opened("hunter")
    Enrichment.top_up(10)
    cand = person()
    cand.enrich()
    run = cand.enrich()
    assert len(world.calls) == 1
    assert run.attempts.row(0, named=True)["cached"] is True
    clock.forward(days=31)
    cand.enrich()
    assert len(world.calls) == 2
    assert summed(house) == 10


@pytest.mark.rule(25)
def test_fifty_runs_at_once_pay_once(opened: Open, world: World, database_url: str) -> None:
    house = opened("hunter", url=database_url)
    Enrichment.top_up(7)
    world.people["hunter"] = {f"pat-{n}-li": Known(f"pat{n}@acme.example") for n in (1, 2, 3)}
    ids = [person(n).id for n in (1, 2, 3)]
    runs = [Enrichment.run(ids, wait=False) for _ in range(50)]
    threads = [threading.Thread(target=enrich.drain, args=(house.engine,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    enrich.drain(house.engine)
    assert sum(r.cost for r in runs) == 6
    assert Enrichment.credits().balance == 1 == summed(house)
    assert len(world.asked("hunter")) == 2
    Enrichment.top_up(2)
    enrich.drain(house.engine)
    assert {r.status for r in runs} == {"done"}
    assert sum(r.cost for r in runs) == 9
    assert len(world.asked("hunter")) == 3
    assert Enrichment.credits().balance == 0 == summed(house)


PLACES = ("enrich_reserved", "enrich_asking", "enrich_called", "enrich_answered", "enrich_finished")


@pytest.mark.rule(25)
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_it_goes_on_and_pays_once(
    opened: Open, world: World, clock: Clock, database_url: str, place: str
) -> None:
    house = opened("hunter", url=database_url)
    Enrichment.top_up(20)
    world.people["hunter"] = {"pat-1-li": Known("pat1@acme.example")}
    run = Enrichment.run([person(1), person(2)], wait=False)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    done = subprocess.run(
        [sys.executable, "-m", "tests.enrichment.driver"],
        cwd=ROOT,
        env={**env, "OUTREACH_FAILPOINT": place, "PYTHONPATH": str(ROOT)},
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert Enrichment.credits().balance == summed(house) >= 14
    clock.forward(minutes=3)
    enrich.drain(house.engine)
    assert outcomes(run) == ["found", "missed"]
    assert (run.status, run.cost) == ("done", 3)
    assert Enrichment.credits().balance == summed(house) == 17
    # Whom an answer was on its way for that nobody wrote down is asked about once more; two threads at most.
    again = 2 if place in ("enrich_called", "enrich_answered", "enrich_finished") else 0
    assert 2 <= len(world.asked("hunter")) <= 2 + again
