"""Each system that is asked who is in process there: its pages, its words, and what it does when it can't answer."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from outreach_sdk.ats.port import system_name
from outreach_sdk.engine import polling
from outreach_sdk.objects.workspace import Workspace
from tests.ats.conftest import poll
from tests.ats.test_before_enrolment import DAY, MORE, NOW, ROSTERS, fill, mail, reasons, sequence
from tests.ats.vendors import Vendors
from tests.harness import House

Connect = Callable[..., House]
PEOPLE = {
    "greenhouse": "greenhouse/candidates",
    "lever": "lever/opportunities",
    "ashby": "ashby/application.list",
    "merge": "merge/applications",
    "workable": "workable/candidates",
    "smartrecruiters": "smartrecruiters/candidates",
    "teamtailor": "teamtailor/job-applications",
    "recruitee": "recruitee/search",
    "bullhorn": "JobSubmission",
}
"""What is asked for first, of each."""
LATER = {
    "greenhouse": "&page=2",
    "lever": "offset=2",
    "merge": "cursor=2",
    "workable": "since_id=3",
    "smartrecruiters": "pageId=page-2",
    "teamtailor": "page%5Bnumber%5D=2",
    "recruitee": "recruitee/candidates.*ids=3",
    "bullhorn": "Placement",
}
"""What is asked for later in a pass."""
Fault = tuple[int, dict[str, str], bytes]
FAULTS: dict[str, Fault] = {
    "denied": (401, {}, b""),
    "forbidden": (403, {}, b"{}"),
    "busy": (429, {"Retry-After": "600"}, b""),
    "broken": (500, {}, b"<html>"),
    "junk": (200, {}, b"[1, 2"),
    "another shape": (200, {}, b'"x"'),
    "no page": (200, {}, b"{}"),
    "half a page": (200, {}, b'{"candidates": 7, "content": {}, "data": null, "hits": "x", "success": true}'),
    "elsewhere": (302, {"Location": "http://127.0.0.1:9/"}, b""),
}


@pytest.mark.rule(28)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_a_system_that_cant_say_lets_nobody_through_and_is_asked_again(
    tmp_path: Path, connect: Connect, vendors: Vendors, vendor: str, fault: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor)
    fill(vendors)
    seq, store = sequence(house), house.engine.store
    store.write("DELETE FROM ats_polls WHERE what <> 'people'")
    # A session that is refused is begun anew once.
    again = vendor == "bullhorn" and fault in ("denied", "forbidden")
    vendors.faults = [(PEOPLE[vendor], FAULTS[fault])] * (2 if again else 1)
    began = dt.datetime.now(dt.UTC)
    report = seq.enroll(house.people(6))
    assert set(reasons(report).values()) == {"ats_unchecked"}
    assert (report.enrolled, report.held_back) == (0, 6), "no row is lost"
    assert f"{system_name(vendor)} hasn't been asked to the end yet" in report.notice
    (row,) = store.rows("SELECT * FROM ats_polls WHERE what = 'people'")
    assert row["error"] in report.notice
    assert "the-key" not in row["error"]
    assert "secret" not in row["error"]
    wait = (row["next_at"] - began).total_seconds()
    least = {"busy": 590, "denied": 1700, "forbidden": 1700}.get(fault, 20)
    assert least < wait < 2 * least + 200
    poll(house)
    report = seq.enroll(house.people(6))
    assert reasons(report) == {mail(0): "ats_in_process", mail(1): "ats_rejected", mail(3): "ats_hired"}
    # It fails again: what it said counts for a day, whatever it answers in between.
    vendors.faults = [(PEOPLE[vendor], FAULTS[fault])] * 2
    store.write("UPDATE ats_polls SET whole_at = ?", NOW - 8 * DAY)
    polling.drain(house.engine)
    store.write("DELETE FROM journeys")
    store.write("UPDATE ats_polls SET complete_at = ?", NOW - dt.timedelta(hours=23))
    assert seq.enroll(house.people(6)).held_back == 3
    store.write("UPDATE ats_polls SET complete_at = ?", NOW - dt.timedelta(hours=25))
    assert reasons(seq.enroll(house.people(1, 10))) == {mail(10): "ats_unchecked"}


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", LATER)
def test_a_pass_that_broke_off_is_gone_on_with_where_it_was(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    fill(vendors)
    seq, store = sequence(house), house.engine.store
    store.write("DELETE FROM ats_polls WHERE what <> 'people'")
    vendors.faults = [(LATER[vendor], None)]  # the connection breaks
    assert polling.drain(house.engine) >= 2, "a first page is kept"
    assert store.value("SELECT complete_at FROM ats_polls WHERE what = 'people'") is None
    assert "can't be reached" in str(store.value("SELECT error FROM ats_polls WHERE what = 'people'"))
    assert set(reasons(seq.enroll(house.people(6))).values()) >= {"ats_unchecked"}
    calls = len(vendors.asked)
    poll(house)
    assert len(vendors.asked) - calls <= 4, "not from the start"
    report = seq.enroll(house.people(6))
    assert reasons(report) == {mail(0): "ats_in_process", mail(1): "ats_rejected", mail(3): "ats_hired"}


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", MORE)
def test_one_that_never_answers_holds_an_enrolment_up_for_no_longer_than_its_time_limit(
    tmp_path: Path, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor, OUTREACH_SEND_TIMEOUT="0.3")
    fill(vendors)
    vendors.silent = PEOPLE[vendor]
    report = sequence(house).enroll(house.people(6))
    assert set(reasons(report).values()) == {"ats_unchecked"}
    assert "can't be reached (ReadTimeout)" in report.notice
    vendors.silent = ""
    poll(house)
    assert sequence(house).enroll(house.people(6)).held_back == 3


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", MORE)
def test_whoever_was_only_found_there_is_in_no_process(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    vendors.put(1, mail(0), "sourced")
    vendors.put(2, mail(1))
    report = sequence(house).enroll(house.people(2))
    assert reasons(report) == {mail(1): "ats_in_process"}


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_what_became_of_somebody_there_replaces_what_was(
    database_url: str, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(database_url, vendor)
    fill(vendors)
    seq = sequence(house)
    assert reasons(seq.enroll(house.people(1))) == {mail(0): "ats_in_process"}
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    vendors.put(1, mail(0), "hired", updated=later)
    poll(house)
    assert reasons(seq.enroll(house.people(1))) == {mail(0): "ats_hired"}
    assert seq.enroll(house.people(1), override=["ats_hired"]).enrolled == 1, "nothing is left of the process"


@pytest.mark.rule(28)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_later_passes_ask_for_what_changed_alone(
    tmp_path: Path, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor)
    for n in range(20):
        vendors.put(1 + n, mail(n), updated=NOW - 30 * DAY)
    poll(house)
    calls = len(vendors.asked)
    vendors.people[7].updated = dt.datetime.now(dt.UTC)
    poll(house)
    assert len(vendors.asked) - calls <= 6
    assert house.engine.store.value("SELECT COUNT(*) FROM ats_people") == 20


@pytest.mark.rule(20, 28)
@pytest.mark.parametrize("vendor", ROSTERS)
def test_how_many_are_enrolled_changes_nothing_in_how_often_it_is_asked(
    tmp_path: Path, connect: Connect, vendors: Vendors, vendor: str
) -> None:
    house = connect(f"sqlite:///{tmp_path / 'o.db'}", vendor)
    fill(vendors)
    poll(house)
    calls = len(vendors.asked)
    assert sequence(house).enroll(house.people(600)).enrolled == 597
    assert len(vendors.asked) - calls <= 8


@pytest.mark.rule(28)
def test_whoevers_contract_is_over_may_be_written_to(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "bullhorn")
    vendors.put(1, mail(0), "hired", dropped=True)
    vendors.put(2, mail(1), "hired")
    assert reasons(sequence(house).enroll(house.people(2))) == {mail(1): "ats_hired"}


@pytest.mark.rule(28)
def test_the_next_page_is_asked_for_where_the_first_was(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "workable")
    fill(vendors)
    poll(house)
    pages = [asked for method, path, asked in vendors.asked if path == "/workable/candidates"]
    assert [p.get("since_id") for p in pages] == [None, "3", "5"], "whatever host its address names"


@pytest.mark.rule(28)
def test_a_system_that_names_the_same_page_again_isnt_asked_without_end(
    database_url: str, connect: Connect, vendors: Vendors
) -> None:
    house = connect(database_url, "smartrecruiters")
    fill(vendors)
    again = {"content": [], "nextPageId": "page-2"}
    vendors.faults = [("pageId=page-2", (200, {}, json.dumps(again).encode()))] * 500
    report = sequence(house).enroll(house.people(6))
    assert (report.enrolled, "ats_unchecked" in reasons(report).values()) == (0, True)
    assert "SmartRecruiters names the page that was just read as the next one" in report.notice
    assert vendors.calls("smartrecruiters/candidates") <= 3
    vendors.faults = []
    poll(house)
    assert sequence(house).enroll(house.people(6)).held_back == 3


@pytest.mark.rule(28)
def test_each_job_somebody_is_in_counts(database_url: str, connect: Connect, vendors: Vendors) -> None:
    house = connect(database_url, "smartrecruiters")
    vendors.put(1, mail(0), "rejected", updated=NOW - 300 * DAY)
    seq = sequence(house)
    poll(house)
    assert house.engine.store.value("SELECT COUNT(*) FROM ats_people") == 1, "a lead is none"
    Workspace(house.session).set(rejected_days=365)
    assert reasons(seq.enroll(house.people(1))) == {mail(0): "ats_rejected"}
    Workspace(house.session).set(rejected_days=180)
    assert seq.enroll(house.people(1)).enrolled == 1
