"""A sequence as tables to take away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from outreach_sdk.storage.fields import from_us
from outreach_sdk.storage.store import Store

__all__ = ["TABLES"]

Table = tuple[list[dict[str, Any]], dict[str, str]]


def _candidates(store: Store, sequence_id: int) -> Table:
    rows = store.rows(
        "SELECT c.first_name, c.last_name, j.email, CASE WHEN c.linkedin IS NULL THEN NULL ELSE 'https://www.' || "
        "c.linkedin END AS linkedin_url, c.phone, c.company, c.title, c.timezone, c.fields, j.status, j.reason, "
        "j.enrolled_at, j.ended_at, (SELECT COUNT(*) FROM outbox o WHERE o.journey_id = j.id AND o.state = 'sent') AS "
        "sent, (SELECT i.reply_kind FROM inbound i WHERE i.journey_id = j.id AND i.kind = 'human' ORDER BY "
        "i.received_at DESC, i.id DESC LIMIT 1) AS reply FROM journeys j JOIN candidates c ON c.id = j.candidate_id "
        "WHERE j.sequence_id = ? ORDER BY j.id",
        sequence_id,
    )
    columns = {
        "first_name": "str",
        "last_name": "str",
        "email": "str",
        "linkedin_url": "str",
        "phone": "str",
        "company": "str",
        "title": "str",
        "timezone": "str",
    }
    own: dict[str, str] = {}
    for row in rows:
        for name, value in json.loads(row.pop("fields") or "{}").items():
            if value is not None and name not in columns:
                row[f"{name}\0"] = value
                own[f"{name}\0"] = name
    after = {
        "status": "str",
        "reason": "str",
        "sent": "int",
        "reply": "str",
        "enrolled_at": "time",
        "ended_at": "time",
    }
    # A file's own column of one of these names keeps it, told apart.
    renamed = {key: f"{name} (own)" if name in after else name for key, name in own.items()}
    for row in rows:
        for key, name in renamed.items():
            row[name] = row.pop(key, None) if name not in after else row[name]
    return rows, {**columns, **dict.fromkeys(renamed.values(), "str"), **after}


def _journeys(store: Store, sequence_id: int) -> Table:
    rows = store.rows(
        "SELECT j.id AS journey, j.email, j.status AS journey_status, j.reason, s.rank, s.kind, COALESCE(x.status, "
        "'planned') AS step_status, x.due_at, x.handled_at, x.note, o.sent_at, o.subject, o.variant, o.attempt FROM "
        "journeys j JOIN steps s ON s.sequence_id = j.sequence_id LEFT JOIN journey_steps x ON x.journey_id = j.id AND "
        "x.step_id = s.id LEFT JOIN outbox o ON o.journey_id = j.id AND o.step_id = s.id AND o.attempt = (SELECT "
        "MAX(a.attempt) FROM outbox a WHERE a.journey_id = j.id AND a.step_id = s.id) WHERE j.sequence_id = ? AND "
        "(s.removed_at IS NULL OR x.id IS NOT NULL) ORDER BY j.id, s.rank",
        sequence_id,
    )
    numbers = {rank: n for n, rank in enumerate(sorted({r["rank"] for r in rows}), 1)}
    for row in rows:
        row["step"] = numbers[row["rank"]]
    text = dict.fromkeys(("kind", "step_status"), "str")
    return rows, {
        "journey": "int", "email": "str", "journey_status": "str", "reason": "str", "step": "int", **text,
        "due_at": "time", "sent_at": "time", "handled_at": "time", "subject": "str", "variant": "str",
        "attempt": "int", "note": "str",
    }  # fmt: skip


def _messages(store: Store, sequence_id: int) -> Table:
    rows = store.rows(
        "SELECT o.sent_at AS at, 'out' AS direction, j.id AS journey, o.recipient AS who, o.subject, o.body_text AS text, "
        "NULL AS kind, NULL AS reply_kind, o.rfc_message_id FROM outbox o JOIN journeys j ON j.id = o.journey_id WHERE "
        "j.sequence_id = ? AND o.state = 'sent' UNION ALL SELECT i.received_at, 'in', j.id, i.sender, i.subject, "
        "i.body_text, i.kind, i.reply_kind, i.rfc_message_id FROM inbound i JOIN journeys j ON j.id = i.journey_id WHERE "
        "j.sequence_id = ? ORDER BY 1",
        sequence_id,
        sequence_id,
    )
    columns = dict.fromkeys(("who", "subject", "text", "kind", "reply_kind", "rfc_message_id"), "str")
    return _timed(rows), {"at": "time", "direction": "str", "journey": "int", **columns}


def _events(store: Store, sequence_id: int) -> Table:
    rows = store.rows(
        "SELECT e.at, e.kind, e.detail, j.id AS journey, j.email FROM events e JOIN journeys j ON j.id = e.journey_id "
        "WHERE j.sequence_id = ? ORDER BY e.id",
        sequence_id,
    )
    return _timed(rows), {"at": "time", "kind": "str", "detail": "str", "journey": "int", "email": "str"}


def _timed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row["at"] = from_us(row["at"]) if isinstance(row["at"], int) else row["at"]
    return rows


TABLES: dict[str, Callable[[Store, int], Table]] = {
    "candidates": _candidates,
    "journeys": _journeys,
    "messages": _messages,
    "events": _events,
}
"""Name -> rows, and their columns with dtypes as `frame` takes them."""
