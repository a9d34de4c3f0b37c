"""What notebooks behind the database's own wall ask workers to do, and what became of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import peewee as pw

from outreach_sdk.storage.fields import UtcField
from outreach_sdk.storage.models import Owned
from outreach_sdk.storage.store import Store

__all__ = ["PARTIAL_INDEXES", "TABLES", "ask", "claim", "forget", "hold", "settle", "waiting", "withdraw"]


class Request(Owned):
    """A call of one public method, carried out once at most: what its worker left half done when it was killed
    isn't tried again, whoever asked is told to look."""

    call = pw.TextField()
    payload = pw.TextField(null=True)  # gone with its end
    state = pw.TextField()  # asked | running | done | failed | lost | withdrawn
    result = pw.TextField(null=True)
    holder = pw.TextField(null=True)
    lease_until = UtcField(null=True)
    created_at = UtcField()
    ended_at = UtcField(null=True)

    class Meta:
        table_name = "requests"


TABLES: tuple[type[pw.Model], ...] = (Request,)

PARTIAL_INDEXES = (
    "CREATE INDEX requests_asked ON requests (id) WHERE state = 'asked'",
    "CREATE INDEX requests_running ON requests (lease_until) WHERE lease_until IS NOT NULL",
    "CREATE INDEX requests_withdrawn ON requests (created_at) WHERE state = 'withdrawn'",
    "CREATE INDEX requests_ended ON requests (ended_at) WHERE ended_at IS NOT NULL",
)


STALE = dt.timedelta(minutes=10)
"""What nobody has begun by then isn't begun: whoever asked has long gone, or asks again."""


def ask(store: Store, user: dict[str, Any], call: str, payload: str, now: dt.datetime) -> int:
    """Put a call down; its id. It is as old as the database says, where that has a clock."""
    at = "CAST(EXTRACT(EPOCH FROM now()) * 1e6 AS BIGINT)" if store.dialect == "postgresql" else "?"
    given = (user["workspace_id"], user["id"], call, payload, "asked", *([] if at != "?" else [now]))
    return int(
        store.write_one(
            f"INSERT INTO requests (workspace_id, owner_id, call, payload, state, created_at) VALUES (?, ?, ?, ?, ?, {at}) "
            "RETURNING id",
            *given,
        )
    )


def waiting(store: Store, now: dt.datetime) -> bool:
    """Whether one was asked, or was left by a worker that died."""
    return bool(
        store.value(
            "SELECT 1 FROM requests WHERE state = 'asked' UNION ALL SELECT 1 FROM (SELECT id FROM requests WHERE "
            "lease_until <= ? ORDER BY lease_until LIMIT 1) AS q LIMIT 1",
            now,
        )
    )


def claim(store: Store, now: dt.datetime, until: dt.datetime, holder: str | None) -> dict[str, Any] | None:
    """The oldest that nobody has begun, now this worker's; and whatever a dead one had is lost, and what waited too
    long isn't done at all."""
    with store.tx():
        store.write(
            "UPDATE requests SET state = 'withdrawn', payload = NULL, ended_at = ? WHERE state = 'asked' AND created_at < ?",
            now,
            now - STALE,
        )
        store.write(
            "UPDATE requests SET state = 'lost', payload = NULL, lease_until = NULL, ended_at = ? WHERE id IN (SELECT id "
            "FROM requests WHERE lease_until <= ? ORDER BY lease_until LIMIT 100)",
            now,
            now,
        )
        skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
        return store.one(
            "UPDATE requests SET state = 'running', holder = ?, lease_until = ? WHERE id = (SELECT id FROM requests "
            f"WHERE state = 'asked' ORDER BY id LIMIT 1{skip}) RETURNING *",
            holder,
            until,
        )


def hold(store: Store, request_id: int, until: dt.datetime) -> bool:
    """Go on holding it; False where it was taken for lost."""
    return (
        store.write(
            "UPDATE requests SET lease_until = ? WHERE id = ? AND state = 'running'", until, request_id
        )
        == 1
    )


def settle(store: Store, request_id: int, state: str, result: str, now: dt.datetime) -> None:
    """What became of it. Of what it was asked with nothing is kept."""
    store.write(
        "UPDATE requests SET state = ?, result = ?, payload = NULL, lease_until = NULL, ended_at = ? WHERE id = ?",
        state,
        result,
        now,
        request_id,
    )


def withdraw(store: Store, request_id: int) -> bool:
    """Take it back; False where somebody has begun it."""
    return (
        store.write("UPDATE requests SET state = 'withdrawn' WHERE id = ? AND state = 'asked'", request_id)
        == 1
    )


def forget(store: Store, now: dt.datetime, keep: dt.timedelta) -> int:
    """Drop what has ended, or was taken back, long enough ago."""
    ended = "SELECT id FROM requests WHERE ended_at <= ? ORDER BY ended_at LIMIT 1000"
    back = (
        "SELECT id FROM requests WHERE state = 'withdrawn' AND created_at <= ? ORDER BY created_at LIMIT 1000"
    )
    return sum(store.write(f"DELETE FROM requests WHERE id IN ({old})", now - keep) for old in (ended, back))
