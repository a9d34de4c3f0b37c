"""A computer's clock that went ahead and came back: what was noted meanwhile lies in the future and would keep
mailboxes silent, and processes alive, until then."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.pacing import spacing_of
from outreach_sdk.engine.context import Engine

__all__ = ["MARGIN", "put_right"]

MARGIN = dt.timedelta(minutes=2)
"""How far the clocks of an installation's machines may differ."""

SOON = dt.timedelta(minutes=15)
"""A wait or a lease that ends within this ends by itself soon enough, and may be in use."""

_NOTED = (("outbox", "sending_at"), ("mailboxes", "polled_at"))
"""What happened, and so can't lie ahead."""

_WAITS = (
    ("mailboxes", "wait_until"),
    ("mailboxes", "check_next_at"),
    ("mailboxes", "renewing_until"),
    ("installation", "ai_wait_until"),
    ("installation", "upkeep_at"),
    ("inbound", "kind_due_at"),
    ("outbox", "lease_until"),
    ("deliveries", "lease_until"),
    ("imports", "lease_until"),
    ("requests", "lease_until"),
    ("test_sends", "lease_until"),
    ("enrichment_items", "next_at"),
    ("enrichment_gates", "next_at"),
    ("enrichment_gates", "shut_until"),
    ("ats_polls", "next_at"),
    ("write_backs", "due_at"),
    ("calendars", "next_at"),
)
"""Waits and leases of the program's own; one from before the clock went ahead ends early at worst, and what it waited
for says again how long. What a person or a step's schedule set isn't among them."""


def put_right(engine: Engine) -> dt.timedelta | None:
    """Bring what lies further ahead than can be back to now, the spacing of mailboxes kept; by how much the clock that
    ticked last was ahead, None where it wasn't."""
    now = engine.now()
    seen = (engine.store.one("SELECT clock_seen_at FROM installation") or {}).get("clock_seen_at")
    by = None if seen is None or seen <= now + MARGIN else seen - now
    if by is not None:
        _shift(engine, now, by)
    _mailboxes(engine, now)
    return by


def _shift(engine: Engine, now: dt.datetime, by: dt.timedelta) -> None:
    store = engine.store
    shift = by // dt.timedelta(microseconds=1)

    def work() -> None:
        for table, column in _NOTED:
            store.write(f"UPDATE {table} SET {column} = {column} - ? WHERE {column} > ?", shift, now + MARGIN)
        for table, column in _WAITS:
            store.write(
                f"UPDATE {table} SET {column} = CASE WHEN {column} - ? > ? THEN {column} - ? ELSE CAST(? AS BIGINT) END "
                f"WHERE {column} > ?",
                shift,
                now,
                shift,
                now,
                now + max(engine.lease, SOON),
            )
        store.write("DELETE FROM outages WHERE ended_at > ?", now + MARGIN)
        store.write("DELETE FROM heartbeats WHERE seen_at > ?", now + MARGIN)
        store.write("UPDATE installation SET clock_seen_at = ?", now)

    store.run(work)


def _mailboxes(engine: Engine, now: dt.datetime) -> None:
    """Mailboxes whose last call, next slot or next check lies further ahead than spacing and polling ever put it, by
    whichever machine's clock."""
    store = engine.store
    ahead = (now + MARGIN, now + MARGIN, now + MARGIN + max(engine.poll_every, dt.timedelta(minutes=1)))
    where = "last_call_at > ? OR next_slot_at - spacing_us > ? OR next_poll_at > ?"
    if not store.value(f"SELECT 1 FROM mailboxes WHERE {where} LIMIT 1", *ahead):
        return

    def work() -> None:
        for box in store.rows(f"SELECT * FROM mailboxes WHERE {where} ORDER BY id{store.for_update}", *ahead):
            _one(engine, box, now)

    store.run(work)


def _one(engine: Engine, box: dict[str, Any], now: dt.datetime) -> None:
    engine.store.write(
        "UPDATE mailboxes SET last_call_at = ?, next_slot_at = ?, next_poll_at = ?, polled_at = ? WHERE id = ?",
        min(box["last_call_at"], now),
        min(box["next_slot_at"], now + spacing_of(box["spacing_us"])),
        min(box["next_poll_at"], now),
        None if box["polled_at"] is None else min(box["polled_at"], now),
        box["id"],
    )
