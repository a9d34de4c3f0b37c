"""Google Calendar (https://developers.google.com/workspace/calendar/api/guides/sync): a list once, then what changed
since its sync token, which one day is answered with 410."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.calendars.port import MAX_PAGES, CalendarApi, Changes
from outreach_sdk.domain.meetings import CalendarEvent, Guest
from outreach_sdk.domain.payload import at, every, moment, text

__all__ = ["GOOGLE", "GoogleCalendar"]

GOOGLE = "https://www.googleapis.com/calendar/v3"
EVENTS = "calendars/primary/events"


class GoogleCalendar:
    """See `calendars.port.Calendar`."""

    def __init__(self, api: CalendarApi) -> None:
        self._api = api

    def changes(self, cursor: str | None, *, since: dt.datetime, until: dt.datetime) -> Changes:
        if cursor is not None:
            found = self._read({"syncToken": cursor}, whole=False)
            if found is not None:
                return found
        window = {"timeMin": _stamp(since), "timeMax": _stamp(until)}
        return self._read(window, whole=True) or Changes()

    def close(self) -> None:
        self._api.close()

    def _read(self, query: dict[str, str], *, whole: bool) -> Changes | None:
        query = {**query, "singleEvents": "true", "maxResults": "250"}
        events: list[CalendarEvent] = []
        for _ in range(MAX_PAGES):
            page = self._api.get(EVENTS, query)
            if page is None:
                return None
            events += [_event(item) for item in every(page, "items") if text(item, "id")]
            following = text(page, "nextPageToken")
            if not following:
                return Changes(events, text(page, "nextSyncToken") or None, whole)
            query["pageToken"] = following
        return Changes(events)


def _event(item: Any) -> CalendarEvent:
    starts = moment(item, "start.dateTime")
    series = text(item, "iCalUID")
    # The occurrences of a repeated event share their iCalUID.
    repeated = text(item, "originalStartTime.dateTime") or text(item, "originalStartTime.date")
    return CalendarEvent(
        event_id=text(item, "id"),
        external_id=f"{series}:{repeated}" if series and repeated else series,
        starts_at=starts,
        all_day=starts is None and bool(text(item, "start.date")),
        canceled=text(item, "status") == "cancelled",
        updated_at=moment(item, "updated"),
        guests=_guests(item),
        hidden=at(item, "attendeesOmitted") is True
        or (at(item, "guestsCanSeeOtherGuests") is False and at(item, "organizer.self") is not True),
        title=text(item, "summary"),
        link=text(item, "htmlLink"),
    )


def _guests(item: Any) -> tuple[Guest, ...]:
    found = [
        Guest(
            text(one, "email"),
            declined=text(one, "responseStatus") == "declined",
            mine=at(one, "self") is True,
            room=at(one, "resource") is True,
        )
        for one in every(item, "attendees")
    ]
    # Who invites needn't be among those invited.
    if (organizer := text(item, "organizer.email")) and organizer not in {g.address for g in found}:
        found.append(Guest(organizer, mine=at(item, "organizer.self") is True))
    return tuple(found)


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
