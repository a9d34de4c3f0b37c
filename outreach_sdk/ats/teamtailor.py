"""Teamtailor (https://partner.teamtailor.com/company_webhooks). The older signature covers the resource's id alone,
and no payload names an address: nothing is acted on without asking."""

from __future__ import annotations

from outreach_sdk.domain.events import Event, NeedsLookup, NotForUs, Received
from outreach_sdk.domain.payload import parse_object, text

__all__ = ["read"]


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    event = text(data, "payload.event_name") or text(data, "event_name")
    application = text(data, "payload.data.id") or text(data, "data.id")
    if event not in ("job_application.create", "job_application.update") or not application:
        return [
            NotForUs(f"Teamtailor's {event[:60] or 'delivery without an event'} isn't about an interview")
        ]
    why = "Teamtailor sends no address"
    return [NeedsLookup(what="job application", id=application[:80], event=event, why=why)]
