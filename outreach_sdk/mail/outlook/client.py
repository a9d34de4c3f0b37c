"""Outlook over Microsoft Graph v1.0: one mailbox, sends once, reads cheaply.

What was chosen, and why (docs/unverified.md says what only a live account can confirm):

- Drafts are made as JSON, not MIME: only JSON takes the key in the same call, so that no draft ever stands
  without it. Exchange adds the plain text of an HTML body itself. A follow-up is made with createReply, the
  documented way into a conversation; it addresses oneself when the last message is one's own, so everything
  is then set by one PATCH.
- A message keeps one immutable id from draft to Sent Items, if every request asks for such ids. So says
  Microsoft; others saw the id change all the same, so what was sent is also looked for by its key.
- Delta queries see one folder at a time, and rules move answers anywhere; so a poll lists what the whole
  mailbox received since shortly before the last one, which can't expire at the provider. What that misses the
  inbox's delta tells, once an hour (sweep.py).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import requests

from outreach_sdk.domain.message import IncomingMessage, OutgoingMessage, build, parse_incoming
from outreach_sdk.errors import (
    InvalidInput,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.batch import STALLED, Batch
from outreach_sdk.mail.outlook.graph import GRAPH, READ_ATTEMPTS, Graph
from outreach_sdk.mail.outlook.parse import (
    FLAGS_PROPERTY,
    KEY_PROPERTY,
    Cursor,
    draft_from,
    has_key,
    key_of,
    looks_like,
    mime_from,
    moment,
    payload,
    same_words,
    sent_from,
    stamp,
    submitted,
    threading_properties,
)
from outreach_sdk.mail.outlook.sweep import EVERY, sweep
from outreach_sdk.mail.port import SEND_TIMEOUT, Draft, Fingerprint, PollResult, SentMessage, Watch

__all__ = ["OutlookTransport"]

LOOKALIKE_PAGES = 10
WATCHED_FOR = dt.timedelta(days=6)
"""Under the seven days that a subscription to messages may last
(https://learn.microsoft.com/graph/api/resources/subscription)."""
OVERLAP = dt.timedelta(minutes=15)
"""How far before the newest message a poll begins: what shows up late was received earlier than it shows."""

KEY_EXPANDED = f"singleValueExtendedProperties($filter=id eq '{KEY_PROPERTY}')"
STATE_EXPANDED = f"singleValueExtendedProperties($filter=id eq '{KEY_PROPERTY}' or id eq '{FLAGS_PROPERTY}')"
SENT_FIELDS = "id,conversationId,internetMessageId,sentDateTime,isDraft"
STATE_FIELDS = SENT_FIELDS + ",parentFolderId"
LISTED_FIELDS = "id,conversationId,internetMessageId,receivedDateTime,parentFolderId,isDraft"
WHOLE_FIELDS = "id,subject,from,toRecipients,ccRecipients,internetMessageId,internetMessageHeaders,body"


class OutlookTransport:
    """The Outlook mailbox `address`.

    `token` gives an access token: called with None for one that should work, or with one that was refused,
    for another. It raises MailAuthError or MailTemporary. `endpoint` replaces https://graph.microsoft.com.
    `timeout` is in seconds, for each step of a request. Permissions needed: Mail.ReadWrite, Mail.Send and
    User.Read (https://learn.microsoft.com/graph/permissions-reference).
    """

    provider = "outlook"

    def __init__(
        self,
        address: str,
        token: Callable[[str | None], str],
        *,
        session: requests.Session,
        endpoint: str = GRAPH,
        timeout: float = SEND_TIMEOUT,
        retry_delay: float = 0.5,
    ) -> None:
        self._address = address
        self._graph = Graph(
            token, session=session, endpoint=endpoint, timeout=timeout, retry_delay=retry_delay
        )
        self._folders: dict[str, str] = {}
        self._reply_takes_key = True

    def __repr__(self) -> str:
        return f"OutlookTransport({self._address!r})"

    def address(self) -> str:
        me = self._graph.read("GET", "me", {"$select": "mail,userPrincipalName"})
        return str(me.get("mail") or me["userPrincipalName"])

    # -- drafts ------------------------------------------------------------------------------------
    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        try:
            build(message, send_key=send_key)  # for its checks: what can't be an e-mail isn't drafted either
        except InvalidInput as exc:
            raise MailRefused(str(exc)) from exc
        body = payload(message, send_key=send_key, mailbox=self._address)
        original = self._to_reply_to(message)
        # The POSTs aren't repeated: a lost answer may have left a draft, which only a look by key can tell.
        if original is None:
            body["singleValueExtendedProperties"] += threading_properties(message)
            made = self._graph.ask("POST", "me/messages", body=body)
        else:
            made = self._reply(original, body)
        if made.get("parentFolderId"):
            self._folders["drafts"] = str(made["parentFolderId"])
        return draft_from(made)

    def _to_reply_to(self, message: OutgoingMessage) -> str | None:
        if message.provider_thread_id is None:
            return None
        there = [m for m in self._conversation(message.provider_thread_id) if not m.get("isDraft")]
        meant = [m for m in there if m.get("internetMessageId") == message.in_reply_to]
        return str((meant or there)[-1]["id"]) if there else None

    def _reply(self, original: str, body: dict[str, Any]) -> dict[str, Any]:
        # X- headers can only be given at creation. The key goes along at once too, though Microsoft's list of
        # requests that take a property doesn't name this one; where it is refused, PATCH alone sets it.
        headers = {k: body.pop(k) for k in ("internetMessageHeaders",) if k in body}
        marked = {**headers, "singleValueExtendedProperties": body["singleValueExtendedProperties"]}
        path = f"{_path(original)}/createReply"
        if self._reply_takes_key:
            try:
                made = self._graph.ask("POST", path, body={"message": marked})
            except MailRefused:  # so nothing was made
                made = self._graph.ask("POST", path, body={"message": headers} if headers else {})
                self._reply_takes_key = False
        else:
            made = self._graph.ask("POST", path, body={"message": headers} if headers else {})
        draft = _path(str(made["id"]))
        try:
            return {**made, **self._graph.read("PATCH", draft, body=body)}
        except MailError:
            # Perhaps without the key: nobody could find it again.
            with contextlib.suppress(MailError):
                self._graph.read("DELETE", draft)
            raise

    def find_draft(self, send_key: str, *, since: dt.datetime | None = None) -> Draft | None:
        for found in self._bearing(send_key, "drafts", STATE_EXPANDED):
            if found.get("isDraft") and not submitted(found):
                return draft_from(found)
        return None

    def peculiarities(self, provider_draft_id: str) -> dict[str, str]:
        """What `draft_exists` rests on: a draft lies in the folder that "drafts" names."""
        found = self._graph.read("GET", _path(provider_draft_id), {"$select": "id,parentFolderId"})
        named = self._graph.read("GET", "me/mailFolders/drafts", {"$select": "id"})
        same = bool(found.get("parentFolderId")) and found["parentFolderId"] == named.get("id")
        return {
            "drafts_folder": "ok" if same else "A draft doesn't lie in the folder that Graph calls drafts."
        }

    def draft_exists(self, provider_draft_id: str) -> bool:
        return self._standing(provider_draft_id) is not None

    def _standing(self, provider_draft_id: str) -> dict[str, Any] | None:
        """The draft, if it is one that can be sent: not deleted (Graph's DELETE only moves it to Deleted
        Items, still a draft) and not on its way already."""
        fields = {"$select": STATE_FIELDS, "$expand": STATE_EXPANDED}
        try:
            found = self._graph.read("GET", _path(provider_draft_id), fields)
        except MailNotFound:
            return None
        if not found.get("isDraft") or submitted(found):
            return None
        return found if found.get("parentFolderId") == self._folder("drafts") else None

    def delete_draft(self, provider_draft_id: str) -> None:
        if self._standing(provider_draft_id) is None:
            return
        try:
            self._graph.read("DELETE", _path(provider_draft_id))
        except MailNotFound:
            return

    # -- sending -----------------------------------------------------------------------------------
    def send_draft(self, provider_draft_id: str) -> SentMessage:
        # Looked at first: nobody promises that Graph refuses to send a message a second time. It also warms
        # the connection, so that the send doesn't find it closed.
        try:
            draft = self._standing(provider_draft_id)
            if draft is None:
                raise MailNotFound(f"There is no draft {provider_draft_id!r}: it was sent or deleted.")
            self._graph.send(f"{_path(provider_draft_id)}/send")
        except MailTemporary as exc:
            # A look or a token renewal that failed has sent nothing; the send itself raises other kinds.
            raise MailRateLimited(str(exc), retry_after=exc.retry_after) from exc
        except MailRefused as refusal:
            if self._still_there(provider_draft_id):
                raise
            raise MailNotFound(
                f"There is no draft {provider_draft_id!r}: it was sent or deleted."
            ) from refusal
        return self._read_back(draft)

    def _still_there(self, provider_draft_id: str) -> bool:
        try:
            return self.draft_exists(provider_draft_id)
        except MailError as exc:
            raise MailOutcomeUnknown(
                "Outlook refused the send, and whether the draft still stands couldn't be seen."
            ) from exc

    def _read_back(self, draft: dict[str, Any]) -> SentMessage:
        """It is sent; no failure here may look like a failed send. The copy in Sent Items may take a moment
        (https://learn.microsoft.com/graph/outlook-immutable-id), so what the draft said stands in for it."""
        for attempt in range(READ_ATTEMPTS):
            try:
                return self.read_sent(str(draft["id"]))
            except MailNotFound:
                if attempt < READ_ATTEMPTS - 1:
                    self._graph.pause(attempt)
            except MailError:
                break
        key = key_of(draft)
        with contextlib.suppress(MailError):
            for found in self._bearing(key, "sentitems", KEY_EXPANDED) if key else ():
                return sent_from(found)
        return SentMessage(
            str(draft["id"]), draft.get("conversationId") or None, draft.get("internetMessageId") or None
        )

    def find_sent(self, *, send_key: str, since: dt.datetime, fingerprint: Fingerprint) -> SentMessage | None:
        for found in self._bearing(send_key, "sentitems", KEY_EXPANDED):
            if not found.get("isDraft"):
                return sent_from(found)
        recent = self._graph.pages(
            "me/mailFolders/sentitems/messages",
            {
                "$filter": f"receivedDateTime ge {stamp(since)}",
                "$orderby": "receivedDateTime desc",
                "$select": SENT_FIELDS + ",subject,toRecipients,ccRecipients",
                "$expand": KEY_EXPANDED,
            },
            at_most=LOOKALIKE_PAGES,
        )
        for found in recent:
            if looks_like(found, fingerprint):
                try:
                    whole = self._graph.read("GET", _path(str(found["id"])), {"$select": "id,body"})
                except MailNotFound:
                    continue
                if same_words(whole, fingerprint):
                    return sent_from(found)
        return None

    def read_sent(self, provider_message_id: str) -> SentMessage:
        found = self._graph.read("GET", _path(provider_message_id), {"$select": SENT_FIELDS})
        if found.get("isDraft"):
            raise MailNotFound(f"The message {provider_message_id!r} hasn't been sent.")
        return sent_from(found)

    # -- reading -----------------------------------------------------------------------------------
    def read_thread(self, provider_thread_id: str) -> list[IncomingMessage]:
        found = [self._message(m) for m in self._conversation(provider_thread_id) if not m.get("isDraft")]
        return [message for message in found if message is not None]

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        known = Cursor.decode(cursor) if cursor is not None else None
        resynced = cursor is not None and known is None
        if known is None:
            known = Cursor(since, self._folder("sentitems"))
        batch = Batch(self._read, known.failing)
        done, whole = self._list(known, batch)
        # By the server's clock, but never later than by ours: a message may claim to be from the future.
        newest = min(max([m.at for m in done] + [known.start]), max(dt.datetime.now(dt.UTC), known.start))
        begin = max(known.start, newest - OVERLAP)
        told = frozenset(m.short for m in done if m.came and m.at >= begin.replace(microsecond=0))
        passed = known.passed | known.told | {m.short for m in done if m.came and m.short not in known.told}
        following = replace(known, start=begin, told=told, passed=passed)
        if whole:
            following, whole = self._sweep(following, batch)
        cursor = replace(following, failing=batch.failing).encode()
        return PollResult(batch.sorted(), cursor, resynced, not whole, batch.unread(), batch.stopped)

    def _list(self, known: Cursor, batch: Batch) -> tuple[list[_Listed], bool]:
        """What the mailbox received since then, up to where the batch ends; whether that is all."""
        done: list[_Listed] = []
        fields = {
            "$filter": f"receivedDateTime ge {stamp(known.start)}",
            "$orderby": "receivedDateTime",
            "$select": LISTED_FIELDS,
        }
        began = False
        try:
            for message in self._graph.pages("me/messages", fields):
                came = not message.get("isDraft") and message.get("parentFolderId") != known.sent_folder
                listed = _Listed(
                    Cursor.short(str(message["id"])),
                    moment(message.get("receivedDateTime")) or known.start,
                    came,
                )
                if came and listed.short not in known.told:
                    if not batch.take({str(message["id"]): _memo(message)}, may_stop=began):
                        return done, False
                    began = True
                done.append(listed)
        except (MailTemporary, MailRateLimited):
            if not batch.messages:
                raise
            return done, False
        return done, True

    def _sweep(self, known: Cursor, batch: Batch) -> tuple[Cursor, bool]:
        """What only the inbox's delta tells, once an hour; whether nothing more of it waits."""
        now = dt.datetime.now(dt.UTC)
        if known.swept is not None and now - known.swept < EVERY:
            return known, True
        began = bool(batch.messages)
        try:
            found, delta, done = sweep(self._graph, known.delta, known.swept, now)
        except (MailTemporary, MailRateLimited):
            if not batch.messages:
                raise
            return known, False
        passed = set(known.passed)
        for message in found:
            short = Cursor.short(str(message["id"]))
            if short in passed:
                continue
            if not batch.take({str(message["id"]): _memo(message)}, may_stop=began):
                return replace(known, passed=frozenset(passed)), False
            began = True
            passed.add(short)
        kept = frozenset() if done else frozenset(passed)
        return replace(known, delta=delta, swept=now if done else known.swept, passed=kept), True

    def watch(self, target: str, secret: str) -> Watch:
        """Not repeated: a lost answer may have left a subscription, which then tells what nobody believes."""
        made = self._graph.ask(
            "POST",
            "subscriptions",
            body={
                "changeType": "created",
                "notificationUrl": target,
                "lifecycleNotificationUrl": target,
                "resource": "me/messages",
                "expirationDateTime": stamp(dt.datetime.now(dt.UTC) + WATCHED_FOR),
                "clientState": secret,
            },
        )
        return _watch(made)

    def renew_watch(self, external_id: str, target: str, *, reauthorise: bool = False) -> Watch:
        path = f"subscriptions/{quote(external_id, safe='')}"
        if reauthorise:
            self._graph.read("POST", f"{path}/reauthorize")
        until = stamp(dt.datetime.now(dt.UTC) + WATCHED_FOR)
        return _watch(self._graph.read("PATCH", path, body={"expirationDateTime": until}))

    def close(self) -> None:
        self._graph.close()

    def _conversation(self, provider_thread_id: str) -> list[dict[str, Any]]:
        """Its messages, oldest first. Sorted here: Graph refuses to order by what it doesn't filter on first
        (InefficientFilter)."""
        value = provider_thread_id.replace("'", "''")
        fields = {"$filter": f"conversationId eq '{value}'", "$select": LISTED_FIELDS}
        try:
            found = list(self._graph.pages("me/messages", fields))
        except (
            MailNotFound,
            MailRefused,
        ):  # refused as no id of Graph's: the mailbox was another provider's before
            return []
        return sorted(found, key=lambda m: str(m.get("receivedDateTime")))

    def _bearing(self, send_key: str, folder: str, expand: str) -> Iterator[dict[str, Any]]:
        fields = {"$filter": has_key(send_key), "$select": STATE_FIELDS, "$expand": expand}
        for found in self._graph.pages(f"me/mailFolders/{folder}/messages", fields):
            if key_of(found) == send_key:
                yield found

    def _message(self, listed: dict[str, Any]) -> IncomingMessage | None:
        return self._read(str(listed["id"]), _memo(listed))

    def _read(self, message_id: str, memo: str) -> IncomingMessage | None:
        """The listed message with its bytes, or None if it has gone since."""
        path, began = _path(message_id), time.monotonic()
        try:
            try:
                raw = self._graph.content(f"{path}/$value")
            except (MailTemporary, MailRefused):
                if time.monotonic() - began >= STALLED:
                    raise
                # Exchange fails for good to convert some messages; one of them mustn't block the mailbox.
                raw = mime_from(self._graph.whole(path, {"$select": WHOLE_FIELDS}))
        except MailNotFound:
            return None
        at, _, conversation = memo.partition(" ")
        return parse_incoming(
            raw,
            provider_message_id=message_id,
            provider_thread_id=conversation or None,
            received_at=moment(at) or dt.datetime.now(dt.UTC),
        )

    def _folder(self, name: str) -> str:
        """The id of a well-known folder; these don't change."""
        if name not in self._folders:
            self._folders[name] = str(
                self._graph.read("GET", f"me/mailFolders/{name}", {"$select": "id"})["id"]
            )
        return self._folders[name]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A message that a poll is done with. `came`: one that came in."""

    short: str
    at: dt.datetime
    came: bool


def _memo(listed: dict[str, Any]) -> str:
    """What reading a message needs of its listing."""
    return f"{listed.get('receivedDateTime') or ''} {listed.get('conversationId') or ''}"


def _path(message_id: str) -> str:
    if not message_id.strip("."):  # it would climb the path
        raise MailNotFound(f"There is no message {message_id!r}.")
    return f"me/messages/{quote(message_id, safe='')}"


def _watch(found: dict[str, Any]) -> Watch:
    expires = moment(found.get("expirationDateTime"))
    if not found.get("id") or expires is None:
        raise MailTemporary("Outlook answered without a subscription.")
    return Watch(str(found["id"]), expires)
