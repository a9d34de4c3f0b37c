"""Greenhouse (https://github.com/grnhse/greenhouse-api-docs, source/includes/webhooks).

There is no interview-scheduled web hook: an application that changes shows the interviews of its stage, each with
a status and without a time. Nothing says when it came to be so, hence the time of receipt.
"""

from __future__ import annotations

from outreach_sdk.domain.events import (
    Event,
    InterviewCanceled,
    InterviewScheduled,
    NeedsLookup,
    NotForUs,
    Received,
)
from outreach_sdk.domain.payload import every, parse_object, text, texts

__all__ = ["read"]

SHOW_INTERVIEWS = ("candidate_stage_change", "application_updated")
STANDS = ("scheduled", "awaiting_feedback", "complete")


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    action = text(data, "action")
    if action == "interview_deleted" and (interview := text(data, "payload.interview.id")):
        # It names the appointment alone, which deliveries never do: asking for interviews told whose it was.
        return [
            InterviewCanceled(
                external_id=f"interview:{interview}", also_id=interview, occurred_at=received.received_at
            )
        ]
    if action not in SHOW_INTERVIEWS:
        return [
            NotForUs(f"Greenhouse's {action[:60] or 'delivery without an action'} isn't about an interview")
        ]
    application = text(data, "payload.application.id")
    addresses = texts(data, "payload.application.candidate.email_addresses", "value")
    found: list[Event] = [
        InterviewScheduled(
            external_id=f"application:{application}:{text(interview, 'id')}",
            occurred_at=received.received_at,
            addresses=addresses,
            title=text(interview, "name"),
            link=text(data, "payload.application.candidate.url"),
        )
        for interview in every(data, "payload.application.current_stage.interviews")
        if text(interview, "status") in STANDS
    ]
    if found and not addresses and application:
        why = "The candidate has no address in the web hook"
        return [NeedsLookup(what="application", id=application[:80], event=action, why=why)]
    return found or [NotForUs("No interview is scheduled in the application's stage")]
