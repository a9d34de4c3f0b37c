"""The only place that chooses an adapter: from settings and rows to an engine with its transports."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from outreach_sdk.config import Settings
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import Notices
from outreach_sdk.errors import ConfigError, MailAuthError
from outreach_sdk.mail.port import MailTransport
from outreach_sdk.storage.store import Store, open_store

__all__ = ["Transports", "Vault", "notices", "open_engine"]


class Vault:
    """Secrets at rest: encrypted with the newest key, read with any. The text is bound to its mailbox, so
    a copied ciphertext opens nothing else."""

    def __init__(self, settings: Settings) -> None:
        from cryptography.fernet import Fernet, MultiFernet  # 6 MiB that a Maildir's worker needn't carry

        keys = [k.reveal() for k in settings.secret_keys] or [_home_key(settings.home)]
        try:
            self._fernet = MultiFernet([Fernet(k.encode()) for k in keys])
        except ValueError:
            raise ConfigError(
                "OUTREACH_SECRET_KEYS: not Fernet keys. Make one with: python -c 'from cryptography.fernet import "
                "Fernet; print(Fernet.generate_key().decode())'"
            ) from None

    def seal(self, value: dict[str, Any], *, bound_to: str) -> str:
        """Encrypt."""
        return self._fernet.encrypt(json.dumps({"for": bound_to, "v": value}).encode()).decode()

    def open(self, sealed: str, *, bound_to: str) -> dict[str, Any]:
        """Decrypt; ConfigError with a wrong key, MailAuthError for a ciphertext of another mailbox."""
        from cryptography.fernet import InvalidToken

        try:
            inner = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken:
            raise ConfigError(
                "OUTREACH_SECRET_KEYS: none of the keys opens this mailbox's tokens. Put back the key they were "
                "stored with, or reconnect the mailbox."
            ) from None
        if inner["for"] != bound_to:
            raise MailAuthError("These tokens belong to another mailbox. Reconnect this one.")
        return dict(inner["v"])


def _home_key(home: Path) -> str:
    path = home / "secret.key"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        from cryptography.fernet import Fernet

        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(Fernet.generate_key().decode())
    return path.read_text().strip()


class Transports:
    """Transports by mailbox, made once a process and again when the mailbox's row changes."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._made: dict[int, tuple[str, MailTransport]] = {}
        self._guard = threading.Lock()
        self._vault: Vault | None = None

    @property
    def vault(self) -> Vault:
        """The key ring, read at first use."""
        if self._vault is None:
            self._vault = Vault(self._settings)
        return self._vault

    def __call__(self, box: dict[str, Any]) -> MailTransport:
        # Outlook's credentials change with every renewal; its transport reads them when it needs them.
        held = bool(box["credentials"]) if box["provider"] == "outlook" else box["credentials"]
        version = f"{box['provider']}:{box['address']}:{held}:{box['config']}"
        with self._guard:
            made = self._made.get(box["id"])
            if made is None or made[0] != version:
                made = (version, self._make(box))
                self._made[box["id"]] = made
            return made[1]

    def close(self) -> None:
        """Let go of every connection."""
        with self._guard:
            for _, transport in self._made.values():
                transport.close()
            self._made.clear()

    def _make(self, box: dict[str, Any]) -> MailTransport:
        config = json.loads(box["config"] or "{}")
        match box["provider"]:
            case "local":
                from outreach_sdk.mail.local.client import LocalTransport

                return LocalTransport(Path(config["root"]), box["address"])
            case "gmail":
                return self._gmail(box)
            case "outlook":
                return self._outlook(box, config)
            case name if name in EXTRA:
                return EXTRA[name](box, config)
        raise ConfigError(f"Mailbox {box['address']}: there is no transport called {box['provider']!r}.")

    def _gmail(self, box: dict[str, Any]) -> MailTransport:
        from outreach_sdk.mail.gmail.client import GmailTransport, refresh_credentials

        if not box["credentials"]:
            raise MailAuthError(f"{box['address']} holds no tokens. Reconnect it.")
        tokens = self.vault.open(box["credentials"], bound_to=f"{box['workspace_id']}:{box['address']}")
        credentials = refresh_credentials(
            refresh_token=tokens["refresh_token"],
            client_id=tokens["client_id"],
            client_secret=tokens["client_secret"],
            token_uri=self._settings.google_token_uri,
        )
        return GmailTransport(
            box["address"],
            credentials,
            endpoint=self._settings.gmail_endpoint,
            timeout=self._settings.send_timeout,
        )

    def _outlook(self, box: dict[str, Any], config: dict[str, Any]) -> MailTransport:
        import requests

        from outreach_sdk.mail.outlook.client import OutlookTransport
        from outreach_sdk.mail.outlook.graph import GRAPH
        from outreach_sdk.mail.outlook.tokens import Grant, Tokens, redeem

        kept = _KeptTokens(self._store, self.vault, box)
        kept.load()

        def exchange(tokens: Mapping[str, Any]) -> Grant:
            return redeem(
                tokens["refresh_token"],
                client_id=tokens["client_id"],
                client_secret=tokens["client_secret"],
                tenant=config.get("tenant", "common"),
                authority=self._settings.microsoft_authority,
                timeout=self._settings.send_timeout,
            )

        return OutlookTransport(
            box["address"],
            Tokens(kept.load, kept.save, exchange),
            session=requests.Session(),
            endpoint=self._settings.graph_endpoint or GRAPH,
            timeout=self._settings.send_timeout,
        )


class _KeptTokens:
    """A mailbox's tokens in its row, encrypted. The ciphertext, never twice the same, is their version."""

    def __init__(self, store: Store, vault: Vault, box: dict[str, Any]) -> None:
        self._store, self._vault = store, vault
        self._id, self._address = box["id"], box["address"]
        self._bound_to = f"{box['workspace_id']}:{box['address']}"

    def load(self) -> tuple[str, dict[str, Any]]:
        sealed = self._store.value("SELECT credentials FROM mailboxes WHERE id = ?", self._id)
        if not sealed:
            raise MailAuthError(f"{self._address} holds no tokens. Reconnect it.")
        return str(sealed), self._vault.open(str(sealed), bound_to=self._bound_to)

    def save(self, version: str, tokens: dict[str, Any]) -> bool:
        sealed = self._vault.seal(tokens, bound_to=self._bound_to)
        return (
            self._store.write(
                "UPDATE mailboxes SET credentials = ? WHERE id = ? AND credentials = ?",
                sealed,
                self._id,
                version,
            )
            == 1
        )


EXTRA: dict[str, Callable[[dict[str, Any], dict[str, Any]], MailTransport]] = {}
"""Transports that a program adds under a name of its own: (mailbox row, config) -> MailTransport."""


def notices(settings: Settings) -> Notices | None:
    """What mails notices to owners, or None without OUTREACH_SMTP_URL."""
    if settings.smtp_url is None:
        return None
    from outreach_sdk.mail.smtp.client import SmtpNotices

    return SmtpNotices(settings.smtp_url.reveal())


def open_engine(settings: Settings, store: Store | None = None) -> Engine:
    """An engine on the settings' database. Connects to nothing yet."""
    store = store or open_store(settings.database_url)
    return Engine(
        store=store,
        transport=Transports(settings, store),
        spacing=dt.timedelta(seconds=settings.stagger_seconds),
        cap=settings.max_parallel_sends,
        lease=dt.timedelta(seconds=settings.lease_seconds),
        poll_every=dt.timedelta(seconds=settings.poll_seconds),
        drain_for=dt.timedelta(seconds=settings.drain_seconds),
    )
