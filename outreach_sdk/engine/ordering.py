"""A sequence's steps in order, and where each stands: ranks, and room between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from outreach_sdk.domain.sequence import StepKind, StepPlan, schedule_from_dict
from outreach_sdk.domain.variants import live
from outreach_sdk.engine.progress import NEVER
from outreach_sdk.storage.store import Store

__all__ = ["end_rank", "live_steps", "place", "step_plan"]

APART = 1024.0
"""Between the ranks of two steps added one after the other."""

ROOM = 1e-3
"""Two neighbours closer than this are moved apart before anything is put between them."""


def step_plan(row: dict[str, Any]) -> StepPlan:
    """A step's row as the domain reads it."""
    return StepPlan(
        kind=StepKind(row["kind"]),
        schedule=schedule_from_dict(json.loads(row["schedule"])),
        subject=row["subject"],
        body=row["body"],
        thread=row["thread"],
        manual=bool(row["manual"]),
        skip_after=row["skip_after"],
        cc=tuple(json.loads(row["cc"] or "[]")),
        bcc=tuple(json.loads(row["bcc"] or "[]")),
        mailbox_id=row["mailbox_id"],
        alias=row["alias"],
        variants=live(row["variants"]),
    )


def live_steps(store: Store, sequence_id: int) -> list[dict[str, Any]]:
    """A sequence's steps in order."""
    return store.rows(
        "SELECT * FROM steps WHERE sequence_id = ? AND removed_at IS NULL ORDER BY rank", sequence_id
    )


def end_rank(store: Store, sequence_id: int) -> float:
    """The rank of a step put last: behind all that ever were, taken out or moved forward, which journeys may have
    handled where they stood. In a transaction."""
    rank = store.value(
        "SELECT CASE WHEN q.top > q.last THEN q.top ELSE q.last END FROM (SELECT top_rank AS top, COALESCE((SELECT "
        "MAX(t.rank) FROM steps t WHERE t.sequence_id = sequences.id), 0) AS last FROM sequences WHERE id = ?) AS q",
        sequence_id,
    )
    end = float(rank or 0) + APART
    _reached(store, sequence_id, end)
    return end


def _reached(store: Store, sequence_id: int, rank: float) -> None:
    store.write("UPDATE sequences SET top_rank = ? WHERE id = ?", rank, sequence_id)


def place(store: Store, sequence_id: int, step_id: int, to: int) -> None:
    """Give a step the `to`-th place (from 1) among the live ones, in a transaction."""
    store.one(f"SELECT id FROM sequences WHERE id = ?{store.for_update}", sequence_id)
    ranks = _others(store, sequence_id, step_id)
    if 1 < to <= len(ranks) and ranks[to - 1] - ranks[to - 2] < ROOM:
        _spread(store, sequence_id)
        ranks = _others(store, sequence_id, step_id)
    if to > len(ranks):
        rank = end_rank(store, sequence_id)
    elif to == 1:
        rank = ranks[0] - APART
    else:
        rank = (ranks[to - 2] + ranks[to - 1]) / 2
    store.write("UPDATE steps SET rank = ? WHERE id = ?", rank, step_id)


def _others(store: Store, sequence_id: int, step_id: int) -> list[float]:
    return [
        float(r["rank"])
        for r in store.rows(
            "SELECT rank FROM steps WHERE sequence_id = ? AND removed_at IS NULL AND id <> ? ORDER BY rank, id",
            sequence_id,
            step_id,
        )
    ]


def _spread(store: Store, sequence_id: int) -> None:
    """Number everything afresh, in the order it has, above every number used so far: a rank that somebody read
    before this counts for less than it was, so that nothing is ever passed over."""
    steps = store.rows("SELECT id, rank FROM steps WHERE sequence_id = ? ORDER BY rank, id", sequence_id)
    reached = store.rows(
        "SELECT last_rank AS rank FROM journeys WHERE sequence_id = ? AND last_rank > ? UNION "
        "SELECT x.rank FROM journey_steps x JOIN steps s ON s.id = x.step_id WHERE s.sequence_id = ?",
        sequence_id,
        NEVER,
        sequence_id,
    )
    known = sorted(
        [(float(s["rank"]), int(s["id"])) for s in steps] + [(float(r["rank"]), 0) for r in reached]
    )
    following = max(rank for rank, _ in known)
    fresh_steps: list[tuple[int, float]] = []
    fresh_ranks: list[tuple[float, float]] = []
    for rank, group in groupby(known, key=lambda entry: entry[0]):
        here = [step_id for _, step_id in group if step_id] or [0]
        for step_id in here:
            following += APART
            if step_id:
                fresh_steps.append((step_id, following))
        fresh_ranks.append((rank, following))
    _reached(store, sequence_id, following)
    _map(
        store, "UPDATE steps SET rank = {new} WHERE sequence_id = ?", "id", "BIGINT", fresh_steps, sequence_id
    )
    _map(
        store,
        "UPDATE journeys SET last_rank = {new} WHERE sequence_id = ?",
        "last_rank",
        "DOUBLE PRECISION",
        fresh_ranks,
        sequence_id,
    )
    _map(
        store,
        "UPDATE journey_steps SET rank = {new} WHERE step_id IN (SELECT id FROM steps WHERE sequence_id = ?)",
        "rank",
        "DOUBLE PRECISION",
        fresh_ranks,
        sequence_id,
    )


def _map(
    store: Store, update: str, key: str, kind: str, pairs: Iterable[tuple[Any, float]], sequence_id: int
) -> None:
    """Run `update`, its {new} being what `pairs` gives for the row's `key`, else what the row has."""
    found = list(pairs)
    table = update.split()[1]
    column = update.split()[3]
    values = ", ".join([f"(CAST(? AS {kind}), CAST(? AS DOUBLE PRECISION))"] * len(found))
    new = f"COALESCE((SELECT v FROM fresh WHERE k = {table}.{key}), {column})"
    store.write(
        f"WITH fresh (k, v) AS (VALUES {values}) {update.format(new=new)}",
        *[value for pair in found for value in pair],
        sequence_id,
    )
