"""Applicant tracking systems asked for interviews, for those who can't receive webhooks.

What is found is stored as a delivery, so it counts once, is acted on, listed and replayed like any other.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

from outreach_sdk.ats.port import Interviews, Polled, Roster
from outreach_sdk.domain.told import as_body
from outreach_sdk.engine import deliveries, roster
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.deliveries import POLLED
from outreach_sdk.engine.digests import base_of
from outreach_sdk.errors import AtsError, DatabaseUnavailable
from outreach_sdk.storage.store import in_marks

__all__ = ["EVERY", "LOOK_BACK", "drain", "ensure", "waiting"]

logger = logging.getLogger(__name__)

EVERY = dt.timedelta(minutes=5)
LOOK_BACK = dt.timedelta(days=30)
"""How long ago an interview may have been made or changed that the first pass takes in."""
OVER = dt.timedelta(days=1)
"""How long after its start an interview isn't taken in any more."""
LEASE = dt.timedelta(minutes=3)
LONGEST = dt.timedelta(hours=2)


def ensure(engine: Engine) -> None:
    """A poll for each listing of each system there is a key for, none for the others."""
    store, sources = engine.store, engine.connected
    wanted = {
        (source, what)
        for source in sources
        for what, kind in (("interviews", Interviews), ("people", Roster))
        if isinstance(engine.asker(source), kind)
    }
    held = {(r["source"], r["what"]) for r in store.rows("SELECT source, what FROM ats_polls")}
    for source, what in sorted(held - wanted):
        store.write("DELETE FROM ats_polls WHERE source = ? AND what = ?", source, what)
    for source, what in sorted(wanted - held):
        store.write(
            "INSERT INTO ats_polls (workspace_id, source, what, next_at, tries) SELECT id, ?, ?, CAST(? AS BIGINT), 0 "
            "FROM workspace WHERE id = (SELECT MIN(id) FROM workspace) ON CONFLICT (source, what) DO NOTHING",
            source,
            what,
            engine.now(),
        )


def waiting(engine: Engine) -> bool:
    """Whether a system is to be asked."""
    if not engine.connected:
        return False
    return bool(engine.store.value("SELECT 1 FROM ats_polls WHERE next_at <= ? LIMIT 1", engine.now()))


def drain(engine: Engine, *, seconds: float = 120.0) -> int:
    """Ask every system whose time has come, page by page; how many things were new or changed."""
    deadline, done = time.monotonic() + seconds, 0
    while engine.connected and time.monotonic() < deadline:
        row = _claim(engine)
        if row is None:
            return done
        done += _one(engine, row)
    return done


def _claim(engine: Engine) -> dict[str, Any] | None:
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    with store.tx():
        rows = store.rows(
            "UPDATE ats_polls SET next_at = ?, tries = tries + 1 WHERE id IN (SELECT id FROM ats_polls "
            f"WHERE next_at <= ? AND source IN {in_marks(engine.connected)} ORDER BY next_at, id LIMIT 1{skip}) "
            "RETURNING *",
            now + LEASE,
            now,
            *engine.connected,
        )
    return rows[0] if rows else None


def _one(engine: Engine, row: dict[str, Any]) -> int:
    """One page of one listing. The cursor moves after what it told is stored."""
    account, now = engine.asker(row["source"]), engine.now()
    began = row["began_at"] or now
    try:
        if row["what"] == "people" and isinstance(account, Roster):
            people = account.people(row["cursor"], now=now)
            new, cursor, more = len(people.items), people.cursor, people.more
            roster.keep(engine, row, people.items)
        elif row["what"] == "interviews" and isinstance(account, Interviews):
            found = account.interviews(row["cursor"], since=now - LOOK_BACK, now=now)
            new, cursor, more = _record(engine, row, found.items), found.cursor, found.more
        else:
            new, cursor, more = 0, row["cursor"], False
    except DatabaseUnavailable:
        raise
    except Exception as exc:
        # Whatever one system's answer does to its reader, the others are asked.
        logger.warning("asking %s for %s: %s", row["source"], row["what"], type(exc).__name__)
        said = str(exc) if isinstance(exc, AtsError) else f"Asking failed: {type(exc).__name__}."
        wait = max(
            getattr(exc, "retry_after", None) or 0.0,
            min(LONGEST.total_seconds(), 15.0 * 2 ** min(row["tries"], 12)),
        )
        _settle(engine, row, next_at=now + dt.timedelta(seconds=wait), error=said)
        return 0
    _settle(
        engine,
        row,
        next_at=now if more else now + EVERY,
        cursor=cursor or None,
        tries=0,
        error=None,
        began_at=began if more else None,
        **({} if more else {"complete_at": began}),
    )
    return new


def _settle(engine: Engine, row: dict[str, Any], **changes: Any) -> None:
    sets = ", ".join(f"{name} = ?" for name in changes)
    engine.store.write(
        f"UPDATE ats_polls SET {sets} WHERE id = ? AND next_at = ?",
        *changes.values(),
        row["id"],
        row["next_at"],
    )


def _record(engine: Engine, row: dict[str, Any], items: list[Polled]) -> int:
    """Store what concerns journeys: not what is over, nor what names only people who aren't candidates."""
    ahead = [i for i in items if i.starts_at is None or i.starts_at > engine.now() - OVER]
    bases = {i.key: _bases(i) for i in ahead}
    known = _candidates(engine, row["workspace_id"], sorted(set().union(*bases.values())))
    new = 0
    for item in ahead:
        if item.addresses is None or bases[item.key] & known:
            source = row["source"] + POLLED
            new += deliveries.record(engine, source, item.key, {}, as_body(item.event)) is not None
    return new


def _bases(item: Polled) -> set[str]:
    return {base for address in item.addresses or () if (base := base_of(address))}


def _candidates(engine: Engine, workspace_id: int, bases: list[str]) -> set[str]:
    """Those of the addresses that are candidates'."""
    from outreach_sdk.engine.bookings import tagless

    found: set[str] = set()
    for start in range(0, len(bases), 400):
        some = bases[start : start + 400]
        marks, bare = in_marks(some), tagless(engine.store, "address")
        rows = engine.store.rows(
            f"SELECT address AS base FROM candidate_emails WHERE workspace_id = ? AND address IN {marks} UNION "
            f"SELECT {bare} FROM candidate_emails WHERE workspace_id = ? AND address LIKE '%+%' AND {bare} IN {marks}",
            workspace_id,
            *some,
            workspace_id,
            *some,
        )
        found |= {str(r["base"]) for r in rows}
    return found
