"""What a system told when it was asked, in our own words, as it is stored until it is acted on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

from outreach_sdk.domain import events
from outreach_sdk.domain.events import Event, Received, Unreadable
from outreach_sdk.domain.payload import parse_object

__all__ = ["as_body", "read"]

KINDS = {
    kind.__name__: kind
    for kind in (
        events.MeetingBooked,
        events.MeetingCanceled,
        events.InterviewScheduled,
        events.InterviewCanceled,
        events.NeedsLookup,
    )
}


def as_body(event: Event) -> bytes:
    """The event as JSON."""
    values = dataclasses.asdict(event)
    told = {k: v.isoformat() if isinstance(v, dt.datetime) else v for k, v in values.items()}
    return json.dumps({"kind": type(event).__name__, **told}, ensure_ascii=False).encode()


def read(received: Received) -> list[Event]:
    """A `Reader` of what `as_body` wrote."""
    found: dict[str, Any] = parse_object(received.body)
    kind = KINDS.get(str(found.pop("kind", "")))
    if kind is None:
        raise Unreadable("it names no kind of event")
    try:
        for name, value in found.items():
            if name.endswith("_at") and value is not None:
                found[name] = dt.datetime.fromisoformat(value)
        if "addresses" in found:
            found["addresses"] = tuple(found["addresses"])
        return [kind(**found)]
    except (TypeError, ValueError):
        raise Unreadable("it isn't an event as it was written") from None
