"""The clock's tick with nothing due, as the number of stored journeys grows: it should not."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

from _common import databases, folder, median, seconds, table, verdict

SIZES = (10_000, 100_000, 1_000_000)
TICKS, LIMIT = 200, 2.0
FLOOR = 0.005
"""Seconds under which a difference is noise of the machine."""


class Nobody:
    """Counts what would have been woken."""

    woken = 0

    def enqueue(self, queue: str, function: str, bucket: int) -> bool:
        self.woken += 1
        return True


def fill(house: Any, sequence_id: int, lane: int, count: int) -> None:
    """`count` more journeys: half due in a month, a tenth paused until then, a tenth waiting for a person
    until then, the rest over, each with an e-mail sent."""
    store, now = house.engine.store, house.engine.now()
    numbers = (
        "SELECT generate_series(1, ?) AS n"
        if store.dialect == "postgresql"
        else "SELECT value AS n FROM numbers"
    )
    with store.tx():
        if store.dialect == "sqlite":
            store.write("CREATE TEMPORARY TABLE IF NOT EXISTS numbers (value INTEGER PRIMARY KEY)")
            store.write("DELETE FROM numbers")
            store.write_many("INSERT INTO numbers (value) VALUES (?)", [(n,) for n in range(1, count + 1)])
        given = (count,) if store.dialect == "postgresql" else ()
        top = int(store.value("SELECT COALESCE(MAX(candidate_id), 0) FROM journeys"))
        later, mine = now + dt.timedelta(days=30), (house.session.workspace_id, house.session.user["id"])
        step = store.value("SELECT MIN(id) FROM steps WHERE sequence_id = ?", sequence_id)
        store.write(
            "INSERT INTO journeys (workspace_id, owner_id, sequence_id, candidate_id, email, status, generation, "
            "last_rank, anchor_at, priority, thread_refs, enrolled_at, next_step_id, lane, next_due_at, resume_at) "
            "SELECT ?, ?, ?, CAST(? AS BIGINT) + n, 'p@c.example', "
            "CASE WHEN digit < 6 THEN 'active' WHEN digit = 6 THEN 'paused' ELSE 'completed' END, 1, -1e300, "
            "CAST(? AS BIGINT), 2, '[]', CAST(? AS BIGINT), ?, ?, "
            "CASE WHEN digit < 5 THEN CAST(? AS BIGINT) + n END, CASE WHEN digit = 6 THEN CAST(? AS BIGINT) + n END "
            f"FROM (SELECT n, n - n / 10 * 10 AS digit FROM ({numbers}) AS p) AS q",
            *mine, sequence_id, top, now, now, step, lane, later, later, *given,
        )  # fmt: skip
        store.write(
            "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
            "skip_at) SELECT workspace_id, owner_id, id, next_step_id, candidate_id, 'email', 1024.0, "
            "CASE WHEN status = 'active' THEN 'waiting' ELSE 'sent' END, CASE WHEN status = 'active' THEN "
            "CAST(? AS BIGINT) END FROM journeys WHERE candidate_id > ? AND next_due_at IS NULL",
            later,
            top,
        )
        long_ago = now - dt.timedelta(days=90)
        store.write(
            "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
            "generation, journey_generation, priority, mailbox_id, recipient, cc, bcc, tries, looks, due_at, claimed_at, "
            "sending_at, sent_at) SELECT workspace_id, owner_id, id, next_step_id, candidate_id, 1, 'k' || id, 'sent', "
            "4, 1, 2, lane, email, '[]', '[]', 0, 0, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), "
            "CAST(? AS BIGINT) FROM journeys WHERE candidate_id > ? AND status = 'completed'",
            *[long_ago] * 4,
            top,
        )
    if store.dialect == "postgresql":
        # As autovacuum does in time; in a transaction of its own it can't run.
        import psycopg

        with psycopg.connect(house.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE journeys")
            connection.execute("VACUUM ANALYZE journey_steps")
            connection.execute("VACUUM ANALYZE outbox")


def measure(home: Path, url: str) -> list[tuple[int, float]]:
    from outreach_sdk.engine import dispatch
    from outreach_sdk.wiring import open_engine
    from tests.harness import House

    house = House(home, url)
    engine = open_engine(house.settings)  # the clock's; a notebook's asks PostgreSQL for a plan each time
    box = house.local()
    seq = house.two_steps(box)
    store = house.engine.store
    store.write("UPDATE sequences SET active = ?", True)
    found: list[tuple[int, float]] = []
    there = 0
    for size in SIZES:
        fill(house, seq.id, box.id, size - there)
        there = size
        # As after a look at the mailbox: one planned for later than that is a clock's that was set back.
        store.write("UPDATE mailboxes SET next_poll_at = ?", house.engine.now() + house.engine.poll_every)
        nobody = Nobody()
        dispatch.tick(engine, nobody)
        found.append(
            (size, median([seconds(lambda w=nobody: dispatch.tick(engine, w)) for _ in range(TICKS)]))
        )
        assert nobody.woken == 0
        assert store.value("SELECT COUNT(*) FROM journeys") == size
    engine.store.close()
    house.close()
    return found


def main() -> int:
    rows: list[tuple[object, ...]] = []
    ok = True
    with folder() as where, databases() as kinds:
        for kind, fresh in kinds.items():
            found = measure(where / kind, fresh())
            least = found[0][1]
            for size, took in found:
                flat = took <= max(LIMIT * least, FLOOR)
                ok = ok and flat
                rows.append((kind, f"{size:,}", took * 1000, took / least, verdict(flat)))
    table(
        f"An empty tick, median of {TICKS} (limit {LIMIT:g}x of the smallest, or {FLOOR * 1000:g} ms)",
        ("database", "journeys", "ms", "of the smallest", ""),
        rows,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
