"""One HTTP call to a provider: bounded in time and size, every failure one of ours, the key in none of them."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import requests

from outreach_sdk.domain.http_answers import retry_after
from outreach_sdk.enrichment.port import Answer, Person
from outreach_sdk.errors import (
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderSpent,
    ProviderUnavailable,
    ProviderUnusable,
)

__all__ = ["Reply", "Vendor"]

MAX_BODY = 1024 * 1024
LONGEST_WAIT = 3600.0

STATUSES: Mapping[int, str] = {
    400: "unusable", 401: "denied", 402: "spent", 403: "denied", 404: "unusable", 408: "down", 422: "unusable",
    429: "busy",
}  # fmt: skip


class _NoQuery(logging.Filter):
    """Takes the query out of what urllib3 logs: it holds keys of those who want them there, and people."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(re.sub(r"\?\S*", "?…", a) if isinstance(a, str) else a for a in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_NoQuery())


@dataclass(frozen=True, slots=True)
class Reply:
    """`meaning`: ok, or what the vendor's own table makes of the status; `data` what was parsed."""

    status: int
    meaning: str
    data: dict[str, Any]
    headers: Mapping[str, str]


class Vendor:
    """What adapters share. `statuses` maps HTTP statuses that mean something of their own to: ok, miss, denied,
    spent, busy, down, unusable."""

    name: ClassVar[str]
    title: ClassVar[str]
    base: ClassVar[str]
    pace: ClassVar[float] = 0.2
    fields: ClassVar[frozenset[str]] = frozenset()
    statuses: ClassVar[Mapping[int, str]] = {}

    def __init__(
        self,
        key: Callable[[], str],
        *,
        endpoint: str | None = None,
        session: requests.Session | None = None,
        timeout: float = 30.0,
        callback_url: str | None = None,
    ) -> None:
        self._key = key
        self._base = (endpoint or self.base).rstrip("/")
        self._session = session or requests.Session()
        self._session.auth = lambda request: request  # else a .netrc would replace our Authorization
        self._timeout = timeout
        self._callback_url = callback_url

    def close(self) -> None:
        self._session.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base})"

    def cannot(self, person: Person, field: str) -> str | None:
        """Most look by profile, or by name and employer."""
        return (
            None if person.linkedin or person.named else "It needs a LinkedIn URL, or a name and an employer."
        )

    def auth(self) -> dict[str, str]:
        """The headers that bear the key."""
        return {}

    def refine(self, reply: Reply) -> Reply:
        """What a vendor says beside the status, before the status is acted on."""
        return reply

    def fetch(self, request_id: str, field: str) -> Answer:
        """Those who answer at once have no requests to ask about."""
        raise ProviderUnusable(f"{self.title} has no pending requests.")

    def call(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, **body: Any) -> Reply:
        """One call. `ok` and `miss` come back; everything else is raised."""
        until = time.monotonic() + self._timeout
        try:
            with self._session.request(
                method,
                self._base + path,
                params=params,
                headers={"Accept": "application/json", **self.auth()},
                timeout=(min(10.0, self._timeout), self._timeout),
                allow_redirects=False,
                stream=True,
                **body,
            ) as response:
                raw = self._read(response, until)
                status, headers = response.status_code, dict(response.headers)
        except (requests.RequestException, OSError):
            raise ProviderUnavailable(f"{self.title} can't be reached or didn't answer in time.") from None
        meaning = self.statuses.get(status) or STATUSES.get(status)
        if meaning is None:
            meaning = "ok" if 200 <= status < 300 else "down" if status >= 500 else "unusable"
        reply = self.refine(Reply(status, meaning, self._object(raw, needed=meaning == "ok"), headers))
        if reply.meaning not in ("ok", "miss", "pending"):
            raise self._error(reply)
        return reply

    def _read(self, response: requests.Response, until: float) -> bytes:
        body = bytearray()
        for piece in response.iter_content(16_384):
            body += piece
            if len(body) > MAX_BODY:
                raise ProviderUnusable(f"{self.title}'s answer is too long.")
            if time.monotonic() > until:
                raise ProviderUnavailable(f"{self.title} didn't answer in time.")
        return bytes(body)

    def _object(self, raw: bytes, *, needed: bool) -> dict[str, Any]:
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            found = {"list": found}
        if isinstance(found, dict):
            return found
        if needed:
            raise ProviderUnusable(f"{self.title}'s answer can't be read.")
        return {}

    def _error(self, reply: Reply) -> ProviderError:
        wait = retry_after(reply.headers, dt.datetime.now(dt.UTC))
        wait = None if wait is None else min(max(wait, 1.0), LONGEST_WAIT)
        match reply.meaning:
            case "denied":
                return ProviderDenied(f"{self.title} refuses the key or the account ({reply.status}).")
            case "spent":
                return ProviderSpent(f"The account with {self.title} has no credits left.")
            case "busy":
                return ProviderBusy(f"{self.title} says: not now.", retry_after=wait)
            case "down":
                return ProviderUnavailable(
                    f"{self.title} is out of order ({reply.status}).", retry_after=wait
                )
        return ProviderUnusable(f"{self.title} can't take the question ({reply.status}).")
