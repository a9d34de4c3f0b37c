"""Schema changes, in order, each applied once."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from contextlib import suppress

from outreach_sdk.errors import StorageError
from outreach_sdk.storage import (
    addresses,
    arrivals,
    ats,
    calendars,
    enriching,
    installation,
    lists,
    models,
    requests,
    texts,
    wall,
)
from outreach_sdk.storage.fingerprint import fingerprint
from outreach_sdk.storage.store import Store

__all__ = ["LATEST", "PARTS", "check_version", "migrate", "version"]

PARTS = (models, installation, arrivals, enriching, lists, texts, calendars, ats, requests)
"""The modules that describe tables."""


def _first(store: Store) -> None:
    for model in (t for part in PARTS for t in part.TABLES):
        with model.bind_ctx(store.writer, bind_refs=False, bind_backrefs=False):
            model.create_table(safe=False)
    for sql in (s for part in PARTS for s in part.PARTIAL_INDEXES):
        store.write(sql)
    addresses.create_index(store)
    store.write("INSERT INTO installation (armed, link_key) VALUES (?, ?)", True, secrets.token_hex(32))


MIGRATIONS: tuple[tuple[str, Callable[[Store], None]], ...] = (("0001_first", _first),)
LATEST = len(MIGRATIONS)
NEWER = "This database was made by a newer version of outreach-sdk. Upgrade the package to use it."


def check_version(store: Store) -> None:
    """StorageError for a database that a newer version of this package has brought up to date."""
    if int(store.value("SELECT COALESCE(MAX(number), 0) FROM schema_migrations")) > LATEST:
        raise StorageError(NEWER)


def version(store: Store) -> int:
    """How many migrations this database has had."""
    with store.tx():
        store.write(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, "
            "applied_at BIGINT NOT NULL)"
        )
        return int(store.value("SELECT COALESCE(MAX(number), 0) FROM schema_migrations"))


def migrate(store: Store, now: dt.datetime) -> list[str]:
    """Bring the schema up to date; the names of what was applied. Two at once: one does it."""
    done: list[str] = []
    with store.tx():
        store.claim_lock()
        current = version(store)
        if current > LATEST:
            raise StorageError(NEWER)
        for number, (name, apply) in enumerate(MIGRATIONS, 1):
            if number > current:
                apply(store)
                store.write(
                    "INSERT INTO schema_migrations (number, name, applied_at) VALUES (?, ?, ?)",
                    number,
                    name,
                    now,
                )
                done.append(name)
        if done and wall.stands(store):
            wall.build(store)
    if "0001_first" in done:
        # A server that doesn't tell leaves it open: the first process that asks decides while nobody is enrolled.
        with suppress(StorageError):
            store.write("UPDATE installation SET identity = ? WHERE identity IS NULL", fingerprint(store))
    return done
