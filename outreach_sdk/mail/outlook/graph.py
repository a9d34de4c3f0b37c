"""Requests to Microsoft Graph: which are repeated, what may go wrong, how many at a time."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from outreach_sdk.errors import MailOutcomeUnknown, MailTemporary
from outreach_sdk.mail.outlook.parse import error_from

__all__ = ["GRAPH", "PAGE", "READ_ATTEMPTS", "Graph"]

GRAPH = "https://graph.microsoft.com"
READ_ATTEMPTS = 3
PAGE = 200
SLOTS = 4
"""Requests at a time that Exchange allows one application in one mailbox
(https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits)."""

Fields = Mapping[str, str]
Body = Mapping[str, Any]


class _Bearer(requests.auth.AuthBase):
    """As `auth=`, so that a .netrc can't put something else in its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Graph:
    """One mailbox's requests, from any number of threads, four at a time. Paths are below /v1.0/.

    `token` is called with None for an access token that should work, or with one that was refused for
    another.
    """

    def __init__(
        self,
        token: Callable[[str | None], str],
        *,
        session: requests.Session,
        endpoint: str,
        timeout: float,
        retry_delay: float,
    ) -> None:
        self._token = token
        self._session = session
        self._base = f"{endpoint.rstrip('/')}/v1.0/"
        self._timeout = timeout
        self._retry_delay = retry_delay
        self._slots = threading.BoundedSemaphore(SLOTS)

    def ask(self, method: str, path: str, *, body: Body | None = None) -> dict[str, Any]:
        """Once. MailTemporary leaves open whether it was done."""
        return _object(self._answer(method, path, body=body))

    def send(self, path: str) -> None:
        """Once, no body. MailOutcomeUnknown leaves open whether it was done; MailTemporary, which a token
        that couldn't be had raises, says that it wasn't."""
        self._answer("POST", path, sending=True)

    def read(
        self, method: str, path: str, fields: Fields | None = None, *, body: Body | None = None
    ) -> dict[str, Any]:
        """Repeated where it may help, so only for what reads, or does nothing the second time."""
        return _object(self._repeated(method, path, fields, body=body))

    def content(self, path: str) -> bytes:
        """The bytes behind one message's `path`, asked for as `read` does. MailRefused where it alone is kept from us."""
        return self._repeated("GET", path, alone=True).content

    def whole(self, path: str, fields: Fields) -> dict[str, Any]:
        """One message, asked for likewise."""
        return _object(self._repeated("GET", path, fields, alone=True))

    def pages(self, path: str, fields: Fields, *, at_most: int | None = None) -> Iterator[dict[str, Any]]:
        """The entries of a collection."""
        page = self.read("GET", path, {**fields, "$top": str(PAGE)})
        pages = 1
        while True:
            yield from page.get("value") or ()
            following = page.get("@odata.nextLink")
            if not following or pages == at_most:
                return
            if urlsplit(following)[:2] != urlsplit(self._base)[:2]:  # the token would go there
                raise MailTemporary("Outlook named a next page on another server.")
            page = self.read("GET", following)
            pages += 1

    def round(
        self, link: str, fields: Fields, *, at_most: int = 50
    ) -> tuple[list[dict[str, Any]], str, bool]:
        """(entries, link, done) of a delta round begun at a path or gone on with at a link: up to its deltaLink, or to
        the nextLink after `at_most` pages, from which it goes on."""
        found: list[dict[str, Any]] = []
        for _ in range(at_most):
            page = _object(self._repeated("GET", link, fields, pages_of=PAGE))
            found += page.get("value") or ()
            link, fields = str(page.get("@odata.deltaLink") or page.get("@odata.nextLink") or ""), {}
            if not link:
                raise MailTemporary("Outlook ended a round of changes without saying where the next begins.")
            if urlsplit(link)[:2] != urlsplit(self._base)[:2]:
                raise MailTemporary("Outlook named a next page on another server.")
            if page.get("@odata.deltaLink"):
                return found, link, True
        return found, link, False

    def pause(self, attempt: int) -> None:
        time.sleep(self._retry_delay * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311

    def close(self) -> None:
        self._session.close()

    def _repeated(
        self,
        method: str,
        path: str,
        fields: Fields | None = None,
        *,
        body: Body | None = None,
        pages_of: int | None = None,
        alone: bool = False,
    ) -> requests.Response:
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._answer(method, path, fields, body=body, pages_of=pages_of, alone=alone)
            except MailTemporary:
                if attempt == READ_ATTEMPTS - 1:
                    raise
                self.pause(attempt)
        raise AssertionError("unreachable")

    def _answer(
        self,
        method: str,
        path: str,
        fields: Fields | None = None,
        *,
        body: Body | None = None,
        sending: bool = False,
        pages_of: int | None = None,
        alone: bool = False,
    ) -> requests.Response:
        token = self._token(None)
        answer = self._once(method, path, fields, body, token, sending, pages_of)
        if answer.status_code == 401 and not sending:
            # Refused before anything was done: the token may have been taken back before its time was over.
            answer = self._once(method, path, fields, body, self._token(token), sending, pages_of)
        if 200 <= answer.status_code < 300:
            return answer
        now = dt.datetime.now(dt.UTC)
        raise error_from(
            answer.status_code, answer.headers, answer.content, sending=sending, alone=alone, now=now
        )

    def _once(
        self,
        method: str,
        path: str,
        fields: Fields | None,
        body: Body | None,
        token: str,
        sending: bool,
        pages_of: int | None,
    ) -> requests.Response:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in (fields or {}).items())
        url = path if path.startswith(self._base) else self._base + path + (f"?{query}" if query else "")
        headers = {"Prefer": 'IdType="ImmutableId"' + (f", odata.maxpagesize={pages_of}" if pages_of else "")}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            with self._slots:
                return self._session.request(
                    method,
                    url,
                    data=json.dumps(body).encode() if body is not None else None,
                    headers=headers,
                    auth=_Bearer(token),
                    timeout=self._timeout,
                    allow_redirects=False,
                )
        except requests.RequestException as exc:
            kind = MailOutcomeUnknown if sending else MailTemporary
            raise kind(f"Outlook didn't answer ({type(exc).__name__}).") from exc


def _object(answer: requests.Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        read = answer.json()
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise MailTemporary("Outlook answered something that isn't JSON.")
    return read
