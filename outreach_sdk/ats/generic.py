"""Any system that can sign JSON: where its fields are is configured (docs/webhooks.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outreach_sdk.domain.events import (
    Event,
    InterviewCanceled,
    InterviewScheduled,
    MeetingBooked,
    MeetingCanceled,
    NotForUs,
    Received,
    Unreadable,
)
from outreach_sdk.domain.payload import moment, parse_object, text, texts

__all__ = ["GenericReader"]


class GenericReader:
    """A `Reader` by configuration: `fields` are paths (`candidate.email`), `scheduled` and `canceled` the values of
    `fields["event"]` that mean so, `kind` "interview", "ats" or "meeting"."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.paths: Mapping[str, str] = config["fields"]
        self.scheduled = frozenset(config.get("scheduled") or ())
        self.canceled = frozenset(config.get("canceled") or ())
        self.kind = config.get("kind", "interview")

    def __call__(self, received: Received) -> list[Event]:
        """See `ats.port.Reader`."""
        data = parse_object(received.body)

        def one(name: str) -> str:
            return text(data, self.paths[name]) if name in self.paths else ""

        def when(name: str) -> Any:
            return moment(data, self.paths[name]) if name in self.paths else None

        event = one("event")
        stands = event in self.scheduled or (not self.scheduled and event not in self.canceled)
        if not stands and event not in self.canceled:
            return [NotForUs("Its event is none of those configured")]
        if not one("id"):
            raise Unreadable("the id isn't where the configuration says")
        common: dict[str, Any] = {
            "external_id": one("id"),
            "occurred_at": when("occurred_at") or received.received_at,
            "addresses": texts(data, self.paths["email"]) if "email" in self.paths else (),
            "token": one("token") or None,
            "starts_at": when("starts_at"),
            "booked_at": when("booked_at"),
            "title": one("title"),
            "link": one("link"),
        }
        if self.kind == "meeting":
            return [MeetingBooked(**common) if stands else MeetingCanceled(**common)]
        in_ats = self.kind == "ats"
        return [InterviewScheduled(in_ats=in_ats, **common) if stands else InterviewCanceled(**common)]
