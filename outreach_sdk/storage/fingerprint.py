"""What tells a database from its copies."""

from __future__ import annotations

import os

from outreach_sdk.storage.store import Store

__all__ = ["fingerprint"]


def fingerprint(store: Store) -> str:
    """What changes when the data is copied: the file itself and its file system (by its own name, for a device's number
    may be another after each start), or PostgreSQL's cluster, database, timeline and table."""
    if store.dialect == "sqlite":
        path = store.url.removeprefix("sqlite:///")
        return f"sqlite:{os.statvfs(path).f_fsid:x}:{os.stat(path).st_ino}"
    return str(
        store.value(
            "SELECT 'postgresql:' || (SELECT system_identifier FROM pg_control_system()) || ':' || oid || ':' || "
            "(SELECT timeline_id FROM pg_control_checkpoint()) || ':' || CAST('installation' AS regclass)::oid "
            "FROM pg_database WHERE datname = current_database()"
        )
    )
