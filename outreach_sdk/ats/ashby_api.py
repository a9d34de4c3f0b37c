"""Ashby's API (https://developers.ashbyhq.com/reference): POST for everything, the key as user name."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from outreach_sdk.ats.http import basic
from outreach_sdk.ats.paging import entries
from outreach_sdk.ats.port import MAX_PAGES, Api, Found, People, Person, Polled, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import at, every, moment, text
from outreach_sdk.errors import AtsDenied, AtsNotFound, AtsRefused, AtsUnavailable

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.ashbyhq.com"
STANDS = ("Scheduled", "WaitingOnFeedback", "Complete")
CALLED_OFF = "Cancelled"
INTERVIEWING = "Active"
STATES: dict[str, State] = {"Active": "in_process", "Archived": "rejected", "Hired": "hired"}
"""Of an application; a lead is in no process yet."""
EVENTS = ("candidateStageChange", "interviewScheduleCreate", "interviewScheduleUpdate")


def headers(key: str) -> dict[str, str]:
    return basic(key)


class Account:
    """See `ats.port`."""

    can_list_notes = True

    takes_secret = True
    lists_hooks = False
    events_apart = EVENTS

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._ask("interviewSchedule.list", {"limit": 1})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        application = at(self._ask("application.info", {"applicationId": about.id}), "results")
        address = text(application, "candidate.primaryEmailAddress.value")
        told: dict[str, Any] = {"addresses": (address,) if address else ()}
        found: list[Event] = []
        for schedule in self._schedules(about.id):
            status = text(schedule, "status")
            told["external_id"] = f"schedule:{text(schedule, 'id')}"
            told["occurred_at"] = (
                moment(schedule, "updatedAt") or moment(schedule, "createdAt") or received_at
            )
            told["starts_at"] = _start(schedule)
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

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        page, following, more = self._page("interviewSchedule.list", cursor)
        polled = []
        for one in page:
            application = text(one, "applicationId")
            if application:
                why = "Ashby's interview schedule names no address"
                about = NeedsLookup(what="application", id=application[:80], event="interview", why=why)
                key = f"{text(one, 'id')}:{text(one, 'updatedAt')}:{text(one, 'status')}"
                polled.append(Polled(key, about, None, _start(one)))
        return Found(polled, following, more)

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        page, following, more = self._page("application.list", cursor)
        found = []
        for one in page:
            address = text(one, "candidate.primaryEmailAddress.value")
            when = moment(one, "archivedAt") or moment(one, "updatedAt")
            state = STATES.get(text(one, "status"), "none")
            found.append(Person(text(one, "id"), (address,) if address else (), state, when))
        return People(found, following, more)

    def find_person(self, address: str) -> str | None:
        listed = every(self._ask("candidate.search", {"email": address}), "results")
        mine = [c for c in listed if address.lower() in json.dumps(at(c, "emailAddresses") or c).lower()]
        return text(mine[0], "id") or None if mine else None

    def write_note(self, person: str, note: str) -> str:
        body = {"candidateId": person, "note": note, "sendNotifications": False}
        return text(self._ask("candidate.createNote", body), "results.id")

    def find_note(self, person: str, marker: str) -> str | None:
        for one in self._all("candidate.listNotes", {"candidateId": person}):
            if marker in str(at(one, "content")):
                return text(one, "id")
        return None

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        body = {"webhookType": event, "requestUrl": target, "secretToken": secret}
        return Hook(text(self._ask("webhook.create", body), "results.id"), target, why=event)

    def hooks(self) -> list[Hook]:
        return []  # Ashby lists none

    def unsubscribe(self, external_id: str) -> None:
        self._ask("webhook.delete", {"webhookId": external_id})

    def _page(self, name: str, cursor: str | None) -> tuple[list[Any], str, bool]:
        """A page of what changed since a sync token; the token comes with the last page."""
        state = json.loads(cursor) if cursor else {}
        body: dict[str, Any] = {"limit": 100}
        body |= {k: state[k] for k in ("syncToken", "cursor") if state.get(k)}
        try:
            page = self._ask(name, body)
        except AtsRefused:
            if not state.get("syncToken"):
                raise
            return [], "", True  # the token is too old: everything again
        found = entries(page, "results", "Ashby")
        if at(page, "moreDataAvailable") is True and text(page, "nextCursor"):
            state = {"syncToken": state.get("syncToken"), "cursor": text(page, "nextCursor")}
            return found, json.dumps(state), True
        token = text(page, "syncToken") or state.get("syncToken") or ""
        return found, json.dumps({"syncToken": token}) if token else "", False

    def _schedules(self, application: str) -> Iterator[Any]:
        for one in self._all("interviewSchedule.list", {"applicationId": application}):
            # Whatever the filter does: another application's interviews are another person's.
            if text(one, "applicationId") == application:
                yield one

    def _all(self, name: str, query: dict[str, Any]) -> Iterator[Any]:
        body: dict[str, Any] = {**query, "limit": 100}
        for _ in range(MAX_PAGES):
            page = self._ask(name, body)
            yield from every(page, "results")
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
        if code and at(answer, "success") is False:
            raise AtsRefused("Ashby refused it.")
        raise AtsUnavailable("Ashby answered something that isn't what it documents.")


def _start(schedule: Any) -> dt.datetime | None:
    starts = [s for e in every(schedule, "interviewEvents") if (s := moment(e, "startTime"))]
    return min(starts, default=None)
