"""Shortlists: whoever is on one flows into the sequences it is linked to, once, by whatever way they came."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import apart, bookings, erasing, imports, roster
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.enroll import (
    add_people,
    hold_back,
    lock_people,
    match_people,
    same_person_in_chunk,
    shape,
    suppressed_rules,
    without_constants,
)
from outreach_sdk.engine.people import Table, open_table
from outreach_sdk.errors import ImportRefused, InvalidInput, OutreachError
from outreach_sdk.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

__all__ = ["add", "drain", "flow_of", "link", "named", "receive", "unlink", "waiting"]

AT_ONCE = 5_000
"""Members enrolled in one go."""

_WAITING = (
    "FROM shortlist_links l JOIN shortlists s ON s.id = l.shortlist_id WHERE l.ended_at IS NULL AND "
    "s.last_member_id > l.done_id"
)


def named(store: Store, workspace_id: int, name: str) -> dict[str, Any] | None:
    """A shortlist by its name, which is its workspace's own."""
    return store.one("SELECT * FROM shortlists WHERE workspace_id = ? AND name = ?", workspace_id, name)


def add(engine: Engine, shortlist: dict[str, Any], table: Table, source: str) -> list[dict[str, Any]]:
    """Put people on it, a chunk a transaction, and let them flow on; row, email, outcome (added, already_member,
    duplicate, held_back, rejected) and reason of every row."""
    told: list[dict[str, Any]] = []
    for chunk in table.prepared():
        told += _add_chunk(engine, shortlist, chunk, source)
    for row in engine.store.rows(
        "SELECT id FROM shortlist_links WHERE shortlist_id = ? AND ended_at IS NULL ORDER BY id",
        shortlist["id"],
    ):
        flow_of(engine, row["id"])
    return told


def _add_chunk(
    engine: Engine, shortlist: dict[str, Any], chunk: pl.DataFrame, source: str
) -> list[dict[str, Any]]:
    store, now = engine.store, engine.now()
    job = {
        "workspace_id": shortlist["workspace_id"],
        "owner_id": shortlist["owner_id"],
        "source": source,
    }
    chunk = erasing.hold_back(store, job["workspace_id"], same_person_in_chunk(chunk))

    def work() -> list[dict[str, Any]]:
        # Also makes members' ids grow in the order in which they are committed: flowing goes by them.
        lock_people(store, job["workspace_id"])
        known = match_people(store, job, profiles=chunk["linkedin"].null_count() < chunk.height)
        hold_back(store, suppressed_rules(store, job["workspace_id"], known=bool(known)))
        person = add_people(store, job, now, known=bool(known))
        bookings.match_staged(store, job["workspace_id"], person, now, lifted=False)
        store.write(
            "UPDATE staged SET outcome = 'already_member' WHERE outcome IS NULL AND known IS NOT NULL AND EXISTS "
            "(SELECT 1 FROM shortlist_members m WHERE m.shortlist_id = ? AND m.candidate_id = staged.known)",
            shortlist["id"],
        )
        store.write(
            "INSERT INTO shortlist_members (workspace_id, shortlist_id, candidate_id, source, added_at) SELECT "
            f"CAST(? AS BIGINT), CAST(? AS BIGINT), {person}, ?, CAST(? AS BIGINT) FROM staged s WHERE s.outcome IS NULL "
            "ORDER BY s.row ON CONFLICT (shortlist_id, candidate_id) DO NOTHING",
            job["workspace_id"],
            shortlist["id"],
            source,
            now,
        )
        store.write(
            "UPDATE shortlists SET last_member_id = COALESCE((SELECT MAX(m.id) FROM shortlist_members m WHERE "
            "m.shortlist_id = shortlists.id), 0) WHERE id = ?",
            shortlist["id"],
        )
        return store.rows(
            "SELECT s.row, s.email, COALESCE(s.outcome, 'added') AS outcome, s.reason FROM staged s ORDER BY s.row"
        )

    with store.staged("staged", shape(store), without_constants(chunk)):
        return store.run(work)


def link(
    engine: Engine,
    shortlist_id: int,
    sequence: dict[str, Any],
    *,
    paused: bool,
    backfill: bool,
    enrich: bool,
) -> int:
    """Let its people flow into the sequence; the link's id. Linked already, it takes the new options."""
    store, now = engine.store, engine.now()

    def work() -> int:
        last = store.value(
            f"SELECT last_member_id FROM shortlists WHERE id = ?{store.for_update}", shortlist_id
        )
        there = store.value(
            "SELECT id FROM shortlist_links WHERE shortlist_id = ? AND sequence_id = ? AND ended_at IS NULL",
            shortlist_id,
            sequence["id"],
        )
        if there is not None:
            store.write(
                "UPDATE shortlist_links SET paused = ?, enrich = ? WHERE id = ?", paused, enrich, there
            )
            return int(there)
        return store.insert(
            "shortlist_links",
            {
                "workspace_id": sequence["workspace_id"],
                "shortlist_id": shortlist_id,
                "sequence_id": sequence["id"],
                "paused": paused,
                "enrich": enrich,
                "done_id": 0 if backfill else int(last or 0),
                "created_at": now,
            },
        )

    made = store.run(work)
    flow_of(engine, made)
    return made


def unlink(engine: Engine, shortlist_id: int, sequence_id: int) -> bool:
    """Stop the flow, and nothing else; False if there was none."""
    return (
        engine.store.write(
            "UPDATE shortlist_links SET ended_at = ? WHERE shortlist_id = ? AND sequence_id = ? AND ended_at IS NULL",
            engine.now(),
            shortlist_id,
            sequence_id,
        )
        > 0
    )


def waiting(store: Store) -> bool:
    """Whether somebody is yet to flow on."""
    return bool(store.value(f"SELECT 1 {_WAITING} LIMIT 1"))


def drain(engine: Engine) -> int:
    """Let everybody flow on who waits: what a killed process left; how many rows were enrolled from."""
    rows = engine.store.rows(f"SELECT l.id {_WAITING} ORDER BY l.id")
    return sum(
        apart.part(functools.partial(flow_of, engine, row["id"]), f"link {row['id']} of a shortlist")
        for row in rows
    )


def flow_of(engine: Engine, link_id: int) -> int:
    """Enrol the members this link hasn't seen yet. A crash between enrolling and noting it means that they are
    looked at again, and found enrolled already."""
    store, count = engine.store, 0
    roster.refresh(engine)
    while True:
        row = store.one(
            "SELECT l.*, s.name FROM shortlist_links l JOIN shortlists s ON s.id = l.shortlist_id WHERE l.id = ? AND "
            "l.ended_at IS NULL",
            link_id,
        )
        if row is None or roster.unchecked(store, row["workspace_id"], engine.now()):
            return count  # nobody can say now who is in process elsewhere: they flow on when somebody can
        members = store.rows(
            "SELECT m.id, c.linkedin, (SELECT e.address FROM candidate_emails e WHERE e.candidate_id = c.id ORDER BY "
            "CASE WHEN e.invalid THEN 1 ELSE 0 END, e.id LIMIT 1) AS address FROM shortlist_members m JOIN candidates c "
            "ON c.id = m.candidate_id WHERE m.shortlist_id = ? AND m.id > ? AND m.removed_at IS NULL ORDER BY m.id LIMIT ?",
            row["shortlist_id"],
            row["done_id"],
            AT_ONCE,
        )
        people = [
            {"Email": m["address"], "LinkedIn": f"https://www.{m['linkedin']}" if m["linkedin"] else None}
            for m in members
            if m["address"] or m["linkedin"]  # one who was erased has neither
        ]
        if people:
            (sequence,) = store.rows("SELECT * FROM sequences WHERE id = ?", row["sequence_id"])
            table = open_table(people, mapping={"email": "Email", "linkedin_url": "LinkedIn"})
            imports.enroll(
                engine,
                sequence,
                sequence["owner_id"],
                table,
                paused=bool(row["paused"]),
                enrich=bool(row["enrich"]),
                source=f"shortlist {row['name']}",
            )
        count += len(people)
        last = (
            members[-1]["id"] if len(members) == AT_ONCE else _last(store, row["shortlist_id"], members, row)
        )
        store.write(
            "UPDATE shortlist_links SET done_id = ? WHERE id = ? AND done_id = ?",
            last,
            link_id,
            row["done_id"],
        )
        if len(members) < AT_ONCE:
            return count


def _last(store: Store, shortlist_id: int, members: list[dict[str, Any]], link: dict[str, Any]) -> int:
    """Up to where it has been looked: those who were taken off count as seen."""
    seen = members[-1]["id"] if members else link["done_id"]
    rest = store.value(
        "SELECT MIN(id) FROM shortlist_members WHERE shortlist_id = ? AND id > ? AND removed_at IS NULL",
        shortlist_id,
        seen,
    )
    top = store.value("SELECT last_member_id FROM shortlists WHERE id = ?", shortlist_id)
    return int(rest) - 1 if rest is not None else max(int(seen), int(top or 0))


def receive(engine: Engine, workspace_id: int, name: str, body: bytes) -> str:
    """What a signed delivery {"people": [{…}, …]} brings; a sentence. InvalidInput where it can't be used."""
    shortlist = named(engine.store, workspace_id, name)
    if shortlist is None:
        raise InvalidInput("shortlist", name, "There is none of this name. Shortlist.create makes it.")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("body", "", "It isn't JSON.") from None
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list) or not people or not all(isinstance(p, dict) for p in people):
        raise InvalidInput("people", "", 'Send {"people": [{"email": "…"}, …]}.')
    try:
        rows = add(engine, shortlist, open_table(people), "webhook")
    except ImportRefused as exc:
        raise InvalidInput("people", "", str(exc)) from exc
    except OutreachError:
        raise
    added = sum(r["outcome"] == "added" for r in rows)
    return f"{added} of {len(rows)} people came on the shortlist."
