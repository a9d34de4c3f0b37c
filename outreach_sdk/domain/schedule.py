"""When the next step is due. Every function takes its moments as arguments; all of them aware."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable
from zoneinfo import ZoneInfo

from outreach_sdk.domain.sequence import (
    Instant,
    Later,
    NextBusinessDay,
    Schedule,
    SpecificTime,
    first_zone,
)

__all__ = [
    "SPECIFIC_TIME_GRACE",
    "business_moment",
    "downtime",
    "local_moment",
    "next_business_day",
    "next_due",
    "out_of_office_until",
]

SPECIFIC_TIME_GRACE = dt.timedelta(hours=1)
"""A SpecificTime further past than this when its step comes up is overdue (rule 6)."""


def local_moment(day: dt.date, clock: dt.time, tz: ZoneInfo) -> dt.datetime:
    """`day` at `clock` in `tz`, as UTC. A clock time that a change to summer time leaves out is read
    after the gap (02:30 becomes 03:30); one that comes twice means the first."""
    # fold=0 in the gap uses the offset before it, which lands after the gap.
    return dt.datetime.combine(day, clock, tzinfo=tz).astimezone(dt.UTC)


def next_business_day(
    anchor: dt.datetime, clock: dt.time, tz: ZoneInfo, *, closed: Container[dt.date] = frozenset()
) -> dt.datetime:
    """The first weekday after the anchor's own local day, at `clock`, skipping the dates in `closed`.
    The day is the anchor's in `tz`, so a Sunday in UTC that is still Saturday there counts as Saturday."""
    day = anchor.astimezone(tz).date() + dt.timedelta(days=1)
    while day.weekday() >= 5 or day in closed:
        day += dt.timedelta(days=1)
    return local_moment(day, clock, tz)


def business_moment(
    schedule: Schedule,
    at: dt.datetime,
    *,
    sequence_zone: str,
    candidate_zone: str | None = None,
    closed: Container[dt.date] = frozenset(),
) -> dt.datetime:
    """When an e-mail that was held up until `at` may leave: a NextBusinessDay's on none but business days."""
    if not isinstance(schedule, NextBusinessDay):
        return at
    tz = first_zone(candidate_zone if schedule.timezone == "candidate" else schedule.timezone, sequence_zone)
    day = at.astimezone(tz).date()
    if day.weekday() < 5 and day not in closed:
        return at
    return next_business_day(at, dt.time.fromisoformat(schedule.at), tz, closed=closed)


def next_due(
    schedule: Schedule,
    *,
    anchor: dt.datetime,
    now: dt.datetime,
    sequence_zone: str,
    candidate_zone: str | None = None,
    closed: Container[dt.date] = frozenset(),
) -> dt.datetime | None:
    """When a step that comes up `now` is due: never before now. None: a SpecificTime too long past,
    which pauses the journey as overdue.

    `anchor` is when the previous step was sent, done or skipped, else the enrolment. After a pause
    `Later` is due at max(now, anchor + delay), so waiting that was done already isn't done again.
    """
    match schedule:
        case Instant():
            return now
        case Later(seconds=seconds):
            return max(now, anchor + dt.timedelta(seconds=seconds))
        case SpecificTime(at=at):
            return None if at < now - SPECIFIC_TIME_GRACE else max(now, at)
        case NextBusinessDay(at=clock, timezone=name):
            own = candidate_zone if name == "candidate" else name
            tz, hour = first_zone(own, sequence_zone), dt.time.fromisoformat(clock)
            # Where its day went by while the journey waited: today's hour if still ahead, else the next.
            yesterday = now.astimezone(tz).date() - dt.timedelta(days=1)
            starts = (anchor, dt.datetime.combine(yesterday, dt.time(12), tzinfo=tz), now)
            dues = (next_business_day(start, hour, tz, closed=closed) for start in starts)
            return next(due for due in dues if due >= now)
    raise TypeError(schedule)


def downtime(
    outages: Iterable[tuple[dt.datetime, dt.datetime]], *, since: dt.datetime, until: dt.datetime
) -> dt.timedelta:
    """How much of [since, until] no engine was alive. Lateness counts only this: time spent queued for
    spacing, paused or inactive isn't late. The outages don't overlap."""
    total = dt.timedelta()
    for start, end in outages:
        overlap = min(end, until) - max(start, since)
        total += max(overlap, dt.timedelta())
    return total


def out_of_office_until(return_date: dt.date | None, *, received: dt.datetime, tz: ZoneInfo) -> dt.datetime:
    """09:00 of the first weekday on or after the stated return date, or 14 days on (rule 17)."""
    day = return_date or (received.astimezone(tz).date() + dt.timedelta(days=14))
    while day.weekday() >= 5:
        day += dt.timedelta(days=1)
    return local_moment(day, dt.time(9), tz)
