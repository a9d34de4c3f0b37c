"""A sequence's e-mails to one's own inbox, to see them before anybody else does."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_sdk import jobs
from outreach_sdk.engine import dispatch, failpoints, testing
from outreach_sdk.errors import InvalidInput, MissingField
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.acceptance.scenarios import provider_of
from tests.harness import House
from tests.mail.hostile import Faults

ME = "ada@home.example"


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url)
    yield made
    made.close()


def sent(house: House) -> Counter[tuple[str, str]]:
    return Counter((r, a.subject) for a in provider_of(house).ledger() for r in a.recipients)


@pytest.mark.rule(9)
def test_every_email_comes_once_as_somebody_would_get_it(house: House) -> None:
    seq = house.two_steps(house.hostile())
    seq.add_phone("Call {{ first_name }}")
    seq.enroll(house.people(2))
    told = seq.send_test("Ada@home.example", candidate="p1@candidate1.example")
    assert told["state"].to_list() == ["sent", "sent"]
    assert sent(house) == {(ME, "[Test] Hello P1"): 1, (ME, "[Test] Re: Hello P1"): 1}
    assert set(seq.candidates()["status"]) == {"pending"}, "no journey knows of it"
    assert seq.stats()["sent"].item() == 0
    example = Sequence.create("Nobody yet", mailbox="ada@agency.example", timezone="UTC")
    example.add_email("Hello {{ first_name }}", "Hi")
    assert example.send_test(ME)["subject"].to_list() == ["[Test] Hello Alex"]


def test_candidates_and_those_who_want_no_mail_get_no_tests(house: House) -> None:
    seq = house.two_steps(house.hostile())
    seq.enroll(house.people(1))
    Workspace(house.session).suppress(["home.example"])
    for to in ("p0@candidate0.example", ME):
        with pytest.raises(InvalidInput, match="colleague"):
            seq.send_test(to)
    seq.edit_step(1, body="Hi {{ nickname }}")
    with pytest.raises(MissingField, match="nickname"):
        seq.send_test("ada@other.example")
    bare = Sequence.create("No mailbox", timezone="UTC")
    with pytest.raises(InvalidInput, match="mailbox"):
        bare.send_test("ada@other.example")
    assert sent(house) == {}


def test_what_goes_wrong_is_said_and_nothing_is_sent_twice(house: House) -> None:
    seq = house.two_steps(house.hostile(dataclasses.replace(Faults.none(), send_answer_lost=1.0)))
    told = seq.send_test(ME)
    assert told["state"].to_list() == ["unknown", "unknown"]
    assert "look into the inbox" in told["detail"][0]
    assert testing.run(house.engine) == 0
    assert set(sent(house).values()) <= {1}
    Workspace(house.session).halt()
    assert seq.send_test(ME)["detail"].to_list() == ["All sending is halted."] * 2


def test_what_a_killed_process_had_in_its_hands_is_taken_away_not_sent_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = house.two_steps(house.hostile())
    now = house.engine.now()

    def die(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(testing, "hit", die)
    with pytest.raises(KeyboardInterrupt):
        seq.send_test(ME)
    monkeypatch.setattr(testing, "hit", failpoints.hit)
    house.engine.now = lambda: now + dt.timedelta(minutes=3)
    assert len(provider_of(house).draft_keys()) == 1
    assert testing.run(house.engine) == 1, "the second e-mail, which nobody had begun"
    assert provider_of(house).draft_keys() == []
    assert sent(house) == {(ME, "[Test] Re: Hello Alex"): 1}


def test_workers_send_them_where_the_notebook_holds_no_keys(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = house.two_steps(house.hostile())
    monkeypatch.setattr("outreach_sdk.objects.testing.Vault.held", lambda settings: False)
    assert seq.send_test(ME, wait=0)["state"].to_list() == ["planned", "planned"]
    asked: list[str] = []
    wake = type("Wake", (), {"enqueue": lambda self, queue, name, bucket: asked.append(name) or True})()
    dispatch.tick(house.engine, wake)
    assert "drain_checks" in asked
    monkeypatch.setattr(jobs, "shared_engine", lambda: house.engine)
    jobs.drain_checks()
    assert sum(sent(house).values()) == 2


@pytest.mark.rule(26)
def test_erasing_somebody_takes_what_a_test_said_of_them(house: House) -> None:
    seq = house.two_steps(house.hostile())
    seq.enroll(house.people(1))
    seq.send_test(ME)
    assert house.engine.store.value("SELECT COUNT(*) FROM test_sends") == 2
    Candidate.get("p0@candidate0.example").erase()
    assert house.engine.store.value("SELECT COUNT(*) FROM test_sends") == 0
