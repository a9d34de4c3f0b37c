"""The work of a tick and of a claim follows what is due, whatever was ever sent or finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, outbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.storage.claims import claim_sends
from tests.acceptance.scenarios import NoWake
from tests.harness import House, wait_until


class Watched:
    """The statements of a store, and how the database would run each."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.dialect = house.engine.store, house.engine.store.dialect
        self.seen: dict[str, tuple[Any, ...]] = {}
        self._run = self.store._execute

        def watched(sql: str, params: Any) -> Any:
            self.seen[sql] = tuple(params)
            return self._run(sql, params)

        monkeypatch.setattr(self.store, "_execute", watched)

    def whole_tables(self, names: Callable[[str], bool]) -> list[str]:
        """Statements that would read a whole one of these tables."""
        found = []
        verbs = ("SELECT", "UPDATE", "DELETE", "WITH")
        statements = [(s, p) for s, p in self.seen.items() if s.lstrip().upper().startswith(verbs)]
        if self.dialect == "postgresql":  # it prefers reading small tables whole: ask what it can do instead
            self._run("SET enable_seqscan = off", ())
        for sql, params in statements:
            if self.dialect == "sqlite":
                plan = [str(r[3]) for r in self._run(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()]
                bad = [p for p in plan if p.startswith("SCAN ") and "USING" not in p]
                tables = [p.split()[1] for p in bad]
            else:
                plan = [str(r[0]) for r in self._run(f"EXPLAIN {sql}", params).fetchall()]
                tables = [p.split("Seq Scan on ")[1].split()[0] for p in plan if "Seq Scan on " in p]
            if any(names(t) for t in tables):
                found.append(f"{sql}: {plan}")
        if self.dialect == "postgresql":
            self._run("SET enable_seqscan = on", ())
        return found


GROWING = {
    "journeys",
    "j",
    "outbox",
    "o",
    "journey_steps",
    "x",
    "inbound",
    "i",
    "candidates",
    "c",
    "events",
    "contacted",
}


@pytest.mark.failure("sweep cost grows with finished journeys (days)")
def test_a_tick_and_a_claim_read_nothing_that_is_finished(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.add_phone("Call", skip_after=0)
    seq.enroll(house.people(40))
    seq.activate()

    def finished() -> bool:
        dispatch.drain_sends(house.engine, threads=4)
        dispatch.tick(house.engine, NoWake())
        return set(seq.candidates()["status"]) == {"completed"}

    wait_until(finished)
    if house.engine.store.dialect == "postgresql":
        house.engine.store.write("ANALYZE")
    later = Sequence.create("Later", mailbox=box, timezone="UTC")
    later.add_email("Hello again", "Hi", when=Later(days=30))
    watched = Watched(house, monkeypatch)

    def cost() -> int:
        before = house.engine.store.statements
        dispatch.tick(house.engine, NoWake())
        assert dispatch.drain_sends(house.engine, threads=2) == {}
        return house.engine.store.statements - before

    few = cost()
    assert few > 5
    later.enroll(house.people(400, start=100))
    house.engine.store.write(
        "UPDATE journeys SET status = 'completed', next_due_at = NULL, ended_at = ? WHERE sequence_id = ?",
        house.engine.now(),
        later.id,
    )
    watched.seen.clear()
    assert cost() == few
    assert len(watched.seen) > 5
    assert watched.whole_tables(lambda table: table.strip('"') in GROWING) == []


@contextmanager
def work_of(house: House) -> Iterator[list[int]]:
    """How much the database did for the statements within, in one transaction: steps of SQLite's machine, or
    rows that PostgreSQL read."""
    store, steps, found = house.engine.store, [0], [0]
    with store.tx():
        if store.dialect == "sqlite":
            connection = store.connection()

            def step() -> int:
                steps[0] += 1
                return 0

            connection.set_progress_handler(step, 1)
            try:
                yield found
            finally:
                connection.set_progress_handler(None, 1)
            found[0] = steps[0]
        else:
            read = (
                "SELECT COALESCE(SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0)), 0) "
                "FROM pg_stat_xact_user_tables"
            )
            before = int(store.value(read))
            yield found
            found[0] = int(store.value(read)) - before


def had_sent(house: House, count: int) -> None:
    """As if the mailbox had sent `count` more e-mails, long ago, each to a journey that is over."""
    store, long_ago = house.engine.store, house.engine.now() - dt.timedelta(days=90)
    names = [
        c
        for c in store.one("SELECT * FROM outbox LIMIT 1") or {}
        if c not in ("id", "journey_id", "send_key")
    ]
    moments = ("due_at", "claimed_at", "drafted_at", "sending_at", "sent_at")
    kept = ", ".join(n for n in names if n not in moments)
    top = 1_000_000 + int(store.value("SELECT COUNT(*) FROM outbox"))
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
    store.write(
        f"INSERT INTO outbox (journey_id, send_key, {', '.join(moments)}, {kept}) {numbers}"
        "SELECT CAST(? AS BIGINT) + n.i, 'old-' || (CAST(? AS BIGINT) + n.i), "
        f"{', '.join(['CAST(? AS BIGINT)'] * len(moments))}, {kept} "
        "FROM n CROSS JOIN (SELECT * FROM outbox WHERE state = 'sent' LIMIT 1) AS o",
        top,
        top,
        *[long_ago] * len(moments),
    )
    if store.dialect == "postgresql":
        store.write("ANALYZE outbox")


@pytest.mark.failure("sweep cost grows with finished journeys (days)")
def test_a_claim_reads_nothing_that_a_mailbox_sent_before(house: House) -> None:
    box = house.hostile()
    seq = Sequence.create("One step", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi {{ first_name }}")
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=1)
    had_sent(house, 30)

    engine = house.engine

    def claim(n: int) -> int:
        seq.enroll(house.people(1, start=n))
        with work_of(house) as work:
            dispatch.tick(house.engine, NoWake())
            claims = claim_sends(
                engine.store, engine.now(), limit=10, cap=50, lease=engine.lease, new_key=engine.new_key
            ).items
        assert [outbox.process(engine, c) for c in claims] == ["sent"]
        return work[0]

    claim(1)  # what is read the first time only
    few = claim(2)
    had_sent(house, 3_000)
    assert few > 0
    assert claim(3) <= few * 1.5
