"""One field of one person, from provider to provider until somebody knows, and what is done with what they say."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.domain.waterfall import Accept, Ask, Done, Point, Verdict, Verify, next_move, usable
from outreach_sdk.engine import bookings, credits, enrich, gates, lifecycle, outside
from outreach_sdk.engine.contact_points import suppressed
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.enroll import lock_people
from outreach_sdk.engine.erased import was_erased
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.enrichment.port import Answer, Finder, Person, Verifier
from outreach_sdk.errors import ProviderBusy, ProviderError, ProviderUnavailable
from outreach_sdk.storage.store import Store
from outreach_sdk.storage.transitions import move_journey

__all__ = ["HITS_KEPT", "MISSES_KEPT", "work"]

HITS_KEPT = dt.timedelta(days=90)
MISSES_KEPT = dt.timedelta(days=30)
"""How old an answer may be that is used again in place of a question."""
PENDING_FOR = dt.timedelta(minutes=30)
LONGEST_DELAY = 120.0
"""Seconds a provider may ask to wait before the next one is asked instead."""
TRIES = {ProviderBusy: 5, ProviderUnavailable: 2}
_DOMAIN_FIELDS = ("domain", "company_domain", "company_website", "website")


class _Deferred(Exception):
    """The item was put back."""


def work(engine: Engine, item: dict[str, Any]) -> int:
    """Take a claimed item as far as it goes; 1 if it ended, 0 if it was put back. Raises enrich.Lost."""
    said = enrich.begin(engine, item)
    if said == "later":
        return 0
    if said is not None:
        _finish(engine, item, said)
        return 1
    store = engine.store
    person = _person(store, item["candidate_id"])
    orders = enrich.order(store, item["workspace_id"])
    who = engine.enrichers()
    finders = [
        n for n in orders[item["field"]] if n in who.finders and item["field"] in who.finders[n].fields
    ]
    verifiers = [n for n in orders["verify"] if n in who.verifiers]
    try:
        while True:
            answers, checks = _heard(store, item)
            refused = _refused(store, item, [p.value for points in answers.values() for p in points])
            move = next_move(item["field"], finders, verifiers, answers, checks, refused=refused)
            if isinstance(move, Ask):
                _find(engine, item, who.finders[move.provider], person)
            elif isinstance(move, Verify):
                _check(engine, item, who.verifiers[move.provider], move.point.value)
            elif isinstance(move, Accept):
                _finish(engine, item, "found", move.point, move.found_by)
                return 1
            else:
                _finish(engine, item, _miss(move, answers, refused), move.best, move.found_by)
                return 1
    except _Deferred:
        return 0


def _miss(move: Done, answers: dict[str, list[Point]], refused: set[str]) -> str:
    if move.best is not None:
        return "unverified"
    given = {p.value for points in answers.values() for p in points}
    return "not_usable" if given & refused else "missed"


def _person(store: Store, candidate_id: int) -> Person:
    row = store.one("SELECT * FROM candidates WHERE id = ?", candidate_id) or {}
    extra = json.loads(row.get("fields") or "{}")
    named = {str(k).lower().replace(" ", "_"): str(v) for k, v in extra.items()}
    site = next((named[n] for n in _DOMAIN_FIELDS if named.get(n)), "").strip().lower()
    domain = site.rpartition("://")[2].partition("/")[0].removeprefix("www.")
    return Person(
        first_name=row.get("first_name") or "",
        last_name=row.get("last_name") or "",
        company=row.get("company") or "",
        domain=domain if "." in domain and " " not in domain else "",
        linkedin=f"https://www.{row['linkedin']}" if row.get("linkedin") else "",
    )


def _heard(
    store: Store, item: dict[str, Any]
) -> tuple[dict[str, list[Point]], dict[str, dict[str, Verdict]]]:
    answers: dict[str, list[Point]] = {}
    checks: dict[str, dict[str, Verdict]] = {}
    for ask in store.rows(
        "SELECT * FROM enrichment_asks WHERE item_id = ? AND state IN ('answered', 'failed', 'skipped') ORDER BY id",
        item["id"],
    ):
        points = [
            Point(p["value"], Verdict(p["verdict"]), p["kind"]) for p in json.loads(ask["points"] or "[]")
        ]
        if ask["role"] == "find":
            answers[ask["provider"]] = points
        else:
            said = points[0].verdict if points else Verdict.UNKNOWN
            checks.setdefault(ask["question"], {})[ask["provider"]] = said
    return answers, checks


def _refused(store: Store, item: dict[str, Any], values: list[str]) -> set[str]:
    """Those that can't be used for this person: another candidate's, known to bounce, or not to be written to."""
    if item["field"] != "email":
        return set()
    out = set()
    for value in values:
        known = store.one(
            "SELECT candidate_id, invalid FROM candidate_emails WHERE workspace_id = ? AND address = ?",
            item["workspace_id"],
            value,
        )
        if (known is not None and (known["candidate_id"] != item["candidate_id"] or known["invalid"])) or (
            suppressed(store, item["workspace_id"], value) or was_erased(store, item["workspace_id"], [value])
        ):
            out.add(value)
    return out


# -- asking ------------------------------------------------------------------------------------------------


def _find(engine: Engine, item: dict[str, Any], finder: Finder, person: Person) -> None:
    about = [
        item["field"],
        person.first_name,
        person.last_name,
        person.company,
        person.domain,
        person.linkedin,
    ]
    question = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    why = finder.cannot(person, item["field"])
    if why is not None:
        _note(engine, item, "find", finder.name, question, "skipped", detail=why)
        return
    ask = _open(engine, item, "find", finder.name, question)
    if ask["state"] == "answered":
        return
    request = ask["request_id"]
    if request and engine.now() - ask["asked_at"] > PENDING_FOR:
        _note(engine, item, "find", finder.name, question, "failed", detail="It wasn't done in time.")
        return
    reference = f"{item['id']}-{item['generation']}"
    _call(
        engine,
        item,
        finder,
        ask,
        lambda: (
            finder.fetch(request, item["field"]) if request else finder.find(person, item["field"], reference)
        ),
    )


def _check(engine: Engine, item: dict[str, Any], verifier: Verifier, address: str) -> None:
    ask = _open(engine, item, "verify", verifier.name, address)
    if ask["state"] == "answered":
        return
    if ask["tries"] > 4:
        _note(engine, item, "verify", verifier.name, address, "failed", detail="It can't tell in time.")
        return
    _call(engine, item, verifier, ask, lambda: verifier.check(address))


def _open(engine: Engine, item: dict[str, Any], role: str, provider: str, question: str) -> dict[str, Any]:
    """The ask's row, written before anything is asked; an answer of an earlier run serves where it is young
    enough."""
    store, now = engine.store, engine.now()

    def work() -> dict[str, Any]:
        old = store.one(
            "SELECT * FROM enrichment_asks WHERE candidate_id = ? AND provider = ? AND question = ? AND role = ? "
            "AND item_id <> ? AND state = 'answered' AND NOT cached AND answered_at > CASE WHEN points = '[]' "
            "THEN CAST(? AS BIGINT) ELSE CAST(? AS BIGINT) END ORDER BY answered_at DESC LIMIT 1",
            item["candidate_id"],
            provider,
            question,
            role,
            item["id"],
            now - MISSES_KEPT,
            now - HITS_KEPT,
        )
        row = store.one(
            "INSERT INTO enrichment_asks (workspace_id, run_id, item_id, candidate_id, field, role, provider, question, "
            "state, points, tries, cached, asked_at, answered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?) "
            "ON CONFLICT (item_id, role, provider, question) DO UPDATE SET tries = enrichment_asks.tries RETURNING *",
            item["workspace_id"],
            item["run_id"],
            item["id"],
            item["candidate_id"],
            item["field"],
            role,
            provider,
            question,
            "asking" if old is None else "answered",
            "[]" if old is None else old["points"],
            old is not None,
            now,
            None if old is None else old["answered_at"],
        )
        return row or {}

    return store.run(work)


def _call(engine: Engine, item: dict[str, Any], provider: Any, ask: dict[str, Any], call: Any) -> None:
    """One call in the provider's turn, its answer recorded."""
    now = engine.now()
    turn = gates.take_turn(engine, provider.name, provider.pace)
    told = (ask["role"], provider.name, ask["question"])
    if turn.shut is not None and ask["request_id"]:
        _put_back(engine, item, now + dt.timedelta(seconds=60), "pending")
    if turn.shut is not None:
        _note(engine, item, *told, "skipped", detail=turn.shut)
        return
    if turn.later is not None:
        if turn.later - now > dt.timedelta(seconds=LONGEST_DELAY):
            _note(engine, item, *told, "skipped", detail="busy")
            return
        _put_back(engine, item, turn.later)
    engine.store.idle()
    time.sleep(turn.wait)
    _keep_lease(engine, item)
    hit("enrich_asking")
    try:
        answer: Answer = call()
    except ProviderError as exc:
        hit("enrich_called")
        gates.failed(engine, provider.name, exc)
        _failed(engine, item, ask, provider.name, exc)
        return
    hit("enrich_called")
    gates.answered(engine, provider.name)
    if answer.pending is not None:
        _note(engine, item, *told, "pending", request_id=answer.pending)
        _put_back(engine, item, engine.now() + dt.timedelta(seconds=answer.wait), "pending")
    points = answer.points
    if ask["role"] == "find":
        points = tuple(dict.fromkeys(usable(item["field"], p) for p in points))
    _note(engine, item, *told, "answered", points=points)
    hit("enrich_answered")


def _failed(
    engine: Engine, item: dict[str, Any], ask: dict[str, Any], provider: str, why: ProviderError
) -> None:
    told = (ask["role"], provider, ask["question"])
    wait = why.retry_after or 5.0
    again = engine.now() + dt.timedelta(seconds=wait)
    if ask["request_id"] and type(why) in TRIES:  # it is being worked on there, and perhaps paid for: ask on
        _note(engine, item, *told, "pending", detail=str(why), request_id=ask["request_id"])
        _put_back(engine, item, again, "pending")
    if ask["tries"] + 1 < TRIES.get(type(why), 0) and wait <= LONGEST_DELAY:
        _note(engine, item, *told, "asking", detail=str(why))
        _put_back(engine, item, again)
    _note(engine, item, *told, "failed", detail=str(why))


def _put_back(engine: Engine, item: dict[str, Any], until: dt.datetime, state: str = "waiting") -> None:
    enrich.defer(engine, item, until, state)
    raise _Deferred


def _keep_lease(engine: Engine, item: dict[str, Any]) -> None:
    kept = engine.store.write(
        "UPDATE enrichment_items SET next_at = ? WHERE id = ? AND generation = ? AND state = 'working'",
        engine.now() + enrich.LEASE,
        item["id"],
        item["generation"],
    )
    if kept != 1:
        raise enrich.Lost


def _note(
    engine: Engine,
    item: dict[str, Any],
    role: str,
    provider: str,
    question: str,
    state: str,
    *,
    points: tuple[Point, ...] = (),
    detail: str | None = None,
    request_id: str | None = None,
) -> None:
    """Record where an ask stands."""
    now = engine.now()
    given = [{"value": p.value, "verdict": str(p.verdict), "kind": p.kind} for p in points]
    engine.store.write(
        "INSERT INTO enrichment_asks (workspace_id, run_id, item_id, candidate_id, field, role, provider, question, "
        "state, points, detail, request_id, tries, cached, asked_at, answered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, 0, ?, ?, ?) ON CONFLICT (item_id, role, provider, question) DO UPDATE SET state = excluded.state, "
        "points = excluded.points, detail = excluded.detail, request_id = excluded.request_id, "
        "tries = enrichment_asks.tries + 1, answered_at = excluded.answered_at",
        item["workspace_id"],
        item["run_id"],
        item["id"],
        item["candidate_id"],
        item["field"],
        role,
        provider,
        question,
        state,
        json.dumps(given, ensure_ascii=False),
        detail,
        request_id,
        False,
        now,
        now if state == "answered" else None,
    )


# -- the end -----------------------------------------------------------------------------------------------


def _finish(
    engine: Engine,
    item: dict[str, Any],
    outcome: str,
    point: Point | None = None,
    source: str | None = None,
) -> None:
    """Record what became of an item: kept and paid for, or given back, in one transaction."""
    store, now = engine.store, engine.now()

    def work() -> None:
        credits.hold(store, item["workspace_id"], now)
        store.value(f"SELECT id FROM enrichment_runs WHERE id = ?{store.for_update}", item["run_id"])
        ending, charged = outcome, 0
        if outcome == "found" and point is not None:
            ending = _keep(engine, item, point, str(source), now)
        if item["reservation"] is not None:
            if ending == "found" and credits.settle(
                store, item["workspace_id"], now, reservation=item["reservation"], provider=str(source)
            ):
                charged = int(item["reserved"])
            else:
                credits.release(store, item["workspace_id"], now, reservation=item["reservation"])
                credits.resume_runs(store, item["workspace_id"], now)
        ended = store.write(
            "UPDATE enrichment_items SET state = 'done', next_at = NULL, reservation = NULL, reserved = 0, outcome = ?, "
            "value = ?, kind = ?, verified = ?, source = ?, credits = ?, finished_at = ? "
            "WHERE id = ? AND generation = ? AND state = 'working'",
            ending,
            point.value if point else None,
            point.kind if point else None,
            point.verdict is Verdict.VERIFIED if point else None,
            source,
            charged,
            now,
            item["id"],
            item["generation"],
        )
        if ended != 1:
            raise enrich.Lost
        _journeys(engine, item, ending, now)
        store.write(
            "UPDATE enrichment_runs SET state = 'done', reason = NULL, finished_at = ? WHERE id = ? AND NOT EXISTS "
            "(SELECT 1 FROM enrichment_items i WHERE i.run_id = enrichment_runs.id AND i.state <> 'done')",
            now,
            item["run_id"],
        )

    store.run(work)
    hit("enrich_finished")


def _keep(engine: Engine, item: dict[str, Any], point: Point, source: str, now: dt.datetime) -> str:
    """Add what was found to the person; `found`, or what keeps it from being new."""
    store = engine.store
    own = (item["workspace_id"], item["owner_id"], item["candidate_id"], point.value)
    if item["field"] == "phone":
        added = store.write(
            "INSERT INTO candidate_phones (workspace_id, owner_id, candidate_id, number, kind, verified, source, "
            "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (candidate_id, number) DO NOTHING",
            *own,
            point.kind or "other",
            True,
            source,
            now,
        )
        return "found" if added else "known"
    lock_people(store, item["workspace_id"])
    added = store.write(
        "INSERT INTO candidate_emails (workspace_id, owner_id, candidate_id, address, kind, verified, invalid, source, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workspace_id, address) DO NOTHING",
        *own,
        point.kind or "other",
        True,
        False,
        source,
        now,
    )
    if added:
        bookings.match_address(store, item["workspace_id"], item["candidate_id"], point.value)
        return "found"
    mine = store.write(
        "UPDATE candidate_emails SET verified = ? WHERE candidate_id = ? AND address = ? AND NOT invalid",
        True,
        item["candidate_id"],
        point.value,
    )
    return "known" if mine else "not_usable"


def _journeys(engine: Engine, item: dict[str, Any], ending: str, now: dt.datetime) -> None:
    """Journeys that wait for an address go on with it; where there is none, they wait as `no_email`."""
    if item["field"] != "email":
        return
    store = engine.store
    run = store.one("SELECT * FROM enrichment_runs WHERE id = ?", item["run_id"]) or {}
    address = None
    if ending in ("found", "known"):
        address = store.value(
            "SELECT address FROM candidate_emails WHERE candidate_id = ? AND NOT invalid "
            "AND (verified IS NULL OR verified) ORDER BY verified DESC, id LIMIT 1",
            item["candidate_id"],
        )
    for journey in store.rows(
        "SELECT * FROM journeys WHERE candidate_id = ? AND email IS NULL AND status = 'paused' "
        f"AND reason IN ('no_email', 'no_credits') ORDER BY id{store.for_update}",
        item["candidate_id"],
    ):
        if address is None:
            if journey["reason"] == PauseReason.NO_CREDITS:
                move_journey(store, journey["id"], JourneyStatus.PAUSED, PauseReason.NO_EMAIL, now)
            continue
        store.write("UPDATE journeys SET email = ? WHERE id = ?", address, journey["id"])
        held = outside.why_held(store, item["workspace_id"], journey, now)
        if held is not None or (run.get("hold") and journey["sequence_id"] == run["sequence_id"]):
            move_journey(store, journey["id"], JourneyStatus.PAUSED, PauseReason.MANUAL, now, detail=held)
        else:
            lifecycle.resume(engine, journey["id"])
