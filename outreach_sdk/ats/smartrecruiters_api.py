"""SmartRecruiters' API (https://developers.smartrecruiters.com/reference): what its deliveries name by id only, and
candidates with the jobs they are in."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Api, People, Person, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import at, every, moment, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.smartrecruiters.com"
PAGE = 100
INTERVIEWING = "INTERVIEW"
STATES: dict[str, State] = {
    "HIRED": "hired",
    "REJECTED": "rejected",
    "WITHDRAWN": "rejected",  # they said no: nobody to write to soon either
    "LEAD": "none",  # sourced, in no process yet
    "TRANSFERRED": "none",  # goes on in another job
}
"""Of somebody in a job; every other one is a step of its process."""
EVENTS = ("application.status.updated", "interview.created", "interview.updated", "interview.deleted")
SUBSCRIPTIONS = "webhooks-api/v201907/subscriptions"


def headers(key: str) -> dict[str, str]:
    return {"X-SmartToken": key}


class Account:
    """See `ats.port`."""

    takes_secret = False
    lists_hooks = True
    events_apart: tuple[str, ...] = ()

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._api.ask("GET", "candidates", query={"limit": "1"})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        if about.what != "interview":
            return self._by_status(about.id, received_at)
        found = self._api.ask("GET", f"interviews-api/v201904/interviews/{quote(about.id, safe='')}")
        slots = every(found, "timeslots")
        starts = [s for one in slots if (s := moment(one, "startsOn") or moment(one, "startTime"))]
        told: dict[str, Any] = {
            "external_id": f"interview:{about.id}",
            "occurred_at": moment(found, "updatedOn") or received_at,
            "addresses": self._addresses(text(found, "candidate.id")),
            "starts_at": min(starts, default=None),
        }
        off = about.event == "interview.deleted" or (
            bool(slots) and all(text(one, "candidateStatus") == "declined" for one in slots)
        )
        if off:
            return [InterviewCanceled(**told)]
        return [InterviewScheduled(**told, booked_at=moment(found, "createdOn"))]

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        query = {"limit": str(PAGE)}
        if run.since:
            query["updatedAfter"] = run.since
        if run.page:
            query["pageId"] = run.page
        page = self._api.ask("GET", "candidates", query=query)
        found = []
        for one in entries(page, "content", "SmartRecruiters"):
            number, address, when = text(one, "id"), text(one, "email"), moment(one, "updatedOn")
            for job in _jobs(one):
                name = f"{number}:{text(job, 'job.id')}" if number else ""
                state = STATES.get(text(job, "status"), "in_process")
                found.append(Person(name, (address,) if address else (), state, when))
        following, more = run.following(text(page, "nextPageId"))
        return People(found, following, more)

    def _by_status(self, candidate: str, received_at: dt.datetime) -> list[Event]:
        person = self._api.ask("GET", f"candidates/{quote(candidate, safe='')}")
        address = text(person, "email")
        return [
            InterviewScheduled(
                external_id=f"candidate:{candidate}:{text(job, 'job.id')}",
                occurred_at=received_at,
                addresses=(address,) if address else (),
                title=text(job, "job.title") or text(job, "job.name"),
            )
            for job in _jobs(person)
            if text(job, "status") == INTERVIEWING
        ]

    def _addresses(self, candidate: str) -> tuple[str, ...]:
        if not candidate:
            return ()
        address = text(self._api.ask("GET", f"candidates/{quote(candidate, safe='')}"), "email")
        return (address,) if address else ()

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        body = {"callbackUrl": target, "events": list(EVENTS)}
        made = self._api.ask("POST", SUBSCRIPTIONS, body=body)
        number = text(made, "id")
        self._api.ask("PUT", f"{SUBSCRIPTIONS}/{quote(number, safe='')}/activation")
        return Hook(number, target)

    def hooks(self) -> list[Hook]:
        listed = every(self._api.ask("GET", SUBSCRIPTIONS), "content")
        return [
            Hook(text(one, "id"), text(one, "callbackUrl"), at(one, "status") in (None, "active", "ACTIVE"))
            for one in listed
        ]

    def unsubscribe(self, external_id: str) -> None:
        self._api.ask("DELETE", f"{SUBSCRIPTIONS}/{quote(external_id, safe='')}")


def _jobs(candidate: Any) -> list[Any]:
    return [*every(candidate, "primaryAssignment"), *every(candidate, "secondaryAssignments")]
