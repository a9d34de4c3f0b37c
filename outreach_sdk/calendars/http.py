"""Requests to calendars: what may go wrong, and what it means."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from outreach_sdk.domain.http_answers import retry_after
from outreach_sdk.domain.payload import text
from outreach_sdk.errors import CalendarDenied, CalendarUnavailable, MailError

__all__ = ["HttpCalendarApi"]

LONGEST_WAIT = 3_600.0
GONE = ("fullSyncRequired", "updatedMinTooLongAgo", "SyncStateNotFound", "SyncStateInvalid", "resyncRequired")
"""What may come with another status than 410 and means the same."""

CONSENT = "consent doesn't cover it. Connect the mailbox again and allow it."
SWITCHED_OFF = "{name} isn't switched on for the application: enable its API, then connect again."
FORBIDDEN = "whoever administers the account doesn't allow it. Connect the mailbox again once they do."
# What comes with a 403 and lasts (https://developers.google.com/workspace/calendar/api/guides/errors,
# https://learn.microsoft.com/graph/resolve-auth-errors). Any other 403 is a rate, a bad day or something on the way.
DENIED = {
    "insufficientPermissions": CONSENT,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": CONSENT,
    "ErrorAccessDenied": CONSENT,
    "AccessDenied": CONSENT,
    "accessDenied": CONSENT,
    "Authorization_RequestDenied": CONSENT,
    "accessNotConfigured": SWITCHED_OFF,
    "SERVICE_DISABLED": SWITCHED_OFF,
    "domainPolicy": FORBIDDEN,
    "notACalendarUser": "the account has no calendar. Connect the mailbox again once it does.",
}


class _Bearer(requests.auth.AuthBase):
    """As `auth=`, so that a .netrc can't put something else in its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HttpCalendarApi:
    """See `calendars.port.CalendarApi`. `token` gives an access token: called with None for one that should work, or
    with one that was refused, for another; it may raise MailError."""

    def __init__(
        self,
        name: str,
        base_url: str,
        token: Callable[[str | None], str],
        *,
        session: requests.Session,
        timeout: float,
    ) -> None:
        self._name, self._base = name, base_url.rstrip("/") + "/"
        self._token, self._session, self._timeout = token, session, timeout

    def get(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        url = self._base + path
        if "://" in path:
            if urlsplit(path)[:2] != urlsplit(self._base)[:2]:  # the token would go there
                raise CalendarUnavailable(f"{self._name} named a page on another server.")
            url = path
        token = self._asked(None)
        answer = self._once(url, query, headers, token)
        if answer.status_code == 401:
            answer = self._once(url, query, headers, self._asked(token))
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            found = None
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        if answer.status_code in (404, 410) or _reason(found) in GONE:
            return None
        raise self._error(answer, _reason(found))

    def close(self) -> None:
        self._session.close()

    def _asked(self, refused: str | None) -> str:
        try:
            return self._token(refused)
        except MailError as exc:  # a dead grant is found, and told of, where e-mails are read
            raise CalendarUnavailable(str(exc), retry_after=exc.retry_after) from None

    def _once(
        self,
        url: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        token: str,
    ) -> requests.Response:
        try:
            return self._session.get(
                url,
                params=dict(query or {}),
                headers=dict(headers or {}),
                auth=_Bearer(token),
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as exc:
            raise CalendarUnavailable(f"{self._name} can't be reached ({type(exc).__name__}).") from None

    def _error(self, answer: requests.Response, reason: str) -> CalendarUnavailable | CalendarDenied:
        status = answer.status_code
        wait = retry_after(answer.headers, dt.datetime.now(dt.UTC))
        if status == 403 and reason in DENIED:
            return CalendarDenied(DENIED[reason].format(name=self._name))
        if status == 200:
            return CalendarUnavailable(f"{self._name} answered something that isn't what it documents.")
        return CalendarUnavailable(
            f"{self._name} answered {status}.", retry_after=None if wait is None else min(wait, LONGEST_WAIT)
        )


def _reason(found: Any) -> str:
    """Google's reason or Graph's code of an error."""
    return text(found, "error.errors.0.reason") or text(found, "error.code")
