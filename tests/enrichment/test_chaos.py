"""Workers killed at any moment, many runs over the same people, too few credits: the books stay right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from outreach_sdk import Enrichment
from outreach_sdk.engine import enrich
from tests.enrichment.conftest import Clock, Open, person, summed
from tests.enrichment.vendors import Known, World
from tests.harness import ROOT

PEOPLE, AFFORDED = 30, 20


@pytest.mark.rule(25)
def test_killed_again_and_again_the_books_stay_right(
    opened: Open, world: World, clock: Clock, database_url: str
) -> None:
    house = opened("hunter", "prospeo", url=database_url)
    Enrichment.top_up(3 * AFFORDED + 2)
    ids = [person(n).id for n in range(PEOPLE)]
    for n in range(PEOPLE):
        world.people["prospeo" if n % 2 else "hunter"][f"pat-{n}-li"] = Known(f"p{n}@acme.example")
    runs = [Enrichment.run(ids, wait=False) for _ in range(3)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | house.env
    command = [sys.executable, "-m", "tests.enrichment.driver"]
    rng = random.Random(7)
    for _ in range(4):
        workers = [
            subprocess.Popen(command, cwd=ROOT, env={**env, "PYTHONPATH": str(ROOT)}) for _ in range(2)
        ]
        time.sleep(
            rng.uniform(0.9, 1.8)
        )  # imports take most of it; where in their work they die is the point
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert 0 <= summed(house) == Enrichment.credits().balance
    for _ in range(4):
        clock.forward(minutes=5)
        enrich.drain(house.engine)
    assert {r.status for r in runs} == {"paused"}
    assert sum(r.cost for r in runs) == 3 * AFFORDED
    assert Enrichment.credits().balance == 2 == summed(house)
    Enrichment.top_up(3 * PEOPLE)
    for _ in range(3):
        clock.forward(minutes=5)
        enrich.drain(house.engine)
    assert {r.status for r in runs} == {"done"}
    assert sum(r.cost for r in runs) == 3 * PEOPLE
    assert Enrichment.credits().balance == 2 + 3 * AFFORDED == summed(house)
    kept = house.engine.store.value("SELECT COUNT(*) FROM credit_ledger WHERE kind = 'settle'")
    assert kept == PEOPLE == house.engine.store.value("SELECT COUNT(*) FROM candidate_emails")
    # Asked again is only what was under way in a worker that died: two threads in each.
    lookups = len(world.asked("hunter")) + len(world.asked("prospeo"))
    assert lookups <= PEOPLE + PEOPLE // 2 + 4 * 2 * 2
