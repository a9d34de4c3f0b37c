"""Others' Outlook and Entra, on loopback: one server per `graph_emulator()`.

The emulator knows neither extended properties nor MIME, answers a send with 200 and repeats it as often as
asked, and never fails. `graph_proxy` puts those right.
"""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.mail.emulator import ROOT, install, launched, request

TOOLS = ROOT / ".test-tools" / "microsoft"
LAUNCHER = Path(__file__).with_name("graph_launcher.mjs")
PACKAGE = {
    "type": "module",
    "private": True,
    "dependencies": {"@inbox-zero/emulate": "0.4.5"},
    "overrides": {"@hono/node-server": "1.19.19", "hono": "4.13.19", "commander": "14.0.3", "yaml": "2.9.1"},
}


@dataclass
class GraphEmulator:
    """One running server with one user. Everything here goes straight to it, past any proxy, as someone
    looking into the mailbox from outside would."""

    base_url: str
    address: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def records(self, folder: str | None = None) -> list[dict[str, Any]]:
        """Every message as the server keeps it, in the order they were made."""
        found: list[dict[str, Any]] = self._call("GET", "/outside/messages", None)
        return [m for m in found if folder in (None, m["parent_folder_id"])]

    def deliver(self, raw: bytes, *, folder: str = "inbox", thread_id: str | None = None) -> str:
        """A message comes in (or, with another folder, is simply there); its id."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain", "html"))
        at = message["Date"].datetime if message["Date"] else dt.datetime.now(dt.UTC)

        def people(name: str) -> list[dict[str, str]]:
            there = message[name].addresses if message[name] else ()
            return [{"address": a.addr_spec, "name": a.display_name} for a in there]

        given = {
            "subject": str(message["Subject"] or ""),
            "internet_message_id": str(
                message["Message-ID"] or f"<{secrets.token_hex(8)}@elsewhere.example>"
            ),
            "from_address": people("From")[0]["address"],
            "to_recipients": people("To"),
            "cc_recipients": people("Cc"),
            "body_content": body.get_content() if body else "",
            "body_content_type": "html" if body and body.get_content_subtype() == "html" else "text",
            "received_date_time": at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
            "parent_folder_id": folder,
            "parents": f"{message['References'] or ''} {message['In-Reply-To'] or ''}".split(),
        }
        if thread_id:
            given["conversation_id"] = thread_id
        return str(self._call("POST", "/outside/messages", given)["id"])

    def revoke(self, refresh_token: str | None = None) -> None:
        """The user takes the grant back: renewals fail with invalid_grant from now on."""
        form = f"token={refresh_token or self.refresh_token}".encode()
        request(
            "POST",
            f"{self.base_url}/oauth2/v2.0/revoke",
            form,
            "application/x-www-form-urlencoded",
            "outside",
        )

    def grant(self, refresh_token: str) -> None:
        """The user agrees anew."""
        self._call("POST", "/outside/grants", {"refresh_token": refresh_token})

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        return request(method, self.base_url + path, data, "application/json", "outside")


@contextmanager
def graph_emulator(address: str = "ada@agency.example", **extra: Any) -> Iterator[GraphEmulator]:
    """A fresh, empty Outlook for `address`, gone afterwards. `others`: more accounts; `redirects`: addresses the
    application may send people back to. Raises EmulatorMissing."""
    modules = install(TOOLS, PACKAGE)
    client_id, client_secret = "test-client", secrets.token_urlsafe(16)
    refresh_token = f"refresh-{secrets.token_urlsafe(16)}"
    given = (str(modules), address, client_id, client_secret, refresh_token, json.dumps(extra))
    with launched(LAUNCHER, *given) as port:
        yield GraphEmulator(f"http://127.0.0.1:{port}", address, client_id, client_secret, refresh_token)
