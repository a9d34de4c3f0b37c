"""Links in e-mails: where to book, where to unsubscribe."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from outreach_sdk.domain.links import BOOKING, UNSUBSCRIBE, sign_token, with_token
from outreach_sdk.storage.store import Store

__all__ = ["FIELDS", "link_fields", "link_key", "link_maker", "unsubscribe_headers"]

FIELDS = ("booking_link", "unsubscribe_link")
"""Merge fields made here: a file's own columns never replace them."""


def link_key(store: Store) -> bytes:
    """The key that signs links, made at first use and never changed: a link must work for as long as somebody
    keeps the e-mail."""
    held = store.value("SELECT link_key FROM installation")
    if not held:
        store.write("UPDATE installation SET link_key = ? WHERE link_key IS NULL", secrets.token_hex(32))
        held = store.value("SELECT link_key FROM installation")
    return bytes.fromhex(str(held))


def link_fields(
    store: Store, journey_id: int | None, public_url: str | None, *, uses: Iterable[str]
) -> dict[str, str]:
    """The link fields among `uses` that this journey's e-mails can have."""
    wanted = set(uses) & set(FIELDS)
    if not wanted or journey_id is None:
        return {}
    made = {}
    if "booking_link" in wanted and (page := _booking_page(store, journey_id)):
        made["booking_link"] = with_token(page, sign_token(link_key(store), BOOKING, journey_id))
    if "unsubscribe_link" in wanted and public_url:
        made["unsubscribe_link"] = unsubscribe_link(store, journey_id, public_url)
    return made


def link_maker(
    store: Store, owner_id: int, public_url: str | None, *, uses: Iterable[str]
) -> Callable[[int], dict[str, str]]:
    """`link_fields` for many journeys of one owner, by their ids, in as many statements as for one."""
    wanted = set(uses) & set(FIELDS)
    if not wanted:
        return lambda journey_id: {}
    key = link_key(store)
    row = store.one(
        "SELECT u.booking_url, w.settings FROM users u JOIN workspace w ON w.id = u.workspace_id WHERE u.id = ?",
        owner_id,
    )
    page = _page_of(row or {}) if "booking_link" in wanted else None

    def make(journey_id: int) -> dict[str, str]:
        made = {}
        if page:
            made["booking_link"] = with_token(page, sign_token(key, BOOKING, journey_id))
        if public_url and "unsubscribe_link" in wanted:
            made["unsubscribe_link"] = f"{public_url}/unsubscribe/{sign_token(key, UNSUBSCRIBE, journey_id)}"
        return made

    return make


def unsubscribe_link(store: Store, journey_id: int, public_url: str) -> str:
    """Where the person of this journey says they want no more."""
    return f"{public_url}/unsubscribe/{sign_token(link_key(store), UNSUBSCRIBE, journey_id)}"


def unsubscribe_headers(store: Store, journey_id: int, public_url: str | None) -> tuple[tuple[str, str], ...]:
    """One-click by RFC 8058, where the service can be reached from outside."""
    if public_url is None:
        return ()
    return (
        ("List-Unsubscribe", f"<{unsubscribe_link(store, journey_id, public_url)}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


def _booking_page(store: Store, journey_id: int) -> str | None:
    row: dict[str, Any] = (
        store.one(
            "SELECT u.booking_url, w.settings FROM journeys j JOIN users u ON u.id = j.owner_id "
            "JOIN workspace w ON w.id = j.workspace_id WHERE j.id = ?",
            journey_id,
        )
        or {}
    )
    return _page_of(row)


def _page_of(row: dict[str, Any]) -> str | None:
    page = row.get("booking_url") or json.loads(row.get("settings") or "{}").get("booking_url")
    return str(page) if page else None
