"""Each provider's pace and circuit breaker, in the database, so that all processes keep them together."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import (
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderSpent,
    ProviderUnavailable,
)

__all__ = ["Turn", "answered", "failed", "states", "take_turn"]

BREAKS_AFTER = 5
"""Calls in a row without an answer after which a provider is left alone for a while."""
PATIENCE = dt.timedelta(seconds=2)
"""How far ahead a place in a provider's line may be taken."""
_SHUT: dict[type[ProviderError], tuple[str, dt.timedelta]] = {
    ProviderDenied: ("denied", dt.timedelta(minutes=15)),
    ProviderSpent: ("out_of_credits", dt.timedelta(hours=1)),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """`wait`: seconds until this call may be made. Without a place now: `later` says when to come back, `shut`
    why this provider isn't asked at all at present."""

    wait: float = 0.0
    later: dt.datetime | None = None
    shut: str | None = None


def take_turn(engine: Engine, provider: str, pace: float) -> Turn:
    """A place in the provider's line."""
    store, now = engine.store, engine.now()
    gap = int(pace * 1_000_000)

    def work() -> Turn:
        store.write(
            "INSERT INTO enrichment_gates (provider, next_at, failures) VALUES (?, ?, 0) "
            "ON CONFLICT (provider) DO NOTHING",
            provider,
            now,
        )
        got = store.one(
            f"UPDATE enrichment_gates SET next_at = CASE WHEN next_at > ? THEN next_at + {gap} ELSE ? END "
            "WHERE provider = ? AND next_at <= ? AND (shut_until IS NULL OR shut_until <= ?) RETURNING next_at",
            now,
            now + dt.timedelta(microseconds=gap),
            provider,
            now + PATIENCE,
            now,
        )
        if got is not None:
            mine = got["next_at"] - dt.timedelta(microseconds=gap)
            return Turn(wait=max(0.0, (mine - now).total_seconds()))
        row = store.one("SELECT * FROM enrichment_gates WHERE provider = ?", provider) or {}
        if row.get("shut_until") is not None and row["shut_until"] > now:
            return Turn(shut=row["reason"] or "out_of_order")
        return Turn(later=row.get("next_at") or now)

    return store.run(work)


def answered(engine: Engine, provider: str) -> None:
    """It works."""
    engine.store.write(
        "UPDATE enrichment_gates SET failures = 0, shut_until = NULL, reason = NULL WHERE provider = ? "
        "AND (failures > 0 OR shut_until IS NOT NULL)",
        provider,
    )


def failed(engine: Engine, provider: str, why: ProviderError) -> None:
    """It gave no answer: everybody waits as long as it said, or leaves it alone for a while."""
    store, now = engine.store, engine.now()
    if type(why) in _SHUT:
        reason, for_how_long = _SHUT[type(why)]
        store.write(
            "UPDATE enrichment_gates SET shut_until = ?, reason = ? WHERE provider = ?",
            now + for_how_long,
            reason,
            provider,
        )
    elif isinstance(why, ProviderBusy):
        until = now + dt.timedelta(seconds=why.retry_after or 30.0)
        store.write(
            "UPDATE enrichment_gates SET next_at = ? WHERE provider = ? AND next_at < ?",
            until,
            provider,
            until,
        )
    elif isinstance(why, ProviderUnavailable):
        # One minute at first, doubling with every call that fails after that, to an hour.
        store.write(
            "UPDATE enrichment_gates SET failures = failures + 1, reason = CASE WHEN failures + 1 >= ? "
            "THEN 'out_of_order' ELSE reason END, shut_until = CASE WHEN failures + 1 >= ? THEN CAST(? AS BIGINT) + "
            "60000000 * CASE failures + 1 - ? WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 4 WHEN 3 THEN 8 ELSE 60 END "
            "ELSE shut_until END WHERE provider = ?",
            BREAKS_AFTER,
            BREAKS_AFTER,
            now,
            BREAKS_AFTER,
            provider,
        )


def states(engine: Engine) -> dict[str, dict[str, Any]]:
    """{provider: {"reason", "shut_until"}} of those that are left alone now."""
    rows = engine.store.rows("SELECT * FROM enrichment_gates WHERE shut_until > ?", engine.now())
    return {r["provider"]: r for r in rows}
