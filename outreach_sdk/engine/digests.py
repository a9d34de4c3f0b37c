"""People known by a keyed digest of their address alone: nothing can be read from it, and it can be compared."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from outreach_sdk.domain.contact import canonical, normalise_email
from outreach_sdk.engine.links import link_key
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.store import Store

__all__ = ["Digester", "base_of"]


def base_of(address: str) -> str | None:
    """An address as it is compared: in lower case, in the form all its spellings share; None where it is none."""
    try:
        return canonical(normalise_email(address))
    except InvalidInput:
        return None


class Digester:
    """Digests of one workspace's addresses."""

    def __init__(self, store: Store, workspace_id: int) -> None:
        self._key, self._about = link_key(store), f"known:{workspace_id}:"

    def __call__(self, base: str) -> str:
        return hmac.digest(self._key, (self._about + base).encode(), hashlib.sha256)[:18].hex()

    def of_rows(self, rows: Iterable[tuple[int, Any]]) -> dict[str, list[int]]:
        """Rows by the digest of their normalised address; those without one aren't in it."""
        found: dict[str, list[int]] = {}
        for row, address in rows:
            if address:
                found.setdefault(self(canonical(address)), []).append(row)
        return found
