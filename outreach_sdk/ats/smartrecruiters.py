"""SmartRecruiters (https://developers.smartrecruiters.com/docs/receiving-webhook-notifications). Bodies hold ids
only; the event's name and the address of what it is about are signed headers."""

from __future__ import annotations

from outreach_sdk.domain.events import Event, NeedsLookup, NotForUs, Received
from outreach_sdk.domain.payload import parse_object, text

__all__ = ["read"]

ABOUT_INTERVIEWS = ("interview.", "application.status.updated")


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    name = received.headers.get("event-name", "")
    if not name.startswith(ABOUT_INTERVIEWS):
        return [
            NotForUs(f"SmartRecruiters' {name[:60] or 'delivery without a name'} isn't about an interview")
        ]
    data = parse_object(received.body)
    for what in ("interview", "candidate"):
        if found := text(data, f"{what}_id"):
            why = "SmartRecruiters sends ids only"
            return [NeedsLookup(what=what, id=found[:80], event=name, why=why)]
    return [NotForUs("It names neither an interview nor a candidate")]
