"""Claims: who works on what, decided by one transaction each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from outreach_sdk.domain.journey import OPEN_OUTBOX, OutboxState, StepStatus
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["Claim", "Claims", "claim_mailbox_polls", "claim_sends", "due_soon"]


@dataclass(frozen=True, slots=True)
class Claim:
    """An outbox entry in this worker's hands until `lease_until`. `recover`: it was `sending` or
    `unknown` when its last holder let go, so look before anything else."""

    outbox_id: int
    generation: int
    journey_id: int
    step_id: int
    mailbox_id: int
    state: OutboxState
    recover: bool
    row: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claims:
    """What was claimed, and whether the cap kept anything back."""

    items: list[Claim]
    capped: bool = False


SILENT = dt.timedelta(seconds=15)
_IN_FLIGHT = (OutboxState.CLAIMED, OutboxState.DRAFTED, OutboxState.SENDING)

# Per ready mailbox: is anything waiting in its lane? Each probe reads one index entry.
_READY = """
SELECT m.id, m.spacing_us, m.next_slot_at FROM mailboxes m
WHERE m.status = 'connected' AND m.next_slot_at <= ? AND (
  EXISTS (SELECT 1 FROM journeys j WHERE j.lane = m.id AND j.priority = 1 AND j.next_due_at <= ?)
  OR EXISTS (SELECT 1 FROM journeys j WHERE j.lane = m.id AND j.priority = 2 AND j.next_due_at <= ?)
  OR EXISTS (SELECT 1 FROM outbox o WHERE o.mailbox_id = m.id AND o.state IN ('planned', 'claimed', 'drafted')
             AND o.lease_until <= ?))
ORDER BY m.next_slot_at, m.id
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
) -> Claims:
    """Take up to `limit` e-mails that may go now: free slot, connected mailbox, armed and not halted,
    fewer than `cap` in flight in the installation. Expired leases are taken over; those that may have
    been sent come marked `recover` and don't use up a slot. `holder` names this process's heartbeat: what it
    holds stops counting against `cap` once that has been silent for `SILENT`."""

    def work() -> Claims:
        store.claim_lock()
        gate = store.one("SELECT armed, halted_at FROM installation")
        if gate is None:
            return Claims([])
        in_flight = int(
            store.value(
                f"SELECT COUNT(*) FROM outbox WHERE state IN {in_marks(_IN_FLIGHT)} AND claimed_at IS NOT NULL "
                "AND lease_until > ? AND (holder IS NULL OR EXISTS (SELECT 1 FROM heartbeats h "
                "WHERE h.name = outbox.holder AND h.seen_at > ?))",
                *_IN_FLIGHT,
                now,
                now - SILENT,
            )
        )
        free = min(limit, cap - in_flight)
        if free <= 0:
            return Claims([], capped=in_flight >= cap)
        until = now + lease
        items = _take_over(store, now, until, free, ("sending", "unknown"), recover=True)
        free -= len(items)
        may_send = gate["armed"] and gate["halted_at"] is None
        for box in store.rows(_READY, now, now, now, now) if free > 0 and may_send else ():
            if free <= 0:
                break
            spacing = dt.timedelta(microseconds=box["spacing_us"])
            got = _claim_lane(store, box["id"], now, until, 1 if spacing else free, new_key)
            if got and spacing:
                store.write(
                    "UPDATE mailboxes SET next_slot_at = ? WHERE id = ? AND next_slot_at < ?",
                    now + spacing,
                    box["id"],
                    now + spacing,
                )
            items += got
            free -= len(got)
        if items and holder is not None:
            ids = [i.outbox_id for i in items]
            store.write(f"UPDATE outbox SET holder = ? WHERE id IN {in_marks(ids)}", holder, *ids)
        return Claims(items, capped=free <= 0 and in_flight + len(items) >= cap)

    return store.run(work)


def _claimed(row: dict[str, Any], *, recover: bool) -> Claim:
    return Claim(
        outbox_id=row["id"],
        generation=row["generation"],
        journey_id=row["journey_id"],
        step_id=row["step_id"],
        mailbox_id=row["mailbox_id"],
        state=OutboxState(row["state"]),
        recover=recover,
        row=row,
    )


def _take_over(
    store: Store,
    now: dt.datetime,
    until: dt.datetime,
    limit: int,
    states: tuple[str, ...],
    *,
    recover: bool,
    mailbox_id: int | None = None,
) -> list[Claim]:
    lane = "" if mailbox_id is None else "AND mailbox_id = ? "
    lane_params = () if mailbox_id is None else (mailbox_id,)
    ids = store.rows(
        f"SELECT id FROM outbox WHERE state IN {in_marks(states)} AND lease_until <= ? {lane}"
        f"ORDER BY priority, due_at, id LIMIT ?{store.for_update}",
        *states,
        now,
        *lane_params,
        limit,
    )
    if not ids:
        return []
    wanted = [r["id"] for r in ids]
    rows = store.rows(
        "UPDATE outbox SET generation = generation + 1, lease_until = ?, claimed_at = ?, "
        "state = CASE WHEN state = 'planned' THEN 'claimed' ELSE state END, "
        "journey_generation = (SELECT j.generation FROM journeys j WHERE j.id = outbox.journey_id) "
        f"WHERE id IN {in_marks(wanted)} RETURNING *",
        until,
        now,
        *wanted,
    )
    rows.sort(key=lambda r: wanted.index(r["id"]))
    return [_claimed(r, recover=recover) for r in rows]


def _claim_lane(
    store: Store,
    mailbox_id: int,
    now: dt.datetime,
    until: dt.datetime,
    limit: int,
    new_key: Callable[[], str],
) -> list[Claim]:
    """The next e-mails of one mailbox, in the order of rule 7."""
    waiting = ("planned", "claimed", "drafted")
    items = _take_over(store, now, until, limit, waiting, recover=False, mailbox_id=mailbox_id)
    for priority in (Priority.FOLLOW_UP, Priority.FIRST):
        if len(items) >= limit:
            break
        due = store.rows(
            "SELECT id, workspace_id, owner_id, candidate_id, next_step_id, generation, email, next_due_at, "
            "priority FROM journeys WHERE lane = ? AND priority = ? AND next_due_at <= ? "
            f"ORDER BY next_due_at, id LIMIT ?{store.for_update}",
            mailbox_id,
            int(priority),
            now,
            limit - len(items),
        )
        for journey in due:
            taken = store.write(
                "UPDATE journeys SET next_due_at = NULL WHERE id = ? AND generation = ? AND status = 'active' "
                "AND next_due_at IS NOT NULL",
                journey["id"],
                journey["generation"],
            )
            if taken == 1:
                row = _open_entry(store, journey, mailbox_id, now, until, new_key())
                if row is not None:
                    items.append(_claimed(row, recover=False))
    return items


def _open_entry(
    store: Store, journey: dict[str, Any], mailbox_id: int, now: dt.datetime, until: dt.datetime, key: str
) -> dict[str, Any] | None:
    """The entry of the journey's next attempt: a new one, or one planned earlier and never sent. None
    where an earlier attempt isn't settled, so nothing may be opened."""
    last = store.one(
        "SELECT id, attempt, state FROM outbox WHERE journey_id = ? AND step_id = ? ORDER BY attempt DESC LIMIT 1",
        journey["id"],
        journey["next_step_id"],
    )
    if last is not None and last["state"] != OutboxState.PLANNED:
        return None
    store.write(
        "INSERT INTO journey_steps (workspace_id, owner_id, journey_id, step_id, candidate_id, kind, rank, status, "
        "due_at) SELECT ?, ?, ?, s.id, ?, s.kind, s.rank, ?, ? FROM steps s WHERE s.id = ? "
        "ON CONFLICT (journey_id, step_id) DO UPDATE SET status = excluded.status "
        "WHERE journey_steps.status IN ('planned', 'failed', 'needs_person', 'unknown')",
        journey["workspace_id"],
        journey["owner_id"],
        journey["id"],
        journey["candidate_id"],
        StepStatus.DUE,
        journey["next_due_at"],
        journey["next_step_id"],
    )
    if last is not None:
        return store.one(
            "UPDATE outbox SET state = 'claimed', generation = generation + 1, journey_generation = ?, "
            "lease_until = ?, claimed_at = ?, mailbox_id = ?, recipient = ?, due_at = ? "
            "WHERE id = ? AND state = 'planned' RETURNING *",
            journey["generation"],
            until,
            now,
            mailbox_id,
            journey["email"],
            journey["next_due_at"],
            last["id"],
        )
    return store.one(
        "INSERT INTO outbox (workspace_id, owner_id, journey_id, step_id, candidate_id, attempt, send_key, state, "
        "generation, journey_generation, lease_until, priority, mailbox_id, recipient, cc, bcc, tries, looks, "
        "due_at, claimed_at) VALUES (?, ?, ?, ?, ?, 1, ?, 'claimed', 1, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?) RETURNING *",
        journey["workspace_id"],
        journey["owner_id"],
        journey["id"],
        journey["next_step_id"],
        journey["candidate_id"],
        key,
        journey["generation"],
        until,
        journey["priority"],
        mailbox_id,
        journey["email"],
        json.dumps([]),
        json.dumps([]),
        journey["next_due_at"],
        now,
    )


def due_soon(store: Store, now: dt.datetime) -> dt.datetime | None:
    """When the next e-mail could be claimed (at once: `now`), or None. A few index probes."""
    moments = [
        store.value(
            "SELECT MIN(next_due_at) FROM journeys WHERE lane IS NOT NULL AND next_due_at IS NOT NULL"
        ),
        store.value(
            "SELECT MIN(lease_until) FROM outbox WHERE lease_until IS NOT NULL AND state IN "
            + in_marks(("planned", *OPEN_OUTBOX)),
            "planned",
            *OPEN_OUTBOX,
        ),
    ]
    known = [m for m in moments if m is not None]
    if not known:
        return None
    return max(now, from_us(min(known)))


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
