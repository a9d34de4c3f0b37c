"""Somebody taken off an interview that stands for others: it is off for them, their owner hears it, nothing restarts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from outreach_sdk.calendars.outlook import OutlookCalendar
from outreach_sdk.objects.candidate import Candidate
from tests.calendars.conftest import BO, DI, NOW, SOON, Office
from tests.service.test_bookings import told

CLIENT = "boss@client.example"


def off() -> list[str]:
    return [t for t in told() if "aren't invited any more" in t]


@pytest.mark.rule(15)
@pytest.mark.parametrize("left", [(), ((BO, "declined"),)])
def test_one_candidate_taken_off_an_event_that_stays_is_told_of_and_restarts_nothing(
    office: Office, left: tuple[Any, ...]
) -> None:
    seq = office.enrolled()
    office.diary.put("talk", SOON, BO, CLIENT, title="On-site")
    office.read()
    assert (seq.journey(BO).status, seq.journey(DI).status) == ("cancelled", "active")
    office.diary.put("talk", SOON, *left, CLIENT)
    office.read()
    (text,) = off()
    assert "P0" in text
    assert "“On-site”" in text
    assert "No e-mails start again by themselves" in text
    assert (seq.journey(BO).status, seq.journey(DI).status) == ("cancelled", "active")
    office.diary.put("talk", SOON, *left, CLIENT, title="On-site, room 2")
    office.read()
    office.diary.put("talk", SOON + dt.timedelta(hours=2), *left, CLIENT)
    office.read()
    assert len(told()) == 2, "whatever becomes of it, it isn't theirs"


@pytest.mark.rule(15)
def test_the_other_candidate_of_the_same_event_still_has_it(office: Office) -> None:
    seq = office.enrolled(2)
    office.diary.put("talk", SOON, BO, DI)
    office.read()
    assert set(seq.candidates()["status"]) == {"cancelled"}
    office.diary.put("talk", SOON, DI)
    office.read()
    (text,) = off()
    assert "P0" in text
    other = office.house.two_steps(office.house.trusted(office.box), delay=172_800)
    report = other.enroll(office.house.people(2), override=["in_another_sequence"])
    held = {r["email"]: r["reason"] for r in report.rows.iter_rows(named=True) if r["reason"]}
    assert held == {DI: "interview_ahead"}, "nothing is ahead of who was taken off"
    office.diary.drop("talk")
    office.read()
    cancelled = [t for t in told() if "was cancelled" in t]
    assert len(cancelled) == 1
    assert "P1" in cancelled[0]


@pytest.mark.rule(15)
def test_somebody_invited_again_has_it_again(office: Office) -> None:
    seq = office.enrolled(1)
    for guests in ((BO, CLIENT), (CLIENT,), (BO, CLIENT), (CLIENT,)):
        office.diary.put("talk", SOON, *guests)
        office.read()
    assert ["aren't invited" in t for t in reversed(told())] == [False, True, False, True]
    office.diary.put("talk", SOON, BO, CLIENT)
    office.read()
    other = office.house.two_steps(office.house.trusted(office.box), delay=172_800)
    report = other.enroll(office.house.people(1), override=["in_another_sequence"])
    assert set(report.rows["reason"]) == {"interview_ahead"}
    assert seq.journey(BO).status == "cancelled"


@pytest.mark.rule(15)
def test_one_of_two_addresses_taken_off_changes_nothing(office: Office) -> None:
    office.enrolled(1)
    Candidate.get(BO).add_email("p0.private@home.example")
    office.diary.put("talk", SOON, BO, "p0.private@home.example")
    office.read()
    office.diary.put("talk", SOON, "p0.private@home.example")
    office.read()
    assert not off()
    office.diary.put("talk", SOON, CLIENT)
    office.read()
    assert len(off()) == 1


@pytest.mark.rule(15)
def test_who_is_in_a_colleagues_calendar_still_comes(office: Office) -> None:
    office.enrolled(1)
    office.diary.put("talk", SOON, BO, CLIENT)
    office.read()
    office.store.write(
        "INSERT INTO calendar_entries (workspace_id, mailbox_id, event_id, external_id, digest, starts_at) "
        "SELECT workspace_id, 999, 'e', external_id, digest, starts_at FROM calendar_entries"
    )
    office.diary.put("talk", SOON, CLIENT)  # who may not see the other guests
    office.read()
    assert not off()
    office.store.write("DELETE FROM calendar_entries WHERE mailbox_id = 999")
    office.diary.put("talk", SOON, CLIENT)
    office.read()
    assert len(off()) == 1


@pytest.mark.rule(15)
def test_who_is_only_hidden_still_comes(office: Office) -> None:
    office.enrolled(1)
    more = {"organizer": "colleague@agency.example", "mine": "accepted"}
    office.diary.put("talk", SOON, BO, CLIENT, **more)
    office.read()
    office.diary.put("talk", SOON + dt.timedelta(hours=1), hidden=True, **more)
    office.read()
    assert len(told()) == 1
    assert office.store.value("SELECT COUNT(*) FROM calendar_entries") == 3
    office.diary.put("talk", SOON, CLIENT, **more, hidden=False)
    office.read()
    assert len(off()) == 1
    office.diary.put("talk", SOON, BO, hidden=True, **more)
    office.read()
    assert len(told()) == 3, "whoever is seen there has it"
    office.diary.drop("talk")
    office.read()
    assert len([t for t in told() if "was cancelled" in t]) == 1


@pytest.mark.rule(15)
def test_an_interview_that_was_isnt_called_off_by_tidying_up(office: Office) -> None:
    office.enrolled(1)
    office.diary.put("talk", SOON, BO, CLIENT)
    office.read()
    past = NOW - dt.timedelta(hours=2)
    office.store.write("UPDATE bookings SET starts_at = ?", past)
    office.diary.put("talk", past, CLIENT)
    office.read()
    assert not off()


def test_an_occurrence_that_was_changed_by_itself_says_who_comes_even_if_nobody_does() -> None:
    someone = [{"emailAddress": {"address": BO}, "type": "required", "status": {"response": "none"}}]
    start = {"dateTime": f"{SOON:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    master = {"id": "m", "type": "seriesMaster", "iCalUId": "u", "attendees": someone}
    plain = {"id": "1", "type": "occurrence", "seriesMasterId": "m", "start": start}
    apart = {"id": "2", "type": "exception", "seriesMasterId": "m", "start": start, "attendees": []}

    class Api:
        def get(self, *_: Any) -> dict[str, Any]:
            return {"value": [master, plain, apart], "@odata.deltaLink": "https://x.example/d"}

        def close(self) -> None:
            pass

    events = OutlookCalendar(Api()).changes(None, since=NOW, until=SOON).events
    assert [[g.address for g in e.guests] for e in events] == [[BO], []]
