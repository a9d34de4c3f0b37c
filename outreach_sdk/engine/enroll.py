"""Bulk enrolment: stage, then INSERT … SELECT, so that 100,000 people are one short transaction."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import bookings
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.engine.lifecycle import plan_first
from outreach_sdk.engine.people import Table, open_text
from outreach_sdk.engine.staging import CANDIDATE
from outreach_sdk.errors import DatabaseUnavailable, NotFound, OutreachError
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import event

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "HOLD_BACKS",
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
HOLD_BACKS = ("suppressed", "contacted_by_colleague", "invalid_address", "interview_ahead")
"""Reasons for which people are held back. All but `suppressed` can be lifted by `override=`."""

_STAGED = {
    "row": "BIGINT",
    "email": "TEXT",
    "email_kind": "TEXT",
    "outcome": "TEXT",
    "reason": "TEXT",
    "known": "BIGINT",
    **{
        name: "TEXT" if name in ("linkedin", "phone", "timezone") else "TEXT DEFAULT ''" for name in CANDIDATE
    },
    "fields": "TEXT DEFAULT '{}'",
}
_EMPTY = {"fields": "{}"}


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
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, list[dict[str, Any]] | None]:
    """Enrol every row of `table`; the import's id, and for a dry run, which leaves nothing behind, what
    would become of each row."""
    told: list[dict[str, Any]] = []
    options = {"paused": paused, "override": sorted(override)}

    def rehearse() -> None:
        import_id, holder = new_import(engine, sequence, owner_id, "notebook", options)
        run_import(engine, import_id, holder, table, progress=progress)
        told.extend(outcomes(engine.store, import_id))
        raise _DryRun

    if dry_run:
        try:
            engine.store.run(rehearse)
        except _DryRun:
            return 0, told
    import_id, holder = new_import(engine, sequence, owner_id, "notebook", options)
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
    mine = "WHERE id = ? AND holder = ? AND state = 'running'"
    for chunk in table.prepared(after=job["progress"]):
        last = int(chunk["row"][-1])
        chunk = _same_person_in_chunk(chunk)
        with store.staged("staged", _shape(store), _without_constants(chunk)):

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
                _enroll_chunk(engine, job, chunk)

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

    store.run(done)


def take_import(engine: Engine) -> tuple[int, str, Table] | None:
    """The next import that waits, or whose process was silent for too long: (id, holder, the rest of its file)."""
    store = engine.store
    while True:
        now, holder = engine.now(), secrets.token_hex(8)
        job = store.one(
            "SELECT id, options, lease_until FROM imports WHERE lease_until <= ? ORDER BY id LIMIT 1", now
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
                table = open_text(parts, int(size or 0), mapping=mapping)
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


def _shape(store: Store) -> dict[str, str]:
    """PostgreSQL numbers the people who may be new as they are staged; SQLite, with one writer, later."""
    if store.dialect == "postgresql":
        return {**_STAGED, "fresh": "BIGINT DEFAULT nextval('candidates_id_seq')"}
    return _STAGED


def _without_constants(chunk: pl.DataFrame) -> pl.DataFrame:
    """Without the columns that say nothing: the staging table's defaults say it."""
    silent = [
        name
        for name in (*CANDIDATE, "outcome", "reason")
        if (chunk[name].fill_null(_EMPTY.get(name, "")) == _EMPTY.get(name, "")).all()
    ]
    return chunk.drop(silent)


def _same_person_in_chunk(chunk: pl.DataFrame) -> pl.DataFrame:
    """The first row of each person stays; later rows with the same address or profile are duplicates."""
    import polars as pl

    usable = pl.col("outcome").is_null()
    again = pl.lit(False)
    for key in ("email", "linkedin"):
        if chunk[key].null_count() == chunk.height:
            continue
        first = pl.when(usable).then(pl.col(key))
        again = again | (usable & pl.col(key).is_not_null() & ~first.is_first_distinct())
    twice = chunk.with_columns(again.alias("twice"))["twice"]
    if not twice.any():
        return chunk
    return chunk.with_columns(
        pl.when(twice).then(pl.lit("duplicate")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.when(twice).then(pl.lit("same_person_in_file")).otherwise(pl.col("reason")).alias("reason"),
    )


def _enroll_chunk(engine: Engine, job: dict[str, Any], chunk: pl.DataFrame) -> None:
    store, now = engine.store, engine.now()
    options = json.loads(job["options"])
    sequence = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", job["sequence_id"])
    if sequence is None:
        raise NotFound("There is no such sequence.")
    lock_people(store, job["workspace_id"])
    known = _match_people(store, job, profiles=chunk["linkedin"].null_count() < chunk.height)
    _hold_back(store, job, sequence, options, now, known=bool(known))
    person = _add_people(store, job, now, known=bool(known))
    lifted = "interview_ahead" in options["override"]
    bookings.match_staged(store, job["workspace_id"], person, now, lifted=lifted)
    address = (
        "COALESCE(s.email, (SELECT e.address FROM candidate_emails e WHERE e.candidate_id = s.known "
        "AND NOT e.invalid ORDER BY e.id LIMIT 1))"
    )
    status = "'paused'" if options["paused"] else ("'active'" if sequence["active"] else "'pending'")
    reason = "'manual'" if options["paused"] else "NULL"
    store.write(
        "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, reason, generation, "
        "last_rank, anchor_at, priority, thread_refs, enrolled_at) "
        f"SELECT ?, ?, ?, q.person, q.address, CASE WHEN q.address IS NULL THEN 'paused' ELSE {status} END, "
        f"CASE WHEN q.address IS NULL THEN 'no_email' ELSE {reason} END, 0, -1e300, CAST(? AS BIGINT), 2, '[]', "
        f"CAST(? AS BIGINT) FROM (SELECT s.row, {person} AS person, {address} AS address FROM staged s "
        "WHERE s.outcome IS NULL) AS q WHERE TRUE ORDER BY q.row ON CONFLICT (sequence_id, candidate_id) DO NOTHING",
        sequence["workspace_id"],
        sequence["owner_id"],
        sequence["id"],
        now,
        now,
    )
    store.write(
        "INSERT INTO import_rows (import_id, row, email, candidate_id, outcome, reason) "
        f"SELECT CAST(? AS BIGINT), s.row, s.email, CASE WHEN s.outcome IS NULL THEN {person} ELSE s.known END, "
        f"COALESCE(s.outcome, 'enrolled'), CASE WHEN s.outcome IS NULL AND {address} IS NULL THEN 'paused: no_email' "
        "ELSE s.reason END FROM staged s ORDER BY s.row",
        job["id"],
    )
    if sequence["active"]:
        plan_first(engine, sequence["id"])
    event(store, {**sequence, "journey_id": None}, "enrolled", now, f"{chunk.height} rows")


def lock_people(store: Store, workspace_id: int) -> None:
    """One transaction at a time makes people in a workspace, so that two that know the same address don't make
    two candidates. SQLite's write transactions are one at a time already."""
    if store.dialect == "postgresql":
        store.value("SELECT pg_advisory_xact_lock(727002, ?)", workspace_id % 2**31)


def _match_people(store: Store, job: dict[str, Any], *, profiles: bool) -> int:
    """Find whom the workspace knows already, by address, then by profile; how many."""
    known = store.write(
        "UPDATE staged SET known = e.candidate_id FROM candidate_emails e WHERE e.workspace_id = ? "
        "AND e.address = staged.email AND staged.outcome IS NULL",
        job["workspace_id"],
    )
    if profiles:
        known += store.write(
            "UPDATE staged SET known = c.id FROM candidates c WHERE c.workspace_id = ? AND c.linkedin = staged.linkedin "
            "AND staged.known IS NULL AND staged.outcome IS NULL",
            job["workspace_id"],
        )
    if known:
        store.write(
            "UPDATE staged SET outcome = 'duplicate', reason = 'same_person_in_file' WHERE row IN (SELECT row FROM ("
            "SELECT row, ROW_NUMBER() OVER (PARTITION BY known ORDER BY row) AS n FROM staged "
            "WHERE outcome IS NULL AND known IS NOT NULL) AS q WHERE q.n > 1)"
        )
    return known


def _add_people(store: Store, job: dict[str, Any], now: dt.datetime, *, known: bool) -> str:
    """Make candidates of those the workspace didn't know; SQL for the candidate of a row of `staged s`."""
    if known:
        # Fill what we didn't know of people known before; what we knew stays.
        blanks = ", ".join(
            f"{c} = CASE WHEN candidates.{c} = '' THEN s.{c} ELSE candidates.{c} END"
            for c in ("first_name", "last_name", "company", "title")
        )
        store.write(
            f"UPDATE candidates SET {blanks}, phone = COALESCE(candidates.phone, s.phone), "
            "timezone = COALESCE(candidates.timezone, s.timezone) FROM staged s WHERE s.known = candidates.id "
            "AND s.outcome IS NULL"
        )
    if store.dialect == "postgresql":
        person = "COALESCE(s.known, s.fresh)"
    else:
        top = int(store.value("SELECT COALESCE(MAX(id), 0) FROM candidates"))
        person = f"COALESCE(s.known, {top} + s.row)"
    columns = ", ".join(CANDIDATE)
    store.write(
        f"INSERT INTO candidates (id, workspace_id, owner_id, source, created_at, {columns}) SELECT {person}, "
        f"CAST(? AS BIGINT), CAST(? AS BIGINT), ?, CAST(? AS BIGINT), {columns} FROM staged s "
        "WHERE s.outcome IS NULL AND s.known IS NULL ORDER BY s.row",
        job["workspace_id"],
        job["owner_id"],
        job["source"],
        now,
    )
    store.write(
        "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, invalid, source, created_at) "
        f"SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), {person}, s.email, s.email_kind, ?, ?, CAST(? AS BIGINT) "
        "FROM staged s WHERE s.outcome IS NULL AND s.email IS NOT NULL ORDER BY s.row "
        "ON CONFLICT (workspace_id, address) DO NOTHING",
        job["workspace_id"],
        job["owner_id"],
        False,
        job["source"],
        now,
    )
    return person


def _hold_back(
    store: Store,
    job: dict[str, Any],
    sequence: dict[str, Any],
    options: dict[str, Any],
    now: dt.datetime,
    *,
    known: bool,
) -> None:
    lifted = set(options["override"])
    settings = json.loads(
        store.value("SELECT settings FROM workspace WHERE id = ?", job["workspace_id"]) or "{}"
    )
    days = float(settings.get("colleague_days", 30))
    at_sign = f"{'STRPOS' if store.dialect == 'postgresql' else 'INSTR'}(staged.email, '@')"
    rules: list[tuple[str, str, str, tuple[Any, ...]]] = []
    if known:
        rules.append(
            (
                "duplicate",
                "already_in_sequence",
                "EXISTS (SELECT 1 FROM journeys j WHERE j.sequence_id = ? AND j.candidate_id = staged.known)",
                (sequence["id"],),
            )
        )
    if store.value("SELECT 1 FROM suppressions WHERE workspace_id = ? LIMIT 1", job["workspace_id"]):
        rules.append(
            (
                "held_back",
                "suppressed",
                "EXISTS (SELECT 1 FROM suppressions s WHERE s.workspace_id = ? AND ((s.kind = 'address' AND s.value = "
                f"staged.email) OR (s.kind = 'domain' AND s.value = SUBSTR(staged.email, {at_sign} + 1))))",
                (job["workspace_id"],),
            )
        )
    if known:
        rules += [
            (
                "held_back",
                "contacted_by_colleague",
                "EXISTS (SELECT 1 FROM contacted k WHERE k.candidate_id = staged.known AND k.owner_id <> ? "
                "AND k.last_at > ?)",
                (sequence["owner_id"], now - dt.timedelta(days=days)),
            ),
            (
                "held_back",
                "invalid_address",
                "EXISTS (SELECT 1 FROM candidate_emails e WHERE e.workspace_id = ? AND e.address = staged.email "
                "AND e.invalid)",
                (job["workspace_id"],),
            ),
        ]
    rules += bookings.ahead_rules(store, job["workspace_id"], now)
    for outcome, reason, condition, params in rules:
        if reason not in lifted or reason == "suppressed":
            store.write(
                f"UPDATE staged SET outcome = ?, reason = ? WHERE outcome IS NULL AND {condition}",
                outcome,
                reason,
                *params,
            )


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
