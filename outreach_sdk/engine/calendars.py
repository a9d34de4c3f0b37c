"""Interviews in mailbox owners' calendars: an event with a candidate of the workspace counts as any other interview.

Of events without candidates nothing is kept but digests of who comes, so that somebody enrolled later is held back.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outreach_sdk.domain.events import InterviewCanceled, InterviewScheduled
from outreach_sdk.domain.meetings import CalendarEvent, guests, stands
from outreach_sdk.engine import bookings
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.digests import Digester, base_of
from outreach_sdk.engine.mailboxes import own_addresses
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import CalendarDenied, CalendarError, DatabaseUnavailable, OutreachError
from outreach_sdk.storage.addresses import owners
from outreach_sdk.storage.store import Store, in_marks

__all__ = [
    "AHEAD",
    "NO_CALENDAR",
    "ahead",
    "any_ahead",
    "calendar_state",
    "drain",
    "forget_past",
    "forget_people",
    "read_calendar",
    "waiting",
]

logger = logging.getLogger(__name__)

SOURCE = "calendar"
AHEAD = dt.timedelta(days=120)
"""How far ahead a calendar is read; the window moves on with each whole reading."""
WHOLE_EVERY = dt.timedelta(days=7)
LEASE = dt.timedelta(minutes=5)
LONGEST = dt.timedelta(hours=2)
UNREAD = dt.timedelta(hours=6)
"""How long a calendar that was read may fail before its owner is told."""
_BATCH = 400


def waiting(engine: Engine) -> bool:
    """Whether a calendar is to be read."""
    return bool(engine.store.value("SELECT 1 FROM calendars WHERE next_at <= ? LIMIT 1", engine.now()))


def drain(engine: Engine, *, threads: int = 4) -> dict[str, int]:
    """Read every calendar whose time has come; how many were, how many couldn't be, how many events came."""
    done = {"read": 0, "failed": 0, "events": 0}

    def one(row: dict[str, Any]) -> int | None:
        try:
            return read_calendar(engine, row)
        except DatabaseUnavailable:
            raise
        except OutreachError:
            return None
        except Exception:  # one calendar's trouble, of whatever kind, must not end everybody's reading
            logger.exception("calendar %d", row["id"])
            return None
        finally:
            engine.store.idle()

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="calendar") as pool:
        while rows := _claim(engine, threads):
            for events in pool.map(one, rows):
                done["failed" if events is None else "read"] += 1
                done["events"] += events or 0
    return done


def _claim(engine: Engine, limit: int) -> list[dict[str, Any]]:
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    with store.tx():
        return store.rows(
            "UPDATE calendars SET next_at = ?, tries = tries + 1 WHERE id IN (SELECT id FROM calendars "
            f"WHERE next_at <= ? ORDER BY next_at, id LIMIT ?{skip}) RETURNING *",
            now + LEASE,
            now,
            limit,
        )


def read_calendar(engine: Engine, row: dict[str, Any]) -> int:
    """Read one that this process has claimed; how many events it told of. The cursor moves with what they changed,
    in one transaction. CalendarError."""
    store, now = engine.store, engine.now()
    box = store.one("SELECT * FROM mailboxes WHERE id = ? AND status = 'connected'", row["mailbox_id"])
    calendar = None if box is None else engine.calendar(box)
    if box is None or calendar is None:
        _settle(store, row, next_at=None)
        return 0
    fresh = row["listed_at"] is None or now - row["listed_at"] > WHOLE_EVERY
    try:
        found = calendar.changes(None if fresh else row["cursor"], since=now, until=now + AHEAD)
    except CalendarDenied as exc:
        logger.info("the calendar of mailbox %d isn't read", box["id"])
        _settle(store, row, next_at=None, refused=str(exc))
        _tell(store, box, row, str(exc), now)
        raise
    except CalendarError as exc:
        wait = max(exc.retry_after or 0.0, min(LONGEST.total_seconds(), 30.0 * 2 ** min(row["tries"], 10)))
        _settle(store, row, next_at=now + dt.timedelta(seconds=wait), tries=row["tries"], refused=str(exc))
        if row["read_at"] is not None and now - row["read_at"] >= UNREAD:
            _tell(store, box, row, str(exc), now)
        raise
    finally:
        calendar.close()

    def work() -> None:
        moved = _settle(
            store,
            row,
            cursor=found.cursor,
            read_at=now,
            next_at=now + engine.poll_every,
            **({"listed_at": now} if found.whole else {}),
        )
        if moved == 1:
            _take(engine, box, found.events, whole=found.whole, read_at=row["read_at"])

    store.run(work)
    return len(found.events)


def _tell(store: Store, box: dict[str, Any], row: dict[str, Any], why: str, now: dt.datetime) -> None:
    """That a calendar which was read isn't any more, once for each time it was."""
    if row["read_at"] is not None:
        notify(
            store,
            workspace_id=box["workspace_id"],
            owner_id=box["owner_id"],
            kind="calendar_unread",
            text=f"Interviews in the calendar of {box['address']} don't stop anybody's e-mails since "
            f"{row['read_at']:%d %b, %H:%M} UTC, for it can't be read: {why}",
            dedupe=f"calendar_unread:{box['id']}:{row['read_at'].isoformat()}",
            now=now,
        )


def _settle(store: Store, row: dict[str, Any], **changes: Any) -> int:
    given = {"tries": 0, "refused": None, **changes}
    sets = ", ".join(f"{name} = ?" for name in given)
    return store.write(
        f"UPDATE calendars SET {sets} WHERE id = ? AND next_at = ?",
        *given.values(),
        row["id"],
        row["next_at"],
    )


def _take(
    engine: Engine,
    box: dict[str, Any],
    events: list[CalendarEvent],
    *,
    whole: bool,
    read_at: dt.datetime | None,
) -> None:
    """Note who comes to what, and act on what concerns candidates. In a transaction."""
    store, now, workspace = engine.store, engine.now(), int(box["workspace_id"])
    own = own_addresses(store, workspace)
    held = _held(store, box["id"])
    if whole:
        seen = {e.event_id for e in events}
        gone = [i for i, (_, starts) in held.items() if i not in seen and starts > now]
        events = [*events, *(CalendarEvent(event_id=i, canceled=True) for i in gone)]
    coming = {e.event_id: guests(e, own) if stands(e) else frozenset[str]() for e in events}
    _note(engine, box, events, coming)
    known = _candidates(store, workspace, sorted(set().union(*coming.values())), now)
    for event in events:
        theirs = tuple(sorted(coming[event.event_id] & known))
        if whole and event.event_id in held and _before(event, read_at):
            # Known from an earlier reading: whoever was enrolled since, was so in spite of it.
            continue
        if theirs:
            assert event.starts_at is not None  # noqa: S101
            told = InterviewScheduled(
                in_ats=False,
                external_id=event.external_id or event.event_id,
                occurred_at=event.updated_at or now,
                addresses=theirs,
                starts_at=event.starts_at,
                title=event.title,
                link=event.link,
            )
            bookings.take(engine, workspace, SOURCE, told, now)
        external = event.external_id or held.get(event.event_id, ("", now))[0] or event.event_id
        when = max(event.updated_at or now, now)
        if not _veiled(event):  # else that somebody isn't seen says nothing
            if not coming[event.event_id]:
                _call_off(engine, workspace, external, when)
            _leave(engine, workspace, external, coming[event.event_id], when)
        if booking := _scheduled(store, workspace, external):
            bookings.act_on(engine, booking["id"])


def _veiled(event: CalendarEvent) -> bool:
    return event.hidden and stands(event)


def _before(event: CalendarEvent, read_at: dt.datetime | None) -> bool:
    return read_at is not None and event.updated_at is not None and event.updated_at < read_at


def _held(store: Store, mailbox_id: int) -> dict[str, tuple[str, dt.datetime]]:
    rows = store.rows(
        "SELECT event_id, external_id, starts_at FROM calendar_entries WHERE mailbox_id = ?", mailbox_id
    )
    return {r["event_id"]: (r["external_id"], r["starts_at"]) for r in rows}


def _note(
    engine: Engine, box: dict[str, Any], events: list[CalendarEvent], coming: dict[str, frozenset[str]]
) -> None:
    store, digest = engine.store, Digester(engine.store, box["workspace_id"])
    for event in filter(_veiled, events):
        store.write(
            "UPDATE calendar_entries SET starts_at = ? WHERE mailbox_id = ? AND event_id = ?",
            event.starts_at,
            box["id"],
            event.event_id,
        )
    ids = [e.event_id for e in events if not _veiled(e)]
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        store.write(
            f"DELETE FROM calendar_entries WHERE mailbox_id = ? AND event_id IN {in_marks(some)}",
            box["id"],
            *some,
        )
    rows = [
        (box["workspace_id"], box["id"], e.event_id, e.external_id or e.event_id, digest(base), e.starts_at)
        for e in events
        if e.starts_at is not None and e.starts_at > engine.now()
        for base in sorted(coming[e.event_id])
    ]
    if rows:
        store.write_many(
            "INSERT INTO calendar_entries (workspace_id, mailbox_id, event_id, external_id, digest, starts_at) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (mailbox_id, event_id, digest) DO NOTHING",
            rows,
        )


def _candidates(store: Store, workspace_id: int, bases: list[str], now: dt.datetime) -> set[str]:
    """Those of the addresses that are candidates' with a journey that lives, or ended lately."""
    theirs = owners(store, workspace_id, bases)
    people = sorted({candidate for candidates in theirs.values() for candidate in candidates})
    live: set[int] = set()
    for start in range(0, len(people), _BATCH):
        some = people[start : start + _BATCH]
        rows = store.rows(
            f"SELECT DISTINCT candidate_id FROM journeys WHERE candidate_id IN {in_marks(some)} AND "
            "(ended_at IS NULL OR ended_at > ?)",
            *some,
            now - bookings.RECORDED,
        )
        live |= {int(r["candidate_id"]) for r in rows}
    return {base for base, candidates in theirs.items() if live & set(candidates)}


def _call_off(engine: Engine, workspace_id: int, external_id: str, when: dt.datetime) -> None:
    """It won't be, unless somebody else's calendar still has it. What was no interview before is none now."""
    store = engine.store
    booking = _scheduled(store, workspace_id, external_id)
    if booking is None or store.value(
        "SELECT 1 FROM calendar_entries WHERE workspace_id = ? AND external_id = ? LIMIT 1",
        workspace_id,
        external_id,
    ):
        return
    told = InterviewCanceled(external_id=external_id, occurred_at=max(when, booking["occurred_at"]))
    number, _ = bookings.take(engine, workspace_id, SOURCE, told, engine.now())
    bookings.act_on(engine, number)


def _leave(
    engine: Engine, workspace_id: int, external_id: str, coming: frozenset[str], when: dt.datetime
) -> None:
    """It is off for candidates who are neither among those `coming` nor in anybody else's calendar. Of what is over
    nobody keeps who came."""
    store = engine.store
    booking = _scheduled(store, workspace_id, external_id)
    if booking is None or booking["starts_at"] is None or booking["starts_at"] <= engine.now():
        return
    digest = Digester(store, workspace_id)
    there = {digest(base) for base in coming} | {
        str(r["digest"])
        for r in store.rows(
            "SELECT DISTINCT digest FROM calendar_entries WHERE workspace_id = ? AND external_id = ?",
            workspace_id,
            external_id,
        )
    }
    people = store.rows(
        "SELECT candidate_id, address FROM booking_people WHERE booking_id = ? AND candidate_id IS NOT NULL",
        booking["id"],
    )
    staying = {p["candidate_id"] for p in people if digest(p["address"]) in there}
    gone = {p["candidate_id"] for p in people} - staying
    bookings.leave(store, booking["id"], sorted(gone), when)


def _scheduled(store: Store, workspace_id: int, external_id: str) -> dict[str, Any] | None:
    return store.one(
        "SELECT * FROM bookings WHERE workspace_id = ? AND source = ? AND external_id = ? AND status = 'scheduled'",
        workspace_id,
        SOURCE,
        external_id,
    )


def any_ahead(store: Store, workspace_id: int, now: dt.datetime) -> bool:
    """Whether anybody is known to come to an event that is ahead."""
    return bool(
        store.value(
            "SELECT 1 FROM calendar_entries WHERE workspace_id = ? AND starts_at > ? LIMIT 1",
            workspace_id,
            now,
        )
    )


def ahead(store: Store, workspace_id: int, now: dt.datetime, digests: Iterable[str]) -> set[str]:
    """Which of the digests belong to people who come to an event that is ahead."""
    rows = store.rows(
        "SELECT DISTINCT digest FROM calendar_entries WHERE workspace_id = ? AND starts_at > ?",
        workspace_id,
        now,
    )
    return {str(r["digest"]) for r in rows} & set(digests)


NO_CALENDAR = "none: this kind of mailbox has no calendar"


def calendar_state(store: Store, mailboxes: list[int]) -> dict[int, str]:
    """Whether the calendars of mailboxes are read, in words, by mailbox."""
    if not mailboxes:
        return {}
    rows = store.rows(f"SELECT * FROM calendars WHERE mailbox_id IN {in_marks(mailboxes)}", *mailboxes)
    return {r["mailbox_id"]: _state(r) for r in rows}


def _state(row: dict[str, Any]) -> str:
    if row["refused"]:
        tried = "it isn't read" if row["next_at"] is None else "it is tried again"
        return f"{tried}: {row['refused']}"
    return "not read yet" if row["read_at"] is None else "read"


def forget_past(engine: Engine) -> int:
    """Take away who came to what is over; how many."""
    return engine.store.write("DELETE FROM calendar_entries WHERE starts_at < ?", engine.now())


def forget_people(store: Store, workspace_id: int, addresses: Iterable[str]) -> None:
    """Nobody knows any more that somebody with one of these addresses comes to an event."""
    digest = Digester(store, workspace_id)
    for address in addresses:
        if base := base_of(address):
            store.write(
                "DELETE FROM calendar_entries WHERE workspace_id = ? AND digest = ?",
                workspace_id,
                digest(base),
            )
