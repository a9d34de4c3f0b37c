"""What tells a database from its copies."""

from __future__ import annotations

import os

from outreach_sdk.storage.store import Store

__all__ = ["fingerprint"]


def fingerprint(store: Store) -> str:
    """What changes when the data is copied: the file itself, or PostgreSQL's cluster, database and timeline."""
    if store.dialect == "sqlite":
        found = os.stat(store.url.removeprefix("sqlite:///"))
        return f"sqlite:{found.st_dev}:{found.st_ino}"
    return str(
        store.value(
            "SELECT 'postgresql:' || (SELECT system_identifier FROM pg_control_system()) || ':' || oid || ':' || "
            "(SELECT timeline_id FROM pg_control_checkpoint()) FROM pg_database WHERE datname = current_database()"
        )
    )
