"""All that is held of one person, and do-not-contact lists."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.journey import CancelReason, JourneyStatus
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.owners import tell_of_stopped
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journeys

__all__ = ["held", "read_value", "suppress", "unsuppress"]

_BATCH = 500
_ROWS: tuple[tuple[str, str], ...] = (
    ("emails", "SELECT address, kind, verified, invalid, source, created_at FROM candidate_emails WHERE candidate_id = ?"),
    (
        "journeys",
        "SELECT j.id, s.name AS sequence, u.name AS owner, j.email, j.status, j.reason, j.detail, j.enrolled_at, j.ended_at "
        "FROM journeys j JOIN sequences s ON s.id = j.sequence_id JOIN users u ON u.id = j.owner_id WHERE j.candidate_id = ?",
    ),
    (
        "sent",
        "SELECT journey_id, recipient, subject, body_text, cc, sent_at, rfc_message_id FROM outbox WHERE candidate_id = ? "
        "AND state = 'sent'",
    ),
    (
        "received",
        "SELECT COALESCE(writer_journey_id, journey_id) AS journey_id, sender, subject, body_text, kind, reply_kind, "
        "kind_by, referral_name, referral_email, reply_to, received_at FROM inbound WHERE "
        "COALESCE(writer_id, candidate_id) = ?",
    ),
    (
        "tasks",
        "SELECT journey_id, kind, status, draft_subject, draft_body, note, due_at, handled_at FROM journey_steps WHERE "
        "candidate_id = ?",
    ),
    (
        "bookings",
        "SELECT b.source, b.kind, b.status, p.off_at, b.title, b.link, b.starts_at, b.booked_at FROM bookings b "
        "JOIN booking_people p ON p.booking_id = b.id WHERE p.candidate_id = ?",
    ),
    (
        "events",
        "SELECT e.at, e.kind, e.detail, e.journey_id FROM events e JOIN journeys j ON j.id = e.journey_id WHERE "
        "j.candidate_id = ?",
    ),
    (
        "imports",
        "SELECT i.owner_id, i.source, i.created_at, r.row, r.outcome, r.reason FROM import_rows r JOIN imports i ON "
        "i.id = r.import_id WHERE r.candidate_id = ?",
    ),
    ("passages", "SELECT prompt, text, why, created_at FROM passages WHERE candidate_id = ?"),
    ("phones", "SELECT number, kind, verified, source, created_at FROM candidate_phones WHERE candidate_id = ?"),
    (
        "looked_for",
        "SELECT field, outcome, value, kind, verified, source, finished_at FROM enrichment_items WHERE candidate_id = ?",
    ),
    (
        "notes",
        "SELECT journey_id, source, kind, state, body, note_id, happened_at, written_at FROM write_backs WHERE "
        "candidate_id = ?",
    ),
    (
        "shortlists",
        "SELECT s.owner_id, s.name, m.source, m.added_at, m.removed_at FROM shortlist_members m JOIN shortlists s ON s.id = "
        "m.shortlist_id WHERE m.candidate_id = ?",
    ),
    (
        "suppressions",
        "SELECT s.kind, s.value, s.reason, s.source, s.created_at FROM suppressions s JOIN candidate_emails e ON "
        "e.workspace_id = s.workspace_id AND s.kind = 'address' AND s.value = e.address WHERE e.candidate_id = ?",
    ),
)  # fmt: skip


def held(
    store: Store, person: dict[str, Any], *, journeys: set[int] | None = None, owner_id: int | None = None
) -> dict[str, Any]:
    """Everything, by what it is; times aware. For somebody who may not see everything only what these `journeys`, and
    the files and lists of this owner, say."""
    from outreach_sdk.storage.fields import from_us

    found: dict[str, Any] = {
        "person": {
            **{k: person[k] for k in ("id", "first_name", "last_name", "company", "title", "linkedin", "phone", "timezone")},
            "fields": json.loads(person["fields"] or "{}"),
            "source": person["source"],
            "created_at": person["created_at"],
        }
    }  # fmt: skip
    for name, sql in _ROWS:
        rows = store.rows(sql, person["id"])
        if journeys is not None:
            which = "id" if name == "journeys" else "journey_id"
            rows = [r for r in rows if r.get(which) is None or r[which] in journeys]
            rows = [r for r in rows if r.get("owner_id") in (None, owner_id)]
        for row in rows:
            row.pop("owner_id", None)
            if isinstance(row.get("at"), int):
                row["at"] = from_us(row["at"])
        found[name] = rows
    return found


def read_value(text: str) -> tuple[str, str]:
    """("address" | "domain", what it is in the database) of what a person writes. InvalidInput."""
    plain = text.strip().lower().removeprefix("@")
    if "@" in plain:
        return "address", normalise_email(plain)
    # As the domain of an address: the same rules, so that both are written alike.
    return "domain", normalise_email(f"x@{plain}").rpartition("@")[2]


def suppress(
    engine: Engine,
    workspace_id: int,
    user_id: int,
    values: Iterable[tuple[str, str, str]],
    *,
    source: str,
) -> int:
    """Never write to these (kind, value, reason) again, and cancel the journeys that do; how many were new."""
    store, now = engine.store, engine.now()
    listed = list(values)
    new = 0
    for start in range(0, len(listed), _BATCH):
        some = listed[start : start + _BATCH]

        def work(some: list[tuple[str, str, str]] = some) -> int:
            added = 0
            for kind, value, reason in some:
                added += store.write(
                    "INSERT INTO suppressions (workspace_id, owner_id, kind, value, reason, source, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workspace_id, kind, value) DO NOTHING",
                    workspace_id,
                    user_id,
                    kind,
                    value,
                    reason,
                    source,
                    now,
                )
            _cancel(store, workspace_id, some, engine, user_id)
            return added

        new += store.run(work)
    return new


def _cancel(
    store: Store, workspace_id: int, some: list[tuple[str, str, str]], engine: Engine, user_id: int
) -> None:
    now = engine.now()
    addresses = [value for kind, value, _ in some if kind == "address"]
    domains = [value for kind, value, _ in some if kind == "domain"]
    conditions, params = [], []
    if addresses:
        conditions.append(
            "candidate_id IN (SELECT candidate_id FROM candidate_emails WHERE workspace_id = ? AND address IN "
            f"{in_marks(addresses)})"
        )
        params += [workspace_id, *addresses]
    for domain in domains:
        conditions.append("LOWER(email) LIKE ? ESCAPE '!'")
        params.append("%@" + domain.replace("!", "!!").replace("%", "!%").replace("_", "!_"))
    moved = move_journeys(
        store,
        f"workspace_id = ? AND ({' OR '.join(conditions)})",
        (workspace_id, *params),
        JourneyStatus.CANCELLED,
        CancelReason.SUPPRESSED,
        now,
    )
    for journey in moved:
        event(store, journey, "journey_cancelled", now, CancelReason.SUPPRESSED)
    first, many = some[0][1], len(some) > 1
    what = f"{len(some):,} addresses aren't" if many else f"{first} isn't"
    tell_of_stopped(
        store,
        moved,
        by=user_id,
        kind="suppressed",
        why=f"{what} to be written to any more, says a colleague ({some[0][2]}).",
        dedupe=f"suppressed:{first}:{now.isoformat()}",
        now=now,
    )


def unsuppress(engine: Engine, workspace_id: int, user_id: int, kind: str, value: str) -> None:
    """Take an entry back, on the record. InvalidInput where there is none."""
    store, now = engine.store, engine.now()

    def work() -> None:
        gone = store.one(
            "DELETE FROM suppressions WHERE workspace_id = ? AND kind = ? AND value = ? RETURNING reason",
            workspace_id,
            kind,
            value,
        )
        if gone is None:
            raise InvalidInput("value", value, "It isn't on the list.")
        about = {"workspace_id": workspace_id, "owner_id": user_id, "journey_id": None}
        event(store, about, "suppression_lifted", now, f"{value} (was: {gone['reason']})")

    store.run(work)
