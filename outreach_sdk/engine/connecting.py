"""Connecting a mailbox: what consent gave is checked before anything is written, and given back where it is
not what was wanted. One-time links carry a person from a notebook that holds no keys to the web service."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import binding, connected
from outreach_sdk.errors import MailError, NotFound, OutreachError, SignInRefused
from outreach_sdk.mail.port import SignIn
from outreach_sdk.storage.store import Store

__all__ = ["LINK_HOLDS", "Sealer", "begin_link", "finish_link", "new_secret", "open_link", "put_link", "take"]

LINK_HOLDS = dt.timedelta(minutes=15)

GONE = "This link was used already, or is more than 15 minutes old. Make another one in your notebook."


class Sealer(Protocol):
    """What encrypts, so that only the row it is bound to opens it."""

    def seal(self, value: dict[str, Any], *, bound_to: str) -> str: ...

    def open(self, sealed: str, *, bound_to: str) -> dict[str, Any]: ...


def take(
    engine: Engine,
    gate: SignIn,
    tokens: dict[str, Any],
    *,
    vault: Sealer,
    workspace_id: int,
    owner_id: int,
    expected: str | None,
    name: str = "",
    config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The row of the mailbox that these fresh tokens open. If it isn't the expected one, or can't be stored,
    the provider is told to forget the grant and nothing is written."""
    address = None
    try:
        address = normalise_email(gate.address(tokens))
        if expected is not None and address != normalise_email(expected):
            raise SignInRefused(
                f"{address} gave consent, but {expected} was to be connected. Nothing was connected; sign in as "
                f"{expected}, or name the other address."
            )
        row: dict[str, Any] = {
            "workspace_id": workspace_id,
            "owner_id": owner_id,
            "provider": gate.provider,
            "address": address,
        }
        sealed = vault.seal(tokens, bound_to=binding(row))
        return connected(engine, **row, name=name, config=config, sealed=sealed)
    except BaseException:
        _give_back(engine.store, gate, tokens, address)
        raise


def _give_back(store: Store, gate: SignIn, tokens: Mapping[str, Any], address: str | None) -> None:
    """Where the same account is connected here already, revoking would end that grant too: then, and where
    nobody can say whose it is, it is only forgotten."""
    with contextlib.suppress(OutreachError):
        if address is not None and not store.value(
            "SELECT 1 FROM mailboxes WHERE address = ? AND provider = ? AND status = 'connected'",
            address,
            gate.provider,
        ):
            gate.revoke(tokens)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def new_secret() -> tuple[str, str]:
    """The secret of a link, and the digest by which it is known: who makes the link alone knows the secret."""
    secret = secrets.token_urlsafe(32)
    return secret, _digest(secret)


def put_link(
    engine: Engine,
    digest: str,
    *,
    workspace_id: int,
    owner_id: int,
    provider: str,
    address: str | None,
    name: str,
    calendar: bool = True,
) -> int:
    """A link that its maker may use once, within 15 minutes; its row."""
    now = engine.now()
    values = {
        "workspace_id": workspace_id,
        "owner_id": owner_id,
        "provider": provider,
        "token_hash": digest,
        "address": normalise_email(address) if address else None,
        "name": name,
        "calendar": calendar,
        "created_at": now,
        "expires_at": now + LINK_HOLDS,
    }

    def work() -> int:
        engine.store.write("DELETE FROM connect_links WHERE expires_at < ?", now - dt.timedelta(days=1))
        return engine.store.insert("connect_links", values)

    return engine.store.run(work)


def open_link(engine: Engine, provider: str, secret: str) -> dict[str, Any]:
    """The link and its maker's name, if it can still be used. Changes nothing. NotFound."""
    row = engine.store.one(
        "SELECT l.*, u.name AS maker FROM connect_links l JOIN users u ON u.id = l.owner_id "
        "WHERE l.token_hash = ? AND l.provider = ? AND l.started_at IS NULL AND l.expires_at > ?",
        _digest(secret),
        provider,
        engine.now(),
    )
    if row is None:
        raise NotFound(GONE)
    return row


def begin_link(
    engine: Engine, gate: SignIn, *, vault: Sealer, secret: str, redirect_uri: str
) -> tuple[str, str]:
    """(where the provider asks, what this browser must show when it comes back). Uses the link up. NotFound."""
    row = open_link(engine, gate.provider, secret)
    url, memo = gate.begin(redirect_uri, address=row["address"])
    browser = secrets.token_urlsafe(32)
    taken = engine.store.write(
        "UPDATE connect_links SET started_at = ?, state_hash = ?, browser_hash = ?, memo = ? "
        "WHERE id = ? AND started_at IS NULL AND expires_at > ?",
        engine.now(),
        _digest(str(memo["state"])),
        _digest(browser),
        vault.seal(memo, bound_to=f"link:{row['id']}"),
        row["id"],
        engine.now(),
    )
    if taken != 1:
        raise NotFound(GONE)
    return url, browser


def finish_link(
    engine: Engine, gate: SignIn, answer: Mapping[str, str], *, vault: Sealer, browser: str, tenant: str
) -> str:
    """The address connected. The link remembers how it ended, for the notebook that waits. NotFound for an
    answer to no link, to another browser's, or a second time; SignInRefused, MailTemporary."""
    store, now = engine.store, engine.now()
    row = store.one(
        "SELECT * FROM connect_links WHERE state_hash = ? AND provider = ?",
        _digest(answer.get("state", "")),
        gate.provider,
    )
    if row is None or not hmac.compare_digest(str(row["browser_hash"]), _digest(browser)):
        raise NotFound("This answer belongs to no sign-in that was begun in this browser.")
    memo = row["memo"]
    taken = store.write(
        "UPDATE connect_links SET finished_at = ?, memo = NULL WHERE id = ? AND finished_at IS NULL AND expires_at > ?",
        now,
        row["id"],
        now,
    )
    if taken != 1 or memo is None:
        raise NotFound(GONE)
    try:
        tokens = gate.finish(vault.open(str(memo), bound_to=f"link:{row['id']}"), answer)
        box = take(
            engine,
            gate,
            tokens,
            vault=vault,
            workspace_id=row["workspace_id"],
            owner_id=row["owner_id"],
            expected=row["address"],
            name=row["name"],
            config={"tenant": tenant} if gate.provider == "outlook" else None,
        )
    except Exception as exc:
        why = (
            str(exc) if isinstance(exc, MailError) else "The web service couldn't store it; look at its log."
        )
        store.write("UPDATE connect_links SET error = ? WHERE id = ?", why, row["id"])
        raise
    store.write("UPDATE connect_links SET mailbox_id = ? WHERE id = ?", box["id"], row["id"])
    return str(box["address"])
