"""Outlook's calendar over Graph (https://learn.microsoft.com/graph/api/event-delta): a window once, then what changed
in it since its delta link. Of a repeated event's occurrences the series' master alone says who comes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.calendars.port import MAX_PAGES, CalendarApi, Changes
from outreach_sdk.domain.meetings import CalendarEvent, Guest
from outreach_sdk.domain.payload import at, every, moment, text

__all__ = ["OutlookCalendar"]

DELTA = "me/calendarView/delta"
HEADERS = {"Prefer": 'outlook.timezone="UTC", IdType="ImmutableId", odata.maxpagesize=200'}


class OutlookCalendar:
    """See `calendars.port.Calendar`."""

    def __init__(self, api: CalendarApi) -> None:
        self._api = api

    def changes(self, cursor: str | None, *, since: dt.datetime, until: dt.datetime) -> Changes:
        if cursor is not None:
            found = self._read(cursor, None, whole=False)
            if found is not None:
                return found
        window = {"startDateTime": _stamp(since), "endDateTime": _stamp(until)}
        return self._read(DELTA, window, whole=True) or Changes()

    def close(self) -> None:
        self._api.close()

    def _read(self, path: str, query: dict[str, str] | None, *, whole: bool) -> Changes | None:
        items: list[Any] = []
        for _ in range(MAX_PAGES):
            page = self._api.get(path, query, HEADERS)
            if page is None:
                return None
            items += every(page, "value")
            following = _link(page, "nextLink")
            if not following:
                return Changes(self._events(items), _link(page, "deltaLink") or None, whole)
            path, query = following, None
        return Changes(self._events(items))

    def _events(self, items: list[Any]) -> list[CalendarEvent]:
        masters = {text(item, "id"): item for item in items if text(item, "type") == "seriesMaster"}
        found = []
        for item in items:
            if text(item, "type") == "seriesMaster" or not text(item, "id"):
                continue
            master = text(item, "seriesMasterId")
            if master and text(item, "type") == "occurrence" and master not in masters:
                masters[master] = self._api.get(f"me/events/{master}", None, HEADERS) or {}
            found.append(_event(item, masters.get(master, {})))
        return found


def _event(item: Any, master: Any) -> CalendarEvent:
    def said(path: str) -> str:
        return text(item, path) or text(master, path)

    removed = isinstance(item, dict) and "@removed" in item
    series = said("iCalUId")
    original = text(item, "originalStart") or (text(item, "start.dateTime") if master else "")
    # One that was changed by itself says who comes to it, even if nobody does.
    own = text(item, "type") == "exception" and isinstance(at(item, "attendees"), list)
    people = every(item, "attendees") or ([] if own else every(master, "attendees"))
    mine = text(item, "responseStatus.response") or text(master, "responseStatus.response")
    guests = [
        Guest(
            text(one, "emailAddress.address"),
            declined=text(one, "status.response") == "declined",
            room=text(one, "type") == "resource",
        )
        for one in people
    ]
    # The organizer isn't among the attendees; who it is matters where somebody else invites.
    if organizer := said("organizer.emailAddress.address"):
        guests.append(Guest(organizer, mine=at(item, "isOrganizer") is True))
    if mine == "declined":
        guests.append(Guest("", declined=True, mine=True))
    return CalendarEvent(
        event_id=text(item, "id"),
        external_id=f"{series}:{original}" if series and master and original else series,
        starts_at=moment(item, "start.dateTime"),
        all_day=at(item, "isAllDay") is True
        or (at(item, "isAllDay") is None and at(master, "isAllDay") is True),
        canceled=removed or at(item, "isCancelled") is True,
        updated_at=moment(item, "lastModifiedDateTime") or moment(master, "lastModifiedDateTime"),
        guests=tuple(guests),
        hidden=True in (at(item, "hideAttendees"), at(master, "hideAttendees"))
        and at(item, "isOrganizer") is not True,
        title=said("subject"),
        link=said("webLink"),
    )


def _link(page: dict[str, Any], name: str) -> str:
    """The page or cursor to ask for next. Its name holds a dot, and it may be longer than other texts."""
    found = page.get(f"@odata.{name}")
    return found if isinstance(found, str) and found.isprintable() else ""


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
