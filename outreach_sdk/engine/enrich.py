"""Looking for people's addresses and numbers: runs are rows, worked off a field of a person at a time.

An item's credits are held before anybody is asked, and kept or given back in the transaction that records what
became of it. Whoever dies leaves a lease: the next one goes on from the answers that are there.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.domain.waterfall import COST, EMAIL_ORDER, FIELDS, PHONE_ORDER, VERIFIERS
from outreach_sdk.engine import credits
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import DatabaseUnavailable, InvalidInput, OutreachError
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import move_journeys

__all__ = [
    "LEASE",
    "Lost",
    "begin",
    "claim",
    "defer",
    "drain",
    "missing",
    "order",
    "ready",
    "start",
    "start_for_import",
    "waiting",
]

logger = logging.getLogger(__name__)

LEASE = dt.timedelta(minutes=2)
THREADS = 8
DEFAULT_ORDER: dict[str, Seq[str]] = {"email": EMAIL_ORDER, "phone": PHONE_ORDER, "verify": VERIFIERS}

KNOWN = {
    "email": "EXISTS (SELECT 1 FROM candidate_emails e WHERE e.candidate_id = c.id AND NOT e.invalid "
    "AND (e.verified IS NULL OR e.verified))",
    "phone": "(c.phone IS NOT NULL OR EXISTS (SELECT 1 FROM candidate_phones p WHERE p.candidate_id = c.id))",
}


def _suppressed(store: Store) -> str:
    at_sign = f"{'STRPOS' if store.dialect == 'postgresql' else 'INSTR'}(e.address, '@')"
    return (
        "EXISTS (SELECT 1 FROM candidate_emails e JOIN suppressions s ON s.workspace_id = e.workspace_id AND "
        "((s.kind = 'address' AND s.value = e.address) OR (s.kind = 'domain' AND s.value = "
        f"SUBSTR(e.address, {at_sign} + 1))) WHERE e.candidate_id = c.id)"
    )


class Lost(Exception):
    """Another process goes on with this item: this one was silent for too long."""


def order(store: Store, workspace_id: int) -> dict[str, tuple[str, ...]]:
    """Whom this workspace asks, by field, and who verifies ("verify"), in order."""
    settings = json.loads(store.value("SELECT settings FROM workspace WHERE id = ?", workspace_id) or "{}")
    return {what: tuple(settings.get(f"enrich_{what}") or given) for what, given in DEFAULT_ORDER.items()}


def checked_fields(fields: Iterable[str]) -> list[str]:
    """The fields, each once, in order. InvalidInput for others or none."""
    given = [fields] if isinstance(fields, str) else list(fields)
    if not given or set(given) - set(FIELDS):
        raise InvalidInput("fields", given, f"Use some of {', '.join(FIELDS)}.")
    return [f for f in FIELDS if f in given]


def missing(store: Store, workspace_id: int, people: Seq[int], fields: Seq[str]) -> dict[str, int]:
    """By field, how many of `people` would be asked about and could cost."""
    found = dict.fromkeys(fields, 0)
    for first in range(0, len(people), 500):
        some = people[first : first + 500]
        for field in fields:
            found[field] += int(
                store.value(
                    f"SELECT COUNT(*) FROM candidates c WHERE c.workspace_id = ? AND c.id IN {in_marks(some)} "
                    f"AND NOT {KNOWN[field]} AND NOT {_suppressed(store)} AND NOT EXISTS (SELECT 1 FROM credit_ledger l "
                    "WHERE l.workspace_id = c.workspace_id AND l.candidate_id = c.id AND l.field = ? "
                    "AND l.kind = 'settle')",
                    workspace_id,
                    *some,
                    field,
                )
            )
    return found


def start(
    engine: Engine,
    workspace_id: int,
    owner_id: int,
    people: Seq[int],
    fields: Seq[str],
    *,
    max_credits: int | None = None,
    sequence_id: int | None = None,
    hold: bool = False,
) -> int:
    """Record a run over `people` (ids of candidates); its id. Any worker works it off."""
    store, now = engine.store, engine.now()

    def work() -> int:
        run = store.insert(
            "enrichment_runs",
            {
                "workspace_id": workspace_id,
                "owner_id": owner_id,
                "sequence_id": sequence_id,
                "fields": json.dumps(list(fields)),
                "state": "running" if people else "done",
                "hold": hold,
                "max_credits": max_credits,
                "created_at": now,
                "finished_at": None if people else now,
            },
        )
        store.write_many(
            "INSERT INTO enrichment_items (workspace_id, owner_id, run_id, candidate_id, field, state, generation, "
            "next_at, reserved, credits) VALUES (?, ?, ?, ?, ?, 'waiting', 0, ?, 0, 0)",
            [(workspace_id, owner_id, run, person, field, now) for person in people for field in fields],
        )
        return run

    return store.run(work)


def start_for_import(engine: Engine, job: dict[str, Any]) -> int | None:
    """A run for those of an import whose journeys wait for an address; None where nobody does."""
    options = json.loads(job["options"])
    rows = engine.store.rows(
        "SELECT DISTINCT r.candidate_id FROM import_rows r JOIN journeys j ON j.candidate_id = r.candidate_id "
        "AND j.sequence_id = ? WHERE r.import_id = ? AND r.outcome = 'enrolled' AND j.status = 'paused' "
        "AND j.reason = 'no_email' ORDER BY r.candidate_id",
        job["sequence_id"],
        job["id"],
    )
    if not rows:
        return None
    return start(
        engine,
        job["workspace_id"],
        job["owner_id"],
        [int(r["candidate_id"]) for r in rows],
        ["email"],
        sequence_id=job["sequence_id"],
        hold=bool(options.get("paused")),
    )


_OPEN = "(r.state = 'running' OR i.reservation IS NOT NULL)"
"""What is paid for is finished, whatever the run waits for."""


def waiting(engine: Engine) -> bool:
    """Whether there is something to do now."""
    store, now = engine.store, engine.now()
    return bool(
        store.value(
            "SELECT 1 FROM enrichment_items i JOIN enrichment_runs r ON r.id = i.run_id "
            f"WHERE i.next_at <= ? AND {_OPEN} ORDER BY i.next_at LIMIT 1",
            now,
        )
        or (
            engine.enrichers().finders
            and store.value(
                "SELECT 1 FROM enrichment_runs WHERE state = 'paused' AND reason = 'no_providers' LIMIT 1"
            )
        )
        or credits.renew_due(store, now)
    )


def ready(engine: Engine, provider: str, request_id: str) -> bool:
    """A provider says that a request is done: its item is taken up at once. False where none waits for it."""
    store = engine.store
    return (
        store.write(
            "UPDATE enrichment_items SET next_at = ? WHERE state = 'pending' AND id IN (SELECT item_id FROM "
            "enrichment_asks WHERE provider = ? AND request_id = ? AND state = 'pending')",
            engine.now(),
            provider,
            request_id,
        )
        > 0
    )


def claim(engine: Engine, run_id: int | None = None) -> dict[str, Any] | None:
    """The next item, in this process's hands for as long as its lease. One run asks about a field of a person at a
    time; another that wants the same waits for what comes of it."""
    store, now = engine.store, engine.now()
    only = "" if run_id is None else f"AND i.run_id = {int(run_id)} "

    def work() -> dict[str, Any] | None:
        if store.dialect == "postgresql":
            store.value("SELECT pg_advisory_xact_lock(727003)")
        return store.one(
            "UPDATE enrichment_items SET state = 'working', generation = generation + 1, next_at = ? WHERE id = ("
            "SELECT i.id FROM enrichment_items i JOIN enrichment_runs r ON r.id = i.run_id WHERE i.next_at <= ? "
            f"AND {_OPEN} {only}AND NOT EXISTS (SELECT 1 FROM enrichment_items o WHERE o.candidate_id = i.candidate_id "
            "AND o.field = i.field AND o.id <> i.id AND (o.state IN ('working', 'pending') OR o.reservation IS NOT NULL)) "
            "ORDER BY i.next_at, i.id LIMIT 1) RETURNING *",
            now + LEASE,
            now,
        )

    return store.run(work)


def defer(engine: Engine, item: dict[str, Any], until: dt.datetime, state: str = "waiting") -> None:
    """Put an item back until `until`. Lost where it isn't this process's any more."""
    if (
        engine.store.write(
            "UPDATE enrichment_items SET state = ?, next_at = ? WHERE id = ? AND generation = ? AND state = 'working'",
            state,
            until,
            item["id"],
            item["generation"],
        )
        != 1
    ):
        raise Lost


def begin(engine: Engine, item: dict[str, Any]) -> str | None:
    """Hold what the item may cost. None: go on. Else what became of it without asking anybody (`known`,
    `suppressed`, `over_max`), or `later` where it was put back: the run is out of credits, or others of it hold
    what is left of its own limit."""
    store, now = engine.store, engine.now()

    def work() -> str | None:
        credits.hold(store, item["workspace_id"], now)
        run = store.one(f"SELECT * FROM enrichment_runs WHERE id = ?{store.for_update}", item["run_id"]) or {}
        facts = store.one(
            f"SELECT CASE WHEN {_suppressed(store)} THEN 1 ELSE 0 END AS suppressed, "
            f"CASE WHEN {KNOWN[item['field']]} THEN 1 ELSE 0 END AS known FROM candidates c WHERE c.id = ?",
            item["candidate_id"],
        )
        if facts is None:
            return "gone"
        if facts["suppressed"]:
            return "suppressed"
        if facts["known"]:
            return "known"
        paid = store.value(
            "SELECT 1 FROM credit_ledger WHERE workspace_id = ? AND candidate_id = ? AND field = ? AND kind = 'settle'",
            item["workspace_id"],
            item["candidate_id"],
            item["field"],
        )
        if item["reservation"] is not None or paid:
            return None
        cost = COST[item["field"]]
        if run["max_credits"] is not None:
            spent = store.one(
                "SELECT COALESCE(SUM(credits), 0) AS kept, COALESCE(SUM(reserved), 0) AS held FROM enrichment_items "
                "WHERE run_id = ?",
                item["run_id"],
            ) or {"kept": 0, "held": 0}
            if int(spent["kept"]) + cost > int(run["max_credits"]):
                return "over_max"
            if int(spent["kept"]) + int(spent["held"]) + cost > int(run["max_credits"]):
                defer(engine, item, now + dt.timedelta(seconds=1))
                return "later"
        reservation = f"{item['id']}:{item['generation']}"
        taken = credits.reserve(
            store,
            item["workspace_id"],
            cost,
            now,
            reservation=reservation,
            run_id=item["run_id"],
            candidate_id=item["candidate_id"],
            field=item["field"],
            user_id=item["owner_id"],
        )
        if not taken:
            defer(engine, item, now)
            _out_of_credits(engine, run, now)
            return "later"
        held = store.write(
            "UPDATE enrichment_items SET reservation = ?, reserved = ? WHERE id = ? AND generation = ? "
            "AND state = 'working'",
            reservation,
            cost,
            item["id"],
            item["generation"],
        )
        if held != 1:
            raise Lost
        item["reservation"], item["reserved"] = reservation, cost
        return None

    said = store.run(work)
    hit("enrich_reserved")
    return said


def _out_of_credits(engine: Engine, run: dict[str, Any], now: dt.datetime) -> None:
    store = engine.store
    paused = store.write(
        "UPDATE enrichment_runs SET state = 'paused', reason = 'no_credits' WHERE id = ? AND state = 'running'",
        run["id"],
    )
    if paused != 1:
        return
    if run["sequence_id"] is not None:
        move_journeys(
            store,
            "sequence_id = ? AND status = 'paused' AND reason = 'no_email' AND candidate_id IN (SELECT candidate_id "
            "FROM enrichment_items WHERE run_id = ? AND field = 'email' AND state <> 'done')",
            (run["sequence_id"], run["id"]),
            JourneyStatus.PAUSED,
            PauseReason.NO_CREDITS,
            now,
        )
    left = store.value(
        "SELECT COUNT(*) FROM enrichment_items WHERE run_id = ? AND state <> 'done'", run["id"]
    )
    done = store.value("SELECT COUNT(*) FROM enrichment_items WHERE run_id = ? AND state = 'done'", run["id"])
    notify(
        store,
        workspace_id=run["workspace_id"],
        owner_id=run["owner_id"],
        kind="no_credits",
        text=f"Enrichment {run['id']} is out of credits with {left} still to do. "
        "Enrichment.top_up(credits) lets it go on.",
        dedupe=f"no_credits:{run['id']}:{done}",
        now=now,
        sequence_id=run["sequence_id"],
    )


def drain(
    engine: Engine,
    *,
    run_id: int | None = None,
    seconds: float = 60.0,
    stop: threading.Event | None = None,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Work off what is due (of one run, or all) until nothing is or the time is up; how many items ended. With no
    provider set up here, runs nobody can work off are paused as `no_providers`."""
    from outreach_sdk.engine.asking import work

    store, now = engine.store, engine.now()
    for workspace_id in credits.renew_due(store, now):
        credits.balance(store, workspace_id, now)
    if not engine.enrichers().finders:
        _no_providers(engine)
        return 0
    store.write(
        "UPDATE enrichment_runs SET state = 'running', reason = NULL WHERE state = 'paused' AND reason = 'no_providers'"
    )
    deadline = time.monotonic() + seconds

    def one() -> int:
        done = 0
        try:
            while time.monotonic() < deadline and not (stop is not None and stop.is_set()):
                item = claim(engine, run_id)
                if item is None:
                    return done
                try:
                    done += work(engine, item)
                except Lost:
                    continue
                except DatabaseUnavailable:
                    return done  # its lease brings the item back
                except Exception as exc:  # one person's trouble must not end everybody's run
                    logger.warning("enrichment item %d: %s", item["id"], type(exc).__name__)
                    _again(engine, item)
                progress()
        finally:
            store.idle()
        return done

    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="enrich") as pool:
        return sum(pool.map(lambda _: one(), range(THREADS)))


def _again(engine: Engine, item: dict[str, Any]) -> None:
    try:
        defer(engine, item, engine.now() + dt.timedelta(seconds=min(3600, 30 * 2 ** item["generation"])))
    except (Lost, OutreachError):
        return


def _no_providers(engine: Engine) -> None:
    engine.store.write(
        "UPDATE enrichment_runs SET state = 'paused', reason = 'no_providers' WHERE state = 'running'"
    )
