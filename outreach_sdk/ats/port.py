"""What stands for an applicant tracking system, and for anything else that tells by webhook."""

from __future__ import annotations

from typing import Protocol

from outreach_sdk.domain.events import Event, Received

__all__ = ["Reader"]


class Reader(Protocol):
    """Reads a delivery whose signature was right. Pure: no I/O, no clock but `received_at`."""

    def __call__(self, received: Received) -> list[Event]:
        """What it tells, none for what doesn't concern journeys. What its signature doesn't cover, or what names
        nobody, comes back as NeedsLookup. Raises Unreadable."""
        ...
