"""Others' Gmail, on loopback: installs the emulator once and starts one server per `google_emulator()`.

The emulator differs from Gmail where it matters most: it keeps our Message-ID, never expires a historyId and
never fails. `fault_proxy` puts those back.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import select
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.oauth2.credentials

from outreach_sdk.mail.gmail.client import refresh_credentials

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".test-tools" / "google"
LAUNCHER = Path(__file__).with_name("emulator_launcher.mjs")
PACKAGE = {
    "type": "module",
    "private": True,
    "dependencies": {"@emulators/google": "0.11.2"},
    "overrides": {"@emulators/core": "0.6.1", "jose": "6.2.17"},
}


class EmulatorMissing(RuntimeError):
    """Node or npm isn't there, or the emulator couldn't be installed or started."""


def install(folder: Path = TOOLS, package: dict[str, Any] = PACKAGE) -> Path:
    """Install the pinned packages unless they are there; the path of `node_modules`. Parallel test processes
    wait for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    modules, stamp = folder / "node_modules", folder / "installed.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and json.loads(stamp.read_text()) == package and modules.exists():
            return modules
        npm = shutil.which("npm")
        if npm is None:
            raise EmulatorMissing("npm isn't on PATH; the mail tests need Node.js 20 or newer.")
        (folder / "package.json").write_text(json.dumps(package))
        done = subprocess.run(
            [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise EmulatorMissing(f"npm couldn't install the emulator:\n{done.stderr[-2000:]}")
        stamp.write_text(json.dumps(package))
    return modules


@dataclass
class GoogleEmulator:
    """One running server with one user. Everything here goes straight to it, past any proxy, as someone
    looking into the mailbox from outside would."""

    base_url: str
    address: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    outside_token: str = field(repr=False)
    """An access token of the same user, which revoking the grant doesn't touch."""

    @property
    def token_uri(self) -> str:
        return f"{self.base_url}/oauth2/token"

    def credentials(self, base_url: str | None = None) -> google.oauth2.credentials.Credentials:
        """Credentials as wiring makes them; `base_url` names a proxy in front of the server."""
        return refresh_credentials(
            refresh_token=self.refresh_token,
            client_id=self.client_id,
            client_secret=self.client_secret,
            token_uri=f"{base_url or self.base_url}/oauth2/token",
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request under /gmail/v1/users/me."""
        data = json.dumps(body).encode() if body is not None else None
        return request(
            method, f"{self.base_url}/gmail/v1/users/me/{path}", data, "application/json", self.outside_token
        )

    def deliver(
        self, raw: bytes, *, labels: tuple[str, ...] = ("INBOX", "UNREAD"), thread_id: str | None = None
    ) -> str:
        """A message comes in; its id."""
        body: dict[str, Any] = {"raw": base64.urlsafe_b64encode(raw).decode(), "labelIds": list(labels)}
        if thread_id:
            body["threadId"] = thread_id
        return str(self.call("POST", "messages/import", body)["id"])

    def raw(self, message_id: str) -> bytes:
        """The stored bytes of a message."""
        value = str(self.call("GET", f"messages/{message_id}?format=raw")["raw"])
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))

    def sent_ids(self) -> list[str]:
        return self._ids("messages?labelIds=SENT&maxResults=500&includeSpamTrash=true", "messages")

    def sent(self) -> list[bytes]:
        """The witness: the bytes of every message in Sent, newest first."""
        return [self.raw(message_id) for message_id in self.sent_ids()]

    def draft_ids(self) -> list[str]:
        return self._ids("drafts?maxResults=500", "drafts")

    def revoke(self) -> None:
        """The user takes the grant back: renewals fail with invalid_grant from now on."""
        form = f"token={self.refresh_token}".encode()
        request("POST", f"{self.base_url}/oauth2/revoke", form, "application/x-www-form-urlencoded")

    def grant_again(self) -> None:
        """The user agrees anew, and is given the same refresh token."""
        request("POST", f"{self.base_url}/outside/grant", b"{}", "application/json", self.outside_token)

    def _ids(self, path: str, name: str) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = self.call("GET", path + (f"&pageToken={token}" if token else ""))
            found += [str(entry["id"]) for entry in page.get(name, [])]
            token = str(page.get("nextPageToken") or "")
            if not token:
                return found


def request(
    method: str, url: str, data: bytes | None, content_type: str, token: str | None = None
) -> dict[str, Any]:
    headers = {"Content-Type": content_type}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with opener.open(asked, timeout=30) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{method} {url}: {error.code} {error.read()[:500]!r}") from None
    return json.loads(content) if content else {}


@contextmanager
def launched(launcher: Path, *arguments: str) -> Iterator[int]:
    """The port of a server that the launcher starts, gone afterwards. Raises EmulatorMissing."""
    node = shutil.which("node")
    if node is None:
        raise EmulatorMissing("node isn't on PATH; the mail tests need Node.js 20 or newer.")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NODE_")}
    with subprocess.Popen(
        [node, str(launcher), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], 30)
            line = process.stdout.readline() if ready else b""
            if not line:
                raise EmulatorMissing("The emulator didn't start within 30 s.")
            yield int(json.loads(line)["port"])
        finally:
            process.kill()


@contextmanager
def google_emulator(address: str = "ada@agency.example", **extra: Any) -> Iterator[GoogleEmulator]:
    """A fresh, empty Gmail for `address`, gone afterwards. `others`: more accounts; `redirects`: addresses the
    application may send people back to; `sendAs`: aliases. Raises EmulatorMissing."""
    modules = install()
    client_id, client_secret = "test-client", secrets.token_urlsafe(16)
    refresh_token, outside_token = (f"{kind}-{secrets.token_urlsafe(16)}" for kind in ("refresh", "outside"))
    arguments = (
        str(modules),
        address,
        client_id,
        client_secret,
        refresh_token,
        outside_token,
        json.dumps(extra),
    )
    with launched(LAUNCHER, *arguments) as port:
        yield GoogleEmulator(
            f"http://127.0.0.1:{port}", address, client_id, client_secret, refresh_token, outside_token
        )
