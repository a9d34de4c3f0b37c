"""Secrets at rest: mailbox tokens, encrypted and bound to their row."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.config import Settings
from outreach_sdk.engine.mailboxes import binding
from outreach_sdk.errors import ConfigError, MailAuthError
from outreach_sdk.storage.store import Store

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["Vault", "binding", "new_key", "rotate"]

SEALED = (("mailboxes", "credentials"), ("mailboxes", "revoking"), ("connect_links", "memo"))
"""Every column that holds a ciphertext."""
KEPT = 3
"""Keys a home's file holds after a rotation: processes that run on may still write with the one before."""


def new_key() -> str:
    """A fresh Fernet key."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


class Vault:
    """Encrypts with the newest key, reads with any: those of OUTREACH_SECRET_KEYS, or of the home's key file in
    an embedded set-up."""

    def __init__(self, settings: Settings) -> None:
        self._given = [k.reveal() for k in settings.secret_keys]
        if not self._given and not settings.database_url.startswith("sqlite"):
            raise ConfigError(
                "OUTREACH_SECRET_KEYS: not set here. In a shared set-up only the web service and the workers hold "
                "the keys; connect a mailbox from a notebook with Mailbox.connect_gmail() or connect_outlook()."
            )
        self._home = settings.home
        self._ring = self._read()

    @staticmethod
    def held(settings: Settings) -> bool:
        """Whether this process holds keys, or may make them."""
        return bool(settings.secret_keys) or settings.database_url.startswith("sqlite")

    def _read(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet  # 6 MiB that a Maildir's worker needn't carry

        try:
            return MultiFernet([Fernet(k.encode()) for k in self._given or _home_keys(self._home)])
        except ValueError:
            raise ConfigError(
                "OUTREACH_SECRET_KEYS: not Fernet keys. Make one with `outreach key new`."
                if self._given
                else f"{str(self._home / 'secret.key')!r}: not Fernet keys. Put the file back from a backup."
            ) from None

    def seal(self, value: dict[str, Any], *, bound_to: str) -> str:
        """Encrypt."""
        return self._ring.encrypt(json.dumps({"for": bound_to, "v": value}).encode()).decode()

    def open(self, sealed: str, *, bound_to: str) -> dict[str, Any]:
        """Decrypt; ConfigError with a wrong key, MailAuthError for a ciphertext of another mailbox."""
        inner = json.loads(self._decrypt(sealed, again=False))
        if inner["for"] != bound_to:
            raise MailAuthError("These tokens belong to another mailbox. Reconnect this one.")
        return dict(inner["v"])

    def renewed(self, sealed: str) -> str:
        """The same, encrypted with the newest key."""
        return self._decrypt(sealed, again=True).decode()

    def _decrypt(self, sealed: str, *, again: bool) -> bytes:
        from cryptography.fernet import InvalidToken

        for attempt in range(2):
            try:
                token = sealed.encode()
                return self._ring.rotate(token) if again else self._ring.decrypt(token)
            except InvalidToken:
                if attempt or self._given:
                    break
                self._ring = self._read()  # another process has rotated the home's keys meanwhile
        raise ConfigError(
            "OUTREACH_SECRET_KEYS: none of the keys opens this mailbox's tokens. Put back the key they were "
            "stored with, or reconnect the mailbox."
        )


def _home_keys(home: Path) -> list[str]:
    path = home / "secret.key"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = _written(home, [new_key()])
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text().split()


def _add_home_key(home: Path) -> None:
    os.replace(_written(home, [new_key(), *_home_keys(home)][:KEPT]), home / "secret.key")


def _written(home: Path, keys: list[str]) -> Path:
    handle, name = tempfile.mkstemp(dir=home, prefix="secret.")  # mode 600
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(keys))
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def rotate(settings: Settings, store: Store) -> tuple[int, list[str]]:
    """Encrypt everything afresh with the newest key: how many, and a sentence for each that no key opens. In an
    embedded home without OUTREACH_SECRET_KEYS a new key is made first. Tokens renewed meanwhile are kept."""
    if not settings.secret_keys and Vault.held(settings):
        _add_home_key(settings.home)
    vault = Vault(settings)
    done, lost = 0, []
    for table, column in SEALED:
        for row in store.rows(f"SELECT id FROM {table} WHERE {column} IS NOT NULL ORDER BY id"):
            while sealed := store.value(f"SELECT {column} FROM {table} WHERE id = ?", row["id"]):
                try:
                    fresh = vault.renewed(str(sealed))
                except ConfigError:
                    lost.append(f"{table} {row['id']}: no key opens its {column}.")
                    break
                if store.write(
                    f"UPDATE {table} SET {column} = ? WHERE id = ? AND {column} = ?", fresh, row["id"], sealed
                ):
                    done += 1
                    break
    return done, lost
