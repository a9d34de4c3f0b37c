"""Meetings and interviews: what is known of each, whom it is about, and which journeys it stops.

Deliveries come in any order and more than once, so a booking's state is that of the event its own system dates
last, and what it stops follows from all events that said it stands, not from which came first.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable
from typing import Any

from outreach_sdk.domain.contact import canonical, normalise_email
from outreach_sdk.domain.events import InterviewCanceled, InterviewScheduled, MeetingBooked, MeetingCanceled
from outreach_sdk.domain.journey import CancelReason, JourneyStatus, StepStatus
from outreach_sdk.domain.links import BOOKING, read_token
from outreach_sdk.domain.sequence import zone
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.erased import was_erased
from outreach_sdk.engine.links import link_key
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.addresses import canonical_sql, owners
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event as happened
from outreach_sdk.storage.transitions import move_journeys

__all__ = [
    "MAX_WAITING",
    "WAIT_FOR",
    "act_due",
    "act_on",
    "ahead_rules",
    "leave",
    "match_address",
    "match_staged",
    "take",
]

Told = MeetingBooked | MeetingCanceled | InterviewScheduled | InterviewCanceled

MAX_WAITING = 10_000
"""How many people of bookings wait in a workspace for a candidate with their address."""
WAIT_FOR = dt.timedelta(days=180)
RECORDED = dt.timedelta(days=180)
"""How long after a journey's end its owner is still told of a booking."""
NO_TIME = dt.timedelta(days=14)
"""How long an interview without a time counts as ahead, once it was told of."""

REASONS = {
    "meeting": CancelReason.MEETING_BOOKED,
    "ats": CancelReason.ATS_INTERVIEW,
    "interview": CancelReason.INTERVIEW_SCHEDULED,
}
_RANK = {"scheduled": 0, "canceled": 1, "moved": 2}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def take(engine: Engine, workspace_id: int, source: str, told: Told, now: dt.datetime) -> tuple[int, bool]:
    """Note what an event says of its booking; (the booking, whether that changed anything). In a transaction."""
    store, external_id = engine.store, _external_id(engine.store, workspace_id, source, told)
    stands = isinstance(told, MeetingBooked | InterviewScheduled)
    status = "scheduled" if stands else "moved" if getattr(told, "moved", False) else "canceled"
    kind = "meeting"
    if isinstance(told, InterviewScheduled | InterviewCanceled):
        kind = "ats" if getattr(told, "in_ats", True) else "interview"
    made = store.write(
        "INSERT INTO bookings (workspace_id, source, external_id, also_id, kind, status, occurred_at, starts_at, stood, "
        "title, link, replaces, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (workspace_id, source, external_id) DO NOTHING",
        workspace_id,
        source,
        external_id,
        told.also_id,
        kind,
        status,
        told.occurred_at,
        told.starts_at,
        False,
        told.title[:200],
        told.link[:2000],
        told.replaces,
        now,
    )
    row = store.one(
        f"SELECT * FROM bookings WHERE workspace_id = ? AND source = ? AND external_id = ?{store.for_update}",
        workspace_id,
        source,
        external_id,
    )
    assert row is not None  # noqa: S101
    later = (told.occurred_at, _RANK[status]) > (row["occurred_at"], _RANK[row["status"]])
    if stands and row["status"] == "canceled" and told.also_id:
        # That another appointment was called off says nothing of this one, whenever it was made.
        later = later or row["also_id"] not in (None, told.also_id)
    changes: dict[str, Any] = {}
    if later:
        changes = {"status": status, "occurred_at": told.occurred_at}
    if stands and (later or made == 1) and (off := _called_off(store, row, told)):
        changes = {"status": "canceled", "occurred_at": off}
    for name, value in (
        ("starts_at", told.starts_at),
        ("title", told.title[:200]),
        ("link", told.link[:2000]),
        ("also_id", told.also_id),
    ):
        if value and (later or not row[name]):
            changes[name] = value
    if told.replaces and not row["replaces"]:
        changes["replaces"] = told.replaces
    if stands:
        booked = told.booked_at or (told.occurred_at if told.starts_at is None else None)
        changes["stood"], changes["kind"] = True, kind
        changes["last_start_at"] = max(filter(None, (row["last_start_at"], told.starts_at)), default=None)
        changes["booked_at"] = max(filter(None, (row["booked_at"], booked)), default=None)
    telling = ("status", "starts_at", "stood", "last_start_at", "booked_at")
    changed = made == 1 or any(k in telling and row[k] != v for k, v in changes.items())
    if changes:
        sets = ", ".join(f"{name} = ?" for name in changes)
        store.write(f"UPDATE bookings SET {sets} WHERE id = ?", *changes.values(), row["id"])
    if changed:
        store.write(
            "UPDATE booking_people SET acted_at = NULL WHERE booking_id = ? AND off_at IS NULL", row["id"]
        )
    _find_people(store, workspace_id, row["id"], told, now)
    return int(row["id"]), changed


def _external_id(store: Store, workspace_id: int, source: str, told: Told) -> str:
    """The id under which a booking is kept: what is called off may be named by its other one."""
    kept = None
    if told.also_id and isinstance(told, InterviewCanceled):
        kept = store.value(
            "SELECT external_id FROM bookings WHERE workspace_id = ? AND source = ? AND also_id = ? "
            "ORDER BY stood DESC, id LIMIT 1",
            workspace_id,
            source,
            told.also_id,
        )
    return str(kept or told.external_id)


def _called_off(store: Store, row: dict[str, Any], told: Told) -> dt.datetime | None:
    """When it was called off by its other id, before anybody knew whose it was."""
    if told.also_id is None:
        return None
    found = store.one(
        "SELECT occurred_at FROM bookings WHERE workspace_id = ? AND source = ? AND also_id = ? AND id <> ? "
        "AND status = 'canceled' AND occurred_at >= ? ORDER BY occurred_at DESC LIMIT 1",
        row["workspace_id"],
        row["source"],
        told.also_id,
        row["id"],
        told.occurred_at,
    )
    when: dt.datetime | None = None if found is None else found["occurred_at"]
    return when


def _find_people(store: Store, workspace_id: int, booking_id: int, told: Told, now: dt.datetime) -> None:
    journey_id = read_token(link_key(store), BOOKING, told.token) if told.token else None
    found: list[tuple[str, int | None]] = []
    if journey_id is not None:
        found = [
            ("", r["candidate_id"])
            for r in store.rows(
                "SELECT candidate_id FROM journeys WHERE id = ? AND workspace_id = ?",
                journey_id,
                workspace_id,
            )
        ]
    known_by_token = bool(found)
    for address in sorted(_bases(told.addresses)):
        people = owners(store, workspace_id, [address]).get(address, [])
        found += [(address, candidate) for candidate in people]
        if not people and not known_by_token and not was_erased(store, workspace_id, [address]):
            found.append((address, None))
    for address, candidate in found:
        store.write(
            "INSERT INTO booking_people (workspace_id, booking_id, address, candidate_id, created_at) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            workspace_id,
            booking_id,
            address,
            candidate,
            now,
        )
        store.write(
            "UPDATE booking_people SET off_at = NULL, acted_at = NULL, turns = turns + 1 "
            "WHERE booking_id = ? AND address = ? AND off_at IS NOT NULL",
            booking_id,
            address,
        )


def leave(store: Store, booking_id: int, candidates: Iterable[int], when: dt.datetime) -> None:
    """Candidates who aren't invited any more to what stands: it is off for them, which is told when it is acted on."""
    for candidate in candidates:
        store.write(
            "UPDATE booking_people SET off_at = ?, acted_at = NULL, turns = turns + 1 "
            "WHERE booking_id = ? AND candidate_id = ? AND off_at IS NULL",
            when,
            booking_id,
            candidate,
        )


def _bases(addresses: tuple[str, ...]) -> set[str]:
    bases = set()
    for address in addresses[:20]:
        try:
            bases.add(canonical(normalise_email(address)))
        except InvalidInput:
            continue
    return bases


def match_address(store: Store, workspace_id: int, candidate_id: int, address: str) -> int:
    """Bookings that waited for this address are this candidate's, and are acted on at the next sweep."""
    return store.write(
        "UPDATE booking_people SET candidate_id = ? WHERE workspace_id = ? AND candidate_id IS NULL AND address = ?",
        candidate_id,
        workspace_id,
        canonical(address),
    )


def match_staged(store: Store, workspace_id: int, person: str, now: dt.datetime, *, lifted: bool) -> int:
    """The same for all that are being enrolled (rows of `staged s`; `person` is the SQL of their candidate).
    `lifted`: who enrols them knows of the interview ahead, so it stops nothing."""
    if not store.value(
        "SELECT 1 FROM booking_people WHERE workspace_id = ? AND candidate_id IS NULL LIMIT 1", workspace_id
    ):
        return 0
    return store.write(
        "UPDATE booking_people SET candidate_id = q.person, acted_at = CAST(? AS BIGINT) FROM ("
        f"SELECT {canonical_sql(store, 's.email')} AS base, {person} AS person FROM staged s WHERE s.outcome IS NULL "
        "AND s.email IS NOT NULL) AS q WHERE booking_people.workspace_id = ? AND booking_people.candidate_id IS NULL "
        "AND booking_people.address = q.base",
        now if lifted else None,
        workspace_id,
    )


def ahead_rules(
    store: Store, workspace_id: int, now: dt.datetime
) -> list[tuple[str, str, str, tuple[Any, ...]]]:
    """What holds rows of `staged` back because an interview or meeting is ahead: (outcome, reason, condition,
    parameters). None where nobody has one."""
    when = "(b.starts_at > ? OR (b.starts_at IS NULL AND b.occurred_at > ?))"
    ahead = f"b.workspace_id = ? AND b.status = 'scheduled' AND {when}"
    params = (workspace_id, now, now - NO_TIME)
    if not store.value(f"SELECT 1 FROM bookings b WHERE {ahead} LIMIT 1", *params):
        return []
    people = (
        "SELECT p.{} FROM booking_people p JOIN bookings b ON b.id = p.booking_id WHERE p.off_at IS NULL AND "
        "p.candidate_id IS {} AND "
    )
    known = people.format("candidate_id", "NOT NULL") + ahead
    waiting = people.format("address", "NULL") + ahead
    return [
        ("held_back", "interview_ahead", f"staged.known IN ({known})", params),
        ("held_back", "interview_ahead", f"{canonical_sql(store, 'staged.email')} IN ({waiting})", params),
    ]


def act_due(engine: Engine, limit: int = 200) -> int:
    """Act on bookings whose person has appeared; how many journeys were stopped."""
    rows = engine.store.rows(
        "SELECT DISTINCT booking_id FROM booking_people WHERE acted_at IS NULL AND candidate_id IS NOT NULL LIMIT ?",
        limit,
    )
    return sum(engine.store.run(functools.partial(act_on, engine, int(r["booking_id"]))) for r in rows)


def act_on(engine: Engine, booking_id: int) -> int:
    """Stop what a booking stops, for everybody it is known to be about, and tell the owners; how many journeys.
    In a transaction."""
    store, now = engine.store, engine.now()
    booking = store.one(f"SELECT * FROM bookings WHERE id = ?{store.for_update}", booking_id)
    if booking is None:
        return 0
    people = store.rows(
        "UPDATE booking_people SET acted_at = ? WHERE booking_id = ? AND acted_at IS NULL AND candidate_id IS NOT NULL "
        "RETURNING candidate_id",
        now,
        booking_id,
    )
    stopped = 0
    for candidate in sorted({p["candidate_id"] for p in people}):
        for_them = booking | _standing(store, booking, candidate)
        stopped += _stop(engine, for_them, candidate, now)
    return stopped


def _standing(store: Store, booking: dict[str, Any], candidate_id: int) -> dict[str, Any]:
    """What of a booking is different for one of its people: off, where they left it by all their addresses."""
    rows = store.rows(
        "SELECT off_at, turns FROM booking_people WHERE booking_id = ? AND candidate_id = ?",
        booking["id"],
        candidate_id,
    )
    found: dict[str, Any] = {"turns": max(r["turns"] for r in rows), "left": False}
    if booking["status"] == "scheduled" and all(r["off_at"] is not None for r in rows):
        found |= {"left": True, "status": "canceled", "occurred_at": max(r["off_at"] for r in rows)}
    return found


def _stop(engine: Engine, booking: dict[str, Any], candidate_id: int, now: dt.datetime) -> int:
    store = engine.store
    starts = booking["last_start_at"] or _EPOCH
    if booking["status"] != "scheduled":  # enrolled after it was called off, it isn't ahead of them
        starts = min(starts, booking["occurred_at"])
    since = "(journeys.enrolled_at < ? OR journeys.enrolled_at < ?)"
    concerned = f"journeys.candidate_id = ? AND journeys.workspace_id = ? AND {since}"
    params = (candidate_id, booking["workspace_id"], starts, booking["booked_at"] or _EPOCH)
    moved: list[dict[str, Any]] = []
    if booking["stood"]:
        reason = REASONS[booking["kind"]]
        moved = move_journeys(store, concerned, params, JourneyStatus.CANCELLED, reason, now)
        for journey in moved:
            happened(store, journey, "journey_cancelled", now, reason)
        _drop_tasks(store, [m["id"] for m in moved])
    rows = store.rows(
        "SELECT journeys.owner_id, MIN(journeys.id) AS journey_id, MIN(journeys.sequence_id) AS sequence_id, "
        "MIN(s.timezone) AS zone FROM journeys JOIN sequences s ON s.id = journeys.sequence_id "
        f"WHERE {concerned} AND (ended_at IS NULL OR ended_at > ?) GROUP BY journeys.owner_id",
        *params,
        now - RECORDED,
    )
    for row in rows:
        stopped = sum(m["owner_id"] == row["owner_id"] for m in moved)
        _tell(engine, booking, candidate_id, row, stopped, now)
    return len(moved)


def _drop_tasks(store: Store, journeys: list[int]) -> None:
    if journeys:
        store.write(
            "UPDATE journey_steps SET status = 'cancelled', skip_at = NULL WHERE status = ? AND journey_id IN "
            + in_marks(journeys),
            StepStatus.WAITING,
            *journeys,
        )


def _tell(
    engine: Engine,
    booking: dict[str, Any],
    candidate_id: int,
    owner: dict[str, Any],
    stopped: int,
    now: dt.datetime,
) -> None:
    status = booking["status"]
    if status == "moved" and not stopped:
        return  # what takes its place is told of
    who = person_name(engine.store, candidate_id)
    what = f"“{booking['title']}”" if booking["title"] else _WHAT[booking["kind"]]
    when = ""
    if booking["starts_at"] is not None:
        when = f" {booking['starts_at'].astimezone(zone(owner['zone'])):%a %d %b %Y, %H:%M} ({owner['zone']})"
    if status == "canceled":
        why = "they aren't invited any more" if booking["left"] else "it was cancelled"
        text = f"{who} won't be at {what}{' of' + when if when else ''}: {why}."
        text += " Their e-mails have stopped." if stopped else " No e-mails start again by themselves."
    else:
        verb = "has moved" if booking["replaces"] and not stopped else "has"
        text = f"{who} {verb} {what}{' on' + when if when else ''}."
        text += " Their e-mails have stopped." if stopped else ""
    moment = booking["starts_at"] or booking["occurred_at"]
    turns = f":{booking['turns']}" if booking["turns"] else ""
    notify(
        engine.store,
        workspace_id=booking["workspace_id"],
        owner_id=owner["owner_id"],
        kind={"canceled": "booking_canceled"}.get(status, str(REASONS[booking["kind"]])),
        text=f"{text} {booking['link']}".strip(),
        dedupe=f"booking:{booking['id']}:{owner['owner_id']}:{candidate_id}:{status}:{moment:%Y%m%d%H%M%S}:{bool(stopped)}{turns}",
        now=now,
        journey_id=owner["journey_id"],
        sequence_id=owner["sequence_id"],
    )


_WHAT = {"meeting": "a meeting", "ats": "an interview", "interview": "an interview"}
