"""What a sequence is made of, and what keeps it from being sent: steps, schedules, problems."""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Collection
from collections.abc import Sequence as Seq
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from outreach_sdk.domain import template
from outreach_sdk.domain.given import (
    check_copied,
    check_line,
    check_moment,
    check_seconds,
    check_text,
)
from outreach_sdk.domain.message import check_header_value
from outreach_sdk.domain.snippets import snippet_names
from outreach_sdk.domain.variants import FIRST, Variant
from outreach_sdk.errors import HeaderInjection, InvalidInput, NaiveDatetime, TemplateError, UnknownTimezone

__all__ = [
    "DEFAULT_SKIP_AFTER",
    "Instant",
    "Later",
    "NextBusinessDay",
    "Problem",
    "Schedule",
    "SequenceStatus",
    "SpecificTime",
    "StepKind",
    "StepPlan",
    "check_step",
    "first_zone",
    "problems",
    "schedule_from_dict",
    "schedule_to_dict",
    "zone",
]

_ZONE = "Give a name like Europe/Madrid (IANA time zones)."

DEFAULT_SKIP_AFTER = dt.timedelta(days=3)


class SequenceStatus(StrEnum):
    """Whether journeys move. `incomplete` is shown, not stored: it follows from `problems`."""

    INCOMPLETE = "incomplete"
    INACTIVE = "inactive"
    ACTIVE = "active"


class StepKind(StrEnum):
    """What a step does. Only an e-mail that isn't manual leaves by itself."""

    EMAIL = "email"
    PHONE = "phone"
    LINKEDIN = "linkedin"
    SMS = "sms"


def zone(name: str | zoneinfo.ZoneInfo, *, field_name: str = "timezone") -> zoneinfo.ZoneInfo:
    """The zone called `name`; raises UnknownTimezone."""
    if isinstance(name, zoneinfo.ZoneInfo) and name.key:
        name = name.key
    if not isinstance(name, str):
        raise InvalidInput(field_name, name, _ZONE)
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise UnknownTimezone(field_name, name, _ZONE) from exc


def first_zone(*names: str | None) -> zoneinfo.ZoneInfo:
    """The first of these that is a zone: what a list or another program says of a person may be none. Raises
    UnknownTimezone where the last isn't one either."""
    *others, last = names
    for name in filter(None, others):
        with suppress(UnknownTimezone):
            return zone(name)
    return zone(last or "")


@dataclass(frozen=True, slots=True)
class Instant:
    """As soon as the step comes up."""


@dataclass(frozen=True, slots=True)
class SpecificTime:
    """At one date and time. `at` is a datetime, or text like "2026-12-01 09:00"; a naive one is read in
    `timezone`, and refused without it. Stored as UTC."""

    at: dt.datetime
    timezone: str | None = None

    def __init__(self, at: dt.datetime | str, timezone: str | zoneinfo.ZoneInfo | None = None) -> None:
        known = None if timezone is None else zone(timezone)
        if isinstance(at, str):
            try:
                moment = dt.datetime.fromisoformat(at)
            except ValueError as exc:
                raise InvalidInput("at", at, 'Write it like "2026-12-01 09:00" or ISO 8601.') from exc
        elif isinstance(at, dt.datetime):
            moment = at
        else:
            raise InvalidInput("at", at, 'Give a date and a time: "2026-12-01 09:00", or a datetime.')
        if moment.tzinfo is None:
            if known is None:
                raise NaiveDatetime("at", at, 'Say how to read it: timezone="Europe/Madrid", or an offset.')
            moment = moment.replace(tzinfo=known)
        try:
            utc = moment.astimezone(dt.UTC)
        except OverflowError:
            raise InvalidInput("at", at, "Give a moment within the years 1 to 9999, in UTC too.") from None
        object.__setattr__(self, "at", check_moment("at", utc))
        object.__setattr__(self, "timezone", None if known is None else known.key)


@dataclass(frozen=True, slots=True)
class NextBusinessDay:
    """The next weekday after the anchor's day, at `at` ("09:00"). `timezone`: a name, "candidate" for
    the candidate's own (else the sequence's), or None for the sequence's."""

    at: str = "09:00"
    timezone: str | None = None

    def __post_init__(self) -> None:
        try:
            parsed = dt.time.fromisoformat(self.at)
        except (ValueError, TypeError) as exc:
            raise InvalidInput("at", self.at, 'Write a time of day like "09:00".') from exc
        if parsed.tzinfo is not None:
            raise InvalidInput("at", self.at, "Leave the offset out and name the zone in timezone=.")
        if self.timezone not in (None, "candidate"):
            object.__setattr__(self, "timezone", zone(self.timezone).key)


@dataclass(frozen=True, slots=True)
class Later:
    """A delay after the anchor: when the previous step was sent, done or skipped, else the enrolment."""

    seconds: float

    def __init__(self, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        for unit, count in (("days", days), ("hours", hours), ("minutes", minutes), ("seconds", seconds)):
            if isinstance(count, bool) or not isinstance(count, int | float):
                raise InvalidInput(unit, count, "Give a number.")
        try:
            total = days * 86_400 + hours * 3_600 + minutes * 60 + seconds
        except OverflowError:  # a whole number too large to be added to a fraction
            total = math.inf
        remedy = "Give a delay from 0 seconds to ten years."
        object.__setattr__(self, "seconds", check_seconds("delay", total, total, remedy))


Schedule = Instant | SpecificTime | NextBusinessDay | Later


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """The stored form."""
    match schedule:
        case Instant():
            return {"type": "instant"}
        case SpecificTime(at=at, timezone=tz):
            return {"type": "specific_time", "at": at.isoformat(), "timezone": tz}
        case NextBusinessDay(at=clock, timezone=tz):
            return {"type": "next_business_day", "at": clock, "timezone": tz}
        case Later(seconds=s):
            return {"type": "later", "seconds": s}
    raise InvalidInput("when", schedule, "Use Instant, SpecificTime, NextBusinessDay or Later.")


def schedule_from_dict(stored: dict[str, Any]) -> Schedule:
    """The schedule that `schedule_to_dict` stored."""
    match stored["type"]:
        case "instant":
            return Instant()
        case "specific_time":
            return SpecificTime(stored["at"], stored["timezone"])
        case "next_business_day":
            return NextBusinessDay(stored["at"], stored["timezone"])
        case "later":
            return Later(seconds=stored["seconds"])
    raise InvalidInput("schedule", stored, "This schedule was stored by a newer version.")


def describe_schedule(schedule: Schedule) -> str:
    """A schedule in words."""
    match schedule:
        case Instant():
            return "at once"
        case SpecificTime(at=at, timezone=tz):
            return f"on {at.astimezone(zone(tz) if tz else dt.UTC):%d %b %Y, %H:%M} {tz or 'UTC'}"
        case NextBusinessDay(at=clock, timezone=tz):
            where = {None: "", "candidate": " in the candidate's time zone"}.get(tz, f" {tz}")
            return f"next business day at {clock}{where}"
        case Later(seconds=s):
            return f"{_duration(s)} later"


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            n = int(seconds // size)
            return f"{n} {unit}{'s' if n != 1 else ''}"
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds:g} seconds"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step as written. `thread`: "new" opens a thread, "reply" goes into the one already open.
    `skip_after`: seconds until an open task skips itself, None = never."""

    kind: StepKind
    schedule: Schedule = field(default_factory=Instant)
    subject: str | None = None
    body: str | None = None
    thread: Literal["new", "reply"] = "new"
    manual: bool = False
    skip_after: float | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    mailbox_id: int | None = None
    alias: str | None = None
    variants: tuple[Variant, ...] = ()

    @property
    def automatic(self) -> bool:
        """Whether it leaves without a person."""
        return self.kind is StepKind.EMAIL and not self.manual

    @property
    def versions(self) -> tuple[Variant, ...]:
        """Its own texts, then its variants'."""
        return (Variant(FIRST, self.subject, self.body), *self.variants)


def check_step(plan: StepPlan) -> None:
    """Refuse what could never be sent: header injection, templates that don't parse, odd durations."""
    if plan.subject is not None:
        template.parse(check_line("subject", plan.subject))
    if plan.body is not None:
        template.parse(check_text("body" if plan.kind is StepKind.EMAIL else "note", plan.body))
    if plan.thread not in ("new", "reply"):
        raise InvalidInput("thread", plan.thread, 'Use "new" or "reply".')
    if plan.skip_after is not None:
        remedy = "Give a time from 0 seconds to ten years, or False for never."
        check_seconds("skip_after", plan.skip_after, plan.skip_after, remedy)
    if plan.mailbox_id is not None and plan.thread != "new":
        raise InvalidInput("mailbox", plan.mailbox_id, 'Another sender starts its own thread: thread="new".')
    for name, values in (("cc", plan.cc), ("bcc", plan.bcc)):
        for value in values:
            check_copied(name, value)
            template.parse(value)


NO_SENDER = "Connect a mailbox to send from."


@dataclass(frozen=True, slots=True)
class Problem:
    """One cause that keeps a sequence incomplete. `step` counts from 1."""

    code: str
    text: str
    step: int | None = None


def problems(
    name: str | None,
    steps: Seq[StepPlan],
    *,
    sender: str | None,
    sender_problem: str | None = None,
    snippets: Collection[str] | None = None,
) -> list[Problem]:
    """Every cause, one sentence each (rule 1). `sender` is the connected mailbox's address or None;
    `sender_problem` says why a mailbox that is set can't be used; `snippets` are the names that steps can call (None:
    not looked at)."""
    found: list[Problem] = []
    if not (name or "").strip():
        found.append(Problem("name", "Give the sequence a name."))
    if not steps:
        found.append(Problem("steps", "Add at least one step."))
    emails = [(n, s) for n, s in enumerate(steps, 1) if s.kind is StepKind.EMAIL]
    if steps and not emails:
        found.append(Problem("no_email", "Add an e-mail step: a sequence starts its conversation with one."))
    if emails and emails[0][1].thread != "new":
        n = emails[0][0]
        found.append(Problem("thread", f"Step {n} is the first e-mail, so it has to start a new thread.", n))
    for n, step in emails:
        if step.thread == "new" and not (step.subject or "").strip():
            found.append(Problem("subject", f"Step {n} needs a subject.", n))
        if not (step.body or "").strip():
            found.append(Problem("body", f"Step {n} needs a body.", n))
        for version in step.versions:
            where = f"Step {n}" if version.letter == FIRST else f"Step {n}{version.letter}"
            for what, text in (("subject", version.subject), ("body", version.body)):
                try:
                    if text:
                        template.parse(text)
                        if what == "subject":
                            check_header_value("subject", text)
                except (TemplateError, HeaderInjection) as exc:
                    found.append(Problem("template", f"{where}: the {what} can't be read: {exc}", n))
    for n, step in enumerate(steps, 1):
        called = snippet_names("".join(t or "" for v in step.versions for t in (v.subject, v.body)))
        for missing in dict.fromkeys(c for c in called if snippets is not None and c not in snippets):
            found.append(Problem("snippet", f"Step {n} calls a snippet that isn't there: {missing}.", n))
    if sender_problem is not None:
        found.append(Problem("sender", sender_problem))
    elif sender is None:
        found.append(Problem("sender", NO_SENDER))
    return found
