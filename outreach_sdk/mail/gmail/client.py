"""Gmail over google-api-python-client: one mailbox, sends once, reads cheaply.

Facts this rests on, found on the live service where the reference is silent (docs/sending.md): Gmail replaces
our Message-ID when an API draft is sent, so ids are read back; listing `labelIds=SENT` is current while the
search index lags by minutes; `drafts.send` consumes its draft, and doing it again answers 404 or 400.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
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
from outreach_sdk.mail.batch import FEW, STALLED, Batch
from outreach_sdk.mail.gmail.api import Credentials, GmailApi, refresh_credentials
from outreach_sdk.mail.gmail.cursor import Cursor
from outreach_sdk.mail.gmail.parse import (
    Seen,
    encode_raw,
    identities_from,
    is_incoming,
    moment,
    read_message,
    seen_from,
    with_raw,
)
from outreach_sdk.mail.port import (
    SEND_TIMEOUT,
    Draft,
    Fingerprint,
    Identity,
    PollResult,
    SentMessage,
    Watch,
)

__all__ = ["GmailTransport", "refresh_credentials"]

PAGE = 100
LISTED = 500
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
        try:
            return self._create(body)
        except (MailNotFound, MailRefused) as exc:
            if "threadId" not in body or not (isinstance(exc, MailNotFound) or "thread" in str(exc)):
                raise
            # The conversation was deleted for good. Its headers thread it at the other end all the same.
            return self._create({"raw": body["raw"]})

    def _create(self, body: dict[str, Any]) -> Draft:
        """Not repeated: a lost answer may have left a draft, which only a look by key can tell."""
        with self._api.translated():
            made = self._api.ask(lambda users: users.drafts().create(userId="me", body={"message": body}))
            return _draft(made)

    def find_draft(self, send_key: str, *, since: dt.datetime | None = None) -> Draft | None:
        for entry in self._api.pages(
            lambda users, token: users.drafts().list(userId="me", maxResults=PAGE, pageToken=token), "drafts"
        ):
            seen = self._seen(str(entry["message"]["id"]), draft=True)
            if seen is None:
                continue
            if seen.send_key == send_key:
                return _draft(entry)
            at = seen.message.sent_at
            if since is not None and at is not None and at < since - CLOCK_SLACK:
                break  # the latest are listed first
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
        unseen: list[MailError] = []
        for entry in self._api.pages(
            lambda users, token: users.messages().list(
                userId="me", labelIds=["SENT"], maxResults=PAGE, pageToken=token, includeSpamTrash=True
            ),
            "messages",
        ):
            try:
                seen = self._seen(str(entry["id"]))
            except (MailTemporary, MailRefused) as exc:
                unseen.append(exc)  # another one may be the one looked for
                if len(unseen) > FEW:
                    raise
                continue
            if seen is None or not seen.sent:
                continue
            at = seen.message.sent_at
            if at is not None and at < since - CLOCK_SLACK:
                break
            if seen.send_key == send_key:
                return seen.message
            if at is not None and at >= whole_second and seen.same_as(fingerprint):
                lookalike = seen
        if lookalike is None and unseen:
            raise unseen[0]
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
        except (MailNotFound, MailRefused):
            # 400 is an id that Gmail never gives, as of a provider that had the mailbox before.
            return []
        found = [
            self._message(str(entry["id"]))
            for entry in thread.get("messages", [])
            if "DRAFT" not in (entry.get("labelIds") or ())
        ]
        messages = [read_message(resource) for resource in found if resource is not None]
        return sorted(messages, key=lambda m: m.received_at)

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        known = Cursor.decode(cursor) if cursor is not None else None
        resynced = cursor is not None and known is None
        if known is not None and not known.left:
            try:
                return self._changes(known)
            except (MailNotFound, MailRefused):
                # 404 is an expired historyId; 400 one that never was a historyId.
                resynced = True
        if known is None or resynced:
            known = replace(self._listing(since), failing=known.failing if known else {})
        return self._rest(known, resynced)

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

    def _changes(self, known: Cursor) -> PollResult:
        """What history tells since then. Its records' ids rise, and each is a place to begin from
        (https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list)."""
        batch = Batch(self._arrived, known.failing)
        done, newest = known.history_id, ""
        token: str | None = None
        while True:
            try:
                page = self._history(known.history_id, token)
            except (MailTemporary, MailRateLimited):
                if done == known.history_id:
                    raise
                return _batch(batch, Cursor(done), more=True)
            # The first page's id: a message that comes in between two pages is told again, never lost.
            newest = newest or str(page.get("historyId") or known.history_id)
            for record in page.get("history", []):
                added = [a["message"] for a in record.get("messagesAdded", [])]
                ids = [str(m["id"]) for m in added if is_incoming(m.get("labelIds"))]
                if not batch.take(dict.fromkeys(ids, ""), may_stop=done != known.history_id):
                    return _batch(batch, Cursor(done), more=True)
                done = str(record.get("id") or done)
            token = page.get("nextPageToken")
            if not token:
                return _batch(batch, Cursor(newest))

    def _history(self, start: str, token: str | None) -> dict[str, Any]:
        return self._api.read(
            lambda users: users.history().list(
                userId="me",
                startHistoryId=start,
                historyTypes=["messageAdded"],
                maxResults=PAGE,
                pageToken=token,
            )
        )

    def _listing(self, since: dt.datetime) -> Cursor:
        """All that is to be read where history can't tell."""
        # Taken first: what arrives during the listing is told twice, never lost.
        start = self._current_history_id()
        found: list[str] = []
        token: str | None = None
        while True:
            page = self._latest(token)
            ids = [str(entry["id"]) for entry in page.get("messages", [])]
            if ids and self._came_before(ids[-1], since):
                ids = ids[
                    : bisect_left(ids, True, key=lambda message_id: self._came_before(message_id, since))
                ]
                token = None
            else:
                token = page.get("nextPageToken")
            found += ids
            if not token:
                return Cursor(start, tuple(reversed(found)))

    def _latest(self, token: str | None) -> dict[str, Any]:
        """A page of all messages, the latest first. Not by search, whose index lags."""
        return self._api.read(
            lambda users: users.messages().list(
                userId="me", maxResults=LISTED, pageToken=token, includeSpamTrash=True
            )
        )

    def _came_before(self, message_id: str, since: dt.datetime) -> bool:
        """False where that can't be told: then it is read."""
        try:
            found = self._api.read(
                lambda users: users.messages().get(userId="me", id=message_id, format="minimal")
            )
        except (MailNotFound, MailTemporary, MailRefused):
            return False
        at = moment(found)
        return at is not None and at < since.replace(microsecond=0)

    def _rest(self, known: Cursor, resynced: bool) -> PollResult:
        batch = Batch(self._arrived, known.failing)
        for at, message_id in enumerate(known.left):
            if not batch.take({message_id: ""}, may_stop=at > 0):
                following = Cursor(known.history_id, known.left[at:])
                return _batch(batch, following, more=True, resynced=resynced)
        return _batch(batch, Cursor(known.history_id), resynced=resynced)

    def _arrived(self, message_id: str, _memo: str) -> IncomingMessage | None:
        resource = self._message(message_id)
        if resource is None or not is_incoming(resource.get("labelIds")):
            return None
        return read_message(resource)

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
        """The message with its bytes, or None if it has gone since it was listed. One that can't be had as such is
        put together from what can be had of it, its headers alone if need be."""

        def get(form: str) -> Callable[[Any], Any]:
            return lambda users: users.messages().get(userId="me", id=message_id, format=form)

        began = time.monotonic()
        try:
            found = self._api.read(get("raw"))
            if isinstance(found.get("raw"), str):
                return found
            why: MailError = MailTemporary("Gmail sent a message without its content.")
        except MailNotFound:
            return None
        except (MailTemporary, MailRefused) as exc:
            if time.monotonic() - began >= STALLED:
                raise
            why = exc
        for form in ("full", "metadata"):
            try:
                with self._api.translated():
                    return with_raw(self._api.ask(get(form)))
            except MailNotFound:
                return None
            except (MailTemporary, MailRefused):
                continue
        raise why

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


def _batch(batch: Batch, following: Cursor, *, more: bool = False, resynced: bool = False) -> PollResult:
    cursor = replace(following, failing=batch.failing).encode()
    return PollResult(batch.sorted(), cursor, resynced, more, batch.unread(), batch.stopped)


def _draft(resource: dict[str, Any]) -> Draft:
    message = resource.get("message") or {}
    return Draft(str(resource["id"]), message.get("id"), message.get("threadId"))
