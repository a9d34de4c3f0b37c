"""Ashby (https://developers.ashbyhq.com/docs/setting-up-webhooks).

An interview schedule names its application and no address; a stage change names the candidate's.
"""

from __future__ import annotations

from outreach_sdk.domain.events import Event, InterviewScheduled, NeedsLookup, NotForUs, Received
from outreach_sdk.domain.payload import moment, parse_object, text

__all__ = ["read"]

SCHEDULES = ("interviewScheduleCreate", "interviewScheduleUpdate")
INTERVIEWING = "Active"
"""The type of a stage in which people are interviewed; before it come Lead and PreInterviewScreen, after it Offer,
Hired and Archived."""


def read(received: Received) -> list[Event]:
    """See `ats.port.Reader`."""
    data = parse_object(received.body)
    action = text(data, "action")
    if action in SCHEDULES:
        application = text(data, "data.interviewSchedule.applicationId")
        why = "Ashby's interview schedule names no address"
        if application:
            return [NeedsLookup(what="application", id=application[:80], event=action, why=why)]
    if action != "candidateStageChange":
        return [NotForUs(f"Ashby's {action[:60] or 'delivery without an action'} isn't about an interview")]
    stage = "data.application.currentInterviewStage"
    if text(data, f"{stage}.type") != INTERVIEWING:
        return [NotForUs("The candidate's new stage isn't one of interviews")]
    address = text(data, "data.application.candidate.primaryEmailAddress.value")
    application = text(data, "data.application.id")
    if not address:
        return [
            NeedsLookup(
                what="application",
                id=application[:80],
                event=action,
                why="The candidate has no address there",
            )
        ]
    return [
        InterviewScheduled(
            external_id=f"application:{application}:{text(data, f'{stage}.id')}",
            occurred_at=moment(data, "data.application.updatedAt") or received.received_at,
            addresses=(address,),
            title=text(data, f"{stage}.title"),
        )
    ]
