"""Calendly (https://developer.calendly.com/api-docs/overview/webhooks).

An invitee, not an event, is what is booked: several may come to one event. A reschedule is a cancelled invitee
(`rescheduled`) and another created one (`old_invitee`).
"""

from __future__ import annotations

from outreach_sdk.domain.events import Event, MeetingBooked, MeetingCanceled, NotForUs, Received, Unreadable
from outreach_sdk.domain.payload import at, moment, parse_object, text

__all__ = ["read"]


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    kind = text(data, "event")
    if kind not in ("invitee.created", "invitee.canceled"):
        return [NotForUs(f"Calendly's {kind[:60] or 'delivery without an event'} isn't about a booking")]
    invitee = text(data, "payload.uri")
    if not invitee:
        raise Unreadable("payload.uri is missing")
    booked = moment(data, "payload.created_at")
    common = {
        "external_id": invitee,
        "addresses": tuple(filter(None, [text(data, "payload.email")])),
        "token": text(data, "payload.tracking.utm_content") or None,
        "starts_at": moment(data, "payload.scheduled_event.start_time"),
        "title": text(data, "payload.scheduled_event.name"),
        "link": text(data, "payload.scheduled_event.location.join_url") or text(data, "payload.cancel_url"),
        "replaces": text(data, "payload.old_invitee") or None,
        "booked_at": booked,
    }
    if kind == "invitee.created":
        when = booked or moment(data, "created_at") or received.received_at
        return [MeetingBooked(occurred_at=when, **common)]  # type: ignore[arg-type]
    when = (
        # The delivery's own created_at can be that of the booking.
        moment(data, "payload.cancellation.created_at")
        or moment(data, "payload.updated_at")
        or moment(data, "created_at")
        or received.received_at
    )
    moved = at(data, "payload.rescheduled") is True
    return [MeetingCanceled(occurred_at=when, moved=moved, **common)]  # type: ignore[arg-type]
