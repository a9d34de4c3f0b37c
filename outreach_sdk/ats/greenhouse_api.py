"""Greenhouse's Harvest API (https://developers.greenhouse.io/harvest.html): the key as user name, bare lists."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.http import basic
from outreach_sdk.ats.paging import Pass
from outreach_sdk.ats.port import Api, Found, People, Person, Polled, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import at, every, moment, text, texts

__all__ = ["BASE", "Account", "headers"]

BASE = "https://harvest.greenhouse.io/v1"
PAGE = 500
STANDS = ("scheduled", "awaiting_feedback", "complete")
STATES: dict[str, State] = {"active": "in_process", "rejected": "rejected", "hired": "hired"}
"""Of an application; a converted one goes on as another."""


def headers(key: str) -> dict[str, str]:
    """`key` is an API key, or `key:user id` where notes are written: they are somebody's."""
    return basic(key.partition(":")[0])


class Account:
    """See `ats.port`."""

    can_list_notes = True

    def __init__(self, api: Api, key: str = "") -> None:
        self._api, self._user = api, key.partition(":")[2]

    def check(self) -> None:
        self._api.listing("candidates", {"per_page": "1", "skip_count": "true"})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        application = self._api.ask("GET", f"applications/{quote(about.id, safe='')}")
        person = self._api.ask("GET", f"candidates/{text(application, 'candidate_id')}")
        addresses = texts(person, "email_addresses", "value")
        listed = self._api.listing(f"applications/{quote(about.id, safe='')}/scheduled_interviews")
        found: list[Event] = []
        for one in listed:
            told: dict[str, Any] = {
                "external_id": f"application:{about.id}:{text(one, 'interview.id')}",
                "also_id": text(one, "id") or None,
                "occurred_at": moment(one, "updated_at") or received_at,
                "addresses": addresses,
                "starts_at": moment(one, "start.date_time"),
                "title": text(one, "interview.name"),
                "link": text(one, "video_conferencing_url"),
            }
            if text(one, "status") in STANDS:
                found.append(InterviewScheduled(**told, booked_at=moment(one, "created_at")))
            else:
                found.append(InterviewCanceled(**told))
        return found

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        run = Pass.read(cursor, since=since, now=now)
        items, page = self._page("scheduled_interviews", run)
        polled = []
        for one in items:
            application = text(one, "application_id")
            if not application:
                continue
            event = NeedsLookup(
                what="application",
                id=application,
                event="interview",
                why="Greenhouse's interview names no address",
            )
            starts = moment(one, "start.date_time")
            polled.append(Polled(f"{text(one, 'id')}:{text(one, 'updated_at')}", event, None, starts))
        following, more = run.following(page)
        return Found(polled, following, more)

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        items, page = self._page("candidates", run)
        found: list[Person] = []
        for one in items:
            addresses = texts(one, "email_addresses", "value")
            for application in every(one, "applications"):
                state = STATES.get(text(application, "status"), "none")
                if at(application, "prospect") is True and state == "in_process":
                    state = "none"  # sourced, in no process yet
                when = moment(application, "rejected_at") or moment(application, "last_activity_at")
                found.append(Person(text(application, "id"), addresses, state, when))
        following, more = run.following(page)
        return People(found, following, more)

    def find_person(self, address: str) -> str | None:
        listed = self._api.listing("candidates", {"email": address, "per_page": "10"})
        # Whatever the filter does: somebody else's notes are somebody else's.
        mine = [
            c for c in listed if address.lower() in (a.lower() for a in texts(c, "email_addresses", "value"))
        ]
        return text(mine[0], "id") or None if mine else None

    def write_note(self, person: str, note: str) -> str:
        body = {"user_id": int(self._user or 0), "body": note, "visibility": "public"}
        made = self._api.ask(
            "POST",
            f"candidates/{quote(person, safe='')}/activity_feed/notes",
            body=body,
            headers={"On-Behalf-Of": self._user},
        )
        return text(made, "id")

    def find_note(self, person: str, marker: str) -> str | None:
        feed = self._api.ask("GET", f"candidates/{quote(person, safe='')}/activity_feed")
        return next((text(n, "id") for n in every(feed, "notes") if marker in str(at(n, "body"))), None)

    def _page(self, path: str, run: Pass) -> tuple[list[Any], str]:
        query = {"per_page": str(PAGE), "page": run.page or "1", "skip_count": "true"}
        if run.since:
            query["updated_after"] = run.since
        items = self._api.listing(path, query)
        return items, str(int(run.page or 1) + 1) if len(items) >= PAGE else ""
