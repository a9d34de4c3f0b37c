"""Ashby's API (https://developers.ashbyhq.com/reference): POST for everything, the key as user name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from outreach_sdk.ats.port import MAX_PAGES, Api
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import at, every, moment, text
from outreach_sdk.errors import AtsDenied, AtsNotFound, AtsUnavailable

__all__ = ["ASHBY", "AshbyAsker"]

ASHBY = "https://api.ashbyhq.com"
STANDS = ("Scheduled", "WaitingOnFeedback", "Complete")
CALLED_OFF = "Cancelled"
INTERVIEWING = "Active"


class AshbyAsker:
    """See `ats.port.Asker`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        application = at(self._ask("application.info", {"applicationId": about.id}), "results")
        address = text(application, "candidate.primaryEmailAddress.value")
        told: dict[str, Any] = {"addresses": (address,) if address else ()}
        found: list[Event] = []
        for schedule in self._schedules(about.id):
            status = text(schedule, "status")
            starts = [s for e in every(schedule, "interviewEvents") if (s := moment(e, "startTime"))]
            told["external_id"] = f"schedule:{text(schedule, 'id')}"
            told["occurred_at"] = (
                moment(schedule, "updatedAt") or moment(schedule, "createdAt") or received_at
            )
            told["starts_at"] = min(starts, default=None)
            if status in STANDS:
                found.append(InterviewScheduled(**told, booked_at=moment(schedule, "createdAt")))
            elif status == CALLED_OFF:
                found.append(InterviewCanceled(**told))
        stage = at(application, "currentInterviewStage")
        if about.event == "candidateStageChange" and text(stage, "type") == INTERVIEWING:
            found.append(
                InterviewScheduled(
                    external_id=f"application:{about.id}:{text(stage, 'id')}",
                    occurred_at=moment(application, "updatedAt") or received_at,
                    addresses=told["addresses"],
                    title=text(stage, "title"),
                )
            )
        return found

    def _schedules(self, application: str) -> Iterator[Any]:
        body: dict[str, Any] = {"applicationId": application, "limit": 100}
        for _ in range(MAX_PAGES):
            page = self._ask("interviewSchedule.list", body)
            # Whatever the filter does: another application's interviews are another person's.
            yield from (s for s in every(page, "results") if text(s, "applicationId") == application)
            following = text(page, "nextCursor")
            if at(page, "moreDataAvailable") is not True or not following:
                return
            body["cursor"] = following

    def _ask(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ashby says 200 for what it refuses, and why in `errors` or `errorInfo`."""
        answer = self._api.ask("POST", name, body=body)
        if at(answer, "success") is True:
            return answer
        code = text(answer, "errorInfo.code") or text(answer, "errors.0")
        if "not_found" in code:
            raise AtsNotFound("Ashby knows no such application.")
        if code in ("unauthorized", "forbidden", "missing_endpoint_permission"):
            raise AtsDenied(
                "Ashby refuses the key. Check it, and that it may read candidates and interviews."
            )
        raise AtsUnavailable("Ashby answered something that isn't what it documents.")
