"""Lever (https://hire.lever.co/developer/documentation#webhooks).

The signature covers a token and the time, neither event nor data: nothing of them is acted on.
"""

from __future__ import annotations

from outreach_sdk.domain.events import Event, NeedsLookup, NotForUs, Received
from outreach_sdk.domain.payload import parse_object, text

__all__ = ["read"]

ABOUT_INTERVIEWS = ("interviewCreated", "interviewUpdated", "interviewDeleted", "candidateStageChange")


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    event = text(data, "event")
    opportunity = text(data, "data.opportunityId")
    if event not in ABOUT_INTERVIEWS or not opportunity:
        return [NotForUs(f"Lever's {event[:60] or 'delivery without an event'} isn't about an interview")]
    return [
        NeedsLookup(
            what="opportunity",
            id=opportunity[:80],
            event=event,
            why="Lever's signature doesn't cover its data",
        )
    ]
