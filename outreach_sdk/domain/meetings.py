"""What an event in somebody's calendar means: whether it is an interview with people from outside, and whose."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from outreach_sdk.domain.contact import canonical, normalise_email
from outreach_sdk.errors import InvalidInput

__all__ = ["MOST_GUESTS", "CalendarEvent", "Guest", "guests", "stands"]

MOST_GUESTS = 50
"""An event with more people is a gathering, not an interview."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who is invited."""

    address: str
    declined: bool = False
    mine: bool = False
    """Whether this is the calendar's owner."""
    room: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEvent:
    """One occurrence. `event_id` is the calendar's own, `external_id` the same in everybody's calendar; what was
    deleted may have an `event_id` alone."""

    event_id: str
    external_id: str = ""
    starts_at: dt.datetime | None = None
    all_day: bool = False
    canceled: bool = False
    updated_at: dt.datetime | None = None
    guests: tuple[Guest, ...] = ()
    hidden: bool = False
    """Whether the calendar's owner may not see all who come."""
    title: str = ""
    link: str = ""


def guests(event: CalendarEvent, own: Collection[str]) -> frozenset[str]:
    """Who comes from outside, by address without plus-tag: neither one of `own` (the workspace's addresses), nor the
    owner, nor a room, nor somebody who declined."""
    if len(event.guests) > MOST_GUESTS:
        return frozenset()
    ours = {_base(address) for address in own}
    found = {_base(g.address) for g in event.guests if not (g.declined or g.mine or g.room)}
    return frozenset(found - ours - {""})


def stands(event: CalendarEvent) -> bool:
    """Whether it takes place at a time of day, with its owner."""
    declined = any(g.mine and g.declined for g in event.guests)
    return not event.canceled and not event.all_day and not declined and event.starts_at is not None


def _base(address: str) -> str:
    try:
        return canonical(normalise_email(address))
    except InvalidInput:
        return ""
