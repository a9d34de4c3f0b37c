"""The database server's own clock, to compare others with."""

from __future__ import annotations

import datetime as dt

from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.store import Store

__all__ = ["database_time"]


def database_time(store: Store) -> dt.datetime | None:
    """What time it is where the database runs; None for a file, which has no clock of its own."""
    if store.dialect != "postgresql":
        return None
    return from_us(int(store.value("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")))
