"""Requests to applicant tracking systems: what may go wrong, and what it means."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from typing import Any

import requests

from outreach_sdk.domain.http_answers import retry_after
from outreach_sdk.errors import (
    AtsDenied,
    AtsError,
    AtsNotFound,
    AtsOutcomeUnknown,
    AtsRefused,
    AtsUnavailable,
)

__all__ = ["HttpApi", "basic"]

LONGEST_WAIT = 3_600.0


def basic(user: str, password: str = "") -> dict[str, str]:
    """The header that names a user."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class _Headers(requests.auth.AuthBase):
    """As `auth=`, so that a .netrc can't put something else in their place."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class HttpApi:
    """See `ats.port.Api`. `headers` prove who asks; each request is tried once: who asks tries again."""

    def __init__(
        self,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        session: requests.Session,
        timeout: float,
    ) -> None:
        self._name, self._base = name, base_url.rstrip("/") + "/"
        self._auth, self._session, self._timeout = _Headers(headers), session, timeout

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        found = self._ask(method, path, query, body, headers)
        if not isinstance(found, dict):
            raise self._lost(method)(f"{self._name} answered something that isn't what it documents.")
        return found

    def listing(self, path: str, query: Mapping[str, str] | None = None) -> list[Any]:
        found = self._ask("GET", path, query, None, None)
        if not isinstance(found, list):
            raise AtsUnavailable(f"{self._name} answered something that isn't what it documents.")
        return found

    @staticmethod
    def _lost(method: str) -> type[AtsUnavailable]:
        return AtsUnavailable if method == "GET" else AtsOutcomeUnknown

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        lost = self._lost(method)
        try:
            answer = self._session.request(
                method,
                self._base + path,
                params=dict(query or {}),
                json=body,
                headers=dict(headers or {}),
                auth=self._auth,
                timeout=self._timeout,
                allow_redirects=False,  # the key would go along
            )
        except requests.ConnectTimeout:
            raise AtsUnavailable(f"{self._name} can't be reached (ConnectTimeout).") from None
        except requests.RequestException as exc:
            # Without its text, which may quote the address asked for.
            raise lost(f"{self._name} can't be reached ({type(exc).__name__}).") from None
        if not 200 <= answer.status_code < 300:
            raise self._error(answer, lost)
        if not answer.content:
            return {}
        try:
            return answer.json()
        except (ValueError, RecursionError):
            return None

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def _error(self, answer: requests.Response, lost: type[AtsUnavailable]) -> AtsError:
        status = answer.status_code
        wait = retry_after(answer.headers, dt.datetime.now(dt.UTC))
        wait = None if wait is None else min(wait, LONGEST_WAIT)
        if status in (401, 403):
            return AtsDenied(f"{self._name} refuses the key ({status}). Check it, and what it may read.")
        if status in (404, 410):
            return AtsNotFound(f"{self._name} knows no such thing.")
        if status in (400, 405, 409, 413, 415, 422):
            return AtsRefused(f"{self._name} refused it ({status}).")
        if status == 429 or status < 500:
            return AtsUnavailable(f"{self._name} answered {status}.", retry_after=wait)
        return lost(f"{self._name} answered {status}.", retry_after=wait)
