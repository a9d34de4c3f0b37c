"""Workable's API (https://workable.readme.io/reference): candidates, one for each job they are in, and subscriptions.
What it signs with is the token itself."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Api, People, Person, State
from outreach_sdk.domain.hooks import Hook
from outreach_sdk.domain.payload import at, every, moment, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://{account}.workable.com/spi/v3"
PAGE = 100
HIRED = "hired"
SOURCED = "sourced"
"""The kind of the stage of those whom somebody found and who are in no process yet."""


def headers(key: str) -> dict[str, str]:
    """`key` is `subdomain:token`."""
    return {"Authorization": f"Bearer {key.partition(':')[2]}"}


class Account:
    """See `ats.port`."""

    takes_secret = False
    lists_hooks = True
    events_apart: tuple[str, ...] = ()

    def __init__(self, api: Api, key: str = "") -> None:
        self._api, self._account = api, key.partition(":")[0]

    def check(self) -> None:
        self._api.ask("GET", "candidates", query={"limit": "1"})

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        # `next` is an address: only what it asks for is taken, so that the token goes nowhere else.
        query = dict(parse_qsl(run.page)) or {"limit": str(PAGE)}
        if run.since:
            query["updated_after"] = run.since
        page = self._api.ask("GET", "candidates", query=query)
        found = []
        for one in entries(page, "candidates", "Workable"):
            address = text(one, "email")
            # The list doesn't say when somebody was disqualified: no later than they changed last.
            when = moment(one, "disqualified_at") or moment(one, "updated_at")
            found.append(Person(text(one, "id"), (address,) if address else (), _state(one), when))
        following, more = run.following(urlsplit(text(page, "paging.next")).query)
        return People(found, following, more)

    def subscribe(self, target: str, secret: str, event: str = "") -> Hook:
        args = {"account_id": self._account, "job_shortcode": "", "stage_slug": ""}
        body = {"target": target, "event": "candidate_moved", "args": args}
        return Hook(text(self._api.ask("POST", "subscriptions", body=body), "id"), target)

    def hooks(self) -> list[Hook]:
        listed = every(self._api.ask("GET", "subscriptions"), "subscriptions")
        return [Hook(text(one, "id"), text(one, "target")) for one in listed]

    def unsubscribe(self, external_id: str) -> None:
        self._api.ask("DELETE", f"subscriptions/{quote(external_id, safe='')}")


def _state(candidate: Any) -> State:
    kind = (text(candidate, "stage_kind") or text(candidate, "stage")).lower()
    if at(candidate, "disqualified") is True:  # also of whoever withdrew
        return "rejected"
    if text(candidate, "hired_at") or kind == HIRED:
        return "hired"
    return "none" if kind == SOURCED else "in_process"
