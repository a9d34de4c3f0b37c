"""Requests to Gmail: which are repeated, what may go wrong, one renewal however many threads ask."""

from __future__ import annotations

import datetime as dt
import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import google.auth.credentials
import google.auth.exceptions
import google.oauth2.credentials
import google_auth_httplib2
import googleapiclient.discovery
import googleapiclient.errors
import httplib2

from outreach_sdk.errors import MailAuthError, MailError, MailOutcomeUnknown, MailTemporary
from outreach_sdk.mail.gmail.oneshot import OneShotHttp
from outreach_sdk.mail.gmail.parse import error_from
from outreach_sdk.mail.gmail.tokens import is_dead

__all__ = ["Credentials", "GmailApi", "refresh_credentials"]

READ_ATTEMPTS = 3
IDLE_SECONDS = 20.0
"""A connection unused this long may have been closed at the other end: a send mustn't find that out."""

Credentials = google.auth.credentials.Credentials


def refresh_credentials(
    *, refresh_token: str, client_id: str, client_secret: str, token_uri: str
) -> google.oauth2.credentials.Credentials:
    """Credentials that get an access token when first used, and again when it runs out."""
    return google.oauth2.credentials.Credentials(
        token=None,
        refresh_token=refresh_token,
        client_id=client_id,
        client_secret=client_secret,
        token_uri=token_uri,
    )


class GmailApi:
    """One mailbox's requests, from any number of threads. For the arguments see `GmailTransport`."""

    def __init__(
        self,
        credentials: Credentials | Callable[[], Credentials],
        *,
        endpoint: str | None,
        timeout: float,
        http_factory: Callable[[], httplib2.Http] | None,
        retry_delay: float,
    ) -> None:
        self._credentials_from = credentials
        self._endpoint = endpoint
        self._http_factory = http_factory or (lambda: OneShotHttp(timeout=timeout))
        self._retry_delay = retry_delay
        self._lock = threading.Lock()
        self._token_lock = threading.Lock()
        self._idle: list[tuple[float, google_auth_httplib2.AuthorizedHttp]] = []
        self._closed = False
        self._known_credentials: Credentials | None = None
        self._known_users: Any = None

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for _, connection in idle:
            connection.close()

    def pages(self, request: Callable[[Any, str | None], Any], field: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            page_token = token
            page = self.read(lambda users: request(users, page_token))  # noqa: B023 - called at once
            yield from page.get(field, [])
            token = page.get("nextPageToken")
            if not token:
                return

    def read(self, request: Callable[[Any], Any]) -> dict[str, Any]:
        """A call that may be repeated: it reads, or does nothing the second time."""
        # Outside the loop: Google's library repeats a renewal by itself.
        self.fresh_credentials()
        for attempt in range(READ_ATTEMPTS):
            try:
                with self.translated():
                    return self.ask(request)
            except MailTemporary:
                if attempt == READ_ATTEMPTS - 1:
                    raise
                time.sleep(self._retry_delay * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable")

    def ask(self, request: Callable[[Any], Any]) -> dict[str, Any]:
        self.fresh_credentials()
        with self._connection() as connection:
            answer = request(self._users()).execute(http=connection, num_retries=0)
        if answer in ("", b"", None):
            return {}
        if not isinstance(answer, dict):
            raise MailTemporary("Gmail answered something that isn't JSON.")
        return answer

    def _users(self) -> Any:
        with self._lock:
            if self._known_users is None:
                service = googleapiclient.discovery.build(
                    "gmail",
                    "v1",
                    http=self._http_factory(),
                    client_options={"api_endpoint": self._endpoint} if self._endpoint else None,
                    static_discovery=True,
                    cache_discovery=False,
                )
                self._known_users = service.users()
            return self._known_users

    def fresh_credentials(self) -> Credentials:
        """Renew the access token under a lock, so that fifty threads don't ask for fifty."""
        with self._token_lock:
            if self._known_credentials is None:
                given = self._credentials_from
                self._known_credentials = given if isinstance(given, Credentials) else given()
            credentials = self._known_credentials
            if not credentials.valid:
                with self.translated():
                    http = self._http_factory()
                    try:
                        credentials.refresh(google_auth_httplib2.Request(http))
                    finally:
                        http.close()
            return credentials

    @contextmanager
    def _connection(self) -> Iterator[google_auth_httplib2.AuthorizedHttp]:
        with self._lock:
            used, connection = self._idle.pop() if self._idle else (0.0, None)
        if connection is None:
            assert self._known_credentials is not None  # noqa: S101
            connection = google_auth_httplib2.AuthorizedHttp(
                self._known_credentials, http=self._http_factory()
            )
        elif time.monotonic() - used > IDLE_SECONDS:
            connection.close()
        try:
            yield connection
        except googleapiclient.errors.HttpError:
            self._give_back(connection)
            raise
        except BaseException:
            # httplib2 drops a connection after a time-out only. Whatever else broke the exchange, the rest of
            # its answer mustn't become the next request's.
            connection.close()
            raise
        else:
            self._give_back(connection)

    def _give_back(self, connection: google_auth_httplib2.AuthorizedHttp) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    @contextmanager
    def translated(self, *, sending: bool = False) -> Iterator[None]:
        """Only MailError leaves. With `sending`, whatever isn't a definite no is an unknown outcome.

        Nothing is chained from a failed renewal: its arguments may hold the token endpoint's answer.
        """
        try:
            yield
        except MailTemporary as exc:
            if not sending:
                raise
            raise MailOutcomeUnknown(str(exc)) from exc
        except MailError:
            raise
        except googleapiclient.errors.HttpError as exc:
            raise error_from(
                int(exc.resp.status),
                {str(k): str(v) for k, v in exc.resp.items()},
                exc.content if isinstance(exc.content, bytes) else str(exc.content).encode(),
                sending=sending,
                now=dt.datetime.now(dt.UTC),
            ) from None
        except google.auth.exceptions.RefreshError as exc:
            if is_dead(exc):
                raise MailAuthError(
                    "Google no longer accepts this mailbox's grant (it was revoked, or has expired): "
                    "reconnect the mailbox."
                ) from None
            raise _unsure(sending, "Google couldn't renew the mailbox's access") from None
        except (
            google.auth.exceptions.GoogleAuthError,
            googleapiclient.errors.Error,
            httplib2.HttpLib2Error,
            http.client.HTTPException,
            OSError,
            ValueError,
            KeyError,
            # What Google's library makes of a 200 from the token endpoint that isn't JSON.
            TypeError,
            AttributeError,
        ) as exc:
            raise _unsure(sending, f"The connection to Gmail failed ({type(exc).__name__})") from None
        except Exception as exc:
            if not sending:
                raise
            raise _unsure(sending, f"The send failed in a way nobody foresaw ({type(exc).__name__})") from exc


def _unsure(sending: bool, sentence: str) -> MailError:
    if sending:
        return MailOutcomeUnknown(f"{sentence}; whether the e-mail was sent isn't known.")
    return MailTemporary(f"{sentence}.")
