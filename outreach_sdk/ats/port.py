"""What stands for an applicant tracking system, and for anything else that tells by webhook.

A vendor's account is one object; which of the protocols below it keeps says what can be asked of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from outreach_sdk.domain.events import Event, NeedsLookup, Received
from outreach_sdk.domain.hooks import Hook

__all__ = [
    "MAX_PAGES",
    "Api",
    "Asker",
    "Checks",
    "Found",
    "Interviews",
    "People",
    "Person",
    "Polled",
    "Reader",
    "Roster",
    "Subscribes",
    "WritesNotes",
    "system_name",
]

MAX_PAGES = 20
"""Of one listing; what has more is rather a mistake than an application."""


def system_name(source: str) -> str:
    """How a system writes itself."""
    return {"smartrecruiters": "SmartRecruiters"}.get(source, source.capitalize())


class Reader(Protocol):
    """Reads a delivery whose signature was right. Pure: no I/O, no clock but `received_at`."""

    def __call__(self, received: Received) -> list[Event]:
        """What it tells, none for what doesn't concern journeys. What its signature doesn't cover, or what names
        nobody, comes back as NeedsLookup. Raises Unreadable."""
        ...


class Api(Protocol):
    """An account's requests, with its address and key."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object it answers. AtsDenied, AtsNotFound, AtsRefused,
        AtsUnavailable; of what isn't a GET AtsOutcomeUnknown, where it may have been done all the same."""
        ...

    def listing(self, path: str, query: Mapping[str, str] | None = None) -> list[Any]:
        """The bare JSON list it answers to a GET. The same errors."""
        ...


@runtime_checkable
class Asker(Protocol):
    """Asks the system itself where a delivery proves or tells too little. Thread-safe."""

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        """The interviews that stand, or were called off, there now; none where there is none. `received_at` stands
        in for times the system doesn't give. AtsDenied, AtsNotFound, AtsUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Polled:
    """Something about an interview. `key` changes whenever the interview does; `addresses`, where the system names
    them at once, are whose it is, and `starts_at` when it is."""

    key: str
    event: Event
    addresses: tuple[str, ...] | None = None
    starts_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of interviews, and where to go on. `more`: at once."""

    items: list[Polled] = field(default_factory=list)
    cursor: str = ""
    more: bool = False


@runtime_checkable
class Interviews(Protocol):
    """A system that can be asked which interviews changed."""

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        """A page of those that changed since the cursor; with None, at or after `since`. What is told twice has the
        same key. AtsDenied, AtsUnavailable."""
        ...


State = Literal["in_process", "rejected", "hired", "none"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody's standing in one application. `at` is when it came to be so, where the system says."""

    external_id: str
    addresses: tuple[str, ...]
    state: State
    at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class People:
    """A page of people, and where to go on. `more`: at once."""

    items: list[Person] = field(default_factory=list)
    cursor: str = ""
    more: bool = False


@runtime_checkable
class Roster(Protocol):
    """A system that can be asked who is in process there."""

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        """A page of those that changed since the cursor; with None, of all. AtsDenied, AtsUnavailable."""
        ...


@runtime_checkable
class WritesNotes(Protocol):
    """A system that takes notes about people."""

    can_list_notes: bool

    def find_person(self, address: str) -> str | None:
        """Who has this address there. AtsDenied, AtsUnavailable."""
        ...

    def write_note(self, person: str, text: str) -> str:
        """The new note's id ("" where the system doesn't say). AtsNotFound (no such person), AtsRefused, AtsDenied,
        AtsUnavailable (not written), AtsOutcomeUnknown."""
        ...

    def find_note(self, person: str, marker: str) -> str | None:
        """The id of the note that holds `marker`; only where `can_list_notes`. AtsNotFound, AtsUnavailable."""
        ...


@runtime_checkable
class Checks(Protocol):
    """A system whose key can be tried."""

    def check(self) -> None:
        """AtsDenied, AtsUnavailable."""
        ...


@runtime_checkable
class Subscribes(Protocol):
    """A system that can be told by API where to send webhooks."""

    takes_secret: bool
    """Whether one chooses what it signs with; else it is the system's own."""
    lists_hooks: bool
    events_apart: tuple[str, ...]
    """The events that take a subscription each, whose `why` is the event; none: one takes them all."""

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        """Have it told of everything that is read here, or of one event. AtsRefused."""
        ...

    def hooks(self) -> list[Hook]:
        """What stands there, as far as it lists it."""
        ...

    def unsubscribe(self, external_id: str) -> None:
        """Take one back; one that isn't there is fine."""
        ...
