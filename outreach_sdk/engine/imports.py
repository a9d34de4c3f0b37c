"""Imports: whatever is enrolled, a chunk a transaction, gone on with by another process where one dies."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import enrich as enriching
from outreach_sdk.engine import erasing, roster
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.engine.people import Table, open_parts
from outreach_sdk.errors import DatabaseUnavailable, NotFound, OutreachError
from outreach_sdk.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

from outreach_sdk.engine.enroll import enroll_chunk, same_person_in_chunk, shape, without_constants

__all__ = [
    "LEASE",
    "TakenOver",
    "counts",
    "drain_imports",
    "enroll",
    "fail_import",
    "new_import",
    "outcomes",
    "run_import",
    "take_import",
]

LEASE = dt.timedelta(minutes=2)
"""How long an import may show no progress before another process goes on with it."""


class _DryRun(Exception):
    """Undoes a dry run's transaction."""


class TakenOver(Exception):
    """Another process goes on with this import: this one was silent for too long."""


def enroll(
    engine: Engine,
    sequence: dict[str, Any],
    owner_id: int,
    table: Table,
    *,
    paused: bool = False,
    dry_run: bool = False,
    override: Iterable[str] = (),
    prefer: str | None = None,
    source: str = "notebook",
    enrich: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, list[dict[str, Any]] | None]:
    """Enrol every row of `table`; the import's id, and for a dry run, which leaves nothing behind, what
    would become of each row."""
    told: list[dict[str, Any]] = []
    roster.refresh(engine)
    options = {
        "paused": paused,
        "override": sorted(override),
        "prefer": prefer,
        "enrich": enrich and not dry_run,
    }

    def rehearse() -> None:
        import_id, holder = new_import(engine, sequence, owner_id, source, options)
        run_import(engine, import_id, holder, table, progress=progress)
        told.extend(outcomes(engine.store, import_id))
        raise _DryRun

    if dry_run:
        try:
            engine.store.run(rehearse)
        except _DryRun:
            return 0, told
    import_id, holder = new_import(engine, sequence, owner_id, source, options)
    run_import(engine, import_id, holder, table, progress=progress)
    return import_id, None


def new_import(
    engine: Engine,
    sequence: dict[str, Any],
    owner_id: int,
    source: str,
    options: dict[str, Any],
    *,
    parts: Iterable[bytes] = (),
    waiting: bool = False,
) -> tuple[int, str]:
    """Record an import, with the file's bytes where it has a file; its id, and the holder's name under which
    the caller runs it. `waiting`: any worker is to run it. Without parts nobody but the caller can."""
    store, now, holder = engine.store, engine.now(), secrets.token_hex(8)
    state = "waiting" if waiting else "running"
    import_id = store.insert(
        "imports",
        {
            "workspace_id": sequence["workspace_id"],
            "owner_id": owner_id,
            "sequence_id": sequence["id"],
            "source": source,
            "state": "copying",
            "options": json.dumps(options, ensure_ascii=False),
            "rows": 0,
            "progress": 0,
            "holder": None if waiting else holder,
            "created_at": now,
        },
    )
    # A few parts a transaction: a gigabyte in one would keep everybody else from writing.
    numbered = enumerate(parts, 1)
    copied = 0
    while some := list(itertools.islice(numbered, 8)):
        copied += len(some)
        store.write_many(
            "INSERT INTO import_parts (import_id, part, data) VALUES (?, ?, ?)",
            [(import_id, number, part) for number, part in some],
        )

    def begin() -> None:
        long_ago = now - dt.timedelta(days=1)
        left = "SELECT id FROM imports WHERE state = 'copying' AND created_at < ?"
        store.write(f"DELETE FROM import_parts WHERE import_id IN ({left})", long_ago)
        until = engine.now() if waiting else engine.now() + LEASE
        store.write(
            "UPDATE imports SET state = ?, lease_until = ? WHERE id = ?",
            state,
            until if copied else None,
            import_id,
        )

    store.run(begin)
    return import_id, holder


def run_import(
    engine: Engine,
    import_id: int,
    holder: str,
    table: Table,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Enrol what is left of an import, a chunk a transaction. A crash loses the chunk under way, not its
    place; rows done are never done again. Raises TakenOver where `holder` holds it no longer."""
    store = engine.store
    job = store.one("SELECT * FROM imports WHERE id = ?", import_id)
    if job is None:
        raise NotFound("There is no such import.")
    roster.refresh(engine)
    mine = "WHERE id = ? AND holder = ? AND state = 'running'"
    for chunk in table.prepared(after=job["progress"]):
        last = int(chunk["row"][-1])
        chunk = erasing.hold_back(store, job["workspace_id"], same_person_in_chunk(chunk))
        with store.staged("staged", shape(store), without_constants(chunk)):

            def work(chunk: pl.DataFrame = chunk, last: int = last) -> None:
                moved = store.write(
                    "UPDATE imports SET progress = ?, rows = ?, lease_until = CASE WHEN lease_until IS NULL THEN NULL "
                    f"ELSE CAST(? AS BIGINT) END {mine}",
                    last,
                    last,
                    engine.now() + LEASE,
                    import_id,
                    holder,
                )
                if moved != 1:
                    raise TakenOver
                enroll_chunk(engine, job, chunk)

            store.run(work)
        hit("import_chunk")
        progress(chunk.height)

    def done() -> None:
        finished = store.write(
            f"UPDATE imports SET state = 'done', finished_at = ?, lease_until = NULL, holder = NULL {mine}",
            engine.now(),
            import_id,
            holder,
        )
        if finished != 1:
            raise TakenOver
        store.write("DELETE FROM import_parts WHERE import_id = ?", import_id)
        if json.loads(job["options"]).get("enrich"):
            enriching.start_for_import(engine, job)

    store.run(done)


def take_import(engine: Engine) -> tuple[int, str, Table] | None:
    """The next import that waits, or whose process was silent for too long: (id, holder, the rest of its file)."""
    store = engine.store
    while True:
        now, holder = engine.now(), secrets.token_hex(8)
        job = store.one(
            "SELECT id, source, options, lease_until FROM imports WHERE lease_until <= ? ORDER BY id LIMIT 1",
            now,
        )
        if job is None:
            return None
        taken = store.write(
            "UPDATE imports SET state = 'running', holder = ?, lease_until = ? WHERE id = ? AND lease_until = ?",
            holder,
            now + LEASE,
            job["id"],
            job["lease_until"],
        )
        if taken == 1:
            size = store.value("SELECT SUM(LENGTH(data)) FROM import_parts WHERE import_id = ?", job["id"])
            mapping = json.loads(job["options"]).get("mapping")
            try:
                parts = functools.partial(_parts, store, job["id"])
                table = open_parts(parts, int(size or 0), name=job["source"], mapping=mapping)
            except OutreachError as exc:
                fail_import(engine, job["id"], holder, exc)
                continue
            return job["id"], holder, table


def drain_imports(engine: Engine) -> int:
    """Go on with every import that waits or was left; how many were finished."""
    done = 0
    while (taken := take_import(engine)) is not None:
        import_id, holder, table = taken
        try:
            run_import(engine, import_id, holder, table)
            done += 1
        except TakenOver:
            continue
        except OutreachError as exc:
            fail_import(engine, import_id, holder, exc)
            if not exc.permanent:  # its lease brings it back
                return done
    return done


def _parts(store: Store, import_id: int) -> Iterator[bytes]:
    number = 1
    while (
        data := store.value(
            "SELECT data FROM import_parts WHERE import_id = ? AND part = ?", import_id, number
        )
    ) is not None:
        yield bytes(data)
        number += 1


def fail_import(engine: Engine, import_id: int, holder: str, why: OutreachError) -> None:
    """Record that an import can't go on, and why; unless the database was away for a while, when another try
    will do."""
    if isinstance(why, DatabaseUnavailable):
        return

    def work() -> None:
        failed = engine.store.write(
            "UPDATE imports SET state = 'failed', error = ?, lease_until = NULL, holder = NULL WHERE id = ? AND holder = ?",
            str(why),
            import_id,
            holder,
        )
        if failed == 1:
            engine.store.write("DELETE FROM import_parts WHERE import_id = ?", import_id)

    engine.store.run(work)


def counts(store: Store, import_id: int) -> dict[str, int]:
    """How many rows came to each outcome."""
    rows = store.rows(
        "SELECT outcome, COUNT(*) AS n FROM import_rows WHERE import_id = ? GROUP BY outcome", import_id
    )
    return {r["outcome"]: int(r["n"]) for r in rows}


def outcomes(store: Store, import_id: int) -> list[dict[str, Any]]:
    """What became of every row: row, email, outcome, reason."""
    return store.rows(
        "SELECT row, email, outcome, reason FROM import_rows WHERE import_id = ? ORDER BY row", import_id
    )
