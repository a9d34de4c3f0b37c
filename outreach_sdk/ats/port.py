"""What stands for an applicant tracking system, and for anything else that tells by webhook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Protocol

from outreach_sdk.domain.events import Event, NeedsLookup, Received

__all__ = ["MAX_PAGES", "Api", "Asker", "Reader"]

MAX_PAGES = 20
"""Of one listing; what has more is rather a mistake than an application."""


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
    ) -> dict[str, Any]:
        """The JSON object it answers. AtsDenied, AtsNotFound, AtsUnavailable."""
        ...


class Asker(Protocol):
    """Asks the system itself where a delivery proves or tells too little. Thread-safe."""

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        """The interviews that stand, or were called off, there now; none where there is none. `received_at` stands
        in for times the system doesn't give. AtsDenied, AtsNotFound, AtsUnavailable."""
        ...
