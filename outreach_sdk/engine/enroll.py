"""Bulk enrolment: stage, then INSERT … SELECT, so that 100,000 people are one short transaction."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from outreach_sdk.engine import people as people_rows
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.lifecycle import plan_first
from outreach_sdk.errors import NotFound
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import event

__all__ = ["HOLD_BACKS", "enroll", "run_import"]

CHUNK = 100_000
IN_MEMORY = ("notebook",)
HOLD_BACKS = ("suppressed", "contacted_by_colleague", "invalid_address")
"""Reasons for which people are held back. All but `suppressed` can be lifted by `override=`."""


class _DryRun(Exception):
    """Undoes a dry run's transaction."""


def enroll(
    engine: Engine,
    sequence: dict[str, Any],
    owner_id: int,
    table: people_rows.Table,
    *,
    paused: bool = False,
    dry_run: bool = False,
    override: Iterable[str] = (),
    source: str = "notebook",
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Enrol every row of `table`; {"rows": [(row, email, outcome, reason)], "counts": {...}}."""
    store, now = engine.store, engine.now()
    options = {"paused": paused, "override": sorted(override)}
    outcome: dict[str, Any] = {}

    def work() -> int:
        import_id = store.insert(
            "imports",
            {
                "workspace_id": sequence["workspace_id"],
                "owner_id": owner_id,
                "sequence_id": sequence["id"],
                "source": source,
                "state": "running",
                "options": json.dumps(options),
                "rows": 0,
                "progress": 0,
                "created_at": now,
                # A file can be opened again by a worker, should this process die on the way.
                "lease_until": now + dt.timedelta(minutes=10) if source not in IN_MEMORY else None,
            },
        )
        if dry_run:
            run_import(engine, import_id, table, progress=progress)
            outcome.update(report(store, import_id))
            raise _DryRun
        return import_id

    try:
        import_id = store.run(work)
    except _DryRun:
        return outcome
    run_import(engine, import_id, table, progress=progress)
    return report(store, import_id)


def run_import(
    engine: Engine,
    import_id: int,
    table: people_rows.Table,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Enrol what is left of an import, a chunk a transaction. A crash loses the chunk under way, not its
    place; rows done are never done again."""
    store = engine.store
    job = store.one("SELECT * FROM imports WHERE id = ?", import_id)
    if job is None:
        raise NotFound("There is no such import.")
    staged = people_rows.stage(table, import_id, after=job["progress"])
    while chunk := list(itertools.islice(staged, CHUNK)):

        def work(chunk: list[tuple[Any, ...]] = chunk) -> None:
            _enroll_chunk(engine, job, chunk)
            store.write(
                "UPDATE imports SET progress = ?, rows = ? WHERE id = ?",
                chunk[-1][1],
                chunk[-1][1],
                import_id,
            )

        store.run(work)
        progress(len(chunk))
    store.write(
        "UPDATE imports SET state = 'done', finished_at = ?, lease_until = NULL WHERE id = ?",
        engine.now(),
        import_id,
    )


def _same_person_in_chunk(chunk: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The first row of each person stays; later rows with the same address or profile are duplicates."""
    seen: set[str] = set()
    out = []
    for row in chunk:
        keys = [k for k in (row[6], row[8]) if k]
        if row[12] is None and any(k in seen for k in keys):
            row = (*row[:12], "duplicate", "same_person_in_file")
        elif row[12] is None:
            seen.update(keys)
        out.append(row)
    return out


def _enroll_chunk(engine: Engine, job: dict[str, Any], chunk: list[tuple[Any, ...]]) -> None:
    store, now = engine.store, engine.now()
    options = json.loads(job["options"])
    sequence = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", job["sequence_id"])
    if sequence is None:
        raise NotFound("There is no such sequence.")
    store.insert_many("import_rows", people_rows.STAGED, _same_person_in_chunk(chunk))
    mine: tuple[Any, ...] = (job["id"], chunk[0][1], chunk[-1][1])
    here = "import_id = ? AND row >= ? AND row <= ?"
    _match_people(store, job, here, mine)
    _add_people(store, job, here, mine, now)
    _hold_back(store, job, sequence, options, here, mine, now)
    email = (
        "COALESCE(r.email, (SELECT e.address FROM candidate_emails e WHERE e.candidate_id = r.candidate_id "
        "AND NOT e.invalid ORDER BY e.id LIMIT 1))"
    )
    status = "'paused'" if options["paused"] else ("'active'" if sequence["active"] else "'pending'")
    reason = "'manual'" if options["paused"] else "NULL"
    store.write(
        "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, reason, generation, "
        "last_rank, anchor_at, priority, thread_refs, enrolled_at) "
        f"SELECT ?, ?, ?, q.candidate_id, q.email, CASE WHEN q.email IS NULL THEN 'paused' ELSE {status} END, "
        f"CASE WHEN q.email IS NULL THEN 'no_email' ELSE {reason} END, 0, -1e300, ?, 2, '[]', ? "
        f"FROM (SELECT r.row, r.candidate_id, {email} AS email FROM import_rows r WHERE {here} "
        "AND r.outcome IS NULL) AS q WHERE TRUE ORDER BY q.row ON CONFLICT (sequence_id, candidate_id) DO NOTHING",
        sequence["workspace_id"],
        sequence["owner_id"],
        sequence["id"],
        now,
        now,
        *mine,
    )
    store.write(
        f"UPDATE import_rows SET outcome = 'enrolled', reason = CASE WHEN email IS NULL AND EXISTS (SELECT 1 FROM "
        "journeys j WHERE j.sequence_id = ? AND j.candidate_id = import_rows.candidate_id AND j.email IS NULL) "
        f"THEN 'paused: no_email' ELSE reason END WHERE {here} AND outcome IS NULL",
        sequence["id"],
        *mine,
    )
    if sequence["active"]:
        plan_first(engine, sequence["id"])
    event(store, {**sequence, "journey_id": None}, "enrolled", now, f"{len(chunk)} rows")


def _match_people(store: Store, job: dict[str, Any], here: str, mine: tuple[Any, ...]) -> None:
    store.write(
        "UPDATE import_rows SET candidate_id = (SELECT e.candidate_id FROM candidate_emails e WHERE e.workspace_id = ? "
        f"AND e.address = import_rows.email) WHERE {here} AND outcome IS NULL AND email IS NOT NULL",
        job["workspace_id"],
        *mine,
    )
    store.write(
        "UPDATE import_rows SET candidate_id = (SELECT c.id FROM candidates c WHERE c.workspace_id = ? "
        f"AND c.linkedin = import_rows.linkedin) WHERE {here} AND outcome IS NULL AND candidate_id IS NULL "
        "AND linkedin IS NOT NULL",
        job["workspace_id"],
        *mine,
    )
    store.write(
        "UPDATE import_rows SET outcome = 'duplicate', reason = 'same_person_in_file' WHERE id IN (SELECT id FROM ("
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY candidate_id ORDER BY row) AS n FROM import_rows "
        f"WHERE {here} AND outcome IS NULL AND candidate_id IS NOT NULL) AS q WHERE q.n > 1)",
        *mine,
    )


def _add_people(
    store: Store, job: dict[str, Any], here: str, mine: tuple[Any, ...], now: dt.datetime
) -> None:
    fresh = f"{here} AND outcome IS NULL AND candidate_id IS NULL"
    # Fill what we didn't know of people known before; what we knew stays.
    store.write(
        "UPDATE candidates SET first_name = CASE WHEN candidates.first_name = '' THEN r.first_name ELSE "
        "candidates.first_name END, last_name = CASE WHEN candidates.last_name = '' THEN r.last_name ELSE "
        "candidates.last_name END, company = CASE WHEN candidates.company = '' THEN r.company ELSE "
        "candidates.company END, title = CASE WHEN candidates.title = '' THEN r.title ELSE candidates.title END, "
        "phone = COALESCE(candidates.phone, r.phone), timezone = COALESCE(candidates.timezone, r.timezone) "
        f"FROM import_rows r WHERE r.candidate_id = candidates.id AND r.outcome IS NULL AND r.{here}".replace(
            "AND row", "AND r.row"
        ),
        *mine,
    )
    if store.dialect == "postgresql":
        store.write(
            f"UPDATE import_rows SET candidate_id = nextval('candidates_id_seq'), reason = 'new' WHERE {fresh}",
            *mine,
        )
    else:
        top = int(store.value("SELECT COALESCE(MAX(id), 0) FROM candidates"))
        store.write(
            "UPDATE import_rows SET candidate_id = ? + q.n, reason = 'new' FROM (SELECT id, ROW_NUMBER() OVER "
            f"(ORDER BY row) AS n FROM import_rows WHERE {fresh}) AS q WHERE import_rows.id = q.id",
            top,
            *mine,
        )
    store.write(
        "INSERT INTO candidates (id, workspace_id, owner_id, first_name, last_name, company, title, linkedin, phone, "
        "timezone, fields, source, created_at) SELECT candidate_id, ?, ?, first_name, last_name, company, title, "
        f"linkedin, phone, timezone, fields, ?, ? FROM import_rows WHERE {here} AND outcome IS NULL "
        "AND reason = 'new' ORDER BY row",
        job["workspace_id"],
        job["owner_id"],
        job["source"],
        now,
        *mine,
    )
    store.write(
        "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, invalid, source, created_at) "
        f"SELECT ?, ?, candidate_id, email, email_kind, ?, ?, ? FROM import_rows WHERE {here} AND outcome IS NULL "
        "AND email IS NOT NULL ORDER BY row ON CONFLICT (workspace_id, address) DO NOTHING",
        job["workspace_id"],
        job["owner_id"],
        False,
        job["source"],
        now,
        *mine,
    )
    store.write(f"UPDATE import_rows SET reason = NULL WHERE {here} AND reason = 'new'", *mine)


def _hold_back(
    store: Store,
    job: dict[str, Any],
    sequence: dict[str, Any],
    options: dict[str, Any],
    here: str,
    mine: tuple[Any, ...],
    now: dt.datetime,
) -> None:
    lifted = set(options["override"])
    settings = json.loads(
        store.value("SELECT settings FROM workspace WHERE id = ?", job["workspace_id"]) or "{}"
    )
    days = float(settings.get("colleague_days", 30))
    at_sign = f"{'STRPOS' if store.dialect == 'postgresql' else 'INSTR'}(import_rows.email, '@')"
    rules: list[tuple[str, str, str, tuple[Any, ...]]] = [
        (
            "duplicate",
            "already_in_sequence",
            "EXISTS (SELECT 1 FROM journeys j WHERE j.sequence_id = ? AND j.candidate_id = import_rows.candidate_id)",
            (sequence["id"],),
        ),
        (
            "held_back",
            "suppressed",
            "EXISTS (SELECT 1 FROM suppressions s WHERE s.workspace_id = ? AND ((s.kind = 'address' AND s.value = "
            "import_rows.email) OR (s.kind = 'domain' AND s.value = SUBSTR(import_rows.email, "
            f"{at_sign} + 1))))",
            (job["workspace_id"],),
        ),
        (
            "held_back",
            "contacted_by_colleague",
            "EXISTS (SELECT 1 FROM contacted k WHERE k.candidate_id = import_rows.candidate_id AND k.owner_id <> ? "
            "AND k.last_at > ?)",
            (sequence["owner_id"], now - dt.timedelta(days=days)),
        ),
        (
            "held_back",
            "invalid_address",
            "EXISTS (SELECT 1 FROM candidate_emails e WHERE e.workspace_id = ? AND e.address = import_rows.email "
            "AND e.invalid)",
            (job["workspace_id"],),
        ),
    ]
    for outcome, reason, condition, params in rules:
        if reason in lifted and reason != "suppressed":
            continue
        store.write(
            f"UPDATE import_rows SET outcome = ?, reason = ? WHERE {here} AND outcome IS NULL AND {condition}",
            outcome,
            reason,
            *mine,
            *params,
        )


def report(store: Store, import_id: int) -> dict[str, Any]:
    """What became of every row: {"rows": [...], "counts": {outcome: n}}."""
    rows = store.rows(
        "SELECT row, email, outcome, reason FROM import_rows WHERE import_id = ? ORDER BY row", import_id
    )
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    return {"import_id": import_id, "rows": rows, "counts": counts}
