"""Whether this database is the one that was set to send. A copy or a restored backup starts disarmed: what
it believes unsent may have been sent by the one it was copied from."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.links import link_key
from outreach_sdk.storage.fingerprint import fingerprint

__all__ = ["check_identity", "note_seen"]

BEHIND = dt.timedelta(seconds=120)
"""How far the database's own clock mark may lie behind one kept outside it."""


def _marks(engine: Engine, home: Path) -> list[Path]:
    """Where marks are kept: beside a database file, and outside the home, which is restored as a whole."""
    kept = [home / "seen.json"] if engine.store.dialect == "sqlite" else []
    with suppress(RuntimeError):  # nobody's home
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        about = f"{engine.store.url}\n{home.resolve() if engine.store.dialect == 'sqlite' else ''}"
        kept.append(state / "outreach" / f"{hashlib.sha256(about.encode()).hexdigest()[:24]}.json")
    return kept


def _id(engine: Engine) -> str:
    """What this database is called in its marks: another one made at the same place has another."""
    return hashlib.sha256(b"mark:" + link_key(engine.store)).hexdigest()[:24]


def _last_seen(engine: Engine, home: Path) -> dt.datetime | None:
    """When this database's clock was seen last, by the marks that are its own. None of the future: a clock that was
    wrong left those."""
    known, seen, latest = _id(engine), [], engine.now() + BEHIND
    for path in _marks(engine, home):
        with suppress(OSError, ValueError, KeyError, TypeError):
            mark = json.loads(path.read_text())
            if mark["of"] == known:
                seen.append(dt.datetime.fromisoformat(mark["seen"]))
    return max((s for s in seen if s <= latest), default=None)


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
    elif (seen := _last_seen(engine, home)) is not None and (
        row["clock_seen_at"] is None or row["clock_seen_at"] < seen - BEHIND
    ):
        why = f"This database was rolled back: its clock was seen until {seen:%d %b %Y, %H:%M} UTC."
    if why is not None:
        store.write("UPDATE installation SET armed = ?, disarmed_why = ?, identity = ?", False, why, here)
        note_seen(engine, home)
        return why
    if row.get("identity") is None:
        store.write("UPDATE installation SET identity = ?", here)
    return None if row.get("armed") else str(row.get("disarmed_why"))


def note_seen(engine: Engine, home: Path) -> None:
    """Keep the clock's mark outside the database, where a restored backup doesn't overwrite it. Never later than what
    the database has committed itself: a clock killed between the two would make it look rolled back. Where nothing can
    be written none is kept: the clock's work doesn't depend on it."""
    seen = (engine.store.one("SELECT clock_seen_at FROM installation") or {}).get("clock_seen_at")
    for path in _marks(engine, home):
        with suppress(OSError):
            if seen is None:
                path.unlink(missing_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps({"of": _id(engine), "seen": seen.isoformat()}))
            fresh.replace(path)
