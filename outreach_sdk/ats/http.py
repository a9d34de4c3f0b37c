"""Requests to applicant tracking systems: what may go wrong, and what it means."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import requests
from requests.auth import HTTPBasicAuth

from outreach_sdk.domain.http_answers import retry_after
from outreach_sdk.errors import AtsDenied, AtsError, AtsNotFound, AtsUnavailable

__all__ = ["HttpApi"]

LONGEST_WAIT = 3_600.0


class HttpApi:
    """See `ats.port.Api`. The key is the user's name, without a password; each request is tried once: who asks
    tries again."""

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str,
        *,
        session: requests.Session,
        timeout: float,
    ) -> None:
        self._name, self._base = name, base_url.rstrip("/") + "/"
        self._auth, self._session, self._timeout = HTTPBasicAuth(key, ""), session, timeout

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The JSON object it answers. AtsError."""
        try:
            answer = self._session.request(
                method,
                self._base + path,
                params=dict(query or {}),
                json=body,
                auth=self._auth,
                timeout=self._timeout,
                allow_redirects=False,  # the key would go along
            )
        except requests.RequestException as exc:
            # Without its text, which may quote the address asked for.
            raise AtsUnavailable(f"{self._name} can't be reached ({type(exc).__name__}).") from None
        if not 200 <= answer.status_code < 300:
            raise self._error(answer)
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise AtsUnavailable(f"{self._name} answered something that isn't what it documents.")
        return found

    def _error(self, answer: requests.Response) -> AtsError:
        status = answer.status_code
        wait = retry_after(answer.headers, dt.datetime.now(dt.UTC))
        wait = None if wait is None else min(wait, LONGEST_WAIT)
        if status in (401, 403):
            return AtsDenied(f"{self._name} refuses the key ({status}). Check it, and what it may read.")
        if status in (404, 410):
            return AtsNotFound(f"{self._name} knows no such thing.")
        return AtsUnavailable(f"{self._name} answered {status}.", retry_after=wait)
