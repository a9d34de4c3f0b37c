"""Steps that are held back until somebody approves them, or until their passages are written.

A held journey keeps its due time in `held_due_at` and has no `next_due_at`, so that neither clock nor claim
looks at it: what waits for a person costs nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.storage.store import Store

__all__ = ["APPROVED", "hold", "let_go"]

APPROVED = (
    "(NOT EXISTS (SELECT 1 FROM sequences q WHERE q.id = {j}.sequence_id AND q.review) OR EXISTS "
    "(SELECT 1 FROM journey_steps a WHERE a.journey_id = {j}.id AND a.step_id = {j}.next_step_id "
    "AND a.approved_hash IS NOT NULL))"
)
"""SQL: whether the next step of the journey `{j}` may leave as far as review goes."""


def hold(store: Store, where: str, *params: Any, passages_at: dt.datetime | None = None) -> int:
    """Hold the scheduled journeys that match: those whose e-mail isn't approved, or with `passages_at` all of them,
    until their passages are written; how many."""
    if passages_at is not None:
        return store.write(
            "UPDATE journeys SET held_due_at = COALESCE(held_due_at, next_due_at), next_due_at = NULL, passages_at = ? "
            f"WHERE {where} AND status = 'active' AND (next_due_at IS NOT NULL OR held_due_at IS NOT NULL)",
            passages_at,
            *params,
        )
    return store.write(
        "UPDATE journeys SET held_due_at = next_due_at, next_due_at = NULL "
        f"WHERE {where} AND status = 'active' AND next_due_at IS NOT NULL AND lane IS NOT NULL "
        f"AND NOT {APPROVED.format(j='journeys')}",
        *params,
    )


def let_go(store: Store, now: dt.datetime, where: str, *params: Any) -> int:
    """Schedule the held journeys that match and wait for nothing any more, at their own time or, where that is past,
    now: waiting doesn't count as late. How many."""
    return store.write(
        "UPDATE journeys SET next_due_at = CASE WHEN held_due_at > ? THEN held_due_at ELSE CAST(? AS BIGINT) END, "
        f"held_due_at = NULL WHERE {where} AND held_due_at IS NOT NULL AND passages_at IS NULL AND status = 'active' "
        f"AND (lane IS NULL OR {APPROVED.format(j='journeys')})",
        now,
        now,
        *params,
    )
