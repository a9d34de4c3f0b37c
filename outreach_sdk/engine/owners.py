"""Whose journeys a colleague's decision stopped: they are told, once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.engine.notify import notify
from outreach_sdk.storage.store import Store

__all__ = ["tell_of_stopped"]


def tell_of_stopped(
    store: Store,
    moved: list[dict[str, Any]],
    *,
    by: int | None,
    kind: str,
    why: str,
    dedupe: str,
    now: dt.datetime,
) -> None:
    """Tell the owners of journeys that were `moved`, save the user `by` whom they were, how many have stopped and `why`,
    a sentence. `dedupe` names the fact."""
    theirs: dict[int, list[dict[str, Any]]] = {}
    for journey in moved:
        theirs.setdefault(journey["owner_id"], []).append(journey)
    for owner, journeys in theirs.items():
        if owner == by:
            continue
        first, many = journeys[0], len(journeys) > 1
        notify(
            store,
            workspace_id=first["workspace_id"],
            owner_id=owner,
            kind=kind,
            text=f"{why} {f'{len(journeys):,} journeys' if many else 'A journey'} of yours "
            f"{'have' if many else 'has'} stopped with that.",
            dedupe=f"{dedupe}:{owner}",
            now=now,
            journey_id=first["id"],
            sequence_id=None if many else first["sequence_id"],
        )
