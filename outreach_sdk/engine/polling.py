"""Applicant tracking systems asked for interviews, for those who can't receive webhooks.

What is found is stored as a delivery, so it counts once, is acted on, listed and replayed like any other.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from outreach_sdk.ats.port import Polled
from outreach_sdk.domain.told import as_body
from outreach_sdk.engine import deliveries, hooks, polls, roster
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.deliveries import POLLED
from outreach_sdk.engine.digests import base_of
from outreach_sdk.storage.addresses import owners

__all__ = ["LOOK_BACK", "drain", "waiting"]

LOOK_BACK = dt.timedelta(days=30)
"""How long ago an interview may have been made or changed that the first pass takes in."""
OVER = dt.timedelta(days=1)
"""How long after its start an interview isn't taken in any more."""


def waiting(engine: Engine) -> bool:
    """Whether a system is to be asked."""
    if not engine.connected:
        return False
    return bool(engine.store.value("SELECT 1 FROM ats_polls WHERE next_at <= ? LIMIT 1", engine.now()))


def drain(engine: Engine, *, seconds: float = 30.0) -> int:
    """Ask every system whose time has come, page by page; how many things were new or changed."""
    deadline, done = time.monotonic() + seconds, 0
    while engine.connected and time.monotonic() < deadline:
        row = polls.claim(engine)
        if row is None:
            return done
        done += _one(engine, row)
    return done


def _one(engine: Engine, row: dict[str, Any]) -> int:
    """One page of one listing. The cursor moves after what it told is stored."""
    account, now = engine.asker(row["source"]), engine.now()
    try:
        if row["what"] == "people":
            return roster.go_on(engine, row)
        if row["what"] == "hooks":
            hooks.watch(engine, row["source"])
            polls.went_on(engine, row, None, more=False, began=now)
            return 0
        found = account.interviews(row["cursor"], since=now - LOOK_BACK, now=now)
        new = _record(engine, row, found.items)
        polls.went_on(engine, row, found.cursor, more=found.more, began=now)
    except Exception as exc:
        # Whatever one system's answer does to its reader, the others are asked.
        polls.failed(engine, row, exc)
        return 0
    return new


def _record(engine: Engine, row: dict[str, Any], items: list[Polled]) -> int:
    """Store what concerns journeys: not what is over, nor what names only people who aren't candidates."""
    ahead = [i for i in items if i.starts_at is None or i.starts_at > engine.now() - OVER]
    bases = {i.key: _bases(i) for i in ahead}
    known = _candidates(engine, row["workspace_id"], sorted(set().union(*bases.values())))
    new = 0
    for item in ahead:
        if item.addresses is None or bases[item.key] & known:
            source = row["source"] + POLLED
            new += deliveries.record(engine, source, item.key, {}, as_body(item.event)) is not None
    return new


def _bases(item: Polled) -> set[str]:
    return {base for address in item.addresses or () if (base := base_of(address))}


def _candidates(engine: Engine, workspace_id: int, bases: list[str]) -> set[str]:
    """Those of the addresses that are candidates'."""
    return set(owners(engine.store, workspace_id, bases))
