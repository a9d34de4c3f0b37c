"""Shortlists that flow into sequences."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import deliveries, dispatch, shortlists
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.shortlist import Shortlist
from tests.acceptance.scenarios import address
from tests.harness import House
from tests.service.conftest import Service
from tests.service.senders import Delivery


def sequence(house: House, name: str = "Engineers") -> Sequence:
    house.local()
    seq = Sequence.create(name, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}")
    return seq


def enrolled(seq: Sequence) -> list[str]:
    return sorted(seq.candidates()["email"].drop_nulls())


@pytest.mark.rule(23)
def test_whoever_is_shortlisted_flows_in_and_those_on_it_before_are_backfilled(house: House) -> None:
    seq, found = sequence(house), Shortlist.create("Rust in Berlin")
    added = found.add(house.people(3))
    assert added["outcome"].to_list() == ["added"] * 3
    assert found.members["email"].to_list() == [address(n) for n in range(3)]
    found.link(seq)
    assert enrolled(seq) == [address(n) for n in range(3)]
    outcomes = found.add(
        [*house.people(2, start=2), {"First Name": "L", "LinkedIn URL": "linkedin.com/in/lee"}]
    )
    assert outcomes["outcome"].to_list() == ["already_member", "added", "added"]
    assert seq.candidates().height == 5
    assert sorted(seq.candidates()["reason"].drop_nulls()) == ["no_email"]
    seq.activate()
    found.add(house.people(1, start=9))
    assert seq.journey(address(9)).status == "active"


@pytest.mark.rule(23)
def test_links_from_either_side_paused_or_from_now_on_and_ended(house: House) -> None:
    seq, found = sequence(house), Shortlist.create("Go")
    seq.activate()
    found.add(house.people(2))
    seq.link(found, backfill=False, paused=True)
    assert enrolled(seq) == []
    found.add(house.people(1, start=5))
    assert enrolled(seq) == [address(5)]
    assert (seq.journey(address(5)).status, seq.journey(address(5)).reason) == ("paused", "manual")
    assert found.links.select("sequence", "paused", "waiting").rows() == [("Engineers", True, 0)]
    found.remove(Candidate.get(address(5)))
    assert seq.journey(address(5)).status == "paused", "taking somebody off does nothing to journeys"
    seq.unlink(found)
    found.add(house.people(1, start=6))
    assert enrolled(seq) == [address(5)]
    with pytest.raises(NotFound, match="linked"):
        seq.unlink(found)
    found.link(seq)  # again, with all who are on it
    assert enrolled(seq) == [address(n) for n in (0, 1, 5, 6)]


@pytest.mark.rule(21, 23)
def test_who_may_not_be_written_to_is_held_back_by_name_and_not_asked_about_again(house: House) -> None:
    seq, found = sequence(house), Shortlist.create("Held")
    Candidate.create(email=address(0)).suppress("asked")
    found.link(seq)
    rows = found.add(house.people(2))
    assert rows.select("outcome", "reason").rows() == [("held_back", "suppressed"), ("added", None)]
    Candidate.get(address(1)).suppress("asked too")
    other = Sequence.create("Other", timezone="UTC")
    found.link(other)
    assert other.candidates().height == 0
    assert not shortlists.waiting(house.engine.store)


@pytest.mark.rule(23)
@pytest.mark.parametrize("failing", ["before", "after"])
def test_what_a_killed_process_left_flows_on_once(
    house: House, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    seq, found = sequence(house), Shortlist.create("Killed")
    found.link(seq)
    usual = shortlists.imports.enroll

    def dies(*args: Any, **kwargs: Any) -> Any:
        if failing == "after":
            usual(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shortlists.imports, "enroll", dies)
        with pytest.raises(KeyboardInterrupt):
            found.add(house.people(3))
    assert shortlists.waiting(house.engine.store)
    woken: list[str] = []

    class Wake:
        def enqueue(self, queue: str, function: str, bucket: int) -> bool:
            woken.append(function)
            return True

    dispatch.tick(house.engine, Wake())
    assert "drain_shortlists" in woken
    shortlists.drain(house.engine)
    assert enrolled(seq) == [address(n) for n in range(3)]
    assert not shortlists.waiting(house.engine.store)
    woken.clear()
    dispatch.tick(house.engine, Wake())
    assert "drain_shortlists" not in woken


def test_a_name_is_one_shortlists(house: House) -> None:
    Shortlist.create("  One   list ")
    assert Shortlist.get("One list").name == "One list"
    for wrong in ("One list", "", "a/b", "x" * 121):
        with pytest.raises(InvalidInput, match="name"):
            Shortlist.create(wrong)
    with pytest.raises(NotFound):
        Shortlist.get("Another")
    assert Shortlist.list()["members"].to_list() == [0]


@pytest.mark.rule(23)
def test_a_signed_webhook_puts_people_on_it_once(tmp_path: Path, database_url: str) -> None:
    service = Service(tmp_path / "h", database_url, {"OUTREACH_SHORTLIST_WEBHOOK_SECRETS": "sourcing"})
    seq, found = sequence(service.house), Shortlist.create("Rust in Berlin")
    found.link(seq)
    service.start()

    def delivery(body: Any, secret: str = "sourcing", name: str = "Rust%20in%20Berlin") -> Delivery:
        raw, stamp = json.dumps(body).encode(), int(time.time())
        digest = hmac.new(secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
        headers = {"X-Outreach-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/json"}
        return Delivery(f"/webhooks/shortlist/{name}", raw, headers)

    people = {"people": [{"first_name": "Bo", "email": "bo@x.example"}, {"first_name": "No"}]}
    assert service.post(delivery(people, secret="guessed")).status_code == 401
    assert [service.post(delivery(people)).status_code for _ in range(2)] == [200, 200]
    assert service.post(delivery({"people": "everybody"})).status_code == 200
    assert service.post(delivery(people, name="nobodys")).status_code == 200
    deliveries.drain(service.house.engine)
    assert enrolled(seq) == ["bo@x.example"]
    told = {r["state"]: r["outcome"] for r in service.rows()}
    assert told["done"] == "1 of 2 people came on the shortlist."
    assert sorted(r["state"] for r in service.rows()) == ["dead", "dead", "done"]
    service.close()


@pytest.mark.rule(9, 20)
def test_the_latest_files_merge_fields_hold_for_people_known_before(house: House) -> None:
    seq = sequence(house)
    seq.enroll([{**house.people(1)[0], "Team": "Data", "Hook": "your talk"}])
    other = Sequence.create("Other", timezone="UTC")
    other.add_email("Hi", "{{ team }}, {{ hook }}")
    other.enroll([{**house.people(1)[0], "Team": "Platform", "Hook": ""}])
    assert other.preview(address(0))["text"].to_list() == ["Platform, your talk"]
