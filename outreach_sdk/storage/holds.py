"""Steps that are held back: until somebody approves them, their passages are written, or their sequence is repaired.

A held journey keeps its due time in `held_due_at` and has no `next_due_at`, so that neither clock nor claim
looks at it: what waits for a person costs nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.storage.store import Store

__all__ = ["APPROVED", "SOUND", "hold", "let_go", "sound"]

APPROVED = (
    "(NOT EXISTS (SELECT 1 FROM sequences q WHERE q.id = {j}.sequence_id AND q.review) OR EXISTS "
    "(SELECT 1 FROM journey_steps a WHERE a.journey_id = {j}.id AND a.step_id = {j}.next_step_id "
    "AND a.approved_hash IS NOT NULL))"
)
"""SQL: whether the next step of the journey `{j}` may leave as far as review goes."""

SOUND = "(NOT EXISTS (SELECT 1 FROM sequences b WHERE b.id = {j}.sequence_id AND b.broken))"
"""SQL: whether the sequence of the journey `{j}` isn't broken."""


def hold(store: Store, where: str, *params: Any, passages_at: dt.datetime | None = None) -> int:
    """Hold the scheduled journeys that match: those whose e-mail isn't approved or whose sequence is broken, or with
    `passages_at` all of them, until their passages are written; how many."""
    if passages_at is not None:
        return store.write(
            "UPDATE journeys SET held_due_at = COALESCE(held_due_at, next_due_at), next_due_at = NULL, passages_at = ? "
            f"WHERE {where} AND status = 'active' AND (next_due_at IS NOT NULL OR held_due_at IS NOT NULL)",
            passages_at,
            *params,
        )
    return store.write(
        "UPDATE journeys SET held_due_at = next_due_at, next_due_at = NULL "
        f"WHERE {where} AND status = 'active' AND next_due_at IS NOT NULL "
        f"AND ((lane IS NOT NULL AND NOT {APPROVED.format(j='journeys')}) OR NOT {SOUND.format(j='journeys')})",
        *params,
    )


def let_go(store: Store, now: dt.datetime, where: str, *params: Any) -> int:
    """Schedule the held journeys that match and wait for nothing any more, at their own time or, where that is past,
    now: waiting doesn't count as late. How many."""
    if store.dialect == "postgresql":
        _meet_repairs(
            store,
            f"id IN (SELECT sequence_id FROM journeys WHERE {where} AND held_due_at IS NOT NULL)",
            *params,
        )
    return store.write(
        "UPDATE journeys SET next_due_at = CASE WHEN held_due_at > ? THEN held_due_at ELSE CAST(? AS BIGINT) END, "
        f"held_due_at = NULL WHERE {where} AND held_due_at IS NOT NULL AND passages_at IS NULL AND status = 'active' "
        f"AND {SOUND.format(j='journeys')} AND (lane IS NULL OR {APPROVED.format(j='journeys')})",
        now,
        now,
        *params,
    )


def sound(store: Store, journey_id: int) -> bool:
    """Whether the journey's sequence isn't broken; until this transaction ends nobody repairs one that is."""
    return not _meet_repairs(store, "id = (SELECT sequence_id FROM journeys WHERE id = ?)", journey_id)


def _meet_repairs(store: Store, where: str, *params: Any) -> bool:
    """Whether any of these sequences is broken. A repair lets go of what it sees held: it comes before this
    transaction, or after it."""
    share = " FOR SHARE" if store.dialect == "postgresql" else ""
    return bool(store.rows(f"SELECT id FROM sequences WHERE {where} AND broken{share}", *params))
