"""Worlds: a mailbox of each kind, with a way to look into it and to put mail into it from outside."""

from __future__ import annotations

import abc
import datetime as dt
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

import requests

from outreach_sdk.domain.message import KEY_HEADER, POLICY, Address, OutgoingMessage, build
from outreach_sdk.mail.gmail.client import GmailTransport
from outreach_sdk.mail.local.client import LocalTransport
from outreach_sdk.mail.outlook.client import OutlookTransport
from outreach_sdk.mail.outlook.parse import KEY_PROPERTY
from outreach_sdk.mail.port import MailTransport
from tests.mail.emulator import GoogleEmulator
from tests.mail.fault_proxy import FaultProxy, expired_history
from tests.mail.graph_emulator import GraphEmulator
from tests.mail.graph_proxy import GraphProxy
from tests.mail.hostile import Faults, HostileProvider, HostileTransport

ADDRESS = "ada@agency.example"


def outgoing(
    subject: str = "A role at Acme", text: str = "Hello Bo,\n\nare you open to talk?\n", **more: object
) -> OutgoingMessage:
    values: dict[str, object] = {"to": (Address("bo@candidate.example", "Bo Li"),), **more}
    return OutgoingMessage(sender=Address(ADDRESS, "Ada"), subject=subject, text=text, **values)  # type: ignore[arg-type]


def incoming(
    subject: str = "Re: A role at Acme",
    text: str = "Yes, gladly.",
    *,
    in_reply_to: str | None = None,
    at: dt.datetime | None = None,
) -> bytes:
    message = EmailMessage(policy=POLICY)
    message["From"] = "Bo Li <bo@candidate.example>"
    message["To"] = ADDRESS
    message["Subject"] = subject
    message["Date"] = format_datetime(at or dt.datetime.now(dt.UTC))
    if in_reply_to:
        message["In-Reply-To"] = in_reply_to
        message["References"] = in_reply_to
    message.set_content(text)
    return message.as_bytes()


class World(abc.ABC):
    """A mailbox seen from outside: what a person or another program would see and do."""

    @abc.abstractmethod
    def transport(self) -> MailTransport:
        """Another transport onto the same mailbox, as another process would open it."""

    @abc.abstractmethod
    def deliver(self, raw: bytes) -> str:
        """A message comes in; its provider_message_id."""

    @abc.abstractmethod
    def sent(self) -> list[bytes]:
        """The witness: what is in Sent, in no promised order."""

    @abc.abstractmethod
    def send_unmarked(self, message: OutgoingMessage) -> str:
        """Sent, but the marker was dropped on the way; its provider_message_id."""

    @abc.abstractmethod
    def expire(self, cursor: str) -> str:
        """Make the cursor one that is too old."""

    @abc.abstractmethod
    def calls_of_poll(self) -> int | None:
        """Calls a poll has made on the provider so far; None where there is nothing to count."""


class LocalWorld(World):
    def __init__(self, root: Path) -> None:
        self.root = root

    def transport(self) -> LocalTransport:
        return LocalTransport(self.root, ADDRESS)

    def deliver(self, raw: bytes) -> str:
        return self.transport().deliver(raw)

    def sent(self) -> list[bytes]:
        return [p.read_bytes() for p in (self.root / ".Sent" / "cur").iterdir()]

    def send_unmarked(self, message: OutgoingMessage) -> str:
        name = "1700000000.M1P1.elsewhere"
        (self.root / ".Sent" / "cur" / f"{name}:2,S").write_bytes(build(message))
        return name

    def expire(self, cursor: str) -> str:
        return "not a cursor"

    def calls_of_poll(self) -> None:
        return None


class GmailWorld(World):
    def __init__(self, emulator: GoogleEmulator, proxy: FaultProxy) -> None:
        self.emulator, self.proxy = emulator, proxy
        self._open: list[GmailTransport] = []

    def transport(self, *, timeout: float = 10.0) -> GmailTransport:
        made = GmailTransport(
            self.emulator.address,
            self.emulator.credentials(self.proxy.base_url),
            endpoint=self.proxy.base_url,
            timeout=timeout,
            retry_delay=0.01,
        )
        self._open.append(made)
        return made

    def deliver(self, raw: bytes) -> str:
        return self.emulator.deliver(raw)

    def sent(self) -> list[bytes]:
        return self.emulator.sent()

    def send_unmarked(self, message: OutgoingMessage) -> str:
        return self.emulator.deliver(build(message), labels=("SENT",), thread_id=message.provider_thread_id)

    def expire(self, cursor: str) -> str:
        self.proxy.add(expired_history())
        return cursor

    def calls_of_poll(self) -> int:
        return self.proxy.count(path="/gmail/")

    def close(self) -> None:
        for transport in self._open:
            transport.close()


class OutlookWorld(World):
    def __init__(self, emulator: GraphEmulator, proxy: GraphProxy) -> None:
        self.emulator, self.proxy = emulator, proxy
        self._open: list[OutlookTransport] = []

    def transport(self, *, timeout: float = 10.0) -> OutlookTransport:
        made = OutlookTransport(
            self.emulator.address,
            lambda refused: "outside",
            session=requests.Session(),
            endpoint=self.proxy.base_url,
            timeout=timeout,
            retry_delay=0.01,
        )
        self._open.append(made)
        return made

    def deliver(self, raw: bytes) -> str:
        message_id = self.emulator.deliver(raw)
        self.proxy.raw[message_id] = raw
        return message_id

    def sent(self) -> list[bytes]:
        return [
            raw if KEY_HEADER.encode() in raw else f"{KEY_HEADER}: {key}\r\n".encode() + raw
            for key, raw in outlook_sent(self.emulator, self.proxy)
        ]

    def send_unmarked(self, message: OutgoingMessage) -> str:
        raw = build(message)
        return self.emulator.deliver(raw, folder="sentitems", thread_id=message.provider_thread_id)

    def expire(self, cursor: str) -> str:
        return cursor.replace('"v":1', '"v":0')

    def calls_of_poll(self) -> int:
        return self.proxy.count(path=r"/v1\.0/")

    def close(self) -> None:
        for transport in self._open:
            transport.close()


def outlook_sent(emulator: GraphEmulator, proxy: GraphProxy) -> list[tuple[str | None, bytes]]:
    """The witness of an Outlook mailbox: the key on each sent message, and the message."""
    found = []
    for record in emulator.records("sentitems"):
        message_id = record["microsoft_id"]
        if record["is_draft"]:
            continue
        people = {
            f"{name}Recipients": [{"emailAddress": r} for r in record[f"{name}_recipients"]]
            for name in ("to", "cc", "bcc")
        }
        resource = {
            **people,
            "from": {"emailAddress": {"address": record["from_address"], "name": record["from_name"]}},
            "subject": record["subject"],
            "internetMessageId": record["internet_message_id"],
            "body": {"contentType": record["body_content_type"], "content": record["body_content"]},
        }
        key = proxy.properties.get(message_id, {}).get(KEY_PROPERTY)
        found.append((key, proxy.mime(message_id, resource)))
    return found


class HostileWorld(World):
    def __init__(self, provider: HostileProvider) -> None:
        self.provider = provider

    def transport(self) -> HostileTransport:
        return HostileTransport(self.provider, ADDRESS)

    def deliver(self, raw: bytes) -> str:
        return self.provider.deliver(ADDRESS, raw)

    def sent(self) -> list[bytes]:
        rows = self.provider.rows("SELECT raw FROM messages WHERE kind = 'sent'")
        return [raw for (raw,) in rows if isinstance(raw, bytes)]

    def send_unmarked(self, message: OutgoingMessage) -> str:
        before = self.provider.faults
        self.provider.faults = Faults(**{**Faults.none().__dict__, "strip_marker": 1.0})
        transport = self.transport()
        sent = transport.send_draft(
            transport.create_draft(message, send_key="lost-on-the-way").provider_draft_id
        )
        self.provider.faults = before
        return sent.provider_message_id

    def expire(self, cursor: str) -> str:
        self.provider.expire_cursors()
        return cursor

    def calls_of_poll(self) -> int:
        return self.provider.calls("poll")
