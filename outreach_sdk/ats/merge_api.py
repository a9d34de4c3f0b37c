"""Merge's unified API (https://docs.merge.dev/ats): a key of the application and a token of the linked account."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Api, Found, People, Person, Polled, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import at, every, moment, text, texts
from outreach_sdk.errors import AtsNotFound

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.merge.dev/api/ats/v1"
HIRED = ("SIGNED",)
"""Of an offer: Merge has no other word for somebody hired."""


def headers(key: str) -> dict[str, str]:
    """`key` is `key:account token`, with `:user id` after it where notes are written: they are somebody's."""
    token, account, *_ = [*key.split(":"), "", ""]
    return {"Authorization": f"Bearer {token}", "X-Account-Token": account}


class Account:
    """See `ats.port`. Merge lists activities of everybody only, so a note's fate can't be looked up."""

    can_list_notes = False

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api
        self._user = [*key.split(":"), "", ""][2]

    def check(self) -> None:
        self._api.ask("GET", "candidates", query={"page_size": "1"})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        path = f"applications/{quote(about.id, safe='')}"
        application = self._api.ask("GET", path, query={"expand": "candidate"})
        addresses = texts(application, "candidate.email_addresses", "value")
        query = {"application_id": about.id, "page_size": "100"}
        listed = every(self._api.ask("GET", "interviews", query=query), "results")
        found: list[Event] = []
        for one in listed:
            if text(one, "application") != about.id:  # whatever the filter does
                continue
            told: dict[str, Any] = {
                "external_id": text(one, "id"),
                "occurred_at": moment(one, "remote_updated_at") or moment(one, "modified_at") or received_at,
                "addresses": addresses,
                "starts_at": moment(one, "start_at"),
            }
            if text(one, "status") == "CANCELLED" or at(one, "remote_was_deleted") is True:
                found.append(InterviewCanceled(**told))
            else:
                booked = moment(one, "remote_created_at")
                found.append(InterviewScheduled(**told, booked_at=booked))
        return found

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        run = Pass.read(cursor, since=since, now=now)
        items, page = self._page("interviews", run, {"include_deleted_data": "true"})
        polled = []
        for one in items:
            application = text(one, "application")
            if application:
                why = "Merge's interview names no address"
                about = NeedsLookup(what="application", id=application[:80], event="interview", why=why)
                key = f"{text(one, 'id')}:{text(one, 'modified_at')}"
                polled.append(Polled(key, about, None, moment(one, "start_at")))
        following, more = run.following(page)
        return Found(polled, following, more)

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        items, page = self._page("applications", run, {"expand": "candidate,offers"})
        found = []
        for one in items:
            rejected = moment(one, "rejected_at")
            hired = any(text(offer, "status") in HIRED for offer in every(one, "offers"))
            state: State = "hired" if hired else "rejected" if rejected else "in_process"
            if at(one, "remote_was_deleted") is True:
                state = "none"
            addresses = texts(one, "candidate.email_addresses", "value")
            found.append(Person(text(one, "id"), addresses, state, rejected))
        following, more = run.following(page)
        return People(found, following, more)

    def find_person(self, address: str) -> str | None:
        query = {"email_addresses": address, "page_size": "10"}
        listed = every(self._api.ask("GET", "candidates", query=query), "results")
        mine = [
            c for c in listed if address.lower() in (a.lower() for a in texts(c, "email_addresses", "value"))
        ]
        return text(mine[0], "id") or None if mine else None

    def write_note(self, person: str, note: str) -> str:
        model = {"candidate": person, "activity_type": "NOTE", "subject": "Outreach", "body": note}
        body = {"model": {**model, "visibility": "PUBLIC"}, "remote_user_id": self._user}
        return text(self._api.ask("POST", "activities", body=body), "model.id")

    def find_note(self, person: str, marker: str) -> str | None:
        raise AtsNotFound("Merge lists no notes of one person.")

    def _page(self, path: str, run: Pass, more: dict[str, str]) -> tuple[list[Any], str]:
        query = {"page_size": "100", **more}
        if run.since:
            query["modified_after"] = run.since
        if run.page:
            query["cursor"] = run.page
        page = self._api.ask("GET", path, query=query)
        return entries(page, "results", "Merge"), text(page, "next")
