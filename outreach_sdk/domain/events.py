"""What the outside can tell us, in no vendor's words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "Appointment",
    "EnrichmentReady",
    "Event",
    "InterviewCanceled",
    "InterviewScheduled",
    "MeetingBooked",
    "MeetingCanceled",
    "NeedsLookup",
    "NotForUs",
    "Received",
    "Unreadable",
]


@dataclass(frozen=True, slots=True)
class Received:
    """A stored delivery as a reader gets it. Header names are in lower case."""

    body: bytes
    received_at: dt.datetime
    headers: Mapping[str, str] = field(default_factory=dict)


class Unreadable(ValueError):
    """A delivery that isn't what its sender's contract says; the text says what is wrong, without its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """Something of a certain id at its own system. `occurred_at` is when that system says it came to be so,
    `booked_at` when it was booked first, `replaces` the id of what it was rescheduled from, `also_id` another id its
    system may name it by when it is called off."""

    external_id: str
    occurred_at: dt.datetime
    addresses: tuple[str, ...] = ()
    token: str | None = None
    starts_at: dt.datetime | None = None
    booked_at: dt.datetime | None = None
    title: str = ""
    link: str = ""
    replaces: str | None = None
    also_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingBooked(Appointment):
    """Somebody chose a time themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingCanceled(Appointment):
    """A meeting won't be. `moved`: another one takes its place, so nothing is cancelled."""

    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewScheduled(Appointment):
    """`in_ats`: an applicant tracking system shows it; else a calendar or a person does."""

    in_ats: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewCanceled(Appointment):
    """An interview won't be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsLookup:
    """It names something but proves or tells too little to act on: that system has to be asked about `id`."""

    what: str
    id: str
    why: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class NotForUs:
    """Nothing that concerns journeys; `why` names it."""

    why: str


@dataclass(frozen=True, slots=True)
class EnrichmentReady:
    """A provider is done with a request of ours: it can be asked for what it found."""

    provider: str
    request_id: str


Event = (
    MeetingBooked
    | MeetingCanceled
    | InterviewScheduled
    | InterviewCanceled
    | NeedsLookup
    | NotForUs
    | EnrichmentReady
)
