"""Connected systems before an enrolment: who is held back, by which name, and what happens when nobody can say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.engine import polling, shortlists, upkeep
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.shortlist import Shortlist
from outreach_sdk.objects.workspace import Workspace
from tests.acceptance.test_contact_points import everything
from tests.ats.conftest import poll
from tests.ats.vendors import Vendors
from tests.harness import House

Connect = Callable[..., House]
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
MORE = ("workable", "smartrecruiters", "teamtailor", "recruitee", "bullhorn")
ROSTERS = ("greenhouse", "lever", "ashby", "merge", *MORE)


def mail(n: int) -> str:
    return f"p{n}@candidate{n}.example"


def fill(vendors: Vendors) -> None:
    """Of the people p0 … p5: one in process, one rejected lately, one long ago, one hired; others are strangers."""
    vendors.put(1, mail(0), "in_process")
    vendors.put(2, mail(1), "rejected", rejected=NOW - 10 * DAY)
    vendors.put(3, mail(2), "rejected", rejected=NOW - 400 * DAY, updated=NOW - 400 * DAY)
    vendors.put(4, mail(3).replace("p3@", "P3+x@"), "hired")
    vendors.put(5, "stranger@elsewhere.example", "in_process")


def sequence(house: House) -> Sequence:
    return house.two_steps(house.local(), delay=172_800)


def reasons(report: Any) -> dict[str, str]:
    return {r["email"]: r["reason"] for r in report.rows.iter_rows(named=True) if r["reason"]}


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_people_are_held_back_by_name_of_the_reason(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    fill(vendors)
    seq = sequence(house)
    report = seq.enroll(house.people(6))  # it asks by itself, whether workers have or not
    assert reasons(report) == {mail(0): "ats_in_process", mail(1): "ats_rejected", mail(3): "ats_hired"}
    assert (report.enrolled, report.held_back) == (3, 3)
    assert "stranger" not in everything(house.engine.store)
    again = seq.enroll(house.people(6), override=["ats_in_process", "ats_hired"])
    assert (again.enrolled, reasons(again)[mail(1)]) == (2, "ats_rejected")


@pytest.mark.rule(28)
def test_the_days_after_a_rejection_are_a_setting_and_what_changes_there_counts(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    fill(vendors)
    seq, workspace = sequence(house), Workspace(house.session)
    workspace.set(rejected_days=5)
    assert seq.enroll(house.people(2)).enrolled == 1
    workspace.set(rejected_days=500)
    assert reasons(seq.enroll(house.people(1, 2))) == {mail(2): "ats_rejected"}
    vendors.put(1, mail(0), "rejected", rejected=NOW - 600 * DAY, updated=dt.datetime.now(dt.UTC))
    poll(house)
    assert seq.enroll(house.people(1)).enrolled == 1


@pytest.mark.rule(28)
def test_somebody_known_by_another_address_there_is_held_back(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "lever")
    Candidate.create(email=mail(0), first_name="Bo")
    Candidate.get(mail(0)).add_email("bo.private@home.example")
    vendors.put(1, "bo.private@home.example", "in_process")
    seq = sequence(house)
    assert reasons(seq.enroll(house.people(1))) == {mail(0): "ats_in_process"}


@pytest.mark.rule(28)
def test_while_nobody_can_say_people_are_held_back_and_told_why(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    fill(vendors)
    vendors.faults = [("candidates", (503, {}, b""))]
    seq, store = sequence(house), house.engine.store
    report = seq.enroll(house.people(6))
    assert set(reasons(report).values()) == {"ats_unchecked"}
    assert (report.enrolled, report.held_back) == (0, 6), "no row is lost"
    assert "Greenhouse answered 503" in report.notice
    assert "ats_unchecked" in report.notice
    Workspace(house.session).set(ats_check=False)
    unasked = seq.enroll(house.people(6), dry_run=True)
    assert (unasked.enrolled, "ats_unchecked" in (unasked.notice or "")) == (6, False)
    Workspace(house.session).set(ats_check=True)
    calls = len(vendors.asked)
    assert seq.enroll(house.people(6)).held_back == 6
    assert len(vendors.asked) == calls, "a system that fails isn't asked by every enrolment"
    assert seq.enroll(house.people(1, 9), override=["ats_unchecked"]).enrolled == 1
    poll(house)
    assert seq.enroll(house.people(6)).enrolled == 3
    # It fails again: for a day what it said before counts, then nobody gets through.
    vendors.faults = [("candidates", (503, {}, b""))] * 50
    store.write("UPDATE ats_polls SET complete_at = ?", NOW - dt.timedelta(hours=23))
    store.write("DELETE FROM journeys")
    report = seq.enroll(house.people(6))
    assert (report.enrolled, set(reasons(report).values()) & {"ats_unchecked"}) == (3, set())
    store.write("UPDATE ats_polls SET complete_at = ?", NOW - dt.timedelta(hours=25))
    late = seq.enroll(house.people(7, 4))
    assert reasons(late)[mail(10)] == "ats_unchecked"
    assert "hasn't said since" in late.notice


@pytest.mark.rule(28)
def test_a_process_without_keys_goes_by_what_workers_asked(
    postgres_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(postgres_url, "ashby")
    fill(vendors)
    poll(house)
    calls = len(vendors.asked)
    keys, house.engine.connected = house.engine.connected, ()
    report = sequence(house).enroll(house.people(6))
    assert reasons(report) == {mail(0): "ats_in_process", mail(1): "ats_rejected", mail(3): "ats_hired"}
    assert len(vendors.asked) == calls
    house.engine.connected = keys


@pytest.mark.rule(28)
def test_a_dry_run_says_the_same_and_leaves_nothing(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "merge")
    fill(vendors)
    seq = sequence(house)
    report = seq.enroll(house.people(6), dry_run=True)
    assert (report.enrolled, report.held_back) == (3, 3)
    assert house.engine.store.value("SELECT COUNT(*) FROM journeys") == 0


@pytest.mark.rule(28)
def test_companies_off_limits(database_url: str, connect: Connect, vendors: Vendors) -> None:
    house = connect(database_url)
    workspace = Workspace(house.session)
    workspace.set(off_limits=["Müller-Bau GmbH & Co. KG", "@navy.example", "Acme"])
    assert workspace.settings["off_limits"] == ["@navy.example", "Acme", "Müller-Bau GmbH & Co. KG"]
    people = [
        {"First Name": "A", "Email": "a@x.example", "Company": "MULLER BAU"},
        {"First Name": "B", "Email": "b@mail.Navy.example", "Company": "Elsewhere"},
        {"First Name": "C", "Email": "c@notnavy.example", "Company": "Acme Robotics"},
        {"First Name": "D", "Email": "d@x.example", "Company": "ACME, Inc."},
        {"First Name": "E", "Email": "e@x.example"},
    ]
    Candidate.create(email="e@x.example", first_name="E").add_email("e@navy.example")
    seq = sequence(house)
    report = seq.enroll(people)
    held = {"a@x.example", "b@mail.navy.example", "d@x.example", "e@x.example"}
    assert reasons(report) == dict.fromkeys(held, "off_limits")
    assert seq.enroll(people, override=["off_limits"]).enrolled == 4
    with pytest.raises(InvalidInput, match="names or domains"):
        workspace.set(off_limits=["…"])


@pytest.mark.rule(23, 28)
def test_people_on_a_shortlist_wait_until_somebody_can_say(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "lever")
    fill(vendors)
    vendors.faults = [("opportunities", (503, {}, b""))] * 2
    polling.drain(house.engine)
    seq = sequence(house)
    seq.activate()
    listed = Shortlist.create("Welders")
    seq.link(listed)
    listed.add(house.people(6))
    assert house.engine.store.value("SELECT COUNT(*) FROM journeys") == 0
    poll(house)
    shortlists.drain(house.engine)
    assert house.engine.store.value("SELECT COUNT(*) FROM journeys") == 3


@pytest.mark.rule(20, 28)
def test_many_rows_cost_no_more_requests_than_few(tmp_path: Path, connect: Connect, vendors: Vendors) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", "greenhouse")
    fill(vendors)
    poll(house)
    calls = len(vendors.asked)
    report = sequence(house).enroll(house.people(20_000))
    assert (report.enrolled, report.held_back) == (19_997, 3)
    assert len(vendors.asked) - calls <= 4


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_whoever_was_deleted_there_is_known_no_more_after_a_whole_pass(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    fill(vendors)
    poll(house)
    del vendors.people[1]
    poll(house)
    seq, store = sequence(house), house.engine.store
    assert reasons(seq.enroll(house.people(1))) == {mail(0): "ats_in_process"}
    store.write("UPDATE ats_polls SET whole_at = ?", NOW - 8 * DAY)
    poll(house)
    assert seq.enroll(house.people(1)).enrolled == 1
    assert store.value("SELECT COUNT(*) FROM ats_people") == 4


def test_what_was_kept_of_people_goes_with_them_and_with_the_key(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "greenhouse")
    fill(vendors)
    poll(house)
    store = house.engine.store
    assert store.value("SELECT COUNT(*) FROM ats_people") == 5
    Candidate.create(email=mail(0), first_name="Bo").erase()
    assert store.value("SELECT COUNT(*) FROM ats_people") == 4
    house.engine.connected = ()
    upkeep.run(house.engine)
    assert store.value("SELECT COUNT(*) FROM ats_people") == 0
    assert sequence(house).enroll(house.people(1, 1)).enrolled == 1
