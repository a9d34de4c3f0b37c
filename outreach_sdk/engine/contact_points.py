"""A person's addresses: whose they are, whether they may be used, and which of several is used."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.contact import email_kind
from outreach_sdk.engine import bookings
from outreach_sdk.engine.erased import was_erased
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.store import Store

__all__ = ["KINDS", "PREFERENCES", "add_email", "best_address", "preference", "suppressed", "usable_address"]

KINDS = ("work", "personal", "other")
PREFERENCES = ("work", "personal")


def suppressed(store: Store, workspace_id: int, address: str) -> bool:
    """Whether nobody may write to this address any more."""
    lowered = address.lower()
    return bool(
        store.value(
            "SELECT 1 FROM suppressions WHERE workspace_id = ? AND ((kind = 'address' AND value = ?) OR "
            "(kind = 'domain' AND value = ?)) LIMIT 1",
            workspace_id,
            lowered,
            lowered.rpartition("@")[2],
        )
    )


def usable_address(store: Store, workspace_id: int, candidate_id: int, address: str) -> bool:
    """Whether the address is new; InvalidInput where it is somebody else's, came back before, or belongs to
    somebody who doesn't want to be written to."""
    known = store.one(
        "SELECT candidate_id, invalid FROM candidate_emails WHERE workspace_id = ? AND address = ?",
        workspace_id,
        address,
    )
    if known is not None and known["candidate_id"] != candidate_id:
        raise InvalidInput("address", address, "Another candidate has this address.")
    if store.value("SELECT 1 FROM candidates WHERE id = ? AND source = 'erased'", candidate_id):
        raise InvalidInput("address", address, "They asked to be erased: nobody writes to them.")
    if known is not None and known["invalid"]:
        raise InvalidInput("address", address, "An e-mail to it came back before. Give another one.")
    if suppressed(store, workspace_id, address) or was_erased(store, workspace_id, [address]):
        raise InvalidInput("address", address, "Whoever has it doesn't want to be written to.")
    return known is None


def add_email(
    store: Store,
    person: dict[str, Any],
    address: str,
    *,
    user_id: int,
    now: dt.datetime,
    kind: str | None = None,
    verified: bool | None = None,
    source: str = "by hand",
) -> None:
    """Make a normalised address theirs, or say more of one that is. `person` has workspace_id and candidate_id. In a
    transaction; a delivery that waited for somebody with this address finds them."""
    if usable_address(store, person["workspace_id"], person["candidate_id"], address):
        store.write(
            "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, verified, invalid, source, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            person["workspace_id"],
            user_id,
            person["candidate_id"],
            address,
            kind or email_kind(address),
            verified,
            False,
            source,
            now,
        )
        bookings.match_address(store, person["workspace_id"], person["candidate_id"], address)
    elif kind is not None or verified is not None:
        store.write(
            "UPDATE candidate_emails SET kind = COALESCE(?, kind), verified = COALESCE(?, verified) WHERE "
            "workspace_id = ? AND address = ?",
            kind,
            verified,
            person["workspace_id"],
            address,
        )


def preference(store: Store, sequence: dict[str, Any], stated: str | None = None) -> str | None:
    """Which kind of address comes first: as stated for this enrolment, else the sequence's, its owner's, the
    workspace's; None: the one the row names."""
    if stated is not None:
        return stated
    if sequence["prefer"]:
        return str(sequence["prefer"])
    own = store.value("SELECT prefer FROM users WHERE id = ?", sequence["owner_id"])
    if own:
        return str(own)
    settings = store.value("SELECT settings FROM workspace WHERE id = ?", sequence["workspace_id"])
    found = json.loads(settings or "{}").get("prefer")
    return None if found is None else str(found)


def best_address(person: str, named: str, prefer: str | None) -> str:
    """SQL for the address that a journey uses. `person` and `named` are expressions: the candidate, and the address
    the row names or NULL. Without a preference that one, else the first known; with one, of all known that never
    came back the kind preferred, then the one named, then a verified one."""
    usable = f"FROM candidate_emails e WHERE e.candidate_id = {person} AND NOT e.invalid"
    if prefer is None:
        return f"COALESCE({named}, (SELECT e.address {usable} ORDER BY e.id LIMIT 1))"
    if prefer not in PREFERENCES:
        raise InvalidInput("prefer", prefer, f"Use {' or '.join(PREFERENCES)}.")
    # The least of rank and address together: SQLite sees no outer column in an inner ORDER BY.
    ranks = (f"e.kind = '{prefer}'", f"e.address = {named}", "e.verified")
    rank = " || ".join(f"CASE WHEN {better} THEN '0' ELSE '1' END" for better in ranks)
    return f"(SELECT SUBSTR(MIN({rank} || e.address), {len(ranks) + 1}) {usable})"
