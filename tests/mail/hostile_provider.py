"""A mail provider that behaves as badly as the real ones do, and a transport onto it.

Its state is one SQLite file, so that any number of processes share it and a process killed in the middle
leaves the provider's truth as it was. `HostileProvider.ledger()` is the witness of every test about sending:
what was accepted, written in the transaction that accepted it, and never changed (triggers see to that).

    provider = HostileProvider(path, faults=Faults())            # hostile
    provider = HostileProvider(path, faults=Faults.none())       # well behaved, still replaces Message-IDs
    transport = HostileTransport(provider, "ada@agency.example")
    HostileProvider(path)                                        # another process; faults as last set
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import math
import re
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from outreach_sdk.domain.message import (
    KEY_HEADER,
    POLICY,
    IncomingMessage,
    OutgoingMessage,
    parse_incoming,
)
from outreach_sdk.errors import (
    MailAuthError,
)
from outreach_sdk.mail.port import Draft, SentMessage
from tests.mail.hostile_faults import Accepted, Faults

__all__ = ["Accepted", "Faults", "HostileProvider"]


_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, mailbox TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sent', 'incoming')), at REAL NOT NULL, thread TEXT NOT NULL,
    rfc_message_id TEXT, send_key TEXT, subject TEXT NOT NULL, raw BLOB NOT NULL);
CREATE INDEX messages_thread ON messages (mailbox, thread);
CREATE INDEX messages_rfc ON messages (mailbox, rfc_message_id);
CREATE INDEX messages_kind ON messages (mailbox, kind, at);
CREATE INDEX messages_key ON messages (mailbox, send_key);
CREATE TABLE drafts (
    id TEXT PRIMARY KEY, mailbox TEXT NOT NULL, at REAL NOT NULL, thread TEXT NOT NULL,
    send_key TEXT NOT NULL, raw BLOB NOT NULL, recipients TEXT NOT NULL);
CREATE INDEX drafts_key ON drafts (mailbox, send_key);
CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, mailbox TEXT NOT NULL, send_key TEXT,
    recipients TEXT NOT NULL, subject TEXT NOT NULL, rfc_message_id TEXT NOT NULL,
    provider_message_id TEXT NOT NULL, thread TEXT NOT NULL, draft_id TEXT NOT NULL, text TEXT NOT NULL);
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""


class HostileProvider:
    """The provider behind the file. `faults` and `seed` given here are stored for every process; left out,
    the stored ones hold (at first: hostile, seed 0). `clock` tells the time."""

    def __init__(
        self,
        path: Path | str,
        *,
        seed: int | None = None,
        faults: Faults | None = None,
        clock: Callable[[], dt.datetime] | None = None,
    ) -> None:
        self.path = Path(path)
        self._clock = clock or (lambda: dt.datetime.now(dt.UTC))
        self._lock = threading.RLock()
        # The lock serialises this one connection, which therefore may cross threads.
        self._db = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        # kill -9 loses nothing that was written; only a power cut would.
        self._db.execute("PRAGMA synchronous = OFF")
        with self.transaction():
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone():
                for statement in _statements(_SCHEMA):
                    self._db.execute(statement)
                self._set("faults", json.dumps(asdict(Faults())))
                self._set("seed", "0")
            if faults is not None:
                self._set("faults", json.dumps(asdict(faults)))
            if seed is not None:
                self._set("seed", str(seed))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def faults(self) -> Faults:
        values = json.loads(self._get("faults"))
        return Faults(**{**values, "refused": tuple(values["refused"])})

    @faults.setter
    def faults(self, value: Faults) -> None:
        with self.transaction():
            self._set("faults", json.dumps(asdict(value)))

    def ledger(self) -> list[Accepted]:
        """Every accepted send of every mailbox, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT at, mailbox, send_key, recipients, subject, rfc_message_id, provider_message_id,"
                " thread, draft_id, text FROM ledger ORDER BY seq"
            ).fetchall()
        return [
            Accepted(
                _time(at), mailbox, key, frozenset(json.loads(to)), subject, rfc, pid, thread, draft, text
            )
            for at, mailbox, key, to, subject, rfc, pid, thread, draft, text in rows
        ]

    def draft_keys(self) -> list[str]:
        """Send keys of the drafts that stand now: strays, once everything is done."""
        with self._lock:
            return [k for (k,) in self._db.execute("SELECT send_key FROM drafts ORDER BY at, id")]

    def calls(self, name: str) -> int:
        """How often a transport call (`poll`, `send_draft` …) reached the provider, from all processes."""
        with self._lock:
            row = self._db.execute("SELECT value FROM counters WHERE name = ?", (f"call {name}",)).fetchone()
        return int(row[0]) if row else 0

    def expire_cursors(self) -> None:
        """Every cursor given out so far is too old from now on."""
        with self.transaction():
            newest = self._db.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()[0]
            # A message seq of its own, so that cursors given out later differ from those that expired.
            self._set("oldest_cursor", str(newest + 1))
            self._db.execute(
                "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES"
                " ((SELECT rowid FROM sqlite_sequence WHERE name = 'messages'), 'messages', ?)",
                (newest + 1,),
            )

    def deliver(self, mailbox: str, raw: bytes, *, at: dt.datetime | None = None) -> str:
        """A message comes in; its provider_message_id."""
        moment = at or self._clock()
        read = parse_incoming(raw, provider_message_id="", provider_thread_id=None, received_at=moment)
        with self.transaction():
            new_id = self._new_id("in")
            thread = (
                self._thread_by_reference(mailbox, (*read.references, *read.in_reply_to)) or f"t-{new_id}"
            )
            self._insert_message(
                new_id, mailbox, "incoming", moment, thread, read.rfc_message_id, None, read.subject, raw
            )
        return new_id

    def deliver_reply(
        self,
        sent: Accepted,
        text: str = "Thanks, let's talk.",
        *,
        sender: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        at: dt.datetime | None = None,
    ) -> str:
        """Someone answers an accepted send (its first recipient, unless `sender` says who); headers like
        Auto-Submitted may be added."""
        reply = EmailMessage(policy=POLICY)
        reply["From"] = sender or min(sent.recipients)
        reply["To"] = sent.mailbox
        subject = sent.subject
        reply["Subject"] = subject if subject.lower().startswith("re:") else f"Re: {subject}"
        reply["Date"] = format_datetime(at or self._clock())
        reply["Message-ID"] = f"<{self._unique('reply')}@candidate.example>"
        reply["In-Reply-To"] = sent.rfc_message_id
        reply["References"] = sent.rfc_message_id
        for name, value in headers:
            reply[name] = value
        reply.set_content(text)
        return self.deliver(sent.mailbox, reply.as_bytes(), at=at)

    def deliver_bounce(
        self,
        sent: Accepted,
        recipient: str | None = None,
        *,
        hard: bool = True,
        action: str | None = None,
        at: dt.datetime | None = None,
    ) -> str:
        """The report (RFC 3464) that an accepted send couldn't be delivered; a soft one says that the server
        goes on trying, unless `action` is "failed"."""
        failed = recipient or min(sent.recipients)
        status, text = (
            ("5.1.1", "550 5.1.1 The email account that you tried to reach does not exist.")
            if hard
            else ("4.2.2", "452 4.2.2 The recipient's inbox is out of storage space.")
        )
        boundary = f"=_{self._unique('dsn')}"
        lines = [
            "From: Mail Delivery Subsystem <mailer-daemon@mail.hostile>",
            f"To: {sent.mailbox}",
            "Subject: Delivery Status Notification (Failure)",
            f"Date: {format_datetime(at or self._clock())}",
            f"Message-ID: <{self._unique('dsn')}@mail.hostile>",
            f"In-Reply-To: {sent.rfc_message_id}",
            f"References: {sent.rfc_message_id}",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
            "",
            f"--{boundary}",
            "Content-Type: text/plain; charset=utf-8",
            "",
            f"Your message to {failed} couldn't be delivered.",
            text,
            "",
            f"--{boundary}",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mail.hostile",
            "",
            f"Final-Recipient: rfc822; {failed}",
            f"Action: {action or ('failed' if hard else 'delayed')}",
            f"Status: {status}",
            f"Diagnostic-Code: smtp; {text}",
            "",
            f"--{boundary}",
            "Content-Type: message/rfc822",
            "",
            f"From: {sent.mailbox}",
            f"To: {failed}",
            "Subject: " + sent.subject.encode("ascii", "replace").decode(),
            f"Message-ID: {sent.rfc_message_id}",
            "",
            f"--{boundary}--",
            "",
        ]
        return self.deliver(sent.mailbox, "\r\n".join(lines).encode(), at=at)

    def search_rfc822msgid(self, mailbox: str, rfc_message_id: str) -> list[str]:
        """The lagging search index, which no transport should rely on."""
        horizon = self._clock().timestamp() - self.faults.search_lag
        with self._lock:
            return [
                i
                for (i,) in self._db.execute(
                    "SELECT id FROM messages WHERE mailbox = ? AND rfc_message_id = ? AND at <= ?",
                    (mailbox, rfc_message_id, horizon),
                )
            ]

    # What the transport below uses. Everything that writes does so in one transaction.

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def begin_call(self, name: str, mailbox: str) -> Faults:
        """Count a call, take its time, refuse a dead grant; the faults that hold."""
        with self.transaction():
            self._count(f"call {name}")
            faults = self.faults
            spread = self._draw() if faults.latency_sigma else 0.5
        if faults.latency > 0:
            normal = statistics.NormalDist().inv_cdf(min(max(spread, 1e-6), 1 - 1e-6))
            time.sleep(faults.latency * math.exp(faults.latency_sigma * normal))
        if faults.grant_dead:
            raise MailAuthError(f"The grant of {mailbox} was revoked.")
        return faults

    def strikes(self, rate: float) -> bool:
        if rate <= 0:
            return False
        with self.transaction():
            return self._draw() < rate

    def _draw(self) -> float:
        """The next number of the seed's sequence, which all processes share."""
        turn = self._count("draw")
        digest = hashlib.sha256(f"{self._get('seed')}:{turn}".encode()).digest()
        return float(int.from_bytes(digest[:7], "big") / 2**56)

    def _count(self, name: str) -> int:
        row = self._db.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
            " RETURNING value",
            (name,),
        ).fetchall()
        return int(row[0][0])

    def _unique(self, prefix: str) -> str:
        with self.transaction():
            return self._new_id(prefix)

    def _new_id(self, prefix: str) -> str:
        turn = self._count("id")
        return prefix + base64.b32encode(hashlib.sha256(f"id{turn}".encode()).digest()[:10]).decode().lower()

    def _get(self, name: str) -> str:
        with self._lock:
            row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else "0"

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def _thread_by_reference(self, mailbox: str, references: tuple[str, ...]) -> str | None:
        for reference in references:
            row = self._db.execute(
                "SELECT thread FROM messages WHERE mailbox = ? AND rfc_message_id = ?", (mailbox, reference)
            ).fetchone()
            if row:
                return str(row[0])
        return None

    def _insert_message(
        self,
        new_id: str,
        mailbox: str,
        kind: str,
        at: dt.datetime,
        thread: str,
        rfc: str | None,
        key: str | None,
        subject: str,
        raw: bytes,
    ) -> None:
        self._db.execute(
            "INSERT INTO messages (id, mailbox, kind, at, thread, rfc_message_id, send_key, subject, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (new_id, mailbox, kind, at.timestamp(), thread, rfc, key, subject, raw),
        )

    def accept_draft(self, mailbox: str, message: OutgoingMessage, send_key: str, raw: bytes) -> Draft:
        everyone = sorted({a.email.lower() for a in (*message.to, *message.cc, *message.bcc)})
        with self.transaction():
            draft_id = self._new_id("dr")
            thread = self._thread_of_draft(mailbox, message) or f"t-{draft_id}"
            self._db.execute(
                "INSERT INTO drafts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (draft_id, mailbox, self._clock().timestamp(), thread, send_key, raw, json.dumps(everyone)),
            )
        return Draft(draft_id, f"m-{draft_id}", thread)

    def _thread_of_draft(self, mailbox: str, message: OutgoingMessage) -> str | None:
        """As Gmail does: the thread asked for, if the references and the subject lead there too."""
        wanted = message.provider_thread_id
        if not wanted:
            return None
        references = (*message.references, *([message.in_reply_to] if message.in_reply_to else []))
        row = self._db.execute(
            "SELECT subject FROM messages WHERE mailbox = ? AND thread = ? ORDER BY seq LIMIT 1",
            (mailbox, wanted),
        ).fetchone()
        same_subject = row is not None and _bare(row[0]) == _bare(message.subject)
        return wanted if same_subject and self._thread_by_reference(mailbox, references) == wanted else None

    def accept_send(self, mailbox: str, draft_id: str, *, strip_marker: bool) -> SentMessage | None:
        """Take the draft out and the message in, in one transaction; None if there is no such draft."""
        now = self._clock()
        with self.transaction():
            row = self._db.execute(
                "DELETE FROM drafts WHERE id = ? AND mailbox = ? RETURNING thread, send_key, raw, recipients",
                (draft_id, mailbox),
            ).fetchall()
            if not row:
                return None
            thread, send_key, raw, recipients = row[0]
            new_id = self._new_id("se")
            rfc = f"<{self._new_id('x')}@mail.hostile>"
            raw = _rewritten(raw, rfc, strip_marker=strip_marker)
            key = None if strip_marker else send_key
            read = parse_incoming(raw, provider_message_id=new_id, provider_thread_id=thread, received_at=now)
            self._insert_message(new_id, mailbox, "sent", now, thread, rfc, key, read.subject, raw)
            self._db.execute(
                "INSERT INTO ledger (at, mailbox, send_key, recipients, subject, rfc_message_id,"
                " provider_message_id, thread, draft_id, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    now.timestamp(),
                    mailbox,
                    send_key,
                    recipients,
                    read.subject,
                    rfc,
                    new_id,
                    thread,
                    draft_id,
                    read.text,
                ),
            )
        return SentMessage(new_id, thread, rfc, now)

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def now(self) -> dt.datetime:
        return self._clock()

    def oldest_cursor(self) -> int:
        return int(self._get("oldest_cursor"))

    def newest_seq(self) -> int:
        rows = self.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'")
        return int(str(rows[0][0]))


def _statements(script: str) -> Iterator[str]:
    """Single statements: executescript would commit the transaction it is called in."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _time(timestamp: object) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(str(timestamp)), dt.UTC)


def _bare(subject: str) -> str:
    text = " ".join(subject.split()).lower()
    while text.startswith("re:"):
        text = text[3:].strip()
    return text


def _rewritten(raw: bytes, rfc_message_id: str, *, strip_marker: bool) -> bytes:
    """The message as it leaves: with the provider's own Message-ID, perhaps without the marker."""
    gone = {b"message-id"} | ({KEY_HEADER.lower().encode()} if strip_marker else set())
    head, separator, rest = raw.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?![ \t])", head)
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in gone]
    return b"\r\n".join([*kept, f"Message-ID: {rfc_message_id}".encode()]) + separator + rest


def incoming_of(message_id: str, thread: str, at: object, raw: object) -> IncomingMessage:
    assert isinstance(raw, bytes)
    return parse_incoming(
        raw, provider_message_id=message_id, provider_thread_id=thread, received_at=_time(at)
    )


def sent_of(row: tuple[object, ...]) -> SentMessage:
    return SentMessage(str(row[0]), str(row[1]), str(row[2]) if row[2] else None, _time(row[3]))
