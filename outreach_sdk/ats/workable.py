"""Workable (https://workable.readme.io/reference/webhooks). No event is about interviews: a candidate moves to a
stage of that kind. The payload shows the candidate at delivery, not at the event."""

from __future__ import annotations

from outreach_sdk.domain.events import Event, InterviewScheduled, NotForUs, Received
from outreach_sdk.domain.payload import moment, parse_object, text

__all__ = ["read"]

INTERVIEWING = frozenset({"interview", "phone_screen", "phone-screen"})


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    event = text(data, "event_type")
    if event != "candidate_moved":
        return [NotForUs(f"Workable's {event[:60] or 'delivery without an event'} isn't about an interview")]
    stage = text(data, "data.stage_kind") or text(data, "data.stage")
    if stage.lower() not in INTERVIEWING:
        return [NotForUs("The candidate's new stage isn't one of interviews")]
    return [
        InterviewScheduled(
            external_id=f"{text(data, 'data.id')}:{text(data, 'data.job.shortcode')}:{stage}",
            occurred_at=moment(data, "fired_at") or received.received_at,
            addresses=tuple(filter(None, [text(data, "data.email")])),
            title=text(data, "data.job.title"),
            link=text(data, "data.profile_url"),
        )
    ]
