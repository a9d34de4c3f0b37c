"""Recruitee's API (https://docs.recruitee.com/reference): candidates with their placements, one for each job.

The search tells who changed and who was disqualified, the list who was hired: each page takes one request of both."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.ats.paging import Pass, entries
from outreach_sdk.ats.port import Api, People, Person, State
from outreach_sdk.domain.payload import at, every, moment, text, texts

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.recruitee.com/c/{account}"
PAGE = 100
JOB = "job"
"""The kind of an offer that is a job; the other kind is a talent pool."""


def headers(key: str) -> dict[str, str]:
    """`key` is `company id:token`."""
    return {"Authorization": f"Bearer {key.partition(':')[2]}"}


class Account:
    """See `ats.port`."""

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._api.ask("GET", "candidates", query={"limit": "1"})

    def people(self, cursor: str | None, *, now: dt.datetime) -> People:
        run = Pass.read(cursor, since=None, now=now)
        number = int(run.page or 1)
        query = {"limit": str(PAGE), "page": str(number), "sort_by": "created_at_desc"}
        if run.since:
            since = int(dt.datetime.fromisoformat(run.since).timestamp())
            # Moving somebody on leaves `updated_at` as it was.
            query["filters_json"] = json.dumps([{"field": "last_activity_at", "gte": since}])
        hits = entries(self._api.ask("GET", "search/new/candidates", query=query), "hits", "Recruitee")
        hired = self._hired([name for one in hits if (name := text(one, "id"))])
        found = [
            Person(text(placement, "id"), texts(one, "emails"), _state(one, placement, hired), when)
            for one in hits
            for placement in every(one, "placements")
            for when in [moment(placement, "disqualified_at")]
        ]
        following, more = run.following(str(number + 1) if len(hits) >= PAGE else "")
        return People(found, following, more)

    def _hired(self, candidates: list[str]) -> set[str]:
        """Those of the placements of candidates in which they were hired."""
        if not candidates:
            return set()
        query = {"ids": ",".join(candidates), "limit": str(len(candidates))}
        listed = entries(self._api.ask("GET", "candidates", query=query), "candidates", "Recruitee")
        return {
            text(placement, "id")
            for one in listed
            for placement in every(one, "placements")
            if text(placement, "hired_at") or at(placement, "hired_in_this_placement") is True
        }


def _state(candidate: Any, placement: Any, hired: set[str]) -> State:
    kind = text(placement, "offer.kind")
    if at(candidate, "deleted") is True or (kind and kind != JOB):
        return "none"
    if at(placement, "disqualified") is True:
        return "rejected"
    return "hired" if text(placement, "id") in hired else "in_process"
