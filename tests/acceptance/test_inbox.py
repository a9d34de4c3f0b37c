"""What came in, as one reads it: the inbox and the statistics."""

from __future__ import annotations

import polars as pl
import pytest

import outreach_sdk as outreach
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.message import Message
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import Clock, address, provider_of
from tests.harness import House

ANSWERS = {
    0: "Sounds interesting, let's talk on Tuesday.",
    1: "Not interested, thanks.",
    2: "What is the salary range?",
    3: "<script>alert(1)</script> please remove me from your list",
}


def answered(house: House) -> tuple[Sequence, Clock]:
    """Two steps, six people: four answer the first, one bounces, one gets both."""
    box = house.hostile()
    clock = Clock(house)
    seq = house.two_steps(box, delay=3600)
    people = [{**p, "Title": "CTO" if n % 2 else "CEO"} for n, p in enumerate(house.people(6))]
    seq.enroll(people)
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    provider = provider_of(house)
    by_person = {min(a.recipients): a for a in provider.ledger()}
    for n, text in ANSWERS.items():
        clock.on(minutes=1)
        provider.deliver_reply(by_person[address(n)], text, at=clock.now)
    provider.deliver_bounce(by_person[address(4)], at=clock.now)
    clock.on(minutes=6)
    sync.poll_mailbox(house.engine, box.id)
    clock.on(hours=2)
    dispatch.drain_sends(house.engine, threads=2)
    return seq, clock


@pytest.mark.rule(11, 16)
def test_the_inbox_lists_every_answer_newest_first_with_its_kind(house: House) -> None:
    answered(house)
    table = outreach.inbox()
    assert table["sender"].to_list() == [address(n) for n in (3, 2, 1, 0)]
    assert table["kind"].to_list() == ["unsubscribe", "question", "not_interested", "interested"]
    assert set(table["kind_by"]) == {"rules"}
    assert table["at"].dtype == pl.Datetime("us", "UTC")
    assert outreach.inbox("interested")["candidate"].to_list() == ["P0 Li"]
    assert outreach.inbox("bounce").height == 1
    assert outreach.inbox("all").height == 5
    with pytest.raises(InvalidInput, match="not_now"):
        outreach.inbox("keen")
    Message.get(outreach.inbox("question")["id"][0]).correct("interested")
    assert sorted(outreach.inbox("interested")["kind_by"]) == ["person", "rules"]


def test_the_inbox_shows_itself_as_a_card_and_is_a_frame(house: House) -> None:
    answered(house)
    table = outreach.inbox()
    shown = table._repr_html_()
    assert "Inbox" in shown
    assert "not interested" in shown
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown
    assert isinstance(table, pl.DataFrame)
    assert table.filter(pl.col("kind") == "question").height == 1
    assert "Nobody has answered yet" in outreach.inbox("referral")._repr_html_()


@pytest.mark.rule(31)
def test_statistics_follow_people_from_the_step_to_what_they_said(house: House) -> None:
    seq, _ = answered(house)
    (whole,) = seq.stats().to_dicts()
    shown = {k: v for k, v in whole.items() if v}
    assert shown == {
        "sequence": "Two steps",
        "people": 6,
        "reached": 6,
        "sent": 7,
        "replied": 4,
        "interested": 1,
        "not_interested": 1,
        "question": 1,
        "unsubscribe": 1,
        "bounced": 1,
        "opted_out": 1,
        "reply_rate": 4 / 6,
        "interest_rate": 1 / 6,
    }
    steps = seq.stats(by="step")
    assert steps.select("step", "people", "sent", "replied", "bounced").rows() == [
        (1, 6, 6, 4, 1),
        (2, 1, 1, 0, 0),
    ]
    titles = {
        r["title"]: (r["people"], r["replied"], r["interested"]) for r in seq.stats(by="title").to_dicts()
    }
    assert titles == {"CEO": (3, 2, 1), "CTO": (3, 2, 0)}
    assert seq.stats(by="mailbox")["mailbox"].to_list() == ["ada@agency.example"]
    with pytest.raises(InvalidInput, match="source"):
        seq.stats(by="shoe size")


def test_an_answer_by_hand_counts_for_no_step(house: House) -> None:
    seq, _ = answered(house)
    before = seq.stats(by="step").rows()
    seq.journey(address(0)).replies[0].reply("Tuesday it is.")
    dispatch.drain_sends(house.engine, threads=1)
    assert len(provider_of(house).ledger()) == 8
    assert seq.stats(by="step").rows() == before
    assert Sequence.create("Empty", timezone="UTC").stats()["people"].to_list() == [0]
    empty = Sequence.create("Empty", timezone="UTC").stats(by="step")
    assert empty.height == 0
