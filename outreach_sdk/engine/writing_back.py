"""Notes to applicant tracking systems, once each: claimed, the intent stored before the request, and what became of a
request without an answer looked up in their notes; where they can't be listed it isn't repeated, and said."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any

from outreach_sdk.ats.port import WritesNotes, system_name
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import (
    AtsDenied,
    AtsError,
    AtsNotFound,
    AtsOutcomeUnknown,
    AtsRefused,
    AtsUnavailable,
    DatabaseUnavailable,
)
from outreach_sdk.storage.store import in_marks

__all__ = ["DEAD_AFTER", "SYSTEMS", "drain", "waiting"]

logger = logging.getLogger(__name__)

SYSTEMS = ("greenhouse", "lever", "ashby", "merge")
"""Systems that take notes."""
DEAD_AFTER = 15
"""Tries after which a note waits for a person."""
LEASE = dt.timedelta(minutes=3)
LONGEST = dt.timedelta(hours=2)
SETTLED = dt.timedelta(minutes=5)
"""After so long a request without an answer was done or never will be: only then it is looked for."""
TEXT = 4_000
"""Characters of an e-mail or answer that a note quotes at most."""


def waiting(engine: Engine) -> bool:
    """Whether a note is to be written to a system there is a key for."""
    sources = engine.connected
    return bool(sources) and bool(
        engine.store.value(
            f"SELECT 1 FROM write_backs WHERE due_at <= ? AND source IN {in_marks(sources)} LIMIT 1",
            engine.now(),
            *sources,
        )
    )


def drain(engine: Engine, *, seconds: float = 60.0) -> int:
    """Write what is due, oldest first; how many notes were written. A system that fails waits for the next drain."""
    deadline, written = time.monotonic() + seconds, 0
    sources = list(engine.connected)
    while sources and time.monotonic() < deadline:
        row = _claim(engine, sources)
        if row is None:
            break
        try:
            written += _one(engine, row)
        except DatabaseUnavailable:
            raise
        except (AtsDenied, AtsUnavailable) as exc:
            sources.remove(row["source"])
            _later(engine, row, exc)
        except Exception as exc:
            # Whatever one note does to its writer, the others are written.
            logger.warning("note %d for %s: %s", row["id"], row["source"], type(exc).__name__)
            _later(engine, row, exc)
    return written


def _claim(engine: Engine, sources: list[str]) -> dict[str, Any] | None:
    store, now = engine.store, engine.now()
    skip = " FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""
    with store.tx():
        rows = store.rows(
            "UPDATE write_backs SET due_at = ?, tries = tries + 1 WHERE id = (SELECT id FROM write_backs "
            f"WHERE due_at <= ? AND source IN {in_marks(sources)} ORDER BY due_at, id LIMIT 1{skip}) RETURNING *",
            now + LEASE,
            now,
            *sources,
        )
    return rows[0] if rows else None


def _one(engine: Engine, row: dict[str, Any]) -> bool:
    account = engine.asker(row["source"])
    if not isinstance(account, WritesNotes):
        _settle(
            engine, row, state="failed", error=f"{system_name(row['source'])} takes no notes.", due_at=None
        )
        return False
    if row["state"] in ("writing", "unknown"):  # a request was made, and nobody knows what became of it
        if not account.can_list_notes:
            _give_up(engine, row)
            return False
        row["state"] = "unknown"  # whatever the look ends with, the request was made
        note = account.find_note(row["person"], row["marker"])
        if note is not None:
            return _written(engine, row, note)
    if row["state"] == "planned" or row["person"] is None:
        person = _find(engine, account, row)
        if person is None:
            why = f"{system_name(row['source'])} knows nobody with an address of theirs."
            _settle(engine, row, state="nobody", error=why, due_at=None)
            return False
        row.update(person=person, body=row["body"] or _compose(engine, row))
    intent = {"state": "writing", "person": row["person"], "body": row["body"], "due_at": row["due_at"]}
    if not _settle(engine, row, **intent):
        return False
    row["state"] = "writing"  # also for who deals with what is raised
    hit("note_before_write")
    try:
        note = account.write_note(row["person"], f"{row['body']}\n\n[outreach {row['marker']}]")
    except (AtsRefused, AtsNotFound) as exc:
        _settle(engine, row, state="failed", error=str(exc), due_at=None)
        return False
    hit("note_after_write")
    return _written(engine, row, note)


def _written(engine: Engine, row: dict[str, Any], note: str) -> bool:
    now = engine.now()
    return _settle(engine, row, state="written", note_id=note, written_at=now, error=None, due_at=None)


def _settle(engine: Engine, row: dict[str, Any], **changes: Any) -> bool:
    """False: another process has it, or it was erased."""
    sets = ", ".join(f"{name} = ?" for name in changes)
    return (
        engine.store.write(
            f"UPDATE write_backs SET {sets} WHERE id = ? AND tries = ? AND due_at IS NOT NULL",
            *changes.values(),
            row["id"],
            row["tries"],
        )
        == 1
    )


def _later(engine: Engine, row: dict[str, Any], exc: Exception) -> None:
    """Definitely not written: it is planned again. Nobody knows: it is looked for, or given up."""
    said = str(exc) if isinstance(exc, AtsError) else f"It failed: {type(exc).__name__}."
    state = row["state"]
    if state == "writing":
        certain = isinstance(exc, (AtsUnavailable, AtsDenied)) and not isinstance(exc, AtsOutcomeUnknown)
        state = "planned" if certain else "unknown"
    if row["tries"] >= DEAD_AFTER:
        if state == "unknown":
            _give_up(engine, row)
        else:
            _settle(engine, row, state="failed", error=f"Tried {row['tries']} times. {said}", due_at=None)
        return
    wait = max(
        getattr(exc, "retry_after", None) or 0.0,
        min(LONGEST.total_seconds(), 15.0 * 2 ** min(row["tries"], 12)),
    )
    if state == "unknown":
        wait = max(wait, SETTLED.total_seconds())
    due = engine.now() + dt.timedelta(seconds=wait)
    _settle(engine, row, state=state, error=said, due_at=due)


def _give_up(engine: Engine, row: dict[str, Any]) -> None:
    system = system_name(row["source"])
    why = f"{system} may or may not have it: there was no answer, and its notes can't be listed. It isn't repeated."

    def work() -> None:
        if _settle(engine, row, state="unknown", error=why, due_at=None):
            notify(
                engine.store,
                workspace_id=row["workspace_id"],
                owner_id=row["owner_id"],
                kind="write_back_unknown",
                text=f"A note ({row['kind']}) to {system} had no answer, and isn't repeated: look there whether it is.",
                dedupe=f"write_back:{row['id']}",
                now=engine.now(),
                journey_id=row["journey_id"],
                sequence_id=row["sequence_id"],
            )

    engine.store.run(work)


def _find(engine: Engine, account: WritesNotes, row: dict[str, Any]) -> str | None:
    """Their id there, by the address written to, then by the others."""
    rows = engine.store.rows(
        "SELECT e.address FROM candidate_emails e JOIN journeys j ON j.id = ? WHERE e.candidate_id = ? "
        "ORDER BY CASE WHEN e.address = j.email THEN 0 ELSE 1 END, e.id LIMIT 5",
        row["journey_id"],
        row["candidate_id"],
    )
    for one in rows:
        if (person := account.find_person(str(one["address"]))) is not None:
            return person
    return None


def _compose(engine: Engine, row: dict[str, Any]) -> str:
    store = engine.store
    name = store.value("SELECT name FROM sequences WHERE id = ?", row["sequence_id"]) or "Untitled"
    when = f"{row['happened_at']:%d %b %Y, %H:%M} UTC"
    if row["kind"] == "sent":
        mail = store.one(
            "SELECT o.subject, o.body_text, m.address FROM outbox o JOIN mailboxes m ON m.id = o.mailbox_id WHERE o.id = ?",
            int(row["about"]),
        )
        if mail is not None:
            head = (
                f"E-mail sent from {mail['address']} on {when} (sequence “{name}”): {mail['subject'] or ''}"
            )
            return f"{head}\n\n{(mail['body_text'] or '')[:TEXT]}".strip()
    if row["kind"] == "replied":
        came = store.one(
            "SELECT subject, visible_text, body_text, reply_kind FROM inbound WHERE id = ?", int(row["about"])
        )
        if came is not None:
            kind = f", {came['reply_kind'].replace('_', ' ')}" if came["reply_kind"] else ""
            head = f"Answered on {when}{kind} (sequence “{name}”): {came['subject'] or ''}"
            return f"{head}\n\n{(came['visible_text'] or came['body_text'] or '')[:TEXT]}".strip()
    journey = store.one("SELECT status, reason FROM journeys WHERE id = ?", row["journey_id"]) or {}
    mails = store.value(
        "SELECT COUNT(*) FROM outbox WHERE journey_id = ? AND state = 'sent'", row["journey_id"]
    )
    outcome = str(journey.get("reason") or journey.get("status") or "ended").replace("_", " ")
    return f"Sequence “{name}” ended for them on {when}: {outcome}, after {mails} e-mail{'' if mails == 1 else 's'}."
