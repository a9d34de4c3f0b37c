"""Whatever a system answers, its account raises nothing but our errors; what is told survives being stored."""

from __future__ import annotations

import datetime as dt
import re
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outreach_sdk.calendars.google import GoogleCalendar
from outreach_sdk.calendars.outlook import OutlookCalendar
from outreach_sdk.domain import told
from outreach_sdk.domain.companies import OffLimits, company_key
from outreach_sdk.domain.events import (
    InterviewCanceled,
    InterviewScheduled,
    NeedsLookup,
    Received,
    Unreadable,
)
from outreach_sdk.domain.meetings import CalendarEvent, Guest, guests, stands
from outreach_sdk.errors import AtsError

NOW = dt.datetime(2026, 11, 25, 10, tzinfo=dt.UTC)
VENDORS = ("greenhouse", "lever", "ashby", "merge", "smartrecruiters", "teamtailor", "workable")
NAMES = re.findall(
    r"\S+",
    """
    id success results data next hasNext moreDataAvailable nextCursor syncToken errors errorInfo code candidate
    candidate_id application application_id applicationId applications emails email email_addresses
    emailAddresses primaryEmailAddress value status state archived archivedAt archiveReason reason start
    date_time date startTime interviewEvents interview name updated_at updatedAt created_at createdAt canceledAt
    modified_at start_at offers timeslots startsOn primaryAssignment secondaryAssignments job title included
    type attributes subscriptions content rejected_at notes body fields model stage-type currentInterviewStage
    items attendees organizer self iCalUID start dateTime nextPageToken nextSyncToken @odata.nextLink
    seriesMasterId isAllDay responseStatus originalStartTime
    """,
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        ["a@b.example", "2026-11-28T10:00:00Z", "Scheduled", "Active", "seriesMaster", "occurrence"]
    ),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=25,
)


class Api:
    """Answers what it was given, in turn."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers
        self._asked = 0

    def _next(self) -> Any:
        self._asked += 1
        return self._answers[self._asked % len(self._answers)]

    def ask(self, *_: Any, **__: Any) -> dict[str, Any]:
        found = self._next()
        return {**found, "success": True} if isinstance(found, dict) else {"results": found, "data": found}

    def listing(self, *_: Any) -> list[Any]:
        found = self._next()
        return found if isinstance(found, list) else [found]

    def get(self, *_: Any) -> dict[str, Any] | None:
        return None if self._next() is None else self.ask()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("vendor", VENDORS)
@given(answers=st.lists(JSON, min_size=1, max_size=3), about=st.text(max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_account_takes_whatever_is_answered(vendor: str, answers: list[Any], about: str) -> None:
    account = import_module(f"outreach_sdk.ats.{vendor}_api").Account(Api(answers), "key:1:2")
    wanted = NeedsLookup(what="interview", id=about, why="x")
    calls = {
        "look_up": lambda: account.look_up(wanted, NOW),
        "interviews": lambda: account.interviews(None, since=NOW, now=NOW),
        "people": lambda: account.people(None, now=NOW),
        "find_person": lambda: account.find_person("a@b.example"),
        "find_note": lambda: account.find_note("1", "marker"),
        "hooks": lambda: account.hooks(),
    }
    for name, call in calls.items():
        if hasattr(account, name):
            try:
                found = call()
            except AtsError:
                continue
            for cursor in filter(None, [getattr(found, "cursor", None)]):
                try:
                    if name == "people":
                        account.people(cursor, now=NOW)
                    else:
                        account.interviews(cursor, since=NOW, now=NOW)
                except AtsError:
                    continue


@pytest.mark.parametrize("calendar", [GoogleCalendar, OutlookCalendar])
@given(answers=st.lists(JSON, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_calendar_takes_whatever_is_answered(calendar: Any, answers: list[Any]) -> None:
    for cursor in (None, "c"):
        found = calendar(Api(answers)).changes(cursor, since=NOW, until=NOW)
        for event in found.events:
            guests(event, {"me@x.example"})
            stands(event)


@given(
    address=st.text(max_size=12),
    starts=st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    canceled=st.booleans(),
)
def test_what_was_told_is_read_as_it_was(address: str, starts: dt.datetime | None, canceled: bool) -> None:
    kind = InterviewCanceled if canceled else InterviewScheduled
    event = kind(external_id="i", occurred_at=NOW, addresses=(address,), starts_at=starts, title="“ü”")
    assert told.read(Received(told.as_body(event), NOW)) == [event]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"kind": "NotForUs"}', b'{"kind": "NeedsLookup", "x": 1}']
)
def test_what_nobody_wrote_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        told.read(Received(body, NOW))


@pytest.mark.rule(28)
def test_names_and_domains_of_companies() -> None:
    same = ["Müller-Bau GmbH & Co. KG", "MULLER BAU", "muller bau gmbh"]
    assert len({company_key(one) for one in same}) == 1
    assert company_key("Co") == "co"
    assert company_key("S.A.") == "sa"
    assert company_key("北京公司") == "北京公司"
    off = OffLimits(["acme.example", "Navy Inc", " "])
    assert off.domain("mail.ACME.example")
    assert not off.domain("notacme.example")
    assert not off.domain("example")
    assert off.company("the navy") is False
    assert off.company("NAVY, Inc.")
    assert not OffLimits([])


@pytest.mark.rule(15)
def test_who_comes_from_outside() -> None:
    people = (
        Guest("Me@agency.example", mine=True),
        Guest("room@agency.example", room=True),
        Guest("no@x.example", declined=True),
        Guest("Bo+jobs@x.example"),
        Guest("colleague@agency.example"),
        Guest("not an address"),
    )
    event = CalendarEvent(event_id="e", starts_at=NOW, guests=people)
    assert guests(event, {"colleague+x@agency.example"}) == {"bo@x.example"}
    assert stands(event)
    assert not stands(CalendarEvent(event_id="e", starts_at=NOW, all_day=True))
    assert not stands(CalendarEvent(event_id="e"))
    assert not guests(
        CalendarEvent(event_id="e", guests=tuple(Guest(f"p{n}@x.example") for n in range(51))), set()
    )
