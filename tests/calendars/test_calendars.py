"""Interviews found in the calendar of a mailbox's owner: what stops journeys, what doesn't, and what is kept of it."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

import pytest

from outreach_sdk import notifications
from outreach_sdk.engine import calendars, dispatch, upkeep
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.mailbox import Mailbox
from tests.acceptance.test_contact_points import everything
from tests.calendars.conftest import BO, DI, NOW, SOON, Office
from tests.calendars.diary import refusal
from tests.harness import ADDRESS, House
from tests.mail.emulator import google_emulator, request
from tests.service.test_bookings import told


@pytest.mark.rule(15)
def test_an_event_with_a_candidate_stops_their_journeys_and_no_others(office: Office) -> None:
    seq = office.enrolled()
    office.diary.put("gym", SOON, "trainer@gym.example", title="Secret training")
    office.diary.put("talk", SOON, "P0+jobs@Candidate0.example", "boss@agency.example", title="Interview")
    office.diary.put("party", SOON, "x@elsewhere.example")
    assert office.read() == {"read": 1, "failed": 0, "events": 3}
    assert (seq.journey(BO).status, seq.journey(BO).reason) == ("cancelled", "interview_scheduled")
    assert seq.journey(DI).status == "active"
    (text,) = told()
    assert "“Interview”" in text
    assert "https://calendar.example/talk" in text
    assert office.box.calendar == "read"
    kept = everything(office.store)
    assert "interview" in kept
    assert not any(word in kept for word in ("secret training", "trainer@gym", "boss@agency", "elsewhere"))


@pytest.mark.rule(15)
def test_what_is_no_interview_with_a_candidate_stops_nothing(office: Office) -> None:
    seq = office.enrolled()
    other = Mailbox.connect_local("ada.too@agency.example")
    office.store.write("UPDATE users SET email = 'ada@home.example'")
    Candidate.create(email="ada.too@agency.example", first_name="Ada")
    office.diary.put("holiday", None, BO)
    office.diary.put("alone", SOON)
    office.diary.put("mine", SOON, other.address, "ada@home.example", ADDRESS)
    office.diary.put("declined", SOON, (BO, "declined"))
    office.diary.put("I won't come", SOON, BO, mine="declined")
    office.diary.put("fair", SOON, *[BO, *(f"v{n}@fair.example" for n in range(60))])
    office.diary.put("over", NOW - dt.timedelta(hours=1), BO)
    office.read()
    office.diary.put("over", NOW - dt.timedelta(hours=1), BO, title="Renamed")
    office.read()
    assert set(seq.candidates()["status"]) == {"active"}
    assert told() == []
    assert office.store.rows("SELECT title FROM bookings") == [{"title": "Renamed"}]
    assert office.store.value("SELECT COUNT(*) FROM calendar_entries") == 0


@pytest.mark.rule(15)
def test_only_what_changed_is_read_and_a_deleted_interview_is_told_of(office: Office) -> None:
    seq = office.enrolled(1)
    office.diary.put("before", SOON, "x@elsewhere.example")
    assert office.read()["events"] == 1
    assert office.read()["events"] == 0
    office.diary.put("talk", SOON, BO)
    assert office.read()["events"] == 1
    assert seq.journey(BO).status == "cancelled"
    office.diary.drop("talk")
    assert office.read()["events"] == 1
    assert office.store.value("SELECT status FROM bookings") == "canceled"
    assert len([t for t in told() if "was cancelled" in t]) == 1


def test_a_cursor_that_is_gone_leads_to_a_whole_reading_which_finds_what_went(office: Office) -> None:
    seq = office.enrolled()
    for name, guest in (("talk", BO), ("other", "x@elsewhere.example"), ("third", "y@elsewhere.example")):
        office.diary.put(name, SOON, guest)
    office.read()
    office.diary.drop("talk")
    office.diary.put("new", SOON, DI)
    office.diary.forgotten = len(office.diary.changes)
    office.diary.asked.clear()
    assert office.read()["failed"] == 0
    assert len(office.diary.asked) == 3, "the refusal, and two pages"
    assert seq.journey(DI).reason == "interview_scheduled"
    assert office.store.value("SELECT COUNT(*) FROM bookings WHERE status = 'canceled'") == 1


@pytest.mark.rule(15)
def test_an_event_that_moves_is_one_interview_and_an_occurrence_of_a_series_counts(office: Office) -> None:
    seq = office.enrolled()
    office.diary.put("talk", SOON, BO)
    office.read()
    office.diary.put("talk", SOON + dt.timedelta(days=1), BO)
    office.diary.put("weekly", SOON, DI, series="weekly")
    office.diary.put("weekly2", SOON + dt.timedelta(days=7), DI, series="weekly")
    office.read()
    assert set(seq.candidates()["status"]) == {"cancelled"}
    rows = office.store.rows("SELECT external_id, starts_at FROM bookings ORDER BY id")
    assert len(rows) == 3
    assert rows[0]["starts_at"] == SOON + dt.timedelta(days=1)


@pytest.mark.rule(15, 21)
def test_whoever_comes_to_an_event_ahead_is_held_back_when_enrolled(office: Office) -> None:
    office.diary.put("talk", SOON, BO)
    office.diary.put("home", SOON, "p1.private@home.example")
    office.read()
    Candidate.create(email=DI, first_name="Di")
    Candidate.get(DI).add_email("p1.private@home.example")
    seq = office.house.two_steps(office.house.trusted(office.box), delay=172_800)
    report = seq.enroll(office.house.people(3))
    assert (report.enrolled, report.held_back) == (1, 2)
    assert set(report.rows["reason"].drop_nulls()) == {"interview_ahead"}
    again = seq.enroll(office.house.people(3), override=["interview_ahead"])
    assert again.enrolled == 2
    office.store.write("UPDATE calendar_entries SET starts_at = ?", NOW - dt.timedelta(days=1))
    assert upkeep.forget(office.house.engine)["calendar_entries"] == 2


@pytest.mark.rule(15)
def test_whoever_was_enrolled_in_spite_of_it_stays_so_until_the_event_changes(office: Office) -> None:
    office.diary.put("talk", SOON, BO)
    office.read()
    seq = office.house.two_steps(office.house.trusted(office.box), delay=172_800)
    seq.activate()
    assert seq.enroll(office.house.people(1), override=["interview_ahead"]).enrolled == 1
    office.store.write("UPDATE calendars SET listed_at = ?", NOW - dt.timedelta(days=8))
    office.read()
    assert seq.journey(BO).status == "active"
    office.diary.put("talk", SOON + dt.timedelta(hours=1), BO)
    office.read()
    assert seq.journey(BO).status == "cancelled"


@pytest.mark.rule(15)
def test_a_candidate_who_invites_counts_as_one_who_is_invited(office: Office) -> None:
    seq = office.enrolled(1)
    office.diary.put("talk", SOON, mine="accepted", organizer=BO)
    office.read()
    assert seq.journey(BO).reason == "interview_scheduled"


FAULTS = {
    "busy": (429, {"Retry-After": "600"}, b""),
    "broken": (500, {}, b"<html>"),
    "junk": (200, {}, b"[1, 2"),
    "elsewhere": (302, {"Location": "http://127.0.0.1:9/"}, b""),
    "google's rate": refusal(403, "rateLimitExceeded"),
    "google's day": refusal(403, "dailyLimitExceeded"),
    "outlook's load": refusal(403, "ErrorServerBusy"),
    "a web filter": (403, {"Content-Type": "text/html"}, b"<html>Access denied by your web filter</html>"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_calendar_that_fails_is_read_later_and_misses_nothing(office: Office, fault: str) -> None:
    seq = office.enrolled(1)
    office.diary.put("talk", SOON, BO)
    office.diary.faults = [FAULTS[fault]]
    assert office.read() == {"read": 0, "failed": 1, "events": 0}
    row = office.store.one("SELECT * FROM calendars")
    assert row is not None
    wait = (row["next_at"] - dt.datetime.now(dt.UTC)).total_seconds()
    assert wait > (590 if fault == "busy" else 20)
    assert "tried again" in office.box.calendar
    assert office.box.status == "connected"
    office.read()
    assert seq.journey(BO).reason == "interview_scheduled"
    assert office.box.calendar == "read"


def _unread(office: Office) -> list[str]:
    told = notifications()
    return list(told.filter(told["kind"] == "calendar_unread")["text"])


@pytest.mark.rule(15)
def test_a_calendar_that_isnt_read_any_more_is_told_of_once(office: Office) -> None:
    seq = office.enrolled(1)
    office.read()
    office.diary.faults = [refusal(403, "insufficientPermissions")]
    office.read()
    (told,) = _unread(office)
    assert ADDRESS in told
    assert "consent doesn't cover it" in told
    assert not calendars.waiting(office.house.engine)
    assert seq.journey(BO).status == "active"


@pytest.mark.rule(15)
def test_a_calendar_that_fails_for_hours_is_told_of_once_for_each_time(office: Office) -> None:
    office.enrolled(1)
    engine = office.house.engine
    moment = NOW
    engine.now = lambda: moment
    office.read()
    for spell in (1, 2):
        for hours in (1, 6, 3):
            moment += dt.timedelta(hours=hours)
            office.diary.faults = [FAULTS["a web filter"]]
            office.read()
            assert len(_unread(office)) == spell - (hours == 1), "an hour isn't worth a notice"
        office.read()
        assert office.box.calendar == "read"


def test_a_page_that_fails_in_the_middle_moves_no_cursor(office: Office) -> None:
    seq = office.enrolled(1)
    office.read()
    for n in range(3):
        office.diary.put(f"e{n}", SOON, "x@elsewhere.example")
    office.diary.put("talk", SOON, BO)
    answer = office.diary.answer
    office.diary.answer = lambda path, headers: (  # type: ignore[method-assign]
        refusal(503, "backendError") if "pageToken" in path or "skiptoken" in path else answer(path, headers)
    )
    assert office.read()["failed"] == 1
    assert seq.journey(BO).status == "active"
    office.diary.answer = answer  # type: ignore[method-assign]
    assert office.read()["events"] == 4
    assert seq.journey(BO).status == "cancelled"


def test_without_consent_the_mailbox_works_and_says_that_the_calendar_isnt_read(office: Office) -> None:
    seq = office.enrolled(1)
    office.diary.faults = [refusal(403, "insufficientPermissions")]
    assert office.read()["failed"] == 1
    assert not calendars.waiting(office.house.engine)
    assert "isn't read: consent doesn't cover it" in office.box.calendar
    assert (office.box.status, seq.journey(BO).status) == ("connected", "active")
    assert "isn't read" in Mailbox.list()["calendar"][0]
    # Connected again, it is asked anew.
    tokens = {"refresh_token": "r", "client_id": "c", "client_secret": "s", "access_token": "token"}
    tokens["expires_at"] = time.time() + 3600  # type: ignore[assignment]
    Mailbox._save(office.house.session, office.box.provider, ADDRESS, "Ada", {}, tokens)
    office.diary.put("talk", SOON, BO)
    office.read()
    assert seq.journey(BO).status == "cancelled"


def test_a_reading_that_was_killed_is_done_again_and_one_that_came_late_changes_nothing(
    office: Office,
) -> None:
    seq = office.enrolled(1)
    office.diary.put("talk", SOON, BO)
    (row,) = calendars._claim(office.house.engine, 4)
    assert not calendars.waiting(office.house.engine), "others leave it alone"
    office.store.write("UPDATE calendars SET next_at = ?", NOW)
    calendars.read_calendar(office.house.engine, row)  # whose lease is over
    assert seq.journey(BO).status == "active"
    assert calendars.drain(office.house.engine)["read"] == 1
    assert seq.journey(BO).status == "cancelled"


def test_a_disconnected_mailbox_is_read_no_more_and_the_clock_wakes_who_reads(office: Office) -> None:
    class Wake:
        def __init__(self) -> None:
            self.woken: list[str] = []

        def enqueue(self, queue: str, function: str, bucket: int) -> bool:
            self.woken.append(function)
            return True

    first = Wake()
    dispatch.tick(office.house.engine, first)
    assert "drain_calendars" in first.woken
    office.store.write("UPDATE mailboxes SET status = 'disconnected'")
    assert office.read()["events"] == 0
    assert office.diary.asked == []
    later = Wake()
    dispatch.tick(office.house.engine, later)
    assert "drain_calendars" not in later.woken


@pytest.mark.rule(15)
def test_two_recruiters_calendars_hold_one_interview(office: Office) -> None:
    seq = office.enrolled(1)
    office.diary.put("talk", SOON, BO)
    office.read()
    office.store.write(
        "INSERT INTO calendar_entries (workspace_id, mailbox_id, event_id, external_id, digest, starts_at) "
        "SELECT workspace_id, 999, 'e', external_id, digest, starts_at FROM calendar_entries"
    )
    office.diary.drop("talk")
    office.read()
    assert seq.journey(BO).status == "cancelled"
    assert office.store.value("SELECT status FROM bookings") == "scheduled", "somebody still has it"


def test_erasing_reaches_who_comes_to_events(office: Office) -> None:
    office.enrolled(1)
    office.diary.put("talk", SOON, BO, title="Talk with Bo")
    office.read()
    assert office.store.value("SELECT COUNT(*) FROM calendar_entries") == 1
    Candidate.get(BO).erase()
    assert office.store.value("SELECT COUNT(*) FROM calendar_entries") == 0
    assert "talk with bo" not in everything(office.store)


@pytest.mark.rule(15)
def test_it_is_found_in_a_third_partys_google_calendar(tmp_path: Path) -> None:
    with google_emulator(ADDRESS) as emulator:
        env = {
            "OUTREACH_GOOGLE_CALENDAR_ENDPOINT": emulator.base_url,
            "OUTREACH_GOOGLE_TOKEN_URI": emulator.token_uri,
        }
        house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'o.db'}", env)
        box = Mailbox.from_refresh_token(
            "gmail",
            ADDRESS,
            refresh_token=emulator.refresh_token,
            client_id=emulator.client_id,
            client_secret=emulator.client_secret,
        )
        office = Office(house, box, None)  # type: ignore[arg-type]
        seq = office.enrolled()
        url = f"{emulator.base_url}/calendar/v3/calendars/primary/events"

        def put(title: str, guest: str, when: dict[str, str]) -> str:
            body = {"summary": title, "start": when, "end": when, "attendees": [{"email": guest}]}
            data = json.dumps(body).encode()
            return str(request("POST", url, data, "application/json", emulator.outside_token)["id"])

        timed = {"dateTime": SOON.isoformat()}
        made = put("Interview", BO, timed)
        put("Holiday", DI, {"date": f"{SOON:%Y-%m-%d}"})
        assert office.read()["events"] == 2
        assert seq.journey(BO).reason == "interview_scheduled"
        assert seq.journey(DI).status == "active"
        request("DELETE", f"{url}/{made}", None, "application/json", emulator.outside_token)
        office.read()
        assert house.engine.store.value("SELECT status FROM bookings") == "canceled"
        assert box.calendar == "read"
        house.close()
