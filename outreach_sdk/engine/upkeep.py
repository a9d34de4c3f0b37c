"""What is done now and then: forgetting, and keeping watches alive."""

from __future__ import annotations

import datetime as dt

from outreach_sdk.engine import calendars, erasing, polls, roster, watching
from outreach_sdk.engine.bookings import MAX_WAITING, WAIT_FOR
from outreach_sdk.engine.context import Engine
from outreach_sdk.storage import requests

__all__ = ["BODIES_KEPT", "IDS_KEPT", "forget", "run"]

BODIES_KEPT = dt.timedelta(days=30)
"""How long what a settled delivery said is kept; three times as long where it waits for a person."""
IDS_KEPT = dt.timedelta(days=180)
"""How long a delivery's id is remembered, so that a replay of it changes nothing."""
REQUESTS_KEPT = dt.timedelta(hours=1)
"""How long the answer to what a notebook asked for is kept."""
AT_ONCE = 1_000


def run(engine: Engine) -> dict[str, int]:
    """All of it; how many of each."""
    polls.ensure(engine)
    return {**forget(engine), "erased": erasing.resume_erasures(engine), "watches": watching.renew(engine)}


def forget(engine: Engine) -> dict[str, int]:
    """Take away what has been kept long enough, a thousand rows a statement; how many of each."""
    store, now = engine.store, engine.now()
    done = {"bodies": 0, "deliveries": 0, "people": 0, "refusals": 0, "calendar_entries": 0, "ats_people": 0}
    settled = (
        "SELECT id FROM deliveries WHERE body IS NOT NULL AND lease_until IS NULL AND received_at < ? AND "
    )
    old = "(state IN ('done', 'ignored') OR received_at < ?) ORDER BY received_at LIMIT ?"
    done["bodies"] = _all(
        engine,
        f"UPDATE deliveries SET body = NULL, headers = '{{}}' WHERE id IN ({settled}{old})",
        now - BODIES_KEPT,
        now - 3 * BODIES_KEPT,
    )
    done["deliveries"] = _all(
        engine,
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE lease_until IS NULL "
        "AND received_at < ? LIMIT ?)",
        now - IDS_KEPT,
    )
    done["people"] = _all(
        engine,
        "DELETE FROM booking_people WHERE id IN (SELECT id FROM booking_people WHERE candidate_id IS NULL "
        "AND created_at < ? LIMIT ?)",
        now - WAIT_FOR,
    )
    for row in store.rows("SELECT id FROM workspace"):
        last = store.value(
            "SELECT id FROM booking_people WHERE candidate_id IS NULL AND workspace_id = ? "
            "ORDER BY id DESC LIMIT 1 OFFSET ?",
            row["id"],
            MAX_WAITING,
        )
        if last is not None:
            done["people"] += store.write(
                "DELETE FROM booking_people WHERE candidate_id IS NULL AND workspace_id = ? AND id <= ?",
                row["id"],
                last,
            )
    done["requests"] = requests.forget(store, now, REQUESTS_KEPT)
    done["ats_people"] = roster.forget_gone(engine)
    done["calendar_entries"] = calendars.forget_past(engine)
    done["refusals"] = store.write("DELETE FROM refusals WHERE day < ?", f"{now - IDS_KEPT:%Y-%m-%d}")
    return done


def _all(engine: Engine, sql: str, *params: dt.datetime) -> int:
    total = 0
    while True:
        done = engine.store.write(sql, *params, AT_ONCE)
        total += done
        if done < AT_ONCE:
            return total
