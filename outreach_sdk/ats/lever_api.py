"""Lever's API (https://hire.lever.co/developer/documentation): the key as user name, `next` as the next `offset`.

Interviews are listed by opportunity only, so what is polled are opportunities that changed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.http import basic
from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import MAX_PAGES, Api, Found, People, Person, Polled, State
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import at, every, moment, text, texts

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.lever.co/v1"
EVENTS = ("interviewCreated", "interviewUpdated", "interviewDeleted", "candidateStageChange")


def headers(key: str) -> dict[str, str]:
    return basic(key)


class Account:
    """See `ats.port`."""

    can_list_notes = True

    takes_secret = False
    lists_hooks = True
    events_apart = EVENTS

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api
        self._hired: frozenset[str] | None = None

    def check(self) -> None:
        self._api.ask("GET", "opportunities", query={"limit": "1"})

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        path = f"opportunities/{quote(about.id, safe='')}"
        opportunity = at(self._api.ask("GET", path), "data")
        addresses, found = texts(opportunity, "emails"), []
        for interview in self._all(f"{path}/interviews"):
            made, dropped = moment(interview, "createdAt"), moment(interview, "canceledAt")
            told: dict[str, Any] = {
                "external_id": f"interview:{text(interview, 'id')}",
                # There is no time of a change: what is seen last counts.
                "occurred_at": dropped or received_at,
                "addresses": addresses,
                "starts_at": moment(interview, "date"),
                "title": text(interview, "subject"),
                "link": text(opportunity, "urls.show"),
            }
            event: Event = (
                InterviewScheduled(**told, booked_at=made) if dropped is None else InterviewCanceled(**told)
            )
            found.append(event)
        return found

    def interviews(self, cursor: str | None, *, since: dt.datetime, now: dt.datetime) -> Found:
        run = Pass.read(cursor, since=since, now=now)
        items, page = self._page(run)
        polled = []
        for one in items:
            about = NeedsLookup(
                what="opportunity", id=text(one, "id")[:80], event="interview", why="It may have an interview"
            )
            key = f"{text(one, 'id')}:{text(one, 'updatedAt') or text(one, 'lastInteractionAt')}"
            polled.append(Polled(key, about, texts(one, "emails")))
        following, more = run.following(page)
        return Found(polled, following, more)

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        items, page = self._page(run)
        found = []
        for one in items:
            archived = moment(one, "archived.archivedAt")
            state: State = "in_process"
            if archived is not None:
                state = "hired" if text(one, "archived.reason") in self._hired_reasons() else "rejected"
            elif not every(one, "applications"):
                state = "none"  # a lead, in no process yet
            found.append(Person(text(one, "id"), texts(one, "emails"), state, archived))
        following, more = run.following(page)
        return People(found, following, more)

    def find_person(self, address: str) -> str | None:
        listed = every(self._api.ask("GET", "opportunities", query={"email": address, "limit": "10"}), "data")
        mine = [o for o in listed if address.lower() in (a.lower() for a in texts(o, "emails"))]
        return text(mine[0], "id") or None if mine else None

    def write_note(self, person: str, note: str) -> str:
        path = f"opportunities/{quote(person, safe='')}/notes"
        return text(self._api.ask("POST", path, body={"value": note}), "data.id")

    def find_note(self, person: str, marker: str) -> str | None:
        notes = self._all(f"opportunities/{quote(person, safe='')}/notes")
        return next((text(n, "id") for n in notes if marker in json.dumps(n)), None)

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        # The signature token is the account's, made by Lever: `secret` can't be chosen.
        answer = self._api.ask("POST", "webhooks", body={"url": target, "event": event})
        return Hook(text(answer, "data.id"), target, why=event)

    def hooks(self) -> list[Hook]:
        return [
            Hook(text(one, "id"), text(one, "url"), why=text(one, "event"))
            for one in every(self._api.ask("GET", "webhooks"), "data")
        ]

    def unsubscribe(self, external_id: str) -> None:
        self._api.ask("DELETE", f"webhooks/{quote(external_id, safe='')}")

    def _hired_reasons(self) -> frozenset[str]:
        if self._hired is None:
            reasons = self._api.ask("GET", "archive_reasons", query={"type": "hired"})
            self._hired = frozenset(text(one, "id") for one in every(reasons, "data"))
        return self._hired

    def _page(self, run: Pass) -> tuple[list[Any], str]:
        query = {"limit": "100"}
        if run.since:
            since = dt.datetime.fromisoformat(run.since)
            query["updated_at_start"] = str(int(since.timestamp() * 1000))
        if run.page:
            query["offset"] = run.page
        page = self._api.ask("GET", "opportunities", query=query)
        return entries(page, "data", "Lever"), text(page, "next") if at(page, "hasNext") is True else ""

    def _all(self, path: str) -> Iterator[Any]:
        query = {"limit": "100"}
        for _ in range(MAX_PAGES):
            page = self._api.ask("GET", path, query=query)
            yield from every(page, "data")
            following = text(page, "next")
            if at(page, "hasNext") is not True or not following:
                return
            query["offset"] = following
