"""Claims: who works on what, decided by one transaction each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from outreach_sdk.domain.journey import OutboxState, StepStatus
from outreach_sdk.domain.pacing import PARALLEL, PROVIDER_LIMITS, Priority, mailbox_limits, spacing_of
from outreach_sdk.storage.entries import load_entries
from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.holds import APPROVED
from outreach_sdk.storage.store import Store, in_marks

__all__ = [
    "ACCOUNT",
    "Claim",
    "Claims",
    "claim_mailbox_polls",
    "claim_sends",
    "due_soon",
    "lent_to",
    "start",
    "take_up",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """An outbox entry in this worker's hands until `lease_until`. `recover`: it was `sending` or
    `unknown` when its last holder let go, so look before anything else. `entry`: what it takes to send it, where
    that was read with the claim."""

    outbox_id: int
    generation: int
    journey_id: int
    step_id: int
    mailbox_id: int
    state: OutboxState
    recover: bool
    entry: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Claims:
    """What was claimed, and whether the cap kept anything back. `ahead` has those that aren't in flight yet."""

    items: list[Claim]
    capped: bool = False
    ahead: list[Claim] = field(default_factory=list)


SILENT = dt.timedelta(seconds=15)
_CLAIMED = "RETURNING id, generation, journey_id, step_id, mailbox_id, state"
_IN_FLIGHT = (OutboxState.CLAIMED, OutboxState.DRAFTED, OutboxState.SENDING)
_FLYING = (
    f"(SELECT COUNT(*) FROM outbox WHERE state IN {in_marks(_IN_FLIGHT)} AND claimed_at IS NOT NULL AND NOT ahead "
    "AND lease_until > ? AND (holder IS NULL OR EXISTS (SELECT 1 FROM heartbeats h WHERE h.name = outbox.holder "
    "AND h.seen_at > ?)))"
)
"""SQL: how many e-mails are in flight in the installation; takes the three states, now, and the oldest heartbeat."""

# Per ready mailbox: is anything waiting in its lane? Each probe reads one index entry. Not EXISTS: of the plan that
# PostgreSQL keeps for any moment, it would take a third of all journeys for due and read them all.
_READY = """
SELECT * FROM (
  SELECT m.id, m.provider, m.spacing_us, m.next_slot_at, m.per_day, m.per_hour, m.ramp_from, m.ramp_by,
    m.created_at AS connected_at,
    EXISTS (SELECT 1 FROM outbox o WHERE o.mailbox_id = m.id AND o.state IN ('planned', 'claimed', 'drafted')
            AND o.lease_until <= ?) AS waiting,
    COALESCE((SELECT MIN(j.next_due_at) FROM journeys j WHERE j.lane = m.id AND j.priority = 1
              AND j.next_due_at IS NOT NULL) <= ?, FALSE) AS follow_ups,
    COALESCE((SELECT MIN(j.next_due_at) FROM journeys j WHERE j.lane = m.id AND j.priority = 2
              AND j.next_due_at IS NOT NULL) <= ?, FALSE) AS firsts
  FROM mailboxes m WHERE m.status = 'connected' AND m.checked_at IS NOT NULL AND m.next_slot_at <= ?
    AND (m.wait_until IS NULL OR m.wait_until <= ?)) AS q
WHERE waiting OR follow_ups OR firsts ORDER BY next_slot_at, id
"""


def claim_sends(
    store: Store,
    now: dt.datetime,
    *,
    limit: int,
    cap: int,
    lease: dt.timedelta,
    new_key: Callable[[], str],
    holder: str | None = None,
    load: bool = False,
    ahead: int = 0,
) -> Claims:
    """Take up to `limit` e-mails that may go now: free slot, connected mailbox, armed and not halted,
    fewer than `cap` in flight in the installation. Expired leases are taken over; those that may have
    been sent come marked `recover` and don't use up a slot. `holder` names this process's heartbeat: what it
    holds stops counting against `cap` once that has been silent for `SILENT`. `load`: each claim brings its `entry`,
    read in the same transaction, for whoever acts on it at once. `ahead`: so many more, which aren't in flight until
    `take_up` or `start` says so."""

    def work() -> Claims:
        claims = take()
        taken = [*claims.items, *claims.ahead]
        if not load or not taken:
            return claims
        entries = load_entries(store, [c.outbox_id for c in taken])
        whole = [replace(c, entry=entries.get(c.outbox_id)) for c in taken]
        started = len(claims.items)
        return replace(claims, items=whole[:started], ahead=whole[started:])

    def take() -> Claims:
        store.claim_lock()
        gate = store.one(
            f"SELECT armed, halted_at, {_FLYING} AS in_flight, "
            "EXISTS (SELECT 1 FROM outbox WHERE state IN ('sending', 'unknown') AND lease_until <= ?) AS left_over "
            "FROM installation",
            *_IN_FLIGHT,
            now,
            now - SILENT,
            now,
        )
        if gate is None:
            return Claims([])
        in_flight = int(gate["in_flight"])
        free = max(min(limit, cap - in_flight), 0)
        if free + ahead <= 0:
            return Claims([], capped=in_flight >= cap)
        hand = _Hand(now, now + lease, holder, new_key)
        items = _take_over(store, hand, free, ("sending", "unknown")) if gate["left_over"] and free else []
        most = free + ahead
        may_send = gate["armed"] and gate["halted_at"] is None
        for box in store.rows(_READY, now, now, now, now, now) if len(items) < most and may_send else ():
            if len(items) >= most:
                break
            spacing = spacing_of(box["spacing_us"])
            got = _claim_lane(
                store, box, hand, min(1 if spacing else most - len(items), _room(store, box, now))
            )
            if got and spacing:
                store.write(
                    "UPDATE mailboxes SET next_slot_at = ? WHERE id = ? AND next_slot_at < ?",
                    now + spacing,
                    box["id"],
                    now + spacing,
                )
            items += got
        items, later = items[:free], items[free:]
        if later:
            ids = [c.outbox_id for c in later]
            store.write(f"UPDATE outbox SET ahead = TRUE WHERE id IN {in_marks(ids)}", *ids)
        return Claims(items, capped=in_flight + len(items) >= cap, ahead=later)

    return store.run(work)


def take_up(store: Store, claim: Claim, now: dt.datetime, lease: dt.timedelta) -> bool:
    """A claim made ahead is in flight from now on, in the place of one that ends in this transaction. False: it is in
    other hands, its mailbox has to wait, or all sending is held."""
    return (
        store.write(
            "UPDATE outbox SET ahead = FALSE, lease_until = ? WHERE id = ? AND generation = ? AND ahead "
            "AND state IN ('claimed', 'drafted') AND lease_until > ? AND EXISTS (SELECT 1 FROM mailboxes m WHERE "
            "m.id = outbox.mailbox_id AND m.status = 'connected' AND (m.wait_until IS NULL OR m.wait_until <= ?)) "
            "AND EXISTS (SELECT 1 FROM installation WHERE armed AND halted_at IS NULL)",
            now + lease,
            claim.outbox_id,
            claim.generation,
            now,
            now,
        )
        == 1
    )


def start(store: Store, claim: Claim, now: dt.datetime, *, cap: int, lease: dt.timedelta) -> bool | None:
    """A claim made ahead is in flight from now on, where fewer than `cap` are. False: as `take_up`; None: there is no
    place yet."""

    def work() -> bool | None:
        store.claim_lock()
        flying = store.value(f"SELECT {_FLYING}", *_IN_FLIGHT, now, now - SILENT)
        return take_up(store, claim, now, lease) if flying < cap else None

    return store.run(work)


ACCOUNT = (
    "mailbox_id IN (SELECT y.id FROM mailboxes x JOIN mailboxes y ON y.workspace_id = x.workspace_id AND "
    "y.address = x.address AND y.provider = x.provider WHERE x.id = ?)"
)
"""SQL: what is of a mailbox's account, whoever connected it: a provider counts that. Takes the mailbox's id."""


def _room(store: Store, box: dict[str, Any], now: dt.datetime) -> int:
    """How many more this mailbox can take now: its provider's requests at a time, and what its limits leave. Where
    they leave nothing one is let through, whose fence finds out how long the mailbox has to wait."""
    limits, of_provider = mailbox_limits(box, now), PROVIDER_LIMITS.get(box["provider"], ())
    parallel = PARALLEL.get(box["provider"])
    if parallel is None and not limits:
        return 1_000_000
    flying = int(
        store.value(
            f"SELECT COUNT(*) FROM outbox WHERE {ACCOUNT} AND state IN {in_marks(_IN_FLIGHT)} "
            "AND claimed_at IS NOT NULL AND lease_until > ?",
            box["id"],
            *_IN_FLIGHT,
            now,
        )
    )
    room = [] if parallel is None else [parallel - flying]
    for limit in limits:
        gone = store.value(
            f"SELECT {limit.counted} FROM outbox WHERE {ACCOUNT if limit in of_provider else 'mailbox_id = ?'} AND "
            "sending_at > ? AND state IN ('sent', 'unknown', 'needs_person')",
            box["id"],
            now - limit.window,
        )
        room.append(max(limit.most - int(gone) - flying, 0 if flying else 1))
    return max(0, min(room))


def _claimed(row: dict[str, Any], *, recover: bool) -> Claim:
    return Claim(
        outbox_id=row["id"],
        generation=row["generation"],
        journey_id=row["journey_id"],
        step_id=row["step_id"],
        mailbox_id=row["mailbox_id"],
        state=OutboxState(row["state"]),
        recover=recover,
    )


def lent_to(mailbox: str, user: str) -> str:
    """SQL: whether the user (an expression) may send from the mailbox (an alias): its owner, or whom it was
    lent to."""
    return (
        f"({mailbox}.owner_id = {user} OR EXISTS (SELECT 1 FROM grants g WHERE g.mailbox_id = {mailbox}.id "
        f"AND g.ended_at IS NULL AND (g.user_id IS NULL OR g.user_id = {user})))"
    )


@dataclass(frozen=True, slots=True)
class _Hand:
    """Who claims, when, and until when."""

    now: dt.datetime
    until: dt.datetime
    holder: str | None
    new_key: Callable[[], str]


def _take_over(
    store: Store, hand: _Hand, limit: int, states: tuple[str, ...], *, mailbox_id: int | None = None
) -> list[Claim]:
    """Entries whose lease has run out; of all mailboxes those that may have been sent, of one mailbox those
    that weren't."""
    lane = "" if mailbox_id is None else "AND mailbox_id = ? "
    lane_params = () if mailbox_id is None else (mailbox_id,)
    ids = store.rows(
        f"SELECT id FROM outbox WHERE state IN {in_marks(states)} AND lease_until <= ? {lane}"
        f"ORDER BY priority, due_at, id LIMIT ?{store.for_update}",
        *states,
        hand.now,
        *lane_params,
        limit,
    )
    if not ids:
        return []
    wanted = [r["id"] for r in ids]
    rows = store.rows(
        "UPDATE outbox SET generation = generation + 1, lease_until = ?, claimed_at = ?, holder = ?, ahead = FALSE, "
        "state = CASE WHEN state = 'planned' THEN 'claimed' ELSE state END, "
        "journey_generation = (SELECT j.generation FROM journeys j WHERE j.id = outbox.journey_id) "
        f"WHERE id IN {in_marks(wanted)} {_CLAIMED}",
        hand.until,
        hand.now,
        hand.holder,
        *wanted,
    )
    rows.sort(key=lambda r: wanted.index(r["id"]))
    return [_claimed(r, recover=mailbox_id is None) for r in rows]


def _claim_lane(store: Store, box: dict[str, Any], hand: _Hand, limit: int) -> list[Claim]:
    """The next e-mails of one mailbox, in the order of rule 7."""
    items: list[Claim] = []
    if box["waiting"]:
        items += _take_over(store, hand, limit, ("planned", "claimed", "drafted"), mailbox_id=box["id"])
    for priority, any_due in ((Priority.FOLLOW_UP, box["follow_ups"]), (Priority.FIRST, box["firsts"])):
        if any_due and len(items) < limit:
            items += _claim_due(store, box["id"], hand, priority, limit - len(items))
    return items


def _claim_due(store: Store, mailbox_id: int, hand: _Hand, priority: Priority, limit: int) -> list[Claim]:
    """The journeys that are due, each with the entry of its next attempt: a new one, or one planned earlier
    and never sent. Where an earlier attempt isn't settled nothing is opened."""
    # Who changes a whole sequence just now keeps its journeys: nobody else's mailbox waits for that.
    lock = " FOR UPDATE OF j SKIP LOCKED" if store.for_update else ""
    due = store.rows(
        # One without an address is claimed like any other: its journey pauses as it is prepared.
        "SELECT j.id, j.workspace_id, j.owner_id, j.candidate_id, j.next_step_id, j.generation, "
        "COALESCE(j.email, '') AS email, j.next_due_at, j.priority, o.id AS entry_id, o.state AS entry_state "
        "FROM journeys j LEFT JOIN outbox o ON o.journey_id = j.id AND o.step_id = j.next_step_id AND NOT EXISTS "
        "(SELECT 1 FROM outbox x WHERE x.journey_id = o.journey_id AND x.step_id = o.step_id AND x.attempt > o.attempt) "
        "WHERE j.lane = ? AND j.priority = ? AND j.next_due_at <= ? AND j.status = 'active' AND EXISTS "
        f"(SELECT 1 FROM mailboxes m WHERE m.id = j.lane AND {lent_to('m', 'j.owner_id')}) AND {APPROVED.format(j='j')} "
        f"ORDER BY j.next_due_at, j.id LIMIT ?{lock}",
        mailbox_id,
        int(priority),
        hand.now,
        limit,
    )
    if not due:
        return []
    ids = [j["id"] for j in due]
    store.write(
        "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
        "due_at) SELECT j.workspace_id, j.owner_id, j.id, s.id, j.candidate_id, s.kind, s.rank, ?, j.next_due_at "
        f"FROM journeys j JOIN steps s ON s.id = j.next_step_id WHERE j.id IN {in_marks(ids)} "
        "ON CONFLICT (journey_id, step_id) DO UPDATE SET status = excluded.status "
        "WHERE journey_steps.status IN ('planned', 'failed', 'needs_person', 'unknown')",
        StepStatus.DUE,
        *ids,
    )
    store.write(f"UPDATE journeys SET next_due_at = NULL WHERE id IN {in_marks(ids)}", *ids)
    rows = _open_entries(store, [j for j in due if j["entry_id"] is None], mailbox_id, hand)
    rows += [
        row
        for j in due
        if j["entry_state"] == OutboxState.PLANNED
        for row in store.rows(
            "UPDATE outbox SET state = 'claimed', generation = generation + 1, journey_generation = ?, holder = ?, "
            "ahead = FALSE, lease_until = ?, claimed_at = ?, mailbox_id = ?, recipient = ?, due_at = ? "
            f"WHERE id = ? AND state = 'planned' {_CLAIMED}",
            j["generation"],
            hand.holder,
            hand.until,
            hand.now,
            mailbox_id,
            j["email"],
            j["next_due_at"],
            j["entry_id"],
        )
    ]
    rows.sort(key=lambda r: ids.index(r["journey_id"]))
    return [_claimed(row, recover=False) for row in rows]


def _open_entries(
    store: Store, journeys: list[dict[str, Any]], mailbox_id: int, hand: _Hand
) -> list[dict[str, Any]]:
    if not journeys:
        return []
    values = [
        (
            j["workspace_id"], j["owner_id"], j["id"], j["next_step_id"], j["candidate_id"], hand.new_key(),
            j["generation"], hand.until, hand.holder, j["priority"], mailbox_id, j["email"], j["next_due_at"],
            hand.now,
        )
        for j in journeys
    ]  # fmt: skip
    marks = ", ".join(
        ["(?, ?, ?, ?, ?, 1, ?, 'claimed', 1, ?, ?, ?, ?, ?, ?, '[]', '[]', 0, 0, ?, ?)"] * len(values)
    )
    return store.rows(
        "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
        "generation, journey_generation, lease_until, holder, priority, mailbox_id, recipient, cc, bcc, tries, looks, "
        f"due_at, claimed_at) VALUES {marks} {_CLAIMED}",
        *(v for row in values for v in row),
    )


def due_soon(store: Store, now: dt.datetime) -> dt.datetime | None:
    """When the next e-mail could be claimed (at once: `now`), or None; also while all sending is held. A few
    index probes."""
    if not store.value("SELECT 1 FROM installation WHERE armed AND halted_at IS NULL"):
        return None
    rows = store.rows(
        "SELECT m.wait_until, (SELECT MIN(j.next_due_at) FROM journeys j WHERE j.lane = m.id AND j.priority = 1 "
        "AND j.next_due_at IS NOT NULL) AS follow_up_at, (SELECT MIN(j.next_due_at) FROM journeys j WHERE j.lane = m.id "
        "AND j.priority = 2 AND j.next_due_at IS NOT NULL) AS first_at, (SELECT MIN(o.lease_until) FROM outbox o "
        "WHERE o.mailbox_id = m.id AND o.lease_until IS NOT NULL AND o.state IN ('planned', 'claimed', 'drafted')) "
        "AS lease_until FROM mailboxes m WHERE m.status = 'connected' AND m.checked_at IS NOT NULL"
    )
    moments: list[dt.datetime] = []
    for row in rows:
        known = [row[c] for c in ("follow_up_at", "first_at", "lease_until") if row[c] is not None]
        if known:
            moments.append(max(min(known), row["wait_until"] or now))
    unsettled = store.value(
        "SELECT MIN(lease_until) FROM outbox WHERE lease_until IS NOT NULL AND state IN ('sending', 'unknown')"
    )
    if unsettled is not None:
        moments.append(from_us(unsettled))
    return max(now, min(moments)) if moments else None


def claim_mailbox_polls(
    store: Store, now: dt.datetime, *, limit: int, lease: dt.timedelta
) -> list[dict[str, Any]]:
    """Mailboxes whose reply and bounce check is due; each is moved ahead by `lease`, so a crash heals."""

    def work() -> list[dict[str, Any]]:
        skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
        ids = store.rows(
            "SELECT id FROM mailboxes WHERE status = 'connected' AND next_poll_at <= ? "
            f"ORDER BY next_poll_at, id LIMIT ?{skip}",
            now,
            limit,
        )
        if not ids:
            return []
        wanted = [r["id"] for r in ids]
        return store.rows(
            f"UPDATE mailboxes SET next_poll_at = ? WHERE id IN {in_marks(wanted)} RETURNING *",
            now + lease,
            *wanted,
        )

    return store.run(work)
