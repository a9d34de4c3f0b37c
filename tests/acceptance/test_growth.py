"""The work of a tick and of a claim follows what is due, whatever was ever sent or finished."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from outreach_sdk import jobs
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import deliveries, dispatch, outbox, sync, telling
from outreach_sdk.engine.enroll import shape
from outreach_sdk.mail.smtp.client import SmtpNotices
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from outreach_sdk.storage import requests
from outreach_sdk.storage.claims import claim_sends
from outreach_sdk.storage.store import in_marks
from tests.acceptance.scenarios import NoWake, address, fresh, one_answered, provider_of
from tests.harness import House, wait_until
from tests.service.senders import calendly


class Undone(Exception):
    """Ends a transaction that only looked."""


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

    def over_whole_tables(self, large: Iterable[str]) -> list[str]:
        """Statements that PostgreSQL would run over a whole one of these tables once they are large, by the plan it
        keeps for a prepared statement: made without the values, it takes a third of the rows for due."""
        found = []
        with contextlib.suppress(Undone), self.store.tx():
            self._run("SET LOCAL session_replication_role = replica", ())  # rows that belong to nothing
            columns = ", ".join(f"{name} {kind}" for name, kind in shape(self.store).items())
            self._run(f"CREATE TEMPORARY TABLE IF NOT EXISTS staged ({columns})", ())
            for name in large:
                self._grow(name)
            self._run("ANALYZE", ())
            names = list(large)
            self._run(
                f"UPDATE pg_class SET reltuples = 1e6, relpages = 1 WHERE relname IN {in_marks(names)}", names
            )
            for sql in self.seen:
                if not sql.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                    continue
                numbers = itertools.count(1)
                text = re.sub(r"\?", lambda _, n=numbers: f"${next(n)}", sql)
                plan = self.store.connection().execute(f"EXPLAIN (GENERIC_PLAN) {text}").fetchall()
                scans = [line for (line,) in plan if any(f"Seq Scan on {t} " in line for t in large)]
                found += [f"{scan.strip()} in {sql}" for scan in scans]
            raise Undone
        return found

    def _grow(self, name: str) -> None:
        """Let the planner take a table for a million rows: it needs one at least."""
        nothing = {"text": "''", "boolean": "FALSE", "bytea": "''"}
        needed = self._run(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ? AND is_nullable = 'NO' "
            "AND column_default IS NULL",
            (name,),
        ).fetchall()
        assert needed, name
        columns, values = ", ".join(n for n, _ in needed), ", ".join(nothing.get(t, "0") for _, t in needed)
        self._run(
            f"INSERT INTO {name} ({columns}) SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM {name})", ()
        )


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


LARGE = {
    "journeys",
    "journey_steps",
    "outbox",
    "inbound",
    "candidates",
    "candidate_emails",
    "events",
    "contacted",
    "deliveries",
    "notifications",
    "imports",
    "import_rows",
    "enrichment_items",
    "enrichment_runs",
    "write_backs",
    "requests",
    "bookings",
    "booking_people",
    "passages",
    "suppressions",
    "shortlist_members",
    "test_sends",
}


@pytest.mark.failure("sweep cost grows with finished journeys (days)")
def test_plans_that_postgresql_keeps_read_no_large_table_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.engine.store.dialect == "sqlite":
        return  # it makes its plans anew
    engine, store = house.engine, house.engine.store
    one_answered(house, "Answered")
    watched = Watched(house, monkeypatch)
    provider, box = provider_of(house), house.trusted(Mailbox.get("ada@agency.example"))
    seq = house.two_steps(box)
    seq.add_phone("Call", skip_after=0)
    seq.enroll(house.people(4, start=10))
    seq.activate()
    seq.enroll(house.people(4, start=12))
    provider.deliver_bounce(provider.ledger()[0])
    Candidate.get(address(10)).record_interview(engine.now() + dt.timedelta(days=1))

    def finished() -> bool:
        dispatch.drain_sends(engine, threads=1)
        dispatch.tick(engine, NoWake())
        return set(seq.candidates()["status"]) <= {"completed", "cancelled"}

    wait_until(finished)
    provider.deliver_bounce(provider.ledger()[-1])
    provider.deliver_reply(provider.ledger()[0], sender="B <b@home.example>")
    provider.deliver(box.address, fresh("No, thanks.", sender=address(12)))
    sync.poll_mailbox(engine, box.id)
    store.write("UPDATE inbound SET again_at = received_at WHERE id = (SELECT MAX(id) FROM inbound)")
    sync.poll_mailbox(engine, box.id)
    for number, who in enumerate((address(11), "nobody@c.example")):
        sent = calendly(who)
        deliveries.record(engine, "calendly", str(number), sent.headers, sent.body)
    monkeypatch.setattr(jobs, "shared_engine", lambda: engine)
    monkeypatch.setattr(jobs, "_sending_engine", lambda: engine)
    for name, value in house.env.items():
        monkeypatch.setenv(name, value)
    for name, job in jobs.ALLOWED.items():
        if not name.endswith("drain_sends"):
            job()
    for channel in (telling.MAIL, telling.SLACK):
        telling.waiting(store, channel, engine.now())
        telling.tell(store, channel, SmtpNotices("smtp://127.0.0.1:1"), engine.now)
    requests.waiting(store, engine.now())
    requests.claim(store, engine.now(), engine.now(), "test")
    Workspace(house.session).suppress(["gone@c.example"])
    assert len(watched.seen) > 150
    slow = watched.over_whole_tables(LARGE)
    assert slow == [], "\n\n".join(slow)
