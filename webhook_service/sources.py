"""Each source as data: who signs how, what names a delivery, which headers are kept, and the answer that counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from webhook_service.signatures import CHECKS, Check, generic

__all__ = ["ATS", "CALENDLY", "Source", "generic_source", "shortlist_source"]

Headers = Mapping[str, str]


def content_id(body: bytes, headers: Headers) -> str:
    """For a sender that offers no id: a repeat has the same bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _by_header(name: str) -> Callable[[bytes, Headers], str]:
    def find(body: bytes, headers: Headers) -> str:
        return headers.get(name, "").strip()[:200] or content_id(body, headers)

    return find


def _by_fields(*names: str) -> Callable[[bytes, Headers], str]:
    def find(body: bytes, headers: Headers) -> str:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        values = [data.get(name) for name in names] if isinstance(data, dict) else [None]
        # Not what the sender documents: its bytes name it.
        if any(isinstance(v, bool) or not isinstance(v, (str, int)) or v == "" for v in values):
            return content_id(body, headers)
        return ":".join(str(v) for v in values).encode("ascii", "backslashreplace").decode()[:200]

    return find


@dataclass(frozen=True)
class Source:
    """One sender. `secrets` is the name its secrets are configured under."""

    name: str
    secrets: str
    check: Check
    delivery_id: Callable[[bytes, Headers], str] = content_id
    keep: tuple[str, ...] = ()
    success: int = 200


def _ats(name: str, **more: Any) -> Source:
    return Source(name, name, CHECKS[name], **more)


CALENDLY = Source("calendly", "calendly", CHECKS["calendly"])

ATS: Mapping[str, Source] = {
    source.name: source
    for source in (
        _ats("greenhouse", delivery_id=_by_header("Greenhouse-Event-ID")),
        _ats("lever", delivery_id=_by_fields("token")),
        # Related events bear one webhookActionId, so the action belongs to what names a delivery.
        _ats("ashby", delivery_id=_by_fields("webhookActionId", "action")),
        _ats("workable", delivery_id=_by_fields("id")),
        _ats(
            "smartrecruiters",
            delivery_id=_by_header("event-id"),
            keep=("event-name", "event-version", "link"),
            success=202,
        ),
        _ats("teamtailor"),
        # attempt_count is in the body, so a repeat has other bytes.
        _ats("recruitee", delivery_id=_by_fields("id")),
        _ats("merge"),
    )
}


def shortlist_source(name: str) -> Source:
    """People for the shortlist of this name."""
    return Source(f"shortlist:{name}", "shortlist", generic({}))


def generic_source(name: str, check: Check) -> Source:
    """A configured one."""
    return Source(f"generic:{name}", name, check)
