"""A sequence whose journeys are planned again all at once: as each alone would be, in a few statements, told once."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.sequence import Later, NextBusinessDay, SpecificTime
from outreach_sdk.engine import dispatch
from outreach_sdk.engine.progress import plan_many, plan_next
from outreach_sdk.objects.sequence import Sequence
from tests.harness import House

ZONES = ("Europe/Madrid", "Asia/Tokyo", None, "America/New_York", "Nowhere/Else")


class _Undone(Exception):
    """Ends a transaction that is only looked at."""


def _planned(house: House, plan: Callable[[list[int], dt.datetime], object], now: dt.datetime) -> list[Any]:
    """What `plan` makes of all journeys, their tasks and events, undone afterwards."""
    store, found = house.engine.store, []
    with contextlib.suppress(_Undone), store.tx():
        plan([row["id"] for row in store.rows("SELECT id FROM journeys ORDER BY id")], now)
        found = [
            *store.rows("SELECT * FROM journeys ORDER BY id"),
            *store.rows("SELECT * FROM journey_steps ORDER BY id"),
            *store.rows("SELECT id, lease_until, state FROM outbox ORDER BY id"),
            *store.rows("SELECT journey_id, kind, detail FROM events ORDER BY journey_id, kind, detail"),
        ]
        raise _Undone
    return found


@pytest.mark.rule(2, 3)
def test_all_at_once_is_as_each_alone(house: House) -> None:
    box = house.hostile()
    now = house.engine.now()
    started: list[tuple[Sequence, str, Any]] = []
    for name, when in {
        "later": Later(days=2),
        "business": NextBusinessDay("09:30", timezone="candidate"),
        "gone": SpecificTime(now - dt.timedelta(days=3)),
        "set": SpecificTime(now + dt.timedelta(days=3)),
    }.items():
        for kind in ("plain", "windowed", "reviewed", "written", "by hand", "broken", "emptied", "ended"):
            seq = Sequence.create(f"{name}, {kind}", mailbox=box, timezone="Europe/Berlin")
            seq.add_email("Hello {{ first_name }}", "Hi")
            seq.enroll(house.people(5, start=5 * seq.id))
            seq.activate()
            started.append((seq, kind, when))
    dispatch.drain_sends(house.engine, threads=2)
    for seq, kind, when in started:
        if kind == "windowed":
            seq.window = {"start": "10:00", "end": "10:30", "days": "tue"}
        if kind == "reviewed":
            seq.review = True
        if kind == "written":
            seq.add_email(body="{{ ai('a line about their work', fallback='Hello') }} Bye", when=when)
        elif kind == "by hand":
            seq.add_phone("Call", when=when, skip_after=dt.timedelta(days=1))
        elif kind != "ended":
            seq.add_email(body="Again", when=when)
        if kind == "broken":
            seq.name = ""
        elif kind == "emptied":
            seq.remove_step(2)
            seq.remove_step(1)
    store = house.engine.store
    for number, tz in enumerate(ZONES):
        store.write("UPDATE candidates SET timezone = ? WHERE id % 5 = ?", tz, number)
    store.write("UPDATE journeys SET status = 'active', reason = NULL, ended_at = NULL")
    store.write(  # tasks that were frozen with an hour left
        "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
        "skip_left_us) SELECT j.workspace_id, j.owner_id, j.id, s.id, j.candidate_id, s.kind, s.rank, 'waiting', 3600000000 "
        "FROM journeys j JOIN steps s ON s.sequence_id = j.sequence_id WHERE j.id % 2 = 0 AND s.kind = 'phone'"
    )

    def each(ids: list[int], now: dt.datetime) -> None:
        for one in ids:
            plan_next(store, one, now)

    alone = _planned(house, each, now)
    together = _planned(house, lambda ids, now: plan_many(store, ids, now), now)
    assert together == alone
    states = {(r["status"], r["reason"]) for r in alone if "next_due_at" in r}
    assert states == {("active", None), ("completed", None), ("paused", "overdue")}
    assert {r["held_due_at"] is None for r in alone if "next_due_at" in r} == {True, False}
    assert any(r.get("skip_at") for r in alone)


def test_planning_three_hundred_again_asks_no_more_than_planning_two(house: House) -> None:
    store = house.engine.store
    counts = []
    for count in (2, 300):
        seq = house.two_steps(house.hostile(), delay=3600)
        seq.enroll(house.people(count, start=1000 * count))
        seq.activate()
        spent = {}
        changes: dict[str, Callable[[], object]] = {
            "deactivate": seq.deactivate,
            "activate": seq.activate,
            "edit": lambda seq=seq: seq.edit_step(1, when=Later(minutes=5)),
            "move": lambda seq=seq: seq.move_step(2, 1),
            "window": lambda seq=seq: setattr(seq, "window", {"start": "09:00", "end": "17:00"}),
            "remove": lambda seq=seq: seq.remove_step(1),
        }
        for name, change in changes.items():
            before = store.statements
            change()
            spent[name] = store.statements - before
        assert set(seq.candidates()["status"]) == {"active"}
        seq.add_email("The last", "Hi")
        live = "SELECT id FROM steps WHERE removed_at IS NULL AND sequence_id = ? ORDER BY rank"
        first, last = (row["id"] for row in store.rows(live, seq.id))
        store.write(
            "UPDATE journeys SET last_rank = (SELECT rank FROM steps WHERE id = ?), next_step_id = ? WHERE sequence_id = ?",
            first,
            last,
            seq.id,
        )
        before = store.statements
        seq.remove_step(2)
        spent["end"] = store.statements - before
        assert set(seq.candidates()["status"]) == {"completed"}
        counts.append(spent)
    assert counts[0] == counts[1]


@pytest.mark.rule(6)
@pytest.mark.parametrize("started", [False, True])
def test_many_that_are_overdue_are_told_of_once(house: House, started: bool) -> None:
    seq = Sequence.create("Fair", mailbox=house.local(), timezone="UTC")
    past = SpecificTime(house.engine.now() - dt.timedelta(days=1))
    if started:
        seq.add_email("Hello", "Hi")
        seq.add_email(body="See you at the fair", when=Later(days=9))
        seq.enroll(house.people(12))
        seq.activate()
        dispatch.drain_sends(house.engine, threads=2)
        seq.edit_step(2, when=past)
    else:
        seq.add_email("See you", "Hi", when=past)
        seq.enroll(house.people(12))
        seq.activate()
    assert set(seq.candidates()["reason"]) == {"overdue"}
    told = [n["text"] for n in outreach.notifications().to_dicts() if n["kind"] == "overdue"]
    assert told == [
        "12 journeys of 'Fair' are paused as overdue: its date and time had passed when the step came up. "
        "Resume them to send, or cancel them."
    ]


@pytest.mark.rule(2)
def test_what_left_while_the_rest_was_planned_again_keeps_its_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=2)
    seq.add_email(body="And a last one.", when=Later(seconds=2))
    seq.enroll(house.people(3))
    seq.activate()
    store, drained = house.engine.store, []
    usual = store.write

    def write(sql: str, *params: Any) -> int:
        if "(VALUES (" in sql and not drained and house.url.startswith("postgres"):
            drained.append(
                threading.Thread(target=dispatch.drain_sends, args=(house.engine,), kwargs={"threads": 2})
            )
            drained[0].start()
            drained[0].join(60)
        return usual(sql, *params)

    monkeypatch.setattr(store, "write", write)
    seq.edit_step(1, when=Later(seconds=1))
    house.settle(seq)
    assert len(drained) == house.url.startswith("postgres")
    assert sorted(house.witness(box).values()) == [1, 1, 1, 2, 2, 2], "the opening, and two in its thread"
    assert set(seq.candidates()["status"]) == {"completed"}
