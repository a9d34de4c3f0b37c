"""Listings of applicant tracking systems gone through page by page: whose turn it is, how far it is, what went wrong."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from outreach_sdk.ats.port import Interviews, Roster, Subscribes, system_name
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import AtsError, AtsUnavailable, DatabaseUnavailable
from outreach_sdk.storage.store import in_marks

__all__ = ["EVERY", "claim", "ensure", "failed", "went_on"]

logger = logging.getLogger(__name__)

EVERY = dt.timedelta(minutes=5)
LEASE = dt.timedelta(minutes=3)
LONGEST = dt.timedelta(hours=2)


def ensure(engine: Engine, *, sweep: bool = True) -> None:
    """A row for each listing of each system there is a key for; with `sweep` none for the others."""
    store, sources = engine.store, engine.connected
    held = {(r["source"], r["what"]) for r in store.rows("SELECT source, what FROM ats_polls")}
    if not sources and not held:
        return
    wanted = {(source, what) for source in sources for what in _listings(engine.asker(source))}
    for source, what in sorted(held - wanted) if sweep else ():
        store.write("DELETE FROM ats_polls WHERE source = ? AND what = ?", source, what)
    for source, what in sorted(wanted - held):
        store.write(
            "INSERT INTO ats_polls (workspace_id, source, what, next_at, tries) SELECT id, ?, ?, CAST(? AS BIGINT), 0 "
            "FROM workspace WHERE id = (SELECT MIN(id) FROM workspace) ON CONFLICT (source, what) DO NOTHING",
            source,
            what,
            engine.now(),
        )


def _listings(account: Any) -> list[str]:
    watched = isinstance(account, Subscribes) and account.lists_hooks
    told = {
        "interviews": isinstance(account, Interviews),
        "people": isinstance(account, Roster),
        "hooks": watched,
    }
    return [what for what, can in told.items() if can]


def claim(engine: Engine, due: str = "next_at <= ?", *params: Any) -> dict[str, Any] | None:
    """The listing whose turn it is, for one page; None where none is. Moved ahead by a lease, so a crash heals."""
    store, now = engine.store, engine.now()
    given = params or (now,)
    if not store.value(f"SELECT 1 FROM ats_polls WHERE {due} LIMIT 1", *given):
        return None
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    with store.tx():
        rows = store.rows(
            "UPDATE ats_polls SET next_at = ?, tries = tries + 1 WHERE id IN (SELECT id FROM ats_polls "
            f"WHERE {due} AND source IN {in_marks(engine.connected)} ORDER BY next_at, id LIMIT 1{skip}) RETURNING *",
            now + LEASE,
            *given,
            *engine.connected,
        )
    return rows[0] if rows else None


def went_on(
    engine: Engine,
    row: dict[str, Any],
    cursor: str | None,
    *,
    more: bool,
    began: dt.datetime,
    **changes: dt.datetime | None,
) -> None:
    """Its page is stored: the cursor moves. `began`: when the page was asked for; `changes`: other columns.
    AtsUnavailable where the next page is the one that was read: it would be asked for without end."""
    if more and cursor and cursor == row["cursor"]:
        raise AtsUnavailable(
            f"{system_name(row['source'])} names the page that was just read as the next one."
        )
    began = row["began_at"] or began
    _settle(
        engine,
        row,
        next_at=engine.now() if more else engine.now() + EVERY,
        cursor=cursor or None,
        tries=0,
        error=None,
        began_at=began if more else None,
        **({} if more else {"complete_at": began}),
        **changes,
    )


def failed(engine: Engine, row: dict[str, Any], exc: Exception) -> None:
    """It is asked again later, from where it failed."""
    if isinstance(exc, DatabaseUnavailable):
        raise exc
    logger.warning("asking %s for %s: %s", row["source"], row["what"], type(exc).__name__)
    said = str(exc) if isinstance(exc, AtsError) else f"Asking failed: {type(exc).__name__}."
    wait = max(
        getattr(exc, "retry_after", None) or 0.0,
        min(LONGEST.total_seconds(), 15.0 * 2 ** min(row["tries"], 12)),
    )
    _settle(engine, row, next_at=engine.now() + dt.timedelta(seconds=wait), error=said)


def _settle(engine: Engine, row: dict[str, Any], **changes: Any) -> None:
    sets = ", ".join(f"{name} = ?" for name in changes)
    engine.store.write(
        f"UPDATE ats_polls SET {sets} WHERE id = ? AND next_at = ?",
        *changes.values(),
        row["id"],
        row["next_at"],
    )
