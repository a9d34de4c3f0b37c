"""A transport onto the hostile provider (hostile_provider.py)."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import replace

from outreach_sdk.domain.message import (
    KEY_HEADER,
    IncomingMessage,
    OutgoingMessage,
    build,
    text_hash,
)
from outreach_sdk.errors import (
    InvalidInput,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.port import Draft, Fingerprint, PollResult, SentMessage
from tests.mail.hostile_provider import Accepted, Faults, HostileProvider, incoming_of, sent_of

__all__ = ["Accepted", "Faults", "HostileProvider", "HostileTransport"]


class HostileTransport:
    """The mailbox `address` at a HostileProvider. `timeout` is the transport's own patience, in seconds."""

    provider = "hostile"

    def __init__(self, provider: HostileProvider, address: str, *, timeout: float = 30.0) -> None:
        self.backend = provider
        self._address = address
        self._timeout = timeout

    def address(self) -> str:
        self._begin_read("address")
        return self._address

    def create_draft(self, message: OutgoingMessage, *, send_key: str) -> Draft:
        faults = self.backend.begin_call("create_draft", self._address)
        try:
            raw = build(message, send_key=send_key)
        except InvalidInput as exc:
            raise MailRefused(str(exc)) from exc
        if self.backend.strikes(faults.draft_temporary):
            raise MailTemporary("503 before the draft was made.", retry_after=0.1)
        draft = self.backend.accept_draft(self._address, message, send_key, raw)
        if self.backend.strikes(faults.draft_answer_lost):
            raise MailTemporary("The connection closed after the draft was made.", retry_after=0.1)
        return draft

    def find_draft(self, send_key: str, *, since: dt.datetime | None = None) -> Draft | None:
        self._begin_read("find_draft")
        rows = self.backend.rows(
            "SELECT id, thread FROM drafts WHERE mailbox = ? AND send_key = ? ORDER BY at LIMIT 1",
            self._address,
            send_key,
        )
        return Draft(str(rows[0][0]), f"m-{rows[0][0]}", str(rows[0][1])) if rows else None

    def draft_exists(self, provider_draft_id: str) -> bool:
        self._begin_read("draft_exists")
        return bool(self._draft_rows(provider_draft_id))

    def delete_draft(self, provider_draft_id: str) -> None:
        self._begin_read("delete_draft")
        with self.backend.transaction() as db:
            db.execute("DELETE FROM drafts WHERE id = ? AND mailbox = ?", (provider_draft_id, self._address))

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        backend = self.backend
        faults = backend.begin_call("send_draft", self._address)
        rows = self._draft_rows(provider_draft_id)
        if rows and faults.refused:
            refused = sorted(set(json.loads(str(rows[0][1]))) & {a.lower() for a in faults.refused})
            if refused:
                raise MailRefused(f"550 5.1.1 {refused[0]} isn't a valid recipient.")
        if backend.strikes(faults.send_rate_limited):
            raise MailRateLimited("429 too many requests.", retry_after=faults.retry_after)
        if backend.strikes(faults.send_5xx):
            raise MailOutcomeUnknown("500 from the provider.")
        stripped = backend.strikes(faults.strip_marker)
        sent = backend.accept_send(self._address, provider_draft_id, strip_marker=stripped)
        if sent is None:
            raise MailNotFound(f"There is no draft {provider_draft_id!r}: it was sent or deleted.")
        if backend.strikes(faults.send_stall):
            time.sleep(min(faults.stall_seconds, self._timeout))
            if faults.stall_seconds >= self._timeout:
                raise MailOutcomeUnknown(f"No answer within {self._timeout:g} s.")
        if backend.strikes(faults.send_answer_lost):
            raise MailOutcomeUnknown("The connection closed before the answer.")
        if backend.strikes(faults.read_back_lost):
            return replace(sent, rfc_message_id=None)
        return sent

    def find_sent(self, *, send_key: str, since: dt.datetime, fingerprint: Fingerprint) -> SentMessage | None:
        faults = self._begin_read("find_sent")
        horizon = self.backend.now().timestamp() - faults.listing_lag
        rows = self.backend.rows(
            "SELECT id, thread, rfc_message_id, at FROM messages WHERE mailbox = ? AND kind = 'sent'"
            " AND send_key = ? AND at <= ? LIMIT 1",
            self._address,
            send_key,
            horizon,
        )
        if rows:
            return sent_of(rows[0])
        for row in self.backend.rows(
            "SELECT id, thread, rfc_message_id, at, raw FROM messages WHERE mailbox = ? AND kind = 'sent'"
            " AND send_key IS NULL AND at >= ? AND at <= ? ORDER BY seq",
            self._address,
            since.timestamp(),
            horizon,
        ):
            read = incoming_of(str(row[0]), str(row[1]), row[3], row[4])
            if (
                read.header(KEY_HEADER) is None
                and frozenset(a.email.lower() for a in (*read.to, *read.cc)) == fingerprint.recipients
                and read.subject == " ".join(fingerprint.subject.split())
                and text_hash(read.text) == fingerprint.text_hash
                and fingerprint.provider_thread_id in (None, read.provider_thread_id)
            ):
                return sent_of(row)
        return None

    def read_sent(self, provider_message_id: str) -> SentMessage:
        self._begin_read("read_sent")
        rows = self.backend.rows(
            "SELECT id, thread, rfc_message_id, at FROM messages WHERE id = ? AND mailbox = ?"
            " AND kind = 'sent'",
            provider_message_id,
            self._address,
        )
        if not rows:
            raise MailNotFound(f"There is no sent message {provider_message_id!r}.")
        return sent_of(rows[0])

    def read_thread(self, provider_thread_id: str) -> list[IncomingMessage]:
        self._begin_read("read_thread")
        return [
            incoming_of(str(i), str(thread), at, raw)
            for i, thread, at, raw in self.backend.rows(
                "SELECT id, thread, at, raw FROM messages WHERE mailbox = ? AND thread = ? ORDER BY at, seq",
                self._address,
                provider_thread_id,
            )
        ]

    def poll(self, cursor: str | None, *, since: dt.datetime) -> PollResult:
        self._begin_read("poll")
        known = int(cursor) if cursor is not None and cursor.isdigit() else None
        expired = cursor is not None and (known is None or known < self.backend.oldest_cursor())
        newest = self.backend.newest_seq()
        condition, bound = ("seq > ?", known) if known is not None and not expired else ("at >= ?", None)
        rows = self.backend.rows(
            f"SELECT id, thread, at, raw FROM messages WHERE mailbox = ? AND kind = 'incoming'"
            f" AND {condition} ORDER BY at, seq",
            self._address,
            bound if bound is not None else since.timestamp(),
        )
        messages = [incoming_of(str(i), str(thread), at, raw) for i, thread, at, raw in rows]
        return PollResult(messages, str(newest), resynced=expired)

    def close(self) -> None:
        """The provider is closed by whoever made it."""

    def _begin_read(self, name: str) -> Faults:
        faults = self.backend.begin_call(name, self._address)
        if self.backend.strikes(faults.read_temporary):
            raise MailTemporary("503 from the provider.", retry_after=0.1)
        return faults

    def _draft_rows(self, draft_id: str) -> list[tuple[object, ...]]:
        return self.backend.rows(
            "SELECT id, recipients FROM drafts WHERE id = ? AND mailbox = ?", draft_id, self._address
        )
