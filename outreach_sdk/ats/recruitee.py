"""Recruitee (https://docs.recruitee.com/docs/webhooks): a candidate moves to a stage of interviews."""

from __future__ import annotations

from outreach_sdk.domain.events import Event, InterviewScheduled, NotForUs, Received
from outreach_sdk.domain.payload import moment, parse_object, text, texts

__all__ = ["read"]

INTERVIEWING = frozenset({"interview", "phone_screen"})


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    event = text(data, "event_type")
    if event != "candidate_moved":
        return [NotForUs(f"Recruitee's {event[:60] or 'delivery without an event'} isn't about an interview")]
    stage = "payload.details.to_stage"
    if text(data, f"{stage}.category") not in INTERVIEWING:
        return [NotForUs("The candidate's new stage isn't one of interviews")]
    person, offer = text(data, "payload.candidate.id"), text(data, "payload.offer.id")
    return [
        InterviewScheduled(
            external_id=f"{person}:{offer}:{text(data, f'{stage}.id')}",
            occurred_at=moment(data, "created_at") or received.received_at,
            addresses=texts(data, "payload.candidate.emails"),
            title=text(data, "payload.offer.title"),
        )
    ]
