"""Whether this database is the one that was set to send. A copy or a restored backup starts disarmed: what
it believes unsent may have been sent by the one it was copied from."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from outreach_sdk.engine.context import Engine
from outreach_sdk.storage.fingerprint import fingerprint

__all__ = ["check_identity", "note_seen"]

BEHIND = dt.timedelta(seconds=120)
"""How far the database's own clock mark may lie behind the one kept beside it."""


def _mark(engine: Engine, home: Path) -> Path:
    return home / ("seen.json" if engine.store.dialect == "sqlite" else "seen-postgresql.json")


def check_identity(engine: Engine, home: Path) -> str | None:
    """Leave the database as it is where it is its own (a new one is, from its making on), disarm a copied or rolled
    back one; why, if disarmed. Whatever sends asks this first: the clock may come later."""
    store, here = engine.store, fingerprint(engine.store)
    row = store.one("SELECT identity, armed, disarmed_why, clock_seen_at FROM installation") or {}
    why = None
    if row.get("identity") is None:
        if store.value("SELECT 1 FROM journeys LIMIT 1"):
            why = "Nobody can say whether this database is a copy: it doesn't know where it was made."
    elif row["identity"] != here:
        why = "This database is a copy, or was restored from a backup."
    elif store.dialect == "sqlite":
        try:
            seen = dt.datetime.fromisoformat(json.loads(_mark(engine, home).read_text())["seen"])
        except (OSError, ValueError, KeyError, TypeError):
            seen = None
        if seen is not None and (row["clock_seen_at"] is None or row["clock_seen_at"] < seen - BEHIND):
            why = f"This database was rolled back: its clock was seen until {seen:%d %b %Y, %H:%M} UTC."
    if why is not None:
        store.write("UPDATE installation SET armed = ?, disarmed_why = ?, identity = ?", False, why, here)
        note_seen(engine, home)
        return why
    if row.get("identity") is None:
        store.write("UPDATE installation SET identity = ?", here)
    return None if row.get("armed") else str(row.get("disarmed_why"))


def note_seen(engine: Engine, home: Path) -> None:
    """Keep the clock's mark beside the database, where a restored backup doesn't overwrite it. Never later than what
    the database has committed itself: a clock killed between the two would make it look rolled back."""
    seen = (engine.store.one("SELECT clock_seen_at FROM installation") or {}).get("clock_seen_at")
    path = _mark(engine, home)
    if seen is None:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"seen": seen.isoformat()}))
    fresh.replace(path)
