"""Steps put in, moved and taken out as often as anybody likes keep their order, and journeys their place."""

from __future__ import annotations

import random
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Instant, Later
from outreach_sdk.engine import dispatch, outbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.storage.claims import claim_sends
from tests.harness import House
from tests.mail.hostile import HostileTransport


def written(seq: Sequence) -> list[str]:
    return [str(b) for b in seq.steps["body"].to_list()]


@pytest.mark.rule(2)
@pytest.mark.parametrize("where", ["behind b", "between a and b", "the first", "anywhere"])
def test_many_insertions_keep_the_order_and_every_journeys_place(house: House, where: str) -> None:
    many = 200 if house.engine.store.dialect == "sqlite" else 80
    rng = random.Random(7)
    box = house.hostile()
    seq = Sequence.create("Long", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "a")
    seq.add_email(body="b", when=Instant())
    seq.add_email(body="c", when=Later(days=5))
    seq.enroll(house.people(2))
    seq.activate()
    seq.journey("p1@candidate1.example").pause()
    dispatch.drain_sends(house.engine, threads=2)  # p0 has had a and b, p1 nothing
    assert house.witness(box).total() == 2
    plan = ["a", "b", "c"]
    for number in range(many):
        to = {"behind b": 3, "between a and b": 2, "the first": 1, "anywhere": rng.randint(1, len(plan) + 1)}[
            where
        ]
        text = f"note {number}"
        seq.add_phone(text, when=Later(days=9))
        seq.move_step(len(plan) + 1, to)
        plan.insert(to - 1, text)
        if number % 20 == 0 or number > many - 10:
            assert written(seq) == plan
    assert written(seq) == plan
    ranks = [r["rank"] for r in house.engine.store.rows("SELECT rank FROM steps ORDER BY rank")]
    assert len(set(ranks)) == len(plan)
    done, fresh = (seq.journey(f"p{n}@candidate{n}.example") for n in range(2))
    fresh.resume()
    after_b = plan[plan.index("b") + 1]
    assert after_b == "c" or where in ("behind b", "anywhere")
    for journey, expected in ((done, after_b), (fresh, plan[0])):
        steps = journey.steps
        (due,) = [n for n, status in enumerate(steps["status"]) if status == "due"]
        assert plan[due] == expected, (
            "nothing inserted before the last handled step runs, nothing is passed over"
        )


@pytest.mark.rule(2)
def test_a_step_put_last_runs_though_the_handled_last_one_was_taken_out(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.add_phone("Call", when=Later(days=5))
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    assert house.witness(box).total() == 2
    journey = seq.journey("p0@candidate0.example")
    journey.pause()
    for _ in range(2):
        seq.remove_step(2)
    seq.add_email(body="Last words.", when=Instant())
    journey.resume()
    house.settle(seq)
    assert house.witness(box).total() == 3


@pytest.mark.rule(2)
def test_a_send_under_way_while_steps_are_moved_apart_counts_where_it_stands_now(house: House) -> None:
    """The worker read its step's rank before everything was numbered afresh."""
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    assert house.provider is not None
    provider, usual = house.provider, house.engine.transport

    class Meanwhile(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            for number in range(60):  # all of them before the one that is under way
                seq.add_phone(f"note {number}")
                seq.move_step(number + 3, max(1, number))
            return super().send_draft(provider_draft_id)

    house.engine.transport = lambda row: Meanwhile(provider, row["address"])
    (claim,) = claim_sends(
        house.engine.store,
        house.engine.now(),
        limit=5,
        cap=50,
        lease=house.engine.lease,
        new_key=house.engine.new_key,
    ).items
    assert outbox.process(house.engine, claim) == "sent"
    house.engine.transport = usual
    plan = written(seq)
    steps = seq.journey("p0@candidate0.example").steps
    (due,) = [n for n, status in enumerate(steps["status"]) if status == "due"]
    assert plan[due].startswith("Just checking")
