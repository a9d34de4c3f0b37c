"""Merge (https://docs.merge.dev/basics/webhooks/merge-webhooks). A scheduled interview names its application and no
address; whether it was called off it says itself."""

from __future__ import annotations

from outreach_sdk.domain.events import Event, InterviewCanceled, NeedsLookup, NotForUs, Received
from outreach_sdk.domain.payload import at, moment, parse_object, text

__all__ = ["read"]


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    event = text(data, "hook.event")
    interview = text(data, "data.id")
    if not event.startswith("ScheduledInterview.") or not interview:
        return [NotForUs(f"Merge's {event[:60] or 'delivery without an event'} isn't about an interview")]
    if text(data, "data.status") == "CANCELLED" or at(data, "data.remote_was_deleted") is True:
        when = moment(data, "data.modified_at") or received.received_at
        starts = moment(data, "data.start_at")
        return [InterviewCanceled(external_id=interview, occurred_at=when, starts_at=starts)]
    application = text(data, "data.application")
    why = "Merge's interview names no address"
    return [NeedsLookup(what="application", id=application[:80] or interview[:80], event=event, why=why)]
