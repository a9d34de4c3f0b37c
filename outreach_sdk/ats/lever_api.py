"""Lever's API (https://hire.lever.co/developer/documentation): the key as user name, `next` as the next `offset`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.port import MAX_PAGES, Api
from outreach_sdk.domain.events import Event, InterviewCanceled, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import at, every, moment, text, texts

__all__ = ["LEVER", "LeverAsker"]

LEVER = "https://api.lever.co/v1"


class LeverAsker:
    """See `ats.port.Asker`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def look_up(self, about: NeedsLookup, received_at: dt.datetime) -> list[Event]:
        path = f"opportunities/{quote(about.id, safe='')}"
        opportunity = at(self._api.ask("GET", path), "data")
        addresses, found = texts(opportunity, "emails"), []
        for interview in self._interviews(f"{path}/interviews"):
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

    def _interviews(self, path: str) -> Iterator[Any]:
        query = {"limit": "100"}
        for _ in range(MAX_PAGES):
            page = self._api.ask("GET", path, query=query)
            yield from every(page, "data")
            following = text(page, "next")
            if at(page, "hasNext") is not True or not following:
                return
            query["offset"] = following
