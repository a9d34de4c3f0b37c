"""People made by hand."""

from __future__ import annotations

import threading

import pytest

from outreach_sdk.domain.contact import email_kind
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects import candidate as candidates
from outreach_sdk.objects.candidate import Candidate
from tests.harness import House, wait_until


@pytest.mark.rule(21)
def test_two_who_make_the_same_person_at_once_make_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the first has looked, and not yet committed."""
    store, ends = house.engine.store, []
    entered, first = threading.Event(), []

    def slowly(address: str) -> str:
        if not first:
            first.append(address)
            entered.set()
            second.start()
            if store.dialect == "postgresql":
                wait_until(lambda: store.value("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1"))
        return email_kind(address)

    def make() -> None:
        try:
            Candidate.create(email="grace@navy.example", first_name="Grace")
            ends.append("made")
        except InvalidInput as exc:
            ends.append(exc.field)
        finally:
            store.idle()

    second = threading.Thread(target=make)
    monkeypatch.setattr(candidates, "email_kind", slowly)
    make()
    second.join(20)
    assert entered.is_set()
    assert sorted(ends) == ["email", "made"]
    assert Candidate.find("grace").height == 1


@pytest.mark.rule(21)
def test_a_row_of_somebody_who_is_in_it_already_tells_what_is_new(house: House) -> None:
    seq = house.two_steps(house.local())
    seq.enroll([{"First Name": "Bo", "Email": "bo@a.example", "LinkedIn": "linkedin.com/in/bo", "Note": "x"}])
    again = [
        {"First Name": "Bo", "Email": "bo@a.example", "LinkedIn": "linkedin.com/in/bo", "Note": "x"},
        {"First Name": "Cy", "Email": "cy@a.example", "LinkedIn": "", "Note": ""},
    ]
    report = seq.enroll(again)
    assert (report.enrolled, report.updated, report.duplicates) == (1, 0, 1), "nothing new of bo"
    for news in ({"Note": "y"}, {"Company": "Acme"}, {"Email": "bo@home.example"}, {"Last Name": "Li"}):
        report = seq.enroll([{**again[0], "Note": "y", **news}])
        assert (report.updated, report.duplicates) == (1, 0), news
        assert report.rows["reason"].to_list() == ["already_in_sequence"]
        assert seq.enroll([{**again[0], "Note": "y", **news}]).duplicates == 1
    person = Candidate.get("bo@home.example")
    assert person.id == Candidate.get("bo@a.example").id
    assert (person.company, person.last_name) == ("Acme", "Li")
    assert seq.candidates().height == 2
    assert seq.journey("bo@a.example").email == "bo@a.example"
