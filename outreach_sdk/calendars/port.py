"""What stands for the calendar of a mailbox's owner."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from outreach_sdk.domain.meetings import CalendarEvent

__all__ = ["MAX_PAGES", "Calendar", "CalendarApi", "Changes", "JsonApi"]

MAX_PAGES = 40
"""Of one reading; a calendar with more is read no further, and whole again the next time."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reading gave. `whole`: every event ahead that there is, so that what isn't among them is gone; else
    those that changed since the cursor, deleted ones included."""

    events: list[CalendarEvent] = field(default_factory=list)
    cursor: str | None = None
    whole: bool = False


class CalendarApi(Protocol):
    """One person's requests, with their address and tokens."""

    def get(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """The JSON object it answers; None where what was asked for is over or isn't there (410, 404). `path` may be
        a whole address on the same server. CalendarDenied, CalendarUnavailable."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class JsonApi(Protocol):
    """An account's requests, with its address and key."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The JSON object it answers; AtsError."""
        ...


class Calendar(Protocol):
    """Reads one person's own calendar. Safe to use from several threads."""

    def changes(self, cursor: str | None, *, since: dt.datetime, until: dt.datetime) -> Changes:
        """What changed since `cursor`; with None, or where the calendar knows the cursor no longer, all that lies
        between `since` and `until`, repetitions one by one. CalendarDenied, CalendarUnavailable."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
