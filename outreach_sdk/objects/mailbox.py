"""Mailboxes: connecting, checking, disconnecting."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.given import check_line
from outreach_sdk.engine import sync
from outreach_sdk.engine.calendars import NO_CALENDAR, calendar_state
from outreach_sdk.engine.confined import confined_to
from outreach_sdk.engine.connecting import put_link, take
from outreach_sdk.engine.mailboxes import (
    binding,
    connected,
    disconnect,
    make_default,
)
from outreach_sdk.engine.selftest import OK, run_test
from outreach_sdk.errors import InvalidInput, MailAuthError, NotReady
from outreach_sdk.mail.port import SignIn
from outreach_sdk.notebook.card import Card, Shown
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.charting import load_chart
from outreach_sdk.objects.connecting import (
    Browser,
    by_consent,
    by_device,
    by_link,
    google_client,
    permissions,
)
from outreach_sdk.objects.lending import MailboxCare, usable_mailbox
from outreach_sdk.objects.looks_people import mailbox_card
from outreach_sdk.objects.sending_as import SendingAs
from outreach_sdk.objects.session import Session, current
from outreach_sdk.vault import Vault
from outreach_sdk.wiring import revoke_pending, sign_in

__all__ = ["Mailbox"]


@carried(here="get list connect_gmail connect_outlook from_refresh_token load check_alias", also="_link")
class Mailbox(SendingAs, MailboxCare, Shown):
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
        if root is not None and confined_to() is not None:
            raise InvalidInput(
                "root", str(root), "Leave it out: the engine's machine keeps it in its own home."
            )
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
        calendar: bool = False,
    ) -> Mailbox:
        """A Gmail or Outlook mailbox from an OAuth refresh token, for servers and scripts. The tokens are
        kept encrypted. Scopes needed: gmail.compose and gmail.readonly
        (https://developers.google.com/workspace/gmail/api/auth/scopes); for Outlook Mail.ReadWrite,
        Mail.Send, User.Read and offline_access (https://learn.microsoft.com/graph/permissions-reference).
        `tenant` is Outlook's alone: the directory's id or domain, where the application isn't open to every
        directory; an Outlook application without a secret takes `client_secret=""`. `calendar`: the grant covers
        Calendars.Read too (at Google calendar.events.readonly, which is found out by asking)."""
        if provider not in ("gmail", "outlook"):
            raise InvalidInput("provider", provider, 'Use "gmail" or "outlook".')
        _check_tenant(tenant)
        for field, value in (("refresh_token", refresh_token), ("client_id", client_id)):
            if not isinstance(value, str) or not value.strip():
                shown = type(value).__name__  # never the value: it may be the secret, in another type
                raise InvalidInput(
                    field, shown, "Give the text the provider gave: without it nothing can be sent."
                )
        if not isinstance(client_secret, str) or (provider == "gmail" and not client_secret.strip()):
            raise InvalidInput(
                "client_secret", type(client_secret).__name__, "Give the application's secret as text."
            )
        session = current()
        tokens: dict[str, Any] = {"refresh_token": refresh_token, "client_id": client_id}
        tokens |= {"client_secret": client_secret, "calendar": calendar}
        config = {"tenant": tenant} if provider == "outlook" else {}
        return cls._save(session, provider, address, name, config, tokens)

    @classmethod
    def connect_gmail(
        cls,
        client_secrets: str | Path | Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        name: str = "",
        browser: Browser = None,
        port: int = 0,
        calendar: bool = True,
        ask: Callable[[str], str] = input,
        show: Callable[[str], None] = print,
        wait: float = 900.0,
    ) -> Mailbox:
        """A Gmail mailbox, by consent on Google's page. `client_secrets` is the JSON of a desktop application
        from Google's console (path, text or dict). `address` refuses any other account. `browser`: True opens
        one here, False shows the address and takes the answer pasted, as in a remote Jupyter; by default
        whichever fits; `port` is the redirect's, any by default. `calendar=False` doesn't ask to read the calendar,
        in which interviews with candidates are found.

        In a shared set-up, where this process holds no keys, a link to the web service is shown instead, and
        this waits up to `wait` seconds for it: its application counts, so leave `client_secrets` out.
        Raises SignInRefused (denied, another account, too late), NotReady, MailTemporary."""
        check_line("name", name)
        session = current()
        if not Vault.held(session.settings):
            if client_secrets is not None:
                raise InvalidInput("client_secrets", "given", "The web service has its own: leave it out.")
            return cls._linked(session, "gmail", address, name, calendar, show, wait)
        if client_secrets is None:
            raise InvalidInput("client_secrets", None, "Give the JSON file of a desktop application.")
        client_id, client_secret = google_client(client_secrets)
        gate = sign_in(
            session.settings, "gmail", client_id=client_id, client_secret=client_secret, calendar=calendar
        )
        tokens = by_consent(gate, address=address, browser=browser, port=port, ask=ask, show=show)
        return cls._taken(session, gate, tokens, address, name, None)

    @classmethod
    def connect_outlook(
        cls,
        client_id: str | None = None,
        *,
        tenant: str = "common",
        client_secret: str = "",
        address: str | None = None,
        name: str = "",
        device: bool = False,
        browser: Browser = None,
        port: int = 0,
        calendar: bool = True,
        ask: Callable[[str], str] = input,
        show: Callable[[str], None] = print,
        wait: float = 900.0,
    ) -> Mailbox:
        """An Outlook mailbox, by consent on Microsoft's page. `client_id` is of an application registered as
        public with the redirect address http://localhost; `tenant` its directory, where it isn't open to
        every one. `device=True` shows a code to type on any device instead of opening a browser. All else as
        in `connect_gmail`."""
        check_line("name", name)
        session = current()
        if not Vault.held(session.settings):
            if client_id is not None:
                raise InvalidInput("client_id", client_id, "The web service has its own: leave it out.")
            return cls._linked(session, "outlook", address, name, calendar, show, wait)
        if not client_id:
            raise InvalidInput("client_id", client_id, "Give the application (client) id from Entra.")
        _check_tenant(tenant)
        gate = sign_in(
            session.settings,
            "outlook",
            client_id=client_id,
            client_secret=client_secret,
            tenant=tenant,
            calendar=calendar,
        )
        if device:
            show(permissions(gate))
            tokens = by_device(gate, show, wait)
        else:
            tokens = by_consent(gate, address=address, browser=browser, port=port, ask=ask, show=show)
        return cls._taken(session, gate, tokens, address, name, {"tenant": tenant})

    @classmethod
    def _taken(
        cls,
        session: Session,
        gate: SignIn,
        tokens: dict[str, Any],
        expected: str | None,
        name: str,
        config: dict[str, Any] | None,
    ) -> Mailbox:
        row = take(
            session.engine,
            gate,
            tokens,
            vault=Vault(session.settings),
            workspace_id=session.workspace_id,
            owner_id=session.user["id"],
            expected=expected,
            name=name,
            config=config,
        )
        return cls(row, session)

    @classmethod
    def _linked(
        cls,
        session: Session,
        provider: str,
        address: str | None,
        name: str,
        calendar: bool,
        show: Callable[[str], None],
        wait: float,
    ) -> Mailbox:
        made = by_link(
            session,
            provider,
            address=address,
            name=name,
            calendar=calendar,
            show=show,
            wait=wait,
            put=cls._link,
        )
        return cls(session.scope.get("mailboxes", made, "mailbox"), session)

    @classmethod
    def _link(cls, digest: str, provider: str, address: str | None, name: str, calendar: bool) -> int:
        check_line("name", name)
        session = current()
        return put_link(
            session.engine,
            digest,
            workspace_id=session.workspace_id,
            owner_id=session.user["id"],
            provider=provider,
            address=address,
            name=name,
            calendar=calendar,
        )

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
        check_line("name", name)
        row = {
            "workspace_id": session.workspace_id,
            "owner_id": session.user["id"],
            "provider": provider,
            "address": normalise_email(address),
        }
        sealed = Vault(session.settings).seal(tokens, bound_to=binding(row)) if tokens is not None else None
        return cls(connected(session.engine, **row, name=name, config=config, sealed=sealed), session)

    @classmethod
    def get(cls, address_or_id: str | int) -> Mailbox:
        """One of one's mailboxes, or one that was lent; NotFound otherwise."""
        session = current()
        return cls(usable_mailbox(session, address_or_id), session)

    @classmethod
    def list(cls) -> Any:
        """Frame: id, address, provider, status, detail, default, checked_at (for answers), tested_at, calendar."""
        from outreach_sdk.objects.frames import frame

        rows = current().scope.find("mailboxes", tail="ORDER BY x.id")
        calendars = calendar_state(current().store, [r["id"] for r in rows])
        watches = {
            r["mailbox_id"]: f"News isn't told at once, it is looked for: {r['error']}"
            for r in current().store.rows("SELECT mailbox_id, error FROM watches WHERE error IS NOT NULL")
        }
        for row in rows:
            row.update(
                detail=row["unusable"]
                or row["check_failed"]
                or row["status_detail"]
                or watches.get(row["id"]),
                default=row["is_default"],
                tested_at=row["checked_at"],
                checked_at=row["polled_at"],
                calendar=calendars.get(row["id"], NO_CALENDAR),
            )
        return frame(
            rows,
            id="int",
            address="str",
            provider="str",
            status="str",
            detail="str",
            default="bool",
            checked_at="time",
            tested_at="time",
            calendar="str",
        )

    # -- state ---------------------------------------------------------------------------------
    @property
    def status(self) -> str:
        """ "connected" | "reauthorise" | "disconnected"."""
        return str(usable_mailbox(self._session, self.id)["status"])

    @property
    def calendar(self) -> str:
        """ "read", "not read yet", or in a sentence why interviews aren't looked for in its owner's calendar."""
        self._row()
        return calendar_state(self._session.store, [self.id]).get(self.id, NO_CALENDAR)

    @property
    def spacing(self) -> float:
        """Seconds between two automatic e-mails of this mailbox (OUTREACH_STAGGER_SECONDS when connected), whichever
        colleague's they are where several connected the account."""
        return float(self._row()["spacing_us"]) / 1e6

    @spacing.setter
    def spacing(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 86_400:
            raise InvalidInput("spacing", seconds, "Give seconds from 0 to a day.")
        row = self._row()
        self._session.store.write(
            "UPDATE mailboxes SET spacing_us = ?, next_slot_at = last_call_at + CAST(? AS BIGINT) WHERE workspace_id = ? "
            "AND address = ? AND provider = ?",
            round(seconds * 1e6),
            round(seconds * 1e6),
            row["workspace_id"],
            row["address"],
            row["provider"],
        )

    def check(self, *, again: bool = True, wait: float = 120.0) -> dict[str, str]:
        """Test the mailbox on the live account: it writes itself two messages that say they can be deleted.
        Each fact: "ok", or a sentence on what was seen instead; with one of those nothing leaves it. Without
        `again`, one that has passed is only asked whose it is. Where this process holds no keys a worker does
        it, waited for up to `wait` seconds. Raises MailError, NotReady."""
        row = self._row()
        if not Vault.held(self._session.settings):
            return {"passed": OK} if row["checked_at"] and not again else self._check_elsewhere(wait)
        if row["checked_at"] and not again:
            return run_test(self._session.engine, self.id, whole=False)
        return run_test(self._session.engine, self.id)

    def _check_elsewhere(self, wait: float) -> dict[str, str]:
        store, asked = self._session.store, self._session.now()
        store.write(
            "UPDATE mailboxes SET check_asked_at = ?, check_next_at = NULL, check_facts = NULL WHERE id = ?",
            asked,
            self.id,
        )
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            row = self._row()
            if row["status"] != "connected":
                raise MailAuthError(
                    f"{self.address} has to be connected again: {str(row['status_detail']).rstrip('.')}."
                )
            if row["check_asked_at"] is None and row["check_facts"]:
                return dict(json.loads(row["check_facts"]))
            time.sleep(0.5)
        raise NotReady(f"No worker has tested {self.address} yet; box.check(again=False) asks again later.")

    # -- addresses and signature -----------------------------------------------------------------
    def make_default(self) -> None:
        """The one that one's new sequences send from; another was until now, or none."""
        row = self._row()
        if row["status"] != "connected":
            raise InvalidInput("mailbox", self.address, f"It is {row['status']}: connect it again first.")
        with self._session.store.tx():
            make_default(self._session.store, row["owner_id"], self.id)

    # -- ends ------------------------------------------------------------------------------------
    def sync(self) -> int:
        """One reply and bounce check now, ahead of the engine's; how many new messages. MailError where the mailbox
        can't be read."""
        self._row()
        return sync.poll_mailbox(self._session.engine, self.id)

    def disconnect(self) -> str:
        """Forget the tokens; journeys that need this mailbox pause and their owners are told. Google is told
        to forget the grant too (by a worker, where this process holds no keys). What became of that, in a
        sentence."""
        self._row()
        disconnect(self._session.engine, self.id)
        if Vault.held(self._session.settings):
            revoke_pending(self._session.settings, self._session.store)
        pending = self._row()["revoking"] is not None
        match self.provider:
            case "gmail" if pending:
                return "Disconnected. Google couldn't be told yet to forget the grant; that is tried again."
            case "gmail":
                return "Disconnected, and Google has forgotten the grant."
            case "outlook":
                return (
                    "Disconnected; the tokens are forgotten here. Microsoft has no call that takes back one "
                    "application's grant: remove it at https://myapps.microsoft.com if you wish."
                )
        return "Disconnected."

    def load(self, days: int = 14) -> Any:
        """Chart: what it sent each of the last `days` days, against its limit."""
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 366:
            raise InvalidInput("days", days, "Give a whole number of days from 1 to 366.")
        return load_chart(self._session, usable_mailbox(self._session, self.id), days)

    def _card(self) -> Card:
        return mailbox_card(self._session, usable_mailbox(self._session, self.id))

    def _line(self) -> str:
        return f"Mailbox({self.address!r}, {self.provider})"


def _check_tenant(tenant: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9.-]+", tenant):
        raise InvalidInput("tenant", tenant, "Give the directory's id or domain.")
