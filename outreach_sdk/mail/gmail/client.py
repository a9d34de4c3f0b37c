"""Gmail over google-api-python-client: one mailbox, sends once, reads cheaply.

Facts this rests on, found on the live service where the reference is silent (docs/sending.md): Gmail replaces
our Message-ID when an API draft is sent, so ids are read back; listing `labelIds=SENT` is current while the
search index lags by minutes; `drafts.send` consumes its draft, and doing it again answers 404 or 400.
"""

from __future__ import annotations

import datetime as dt
import http.client
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import google.auth.credentials
import google.auth.exceptions
import google.oauth2.credentials
import google_auth_httplib2
import googleapiclient.discovery
import googleapiclient.errors
import httplib2

from outreach_sdk.domain.message import IncomingMessage, OutgoingMessage, build
from outreach_sdk.errors import (
    InvalidInput,
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.gmail.oneshot import OneShotHttp
from outreach_sdk.mail.gmail.parse import (
    Seen,
    encode_raw,
    error_from,
    identities_from,
    is_incoming,
    read_message,
    seen_from,
)
from outreach_sdk.mail.port import SEND_TIMEOUT, Draft, Fingerprint, Identity, PollResult, SentMessage, Watch

__all__ = ["GmailTransport", "refresh_credentials"]

READ_ATTEMPTS = 3
PAGE = 100
IDLE_SECONDS = 20.0
"""A connection unused this long may have been closed at the other end: a send mustn't find that out."""
REMEMBERED = 2000
CLOCK_SLACK = dt.timedelta(minutes=10)
"""How much further back than `since` Sent is read for the key, in case the two clocks disagree."""

T = TypeVar("T")
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


class GmailTransport:
    """The Gmail mailbox `address`.

    `credentials` hold the refresh token, client id and secret and `token_uri`, or are a callable that gives
    such credentials, called once at the first request. `endpoint` replaces https://gmail.googleapis.com.
    `http_factory` makes one connection holder; each is used by one thread at a time (httplib2 isn't
    thread-safe). `timeout` is in seconds, for each step of a request.
    """

    provider = "gmail"

    def __init__(
        self,
        address: str,
        credentials: Credentials | Callable[[], Credentials],
        *,
        endpoint: str | None = None,
        timeout: float = SEND_TIMEOUT,
        http_factory: Callable[[], httplib2.Http] | None = None,
        retry_delay: float = 0.5,
    ) -> None:
        self._address = address
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
        self._remembered: OrderedDict[str, Seen] = OrderedDict()

    def __repr__(self) -> str:
        return f"GmailTransport({self._address!r})"

    def address(self) -> str:
        try:
            return str(self._read(lambda users: users.getProfile(userId="me"))["emailAddress"])
        except MailNotFound:
            # Stand-ins for Gmail lack getProfile; the default send-as entry is the account itself.
            found = self._read(lambda users: users.settings().sendAs().list(userId="me"))
            for entry in found.get("sendAs", []):
                if entry.get("isDefault"):
                    return str(entry["sendAsEmail"])
            raise

    def identities(self) -> list[Identity]:
        """Send-as addresses with their signatures; gmail.readonly suffices to read them."""
        return identities_from(self._read(lambda users: users.settings().sendAs().list(userId="me")))

    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        try:
            raw = build(message, send_key=send_key)
        except InvalidInput as exc:
            raise MailRefused(str(exc)) from exc
        body: dict[str, Any] = {"raw": encode_raw(raw)}
        if message.provider_thread_id:
            body["threadId"] = message.provider_thread_id
        # Not repeated: a lost answer may have left a draft, which only a look by key can tell.
        with self._translated():
            made = self._execute(lambda users: users.drafts().create(userId="me", body={"message": body}))
            return _draft(made)

    def find_draft(self, send_key: str) -> Draft | None:
        for entry in self._pages(
            lambda users, token: users.drafts().list(userId="me", maxResults=PAGE, pageToken=token), "drafts"
        ):
            seen = self._seen(str(entry["message"]["id"]), draft=True)
            if seen is not None and seen.send_key == send_key:
                return _draft(entry)
        return None

    def draft_exists(self, provider_draft_id: str) -> bool:
        try:
            self._read(
                lambda users: users.drafts().get(userId="me", id=provider_draft_id, format="minimal"),
            )
        except MailNotFound:
            return False
        return True

    def delete_draft(self, provider_draft_id: str) -> None:
        try:
            self._read(lambda users: users.drafts().delete(userId="me", id=provider_draft_id))
        except MailNotFound:
            return

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        try:
            # A renewal that fails has sent nothing; inside the send the same failure would look unsure.
            self._fresh_credentials()
        except MailTemporary as exc:
            raise MailRateLimited(str(exc), retry_after=exc.retry_after) from exc
        try:
            with self._translated(sending=True):
                sent = self._execute(
                    lambda users: users.drafts().send(userId="me", body={"id": provider_draft_id})
                )
                message_id, thread_id = str(sent["id"]), str(sent.get("threadId") or "") or None
        except MailRefused as refusal:
            if self._still_there(provider_draft_id):
                raise
            raise MailNotFound(
                f"There is no draft {provider_draft_id!r}: it was sent or deleted."
            ) from refusal
        try:
            return self.read_sent(message_id)
        except MailError:
            # It is sent; a failed reading mustn't look like a failed send.
            return SentMessage(message_id, thread_id, None)

    def find_sent(self, *, send_key: str, since: dt.datetime, fingerprint: Fingerprint) -> SentMessage | None:
        whole_second = since.replace(microsecond=0)
        lookalike: Seen | None = None
        for entry in self._pages(
            lambda users, token: users.messages().list(
                userId="me", labelIds=["SENT"], maxResults=PAGE, pageToken=token, includeSpamTrash=True
            ),
            "messages",
        ):
            seen = self._seen(str(entry["id"]))
            if seen is None or not seen.sent:
                continue
            at = seen.message.sent_at
            if at is not None and at < since - CLOCK_SLACK:
                break
            if seen.send_key == send_key:
                return seen.message
            if at is not None and at >= whole_second and seen.same_as(fingerprint):
                lookalike = seen
        return lookalike.message if lookalike is not None else None

    def read_sent(self, provider_message_id: str) -> SentMessage:
        seen = self._seen(provider_message_id)
        if seen is None or not seen.sent:
            raise MailNotFound(f"There is no sent message {provider_message_id!r}.")
        return seen.message

    def read_thread(self, provider_thread_id: str) -> list[IncomingMessage]:
        try:
            thread = self._read(
                lambda users: users.threads().get(userId="me", id=provider_thread_id, format="minimal")
            )
        except MailNotFound:
            return []
        found = [
            self._message(str(entry["id"]))
            for entry in thread.get("messages", [])
            if "DRAFT" not in (entry.get("labelIds") or ())
        ]
        messages = [read_message(resource) for resource in found if resource is not None]
        return sorted(messages, key=lambda m: m.received_at)

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        if cursor is not None:
            try:
                return self._poll_history(cursor)
            except (MailNotFound, MailRefused):
                # 404 is an expired historyId; 400 one that never was a historyId.
                pass
        # The new cursor is taken first: what arrives during the listing is told twice, never lost.
        start = self._current_history_id()
        epoch = int(since.timestamp()) - 1
        ids = [
            str(entry["id"])
            for entry in self._pages(
                lambda users, token: users.messages().list(
                    userId="me", q=f"after:{epoch}", maxResults=PAGE, pageToken=token, includeSpamTrash=True
                ),
                "messages",
            )
        ]
        return PollResult(self._incoming(ids), start, resynced=cursor is not None)

    def watch(self, target: str, secret: str) -> Watch:
        """Of everything; Pub/Sub's own token proves what comes. The same again renews it: a watch has no id, so the
        mailbox's address stands for one."""
        found = self._read(lambda users: users.watch(userId="me", body={"topicName": target}))
        expires = dt.datetime.fromtimestamp(int(found["expiration"]) / 1000, dt.UTC)
        return Watch(f"gmail:{self._address}", expires)

    def renew_watch(self, external_id: str, target: str, *, reauthorise: bool = False) -> Watch:
        return self.watch(target, "")

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for _, connection in idle:
            connection.close()

    def _poll_history(self, cursor: str) -> PollResult:
        ids: dict[str, None] = {}
        token: str | None = None
        newest: str | None = None
        while True:
            page_token = token
            page = self._read(
                lambda users: users.history().list(
                    userId="me",
                    startHistoryId=cursor,
                    historyTypes=["messageAdded"],
                    maxResults=PAGE,
                    pageToken=page_token,  # noqa: B023 - called within the iteration
                )
            )
            # The first page's id: a message that comes in between two pages is told again, never lost.
            newest = newest or str(page.get("historyId") or cursor)
            for record in page.get("history", []):
                for added in record.get("messagesAdded", []):
                    if is_incoming(added["message"].get("labelIds")):
                        ids[str(added["message"]["id"])] = None
            token = page.get("nextPageToken")
            if not token:
                return PollResult(self._incoming(list(ids)), newest)

    def _incoming(self, ids: list[str]) -> list[IncomingMessage]:
        found = (self._message(message_id) for message_id in ids)
        messages = [read_message(r) for r in found if r is not None and is_incoming(r.get("labelIds"))]
        return sorted(messages, key=lambda m: m.received_at)

    def _current_history_id(self) -> str:
        try:
            return str(self._read(lambda users: users.getProfile(userId="me"))["historyId"])
        except MailNotFound:
            newest = self._read(
                lambda users: users.messages().list(userId="me", maxResults=1, includeSpamTrash=True)
            )
            for entry in newest.get("messages", []):
                message_id = str(entry["id"])
                found = self._read(
                    lambda users: users.messages().get(userId="me", id=message_id, format="minimal")  # noqa: B023
                )
                return str(found["historyId"])
            return "1"

    def _message(self, message_id: str) -> dict[str, Any] | None:
        """The message with its bytes, or None if it has gone since it was listed."""
        try:
            return self._read(lambda users: users.messages().get(userId="me", id=message_id, format="raw"))
        except MailNotFound:
            return None

    def _seen(self, message_id: str, *, draft: bool = False) -> Seen | None:
        """Sent messages never change, and an edited draft gets another message id, so each is fetched once;
        but a draft may have been sent since."""
        with self._lock:
            known = self._remembered.get(message_id)
        if known is not None and (draft or known.sent):
            return known
        resource = self._message(message_id)
        if resource is None:
            return None
        seen = seen_from(resource)
        with self._lock:
            self._remembered[message_id] = seen
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return seen

    def _still_there(self, provider_draft_id: str) -> bool:
        try:
            return self.draft_exists(provider_draft_id)
        except MailError as exc:
            raise MailOutcomeUnknown(
                "Gmail refused the send, and whether the draft still stands couldn't be seen."
            ) from exc

    def _pages(self, request: Callable[[Any, str | None], Any], field: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            page_token = token
            page = self._read(lambda users: request(users, page_token))  # noqa: B023 - called at once
            yield from page.get(field, [])
            token = page.get("nextPageToken")
            if not token:
                return

    def _read(self, request: Callable[[Any], Any]) -> dict[str, Any]:
        """A call that may be repeated: it reads, or does nothing the second time."""
        # Outside the loop: Google's library repeats a renewal by itself.
        self._fresh_credentials()
        for attempt in range(READ_ATTEMPTS):
            try:
                with self._translated():
                    return self._execute(request)
            except MailTemporary:
                if attempt == READ_ATTEMPTS - 1:
                    raise
                time.sleep(self._retry_delay * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable")

    def _execute(self, request: Callable[[Any], Any]) -> dict[str, Any]:
        self._fresh_credentials()
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

    def _fresh_credentials(self) -> Credentials:
        """Renew the access token under a lock, so that fifty threads don't ask for fifty."""
        with self._token_lock:
            if self._known_credentials is None:
                given = self._credentials_from
                self._known_credentials = given if isinstance(given, Credentials) else given()
            credentials = self._known_credentials
            if not credentials.valid:
                with self._translated():
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
    def _translated(self, *, sending: bool = False) -> Iterator[None]:
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
            if not exc.retryable:
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


def _draft(resource: dict[str, Any]) -> Draft:
    message = resource.get("message") or {}
    return Draft(str(resource["id"]), message.get("id"), message.get("threadId"))
