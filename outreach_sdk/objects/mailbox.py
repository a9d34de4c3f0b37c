"""Mailboxes: connecting, checking, disconnecting."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import plan_next
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.lending import MailboxCare, usable_mailbox
from outreach_sdk.objects.session import Session, current
from outreach_sdk.storage.transitions import move_journeys
from outreach_sdk.wiring import Vault

__all__ = ["Mailbox"]


class Mailbox(MailboxCare):
    """A connected account that e-mails leave from. Make one with a `connect_…` call."""

    def __init__(self, row: dict[str, Any], session: Session) -> None:
        self._session = session
        self.id: int = row["id"]
        self.address: str = row["address"]
        self.provider: str = row["provider"]

    # -- connecting ----------------------------------------------------------------------------
    @classmethod
    def connect_local(cls, address: str, *, name: str = "", root: str | Path | None = None) -> Mailbox:
        """A Maildir on this machine (`root`, by default in the home folder): nothing leaves it. Sent
        messages lie in its .Sent folder as plain .eml text; whatever is delivered into `new` comes in."""
        session = current()
        where = Path(root) if root is not None else session.settings.home / "mail" / normalise_email(address)
        return cls._save(session, "local", address, name, {"root": str(where.resolve())}, None)

    @classmethod
    def from_refresh_token(
        cls,
        provider: str,
        address: str,
        *,
        refresh_token: str,
        client_id: str,
        client_secret: str,
        name: str = "",
        tenant: str = "common",
    ) -> Mailbox:
        """A Gmail or Outlook mailbox from an OAuth refresh token, for servers and scripts. The tokens are
        kept encrypted. Scopes needed: gmail.compose and gmail.readonly
        (https://developers.google.com/workspace/gmail/api/auth/scopes); for Outlook Mail.ReadWrite,
        Mail.Send, User.Read and offline_access (https://learn.microsoft.com/graph/permissions-reference).
        `tenant` is Outlook's alone: the directory's id or domain, where the application isn't open to every
        directory; an Outlook application without a secret takes `client_secret=""`."""
        if provider not in ("gmail", "outlook"):
            raise InvalidInput("provider", provider, 'Use "gmail" or "outlook".')
        if not re.fullmatch(r"[A-Za-z0-9.-]+", tenant):
            raise InvalidInput("tenant", tenant, "Give the directory's id or domain.")
        session = current()
        tokens = {"refresh_token": refresh_token, "client_id": client_id, "client_secret": client_secret}
        config = {"tenant": tenant} if provider == "outlook" else {}
        return cls._save(session, provider, address, name, config, tokens)

    @classmethod
    def _save(
        cls,
        session: Session,
        provider: str,
        address: str,
        name: str,
        config: dict[str, Any],
        tokens: dict[str, Any] | None,
    ) -> Mailbox:
        store, now, user = session.store, session.now(), session.user
        address = normalise_email(address)
        sealed = None
        if tokens is not None:
            sealed = Vault(session.settings).seal(tokens, bound_to=f"{session.workspace_id}:{address}")

        def work() -> dict[str, Any]:
            first = not store.value("SELECT 1 FROM mailboxes WHERE owner_id = ? LIMIT 1", user["id"])
            long_ago = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
            (box,) = store.rows(
                "INSERT INTO mailboxes (workspace_id, owner_id, provider, address, name, status, credentials, config, "
                "is_default, next_poll_at, next_slot_at, last_call_at, spacing_us, created_at) "
                "VALUES (?, ?, ?, ?, ?, 'connected', ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (workspace_id, address, owner_id) DO UPDATE SET status = 'connected', status_detail = NULL, "
                "provider = excluded.provider, credentials = excluded.credentials, config = excluded.config, "
                "spacing_us = excluded.spacing_us RETURNING *",
                session.workspace_id,
                user["id"],
                provider,
                address,
                name,
                sealed,
                json.dumps(config),
                first,
                now,
                long_ago,
                long_ago,
                session.engine.spacing // dt.timedelta(microseconds=1),
                now,
            )
            for reason in (PauseReason.REAUTHORISE, PauseReason.MAILBOX_DISCONNECTED):
                for journey in move_journeys(
                    store,
                    "status = 'paused' AND reason = ? AND sequence_id IN (SELECT id FROM sequences WHERE active "
                    "AND mailbox_id = ?)",
                    (reason, box["id"]),
                    JourneyStatus.ACTIVE,
                    None,
                    now,
                ):
                    plan_next(store, journey["id"], now)
            return box

        return cls(store.run(work), session)

    @classmethod
    def get(cls, address_or_id: str | int) -> Mailbox:
        """One of one's mailboxes, or one that was lent; NotFound otherwise."""
        session = current()
        return cls(usable_mailbox(session, address_or_id), session)

    @classmethod
    def list(cls) -> Any:
        """Frame: id, address, provider, status, detail, default, checked_at."""
        from outreach_sdk.objects.frames import frame

        rows = current().scope.find("mailboxes", tail="ORDER BY x.id")
        for row in rows:
            row.update(detail=row["status_detail"], default=row["is_default"], checked_at=row["polled_at"])
        return frame(
            rows,
            id="int",
            address="str",
            provider="str",
            status="str",
            detail="str",
            default="bool",
            checked_at="time",
        )

    # -- state ---------------------------------------------------------------------------------
    @property
    def status(self) -> str:
        """ "connected" | "reauthorise" | "disconnected"."""
        return str(usable_mailbox(self._session, self.id)["status"])

    @property
    def transport(self) -> Any:
        """The port behind it, for reading by hand and for tests."""
        return self._session.engine.transport(self._row())

    @property
    def spacing(self) -> float:
        """Seconds between two automatic e-mails of this mailbox (OUTREACH_STAGGER_SECONDS when connected)."""
        return float(self._row()["spacing_us"]) / 1e6

    @spacing.setter
    def spacing(self, seconds: float) -> None:
        if not 0 <= seconds <= 86_400:
            raise InvalidInput("spacing", seconds, "Give seconds from 0 to a day.")
        self._row()
        self._session.store.write(
            "UPDATE mailboxes SET spacing_us = ?, next_slot_at = last_call_at + CAST(? AS BIGINT) WHERE id = ?",
            round(seconds * 1e6),
            round(seconds * 1e6),
            self.id,
        )

    def check(self) -> str:
        """Ask the provider whose mailbox this is: the address it says. Raises MailError."""
        return str(self.transport.address())

    def disconnect(self) -> None:
        """Forget the tokens; journeys that need this mailbox pause and their owners are told."""
        store, now = self._session.store, self._session.now()

        def work() -> None:
            box = self._row()
            store.write(
                "UPDATE mailboxes SET status = 'disconnected', credentials = NULL WHERE id = ?", self.id
            )
            store.write(
                "UPDATE grants SET ended_at = ? WHERE mailbox_id = ? AND ended_at IS NULL", now, self.id
            )
            moved = move_journeys(
                store,
                "status = 'active' AND (lane = ? OR sequence_id IN (SELECT id FROM sequences WHERE mailbox_id = ?))",
                (self.id, self.id),
                JourneyStatus.PAUSED,
                PauseReason.MAILBOX_DISCONNECTED,
                now,
            )
            for owner in {m["owner_id"] for m in moved}:
                notify(
                    store,
                    workspace_id=self._session.workspace_id,
                    owner_id=owner,
                    kind="mailbox_disconnected",
                    text=f"{box['address']} was disconnected. The journeys that need it are paused.",
                    dedupe=f"disconnected:{self.id}:{owner}:{now.isoformat()}",
                    now=now,
                )

        store.run(work)

    def __repr__(self) -> str:
        return f"Mailbox({self.address!r}, {self.provider})"
