"""When e-mails may leave: hours of weekdays, and days on which nobody is written to."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from outreach_sdk.domain.schedule import local_moment, next_due
from outreach_sdk.domain.sequence import NextBusinessDay, Schedule, SpecificTime, first_zone
from outreach_sdk.errors import InvalidInput

if TYPE_CHECKING:
    import holidays

__all__ = [
    "DaysOff",
    "SendingRules",
    "SendingWindow",
    "days_off",
    "opening",
    "placed",
    "sending_rules",
    "share",
]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_AHEAD = 400


@dataclass(frozen=True, slots=True)
class SendingWindow:
    """The hours in which automatic e-mails may leave, in the candidate's time zone: from `start` until `end`
    ("09:00", "17:30") on `days` ("mon-fri", or "mon,wed,fri"). InvalidInput for anything else."""

    start: str = "09:00"
    end: str = "17:00"
    days: str = "mon-fri"

    def __post_init__(self) -> None:
        if self.opens >= self.closes:
            raise InvalidInput("end", self.end, f"It must be later on the same day than {self.start}.")
        if not self.weekdays:
            raise InvalidInput("days", self.days, 'Name the days, like "mon-fri" or "mon,wed,fri".')

    @property
    def opens(self) -> dt.time:
        """`start` as a time of day."""
        return _clock("start", self.start)

    @property
    def closes(self) -> dt.time:
        """`end` as a time of day."""
        return _clock("end", self.end)

    @property
    def weekdays(self) -> frozenset[int]:
        """`days` as numbers, Monday 0."""
        return _weekdays(self.days)

    def to_dict(self) -> dict[str, str]:
        """What `ws.set(window=…)` takes too."""
        return {"start": self.start, "end": self.end, "days": self.days}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any] | None) -> SendingWindow | None:
        """What `to_dict` gave, or None for none."""
        return None if not stored else cls(stored["start"], stored["end"], stored["days"])

    def __str__(self) -> str:
        return f"{self.start} to {self.end}, {self.days.replace(',', ', ')}"


def _clock(name: str, text: str) -> dt.time:
    try:
        clock = dt.time.fromisoformat(text)
    except (ValueError, TypeError) as exc:
        raise InvalidInput(name, text, 'Write a time of day like "09:00".') from exc
    if clock.tzinfo is not None:
        raise InvalidInput(name, text, "Leave the offset out: it is the candidate's own time.")
    return clock


@functools.lru_cache(maxsize=256)
def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in str(text).lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        try:
            low, high = _DAYS.index(first[:3]), _DAYS.index((last or first)[:3])
        except ValueError as exc:
            raise InvalidInput("days", text, 'Name the days, like "mon-fri" or "mon,wed,fri".') from exc
        found |= {day % 7 for day in range(low, high + 1 if low <= high else high + 8)}
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Days that are nobody's business days: the public holidays of `country` ("ES", or "DE-BY" with its part)
    and `dates` of one's own."""

    country: str | None = None
    dates: frozenset[dt.date] = frozenset()

    def __contains__(self, day: object) -> bool:
        return isinstance(day, dt.date) and (
            day in self.dates or (self.country is not None and day in _calendar(self.country))
        )

    def __bool__(self) -> bool:
        return self.country is not None or bool(self.dates)


@functools.lru_cache(maxsize=64)
def _calendar(country: str) -> holidays.HolidayBase:
    import holidays  # large, and few workspaces need it

    name, _, part = country.partition("-")
    parts = holidays.list_supported_countries().get(name.upper())
    if parts is None or (part and part.upper() not in parts):
        raise InvalidInput(
            "holidays", country, 'Give a country like "ES", or one of its parts like "DE-BY" (ISO 3166).'
        )
    return holidays.country_holidays(name.upper(), subdiv=part.upper() or None)


def days_off(country: str | None, dates: Iterable[str | dt.date] = ()) -> DaysOff:
    """From what a person writes; InvalidInput for a country without a calendar or a date that is none."""
    if country is not None:
        _calendar(country)
    own: set[dt.date] = set()
    for day in dates:
        try:
            own.add(day if isinstance(day, dt.date) else dt.date.fromisoformat(day))
        except (ValueError, TypeError) as exc:
            raise InvalidInput("closed", day, 'Write dates like "2026-12-24".') from exc
    return DaysOff(country, frozenset(own))


def opening(
    window: SendingWindow, moment: dt.datetime, tz: ZoneInfo, off: DaysOff = DaysOff()
) -> tuple[dt.datetime, dt.datetime]:
    """The window `moment` lies in, else the next one: when it opens and when it closes, in UTC. One more than
    a year ahead counts as never and raises InvalidInput."""
    today = moment.astimezone(tz).date()
    for ahead in range(_LOOK_AHEAD):
        day = today + dt.timedelta(days=ahead)
        if day.weekday() not in window.weekdays or day in off:
            continue
        begins, ends = local_moment(day, window.opens, tz), local_moment(day, window.closes, tz)
        if moment < ends:
            return begins, ends
    raise InvalidInput("days", window.days, "No such day is a working day within a year.")


def placed(
    window: SendingWindow | None, due: dt.datetime, tz: ZoneInfo, off: DaysOff, at_share: float
) -> dt.datetime:
    """`due` where it lies in the window; else in the next window, `at_share` (0 to 1) of the way through, so
    that what gathered overnight is spread over the day instead of leaving at its first minute."""
    if window is None:
        return due
    begins, ends = opening(window, due, tz, off)
    if begins <= due:
        return due
    return min(begins + (ends - begins) * at_share, ends - dt.timedelta(microseconds=1))


def share(journey_id: int, step_id: int) -> float:
    """Where in a window this step of this journey goes: the same each time it is asked, so that looking at it
    never moves it."""
    return ((journey_id * 2654435761 + step_id * 40503) % 2**32) / 2**32


@dataclass(frozen=True, slots=True)
class SendingRules:
    """What holds for the steps of one sequence: its window (or its workspace's), the days off, and how often
    anyone is written to."""

    window: SendingWindow | None = None
    off: DaysOff = DaysOff()
    candidate_per_day: int | None = None
    candidate_per_week: int | None = None

    def leaves(
        self,
        schedule: Schedule,
        *,
        anchor: dt.datetime,
        now: dt.datetime,
        sequence_zone: str,
        candidate_zone: str | None,
        at_share: float | None,
    ) -> dt.datetime | None:
        """When a step that comes up `now` is due, and, with its share of a window, an automatic e-mail leaves; None: its
        time is long past."""
        due = next_due(
            schedule,
            anchor=anchor,
            now=now,
            sequence_zone=sequence_zone,
            candidate_zone=candidate_zone,
            closed=self.off,
        )
        if due is None or at_share is None:
            return due
        return self.due(schedule, due, first_zone(candidate_zone, sequence_zone), at_share)

    def due(self, schedule: Schedule, due: dt.datetime, tz: ZoneInfo, at_share: float) -> dt.datetime:
        """Where a step that is due at `due` goes. A time somebody set stays as it was set."""
        return due if is_set_time(schedule) else placed(self.window, due, tz, self.off, at_share)


def is_set_time(schedule: Schedule) -> bool:
    """Whether a person named the hour, which no window moves."""
    return isinstance(schedule, (SpecificTime, NextBusinessDay))


@functools.lru_cache(maxsize=512)
def sending_rules(settings: str | None, window: str | None) -> SendingRules:
    """From the workspace's settings and the sequence's own window, both as stored (JSON): null for the
    workspace's window, `{}` for none."""
    known = json.loads(settings or "{}")
    own = known.get("window") if window is None else json.loads(window)
    return SendingRules(
        SendingWindow.from_dict(own),
        days_off(known.get("holidays"), known.get("closed", ())),
        known.get("candidate_per_day"),
        known.get("candidate_per_week"),
    )
