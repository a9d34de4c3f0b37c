"""What a mailbox's e-mails bear: the address they come from, and the signature."""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from dataclasses import asdict
from typing import Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.given import check_text, without_controls
from outreach_sdk.domain.message import clean_html
from outreach_sdk.engine.mailboxes import remember_identities
from outreach_sdk.errors import InvalidInput
from outreach_sdk.mail.port import HasIdentities, Identity
from outreach_sdk.objects.session import Session
from outreach_sdk.vault import Vault

__all__ = ["SendingAs"]


class SendingAs:
    """The part of a Mailbox that this is about."""

    id: int
    address: str
    provider: str
    _session: Session

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("mailboxes", self.id, "mailbox")

    @property
    def transport(self) -> Any:
        """The port behind it, for reading by hand and for tests."""
        return self._session.engine.transport(self._row())

    @property
    def aliases(self) -> Any:
        """Frame: address, name, verified, default. What a step's `alias=` may be: with Gmail the send-as
        addresses, as of now where this process holds the keys, else as of the last self-test."""
        from outreach_sdk.objects.frames import frame

        rows = [asdict(i) for i in self._identities()]
        return frame(rows, address="str", name="str", verified="bool", default="bool")

    def _identities(self) -> Seq[Identity]:
        row = self._row()
        if Vault.held(self._session.settings) and row["status"] == "connected":
            transport = self.transport
            found = transport.identities() if isinstance(transport, HasIdentities) else []
            if found:
                remember_identities(self._session.store, self.id, found)
        else:
            found = [Identity(**i) for i in json.loads(row["identities"] or "[]")]
        return found or [Identity(self.address, row["name"], default=True)]

    def check_alias(self, alias: str) -> str:
        """The alias as the provider writes it. InvalidInput unless it is one of this mailbox's, verified."""
        wanted = normalise_email(alias)
        known = {i.address.lower(): i for i in self._identities()}
        found = known.get(wanted)
        if found is None:
            raise InvalidInput("alias", alias, f"{self.address} may send as: {', '.join(sorted(known))}.")
        if not found.verified:
            raise InvalidInput("alias", alias, "It isn't verified yet: confirm it in Gmail's settings first.")
        return found.address

    @property
    def signature(self) -> str | None:
        """What is appended to every e-mail from this mailbox, plain text or HTML; None: nothing is. Set it,
        or take over the provider's with `fetch_signature()`."""
        found = self._row()["signature"]
        return None if found is None else str(found)

    @signature.setter
    def signature(self, text: str | None) -> None:
        if text is not None and len(check_text("signature", text)) > 20_000:
            raise InvalidInput("signature", f"{len(text)} characters", "Use 20,000 at most.")
        self._row()
        kept = without_controls(text) if text and text.strip() else None
        self._session.store.write("UPDATE mailboxes SET signature = ? WHERE id = ?", kept, self.id)

    def fetch_signature(self, alias: str | None = None) -> str:
        """Take over the signature kept at the provider (of `alias`, else of the default address) and return
        it. Only Gmail tells it; Outlook's isn't to be had through Graph."""
        self._row()
        if self.provider != "gmail":
            raise InvalidInput("signature", self.provider, "Only Gmail tells signatures: set box.signature.")
        found = self._identities()
        wanted = normalise_email(alias) if alias else None
        chosen = [i for i in found if (i.address.lower() == wanted if wanted else i.default)] or found[:1]
        if not chosen[0].signature.strip():
            raise InvalidInput("signature", chosen[0].address, "Gmail keeps none for it: set box.signature.")
        self.signature = clean_html(without_controls(chosen[0].signature))
        return str(self.signature)
