"""Gmail over google-api-python-client: one mailbox, sends once, reads cheaply.

Facts this rests on, found on the live service where the reference is silent (docs/sending.md): Gmail replaces
our Message-ID when an API draft is sent, so ids are read back; listing `labelIds=SENT` is current while the
search index lags by minutes; `drafts.send` consumes its draft, and doing it again answers 404 or 400.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httplib2

from outreach_sdk.domain.message import IncomingMessage, OutgoingMessage, build
from outreach_sdk.errors import (
    InvalidInput,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.gmail.api import Credentials, GmailApi, refresh_credentials
from outreach_sdk.mail.gmail.parse import (
    Seen,
    encode_raw,
    identities_from,
    is_incoming,
    read_message,
    seen_from,
)
from outreach_sdk.mail.port import SEND_TIMEOUT, Draft, Fingerprint, Identity, PollResult, SentMessage, Watch

__all__ = ["GmailTransport", "refresh_credentials"]

PAGE = 100
REMEMBERED = 2000
CLOCK_SLACK = dt.timedelta(minutes=10)
"""How much further back than `since` Sent is read for the key, in case the two clocks disagree."""


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
        self._api = GmailApi(
            credentials,
            endpoint=endpoint,
            timeout=timeout,
            http_factory=http_factory,
            retry_delay=retry_delay,
        )
        self._lock = threading.Lock()
        self._remembered: OrderedDict[str, Seen] = OrderedDict()

    def __repr__(self) -> str:
        return f"GmailTransport({self._address!r})"

    def address(self) -> str:
        try:
            return str(self._api.read(lambda users: users.getProfile(userId="me"))["emailAddress"])
        except MailNotFound:
            # Stand-ins for Gmail lack getProfile; the default send-as entry is the account itself.
            found = self._api.read(lambda users: users.settings().sendAs().list(userId="me"))
            for entry in found.get("sendAs", []):
                if entry.get("isDefault"):
                    return str(entry["sendAsEmail"])
            raise

    def identities(self) -> list[Identity]:
        """Send-as addresses with their signatures; gmail.readonly suffices to read them."""
        return identities_from(self._api.read(lambda users: users.settings().sendAs().list(userId="me")))

    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        try:
            raw = build(message, send_key=send_key)
        except InvalidInput as exc:
            raise MailRefused(str(exc)) from exc
        body: dict[str, Any] = {"raw": encode_raw(raw)}
        if message.provider_thread_id:
            body["threadId"] = message.provider_thread_id
        # Not repeated: a lost answer may have left a draft, which only a look by key can tell.
        with self._api.translated():
            made = self._api.ask(lambda users: users.drafts().create(userId="me", body={"message": body}))
            return _draft(made)

    def find_draft(self, send_key: str) -> Draft | None:
        for entry in self._api.pages(
            lambda users, token: users.drafts().list(userId="me", maxResults=PAGE, pageToken=token), "drafts"
        ):
            seen = self._seen(str(entry["message"]["id"]), draft=True)
            if seen is not None and seen.send_key == send_key:
                return _draft(entry)
        return None

    def draft_exists(self, provider_draft_id: str) -> bool:
        try:
            self._api.read(
                lambda users: users.drafts().get(userId="me", id=provider_draft_id, format="minimal"),
            )
        except MailNotFound:
            return False
        return True

    def delete_draft(self, provider_draft_id: str) -> None:
        try:
            self._api.read(lambda users: users.drafts().delete(userId="me", id=provider_draft_id))
        except MailNotFound:
            return

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        try:
            # A renewal that fails has sent nothing; inside the send the same failure would look unsure.
            self._api.fresh_credentials()
        except MailTemporary as exc:
            raise MailRateLimited(str(exc), retry_after=exc.retry_after) from exc
        try:
            with self._api.translated(sending=True):
                sent = self._api.ask(
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
        for entry in self._api.pages(
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
            thread = self._api.read(
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
            for entry in self._api.pages(
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
        found = self._api.read(lambda users: users.watch(userId="me", body={"topicName": target}))
        expires = dt.datetime.fromtimestamp(int(found["expiration"]) / 1000, dt.UTC)
        return Watch(f"gmail:{self._address}", expires)

    def renew_watch(self, external_id: str, target: str, *, reauthorise: bool = False) -> Watch:
        return self.watch(target, "")

    def close(self) -> None:
        self._api.close()

    def _poll_history(self, cursor: str) -> PollResult:
        ids: dict[str, None] = {}
        token: str | None = None
        newest: str | None = None
        while True:
            page_token = token
            page = self._api.read(
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
            return str(self._api.read(lambda users: users.getProfile(userId="me"))["historyId"])
        except MailNotFound:
            newest = self._api.read(
                lambda users: users.messages().list(userId="me", maxResults=1, includeSpamTrash=True)
            )
            for entry in newest.get("messages", []):
                message_id = str(entry["id"])
                found = self._api.read(
                    lambda users: users.messages().get(userId="me", id=message_id, format="minimal")  # noqa: B023
                )
                return str(found["historyId"])
            return "1"

    def _message(self, message_id: str) -> dict[str, Any] | None:
        """The message with its bytes, or None if it has gone since it was listed."""
        try:
            return self._api.read(
                lambda users: users.messages().get(userId="me", id=message_id, format="raw")
            )
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


def _draft(resource: dict[str, Any]) -> Draft:
    message = resource.get("message") or {}
    return Draft(str(resource["id"]), message.get("id"), message.get("threadId"))
