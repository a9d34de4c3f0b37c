"""Who was erased, told by keyed hashes of what they were known by."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from outreach_sdk.engine.links import link_key
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["any_erased", "digest", "was_erased"]


def digest(key: bytes, workspace_id: int, value: str) -> str:
    """What is kept of an address or a profile."""
    return hmac.new(key, f"erased:{workspace_id}:{value.lower()}".encode(), hashlib.sha256).hexdigest()


def any_erased(store: Store, workspace_id: int) -> bool:
    """Whether anybody ever was."""
    return bool(store.value("SELECT 1 FROM erased WHERE workspace_id = ? LIMIT 1", workspace_id))


def was_erased(store: Store, workspace_id: int, values: Iterable[str | None]) -> bool:
    """Whether one of these addresses or profiles belonged to somebody who was erased."""
    known = [v for v in values if v]
    if not known or not any_erased(store, workspace_id):
        return False
    key = link_key(store)
    digests = [digest(key, workspace_id, v) for v in known]
    return bool(
        store.value(
            f"SELECT 1 FROM erased WHERE workspace_id = ? AND digest IN {in_marks(digests)} LIMIT 1",
            workspace_id,
            *digests,
        )
    )
