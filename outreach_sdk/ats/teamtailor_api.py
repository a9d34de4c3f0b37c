"""Teamtailor's API (https://docs.teamtailor.com, JSON:API): whose an application is, and in which stage it stands."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

from outreach_sdk.ats.port import Api
from outreach_sdk.domain.events import Event, InterviewScheduled, NeedsLookup
from outreach_sdk.domain.payload import every, moment, text

__all__ = ["BASE", "Account", "headers"]

BASE = "https://api.teamtailor.com/v1"
VERSION = "20240404"


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Token token={key}", "X-Api-Version": VERSION}


class Account:
    """See `ats.port`."""

    def __init__(self, api: Api, key: str = "") -> None:
        self._api = api

    def check(self) -> None:
        self._api.ask("GET", "candidates", query={"page[size]": "1"})

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


def _interviews(stage: Any) -> bool:
    """Whether a stage is one of interviews: by its kind where it is given, else by its name."""
    kind = text(stage, "attributes.stage-type") or text(stage, "attributes.type")
    return "interview" in (kind or text(stage, "attributes.name")).lower()
