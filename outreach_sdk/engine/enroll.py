"""Bulk enrolment: stage, then INSERT … SELECT, so that 100,000 people are one short transaction."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import bookings, outside
from outreach_sdk.engine.contact_points import best_address, preference
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.first_steps import plan_first
from outreach_sdk.engine.staging import CANDIDATE
from outreach_sdk.errors import NotFound
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import event

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FIRM",
    "HOLD_BACKS",
    "add_people",
    "enroll_chunk",
    "hold_back",
    "lock_people",
    "match_people",
    "same_person_in_chunk",
    "shape",
    "suppressed_rules",
    "without_constants",
]

HOLD_BACKS = (
    "suppressed",
    "erased",
    "contacted_by_colleague",
    "in_sequence_of_same_name",
    "in_another_sequence",
    "invalid_address",
    "interview_ahead",
    *outside.HOLD_BACKS,
)
"""Reasons for which people are held back. All but `FIRM` can be lifted by `override=`."""
FIRM = ("suppressed", "erased")

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


def shape(store: Store) -> dict[str, str]:
    """PostgreSQL numbers the people who may be new as they are staged; SQLite, with one writer, later."""
    if store.dialect == "postgresql":
        return {**_STAGED, "fresh": "BIGINT DEFAULT nextval('candidates_id_seq')"}
    return _STAGED


def without_constants(chunk: pl.DataFrame) -> pl.DataFrame:
    """Without the columns that say nothing: the staging table's defaults say it."""
    silent = [
        name
        for name in (*CANDIDATE, "outcome", "reason")
        if (chunk[name].fill_null(_EMPTY.get(name, "")) == _EMPTY.get(name, "")).all()
    ]
    return chunk.drop(silent)


def same_person_in_chunk(chunk: pl.DataFrame) -> pl.DataFrame:
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


def enroll_chunk(engine: Engine, job: dict[str, Any], chunk: pl.DataFrame) -> None:
    store, now = engine.store, engine.now()
    options = json.loads(job["options"])
    sequence = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", job["sequence_id"])
    if sequence is None:
        raise NotFound("There is no such sequence.")
    lock_people(store, job["workspace_id"])
    known = match_people(store, job, profiles=chunk["linkedin"].null_count() < chunk.height)
    lifted = set(options["override"])
    hold_back(store, _rules(store, job, sequence, now, known=bool(known)), lifted=lifted)
    hold_back(store, outside.rules(store, job["workspace_id"], chunk, now, known=bool(known)), lifted=lifted)
    if known:
        _mark_news(store)
    person = add_people(store, job, now, known=bool(known))
    bookings.match_staged(store, job["workspace_id"], person, now, lifted="interview_ahead" in lifted)
    prefer = preference(store, sequence, options.get("prefer"))
    address = best_address("s.known" if prefer is None else person, "s.email", prefer)
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
    if sequence["active"] and plan_first(engine, sequence["id"]):
        store.write(
            "UPDATE import_rows SET reason = 'paused: overdue' WHERE import_id = ? AND outcome = 'enrolled' "
            "AND reason IS NULL AND candidate_id IN (SELECT candidate_id FROM journeys WHERE sequence_id = ? "
            "AND status = 'paused' AND reason = 'overdue')",
            job["id"],
            sequence["id"],
        )
    event(store, {**sequence, "journey_id": None}, "enrolled", now, f"{chunk.height} rows")


def lock_people(store: Store, workspace_id: int) -> None:
    """One transaction at a time makes people in a workspace, so that two that know the same address don't make
    two candidates. SQLite's write transactions are one at a time already."""
    if store.dialect == "postgresql":
        store.value("SELECT pg_advisory_xact_lock(727002, ?)", workspace_id % 2**31)


def match_people(store: Store, job: dict[str, Any], *, profiles: bool) -> int:
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


def add_people(store: Store, job: dict[str, Any], now: dt.datetime, *, known: bool) -> str:
    """Make candidates of those the workspace didn't know; SQL for the candidate of a row of `staged s`."""
    if known:
        # Fill what we didn't know of people known before; what we knew stays. Merge fields are a file's own: the
        # latest file's hold.
        blanks = ", ".join(
            f"{c} = CASE WHEN candidates.{c} = '' THEN s.{c} ELSE candidates.{c} END"
            for c in ("first_name", "last_name", "company", "title")
        )
        store.write(
            f"UPDATE candidates SET {blanks}, phone = COALESCE(candidates.phone, s.phone), "
            f"timezone = COALESCE(candidates.timezone, s.timezone), fields = {_merged(store)} "
            "FROM staged s WHERE s.known = candidates.id AND (s.outcome IS NULL OR s.outcome = 'updated')"
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
        "FROM staged s WHERE (s.outcome IS NULL OR s.outcome = 'updated') AND s.email IS NOT NULL ORDER BY s.row "
        "ON CONFLICT (workspace_id, address) DO NOTHING",
        job["workspace_id"],
        job["owner_id"],
        False,
        job["source"],
        now,
    )
    return person


def _mark_news(store: Store) -> None:
    """Of somebody who is in the sequence already a row may still tell something new."""
    blanks = [f"(c.{n} = '' AND staged.{n} <> '')" for n in ("first_name", "last_name", "company", "title")]
    blanks += [f"(c.{n} IS NULL AND staged.{n} IS NOT NULL)" for n in ("phone", "timezone")]
    if store.dialect == "postgresql":
        fields = "CAST(c.fields AS JSONB) || JSONB_STRIP_NULLS(CAST(staged.fields AS JSONB)) <> CAST(c.fields AS JSONB)"
    else:
        fields = "JSON_PATCH(c.fields, staged.fields) <> JSON(c.fields)"
    address = (
        "(staged.email IS NOT NULL AND NOT EXISTS (SELECT 1 FROM candidate_emails e WHERE "
        "e.workspace_id = c.workspace_id AND e.address = staged.email))"
    )
    store.write(
        "UPDATE staged SET outcome = 'updated' WHERE outcome = 'duplicate' AND reason = 'already_in_sequence' AND EXISTS "
        f"(SELECT 1 FROM candidates c WHERE c.id = staged.known AND ({' OR '.join([*blanks, fields, address])}))"
    )


Rules = list[tuple[str, str, str, tuple[Any, ...]]]
"""Outcome, reason, the SQL that says of a row of `staged` whether it applies, and its parameters."""


def _merged(store: Store) -> str:
    if store.dialect == "postgresql":
        return "CAST(CAST(candidates.fields AS JSONB) || JSONB_STRIP_NULLS(CAST(s.fields AS JSONB)) AS TEXT)"
    return "JSON_PATCH(candidates.fields, s.fields)"


def hold_back(store: Store, rules: Rules, *, lifted: Collection[str] = ()) -> None:
    """Give rows the outcome of the first rule that applies."""
    for outcome, reason, condition, params in rules:
        if reason not in lifted or reason in FIRM:
            store.write(
                f"UPDATE staged SET outcome = ?, reason = ? WHERE outcome IS NULL AND {condition}",
                outcome,
                reason,
                *params,
            )


def suppressed_rules(store: Store, workspace_id: int, *, known: bool) -> Rules:
    """Whom nobody writes to: by address, by domain, and, known, by any address of theirs."""
    if not store.value("SELECT 1 FROM suppressions WHERE workspace_id = ? LIMIT 1", workspace_id):
        return []
    at_sign = f"{'STRPOS' if store.dialect == 'postgresql' else 'INSTR'}(staged.email, '@')"
    rules: Rules = [
        (
            "held_back",
            "suppressed",
            "EXISTS (SELECT 1 FROM suppressions s WHERE s.workspace_id = ? AND ((s.kind = 'address' AND s.value = "
            f"staged.email) OR (s.kind = 'domain' AND s.value = SUBSTR(staged.email, {at_sign} + 1))))",
            (workspace_id,),
        )
    ]
    if known:
        rules.append(
            (
                "held_back",
                "suppressed",
                "EXISTS (SELECT 1 FROM candidate_emails e JOIN suppressions s ON s.workspace_id = e.workspace_id AND "
                "s.kind = 'address' AND s.value = e.address WHERE e.candidate_id = staged.known)",
                (),
            )
        )
    return rules


def _rules(
    store: Store, job: dict[str, Any], sequence: dict[str, Any], now: dt.datetime, *, known: bool
) -> Rules:
    settings = json.loads(
        store.value("SELECT settings FROM workspace WHERE id = ?", job["workspace_id"]) or "{}"
    )
    days = float(settings.get("colleague_days", 30))
    rules: Rules = []
    if known:
        rules.append(
            (
                "duplicate",
                "already_in_sequence",
                "EXISTS (SELECT 1 FROM journeys j WHERE j.sequence_id = ? AND j.candidate_id = staged.known)",
                (sequence["id"],),
            )
        )
    rules += suppressed_rules(store, job["workspace_id"], known=known)
    if known and sequence["name"]:  # cells that are run again must not write to the same people again
        rules.append(
            (
                "held_back",
                "in_sequence_of_same_name",
                "EXISTS (SELECT 1 FROM journeys j JOIN sequences q ON q.id = j.sequence_id WHERE j.candidate_id = "
                "staged.known AND q.id <> ? AND q.owner_id = ? AND q.name = ?)",
                (sequence["id"], sequence["owner_id"], sequence["name"]),
            )
        )
    if known and settings.get("one_sequence"):
        rules.append(
            (
                "held_back",
                "in_another_sequence",
                "EXISTS (SELECT 1 FROM journeys j JOIN sequences q ON q.id = j.sequence_id WHERE j.candidate_id = "
                "staged.known AND q.id <> ? AND q.active AND j.status IN ('pending', 'active', 'paused'))",
                (sequence["id"],),
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
    return rules + bookings.ahead_rules(store, job["workspace_id"], now)
