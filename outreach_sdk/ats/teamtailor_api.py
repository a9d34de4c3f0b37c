"""Teamtailor's API (https://docs.teamtailor.com, JSON:API): whose an application is, and in which stage it stands."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Api, People, Person, State
from outreach_sdk.domain.events import Event, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import at, every, moment, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.teamtailor.com/v1"
VERSION = "20240404"
PAGE = 30
"""The most it gives."""
HIRED = "hired"
INBOX = "inbox"


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Token token={key}", "X-Api-Version": VERSION}


class Account:
    """See `ats.port`."""

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._api.ask("GET", "job-applications", query={"page[size]": "1"})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        path = f"job-applications/{quote(about.id, safe='')}"
        found = self._api.ask("GET", path, query={"include": "candidate,stage,job"})
        beside = {text(one, "type"): one for one in every(found, "included")}
        stage, person = beside.get("stages"), beside.get("candidates")
        rejected = moment(found, "data.attributes.rejected-at")
        if rejected is not None or not _interviews(stage):
            return []
        address = text(person, "attributes.email")
        return [
            InterviewScheduled(
                external_id=f"application:{about.id}:{text(stage, 'id')}",
                occurred_at=moment(found, "data.attributes.changed-stage-at") or received_at,
                addresses=(address,) if address else (),
                title=text(beside.get("jobs"), "attributes.title"),
            )
        ]

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        number = int(run.page or 1)
        query = {"include": "candidate,stage", "page[size]": str(PAGE), "page[number]": str(number)}
        if run.since:
            query["filter[updated-at][from]"] = run.since
        page = self._api.ask("GET", "job-applications", query=query)
        listed = entries(page, "data", "Teamtailor")
        # Without those it names, a page of applications would read as nobody's.
        beside = {
            (text(one, "type"), text(one, "id")): one
            for one in (entries(page, "included", "Teamtailor") if listed else ())
        }
        found = []
        for one in listed:
            person, stage = (
                beside.get((text(one, f"{where}.type"), text(one, f"{where}.id")))
                for where in ("relationships.candidate.data", "relationships.stage.data")
            )
            address, rejected = text(person, "attributes.email"), moment(one, "attributes.rejected-at")
            state = _state(one, stage) if rejected is None else "rejected"
            found.append(Person(text(one, "id"), (address,) if address else (), state, rejected))
        following, more = run.following(str(number + 1) if text(page, "links.next") else "")
        return People(found, following, more)


def _state(application: Any, stage: Any) -> State:
    kind = text(stage, "attributes.stage-type").lower()
    if kind == HIRED:
        return "hired"
    # Whoever was added by a recruiter is in no process while they lie in the inbox.
    sourced = at(application, "attributes.sourced") is True and kind == INBOX
    return "none" if sourced else "in_process"


def _interviews(stage: Any) -> bool:
    """Whether a stage is one of interviews, by its kind or name: the documented kinds tell "In process" alone."""
    return "interview" in f"{text(stage, 'attributes.stage-type')} {text(stage, 'attributes.name')}".lower()
