"""A person's answer to a message, in its thread: through the outbox like every e-mail, so that it leaves once."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.journey import OutboxState
from outreach_sdk.domain.message import Address, OutgoingMessage
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.threading import reply_subject
from outreach_sdk.engine import compose, release, send
from outreach_sdk.engine.contact_points import suppressed
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.speaking import OTHER
from outreach_sdk.engine.timing import too_often
from outreach_sdk.errors import InvalidInput, NotFound, OutreachError, TransitionRefused
from outreach_sdk.mail.port import MailTransport

__all__ = ["answer", "prepare_and_send"]

ENDED = (OutboxState.FAILED, OutboxState.CANCELLED, OutboxState.NEEDS_PERSON)
TOO_LATE = dt.timedelta(days=7)
"""An answer that couldn't leave for so long would surprise both sides: its author decides afresh."""


def answer(engine: Engine, inbound_id: int, body: str, owner_id: int) -> int:
    """Write an answer, to leave at once and ahead of everything automatic; the outbox entry's id. The same text to
    the same message is one answer, however often it is asked for. Raises MissingField for a merge field that
    isn't known, TransitionRefused where the person doesn't want to be written to."""
    store, now = engine.store, engine.now()

    def work() -> int:
        row = store.one(
            "SELECT i.*, j.sequence_id, j.generation AS journey_generation, j.email AS current_email, c.first_name, "
            "c.last_name, c.company, c.title, c.linkedin, c.phone, c.fields, m.signature, m.address AS mailbox_address, "
            "m.name AS mailbox_name, m.status AS mailbox_status FROM inbound i JOIN journeys j ON j.id = i.journey_id "
            "JOIN candidates c ON c.id = COALESCE(i.writer_id, j.candidate_id) JOIN mailboxes m ON m.id = i.mailbox_id "
            f"WHERE i.id = ?{' FOR UPDATE OF j' if store.for_update else ''}",
            inbound_id,
        )
        if row is None:
            raise NotFound("There is no such message.")
        recipient = row["reply_to"] or row["sender"]
        if not recipient:
            raise TransitionRefused("This message names no sender, so there is nobody to answer.")
        for theirs in dict.fromkeys((recipient, row["sender"] or recipient)):
            if suppressed(store, row["workspace_id"], theirs):
                raise TransitionRefused(f"{theirs} doesn't want to be written to.")
        if row["mailbox_status"] != "connected":
            raise TransitionRefused(
                f"{row['mailbox_address']}, which got this message, isn't connected. Connect it, then answer."
            )
        data = compose.merge_data(
            _person(row), sender_name=row["mailbox_name"] or "", sender_email=row["mailbox_address"]
        )
        _, text, html = compose.render_step(None, body, data, signature=row["signature"])
        if not text.strip():
            raise InvalidInput("body", body, "Write something.")
        entries = store.rows(
            "SELECT id, attempt, state, body_html FROM outbox WHERE journey_id = ? AND step_id = ? ORDER BY attempt",
            row["journey_id"],
            -inbound_id,
        )
        for entry in entries:
            if entry["body_html"] == html and entry["state"] not in ENDED:
                return int(entry["id"])
        return store.insert(
            "outbox",
            {
                "workspace_id": row["workspace_id"],
                "owner_id": owner_id,
                "journey_id": row["journey_id"],
                "step_id": -inbound_id,
                "answers_id": inbound_id,
                "candidate_id": row["writer_id"] or row["candidate_id"],
                "attempt": entries[-1]["attempt"] + 1 if entries else 1,
                "send_key": engine.new_key(),
                "state": OutboxState.PLANNED,
                "generation": 0,
                "journey_generation": row["journey_generation"],
                "lease_until": now,
                "priority": int(Priority.PERSON),
                "mailbox_id": row["mailbox_id"],
                "recipient": recipient,
                "subject": reply_subject(row["subject"] or ""),
                "body_html": html,
                "body_text": text,
                "cc": "[]",
                "bcc": "[]",
                "tries": 0,
                "looks": 0,
                "due_at": now,
            },
        )

    return store.run(work)


def _person(row: dict[str, Any]) -> dict[str, Any]:
    """Whose merge fields an answer has: of whoever wrote. Of somebody who is no candidate nothing is known."""
    if row["writer_id"] is None and not _stranger(row):
        return row
    if row["writer_id"] is not None:
        return {**row, "current_email": row["sender"]}
    nothing = dict.fromkeys(("first_name", "last_name", "company", "title", "linkedin", "phone", "fields"))
    return {**row, **nothing, "current_email": row["sender"]}


def _stranger(asked: dict[str, Any]) -> bool:
    """Whether somebody who is no candidate wrote in a candidate's thread."""
    return asked["writer_id"] is None and json.loads(asked["verdict"] or "{}").get("writer") == OTHER


def prepare_and_send(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str:
    """The same draft, fence and recovery as a step's e-mail. No hours, no last look: its author has read all
    there was, and pressed the button."""
    if engine.now() - entry["due_at"] > TOO_LATE:
        return release.refused(engine, entry, "it couldn't leave for a week")
    held = too_often(engine, entry)
    if held is not None:
        return held
    try:
        message = _message(engine, entry)
    except OutreachError as exc:
        return release.refused(engine, entry, str(exc))
    send.ensure_draft(engine, entry, transport, message)
    return send.deliver(engine, entry, transport)


def _message(engine: Engine, entry: dict[str, Any]) -> OutgoingMessage:
    asked = engine.store.one("SELECT * FROM inbound WHERE id = ?", entry["answers_id"])
    if asked is None:
        raise NotFound("The message it answers isn't there any more.")
    refs = json.loads(entry["thread_refs"] or "[]")
    if asked["rfc_message_id"]:
        refs = [*(r for r in refs if r != asked["rfc_message_id"]), asked["rfc_message_id"]]
    name = f"{entry['first_name']} {entry['last_name']}".strip()
    return OutgoingMessage(
        sender=Address(entry["mailbox_address"], entry["mailbox_name"] or ""),
        to=(Address(entry["recipient"], "" if _stranger(asked) else name),),
        subject=entry["subject"] or "Re:",
        text=entry["body_text"] or "",
        html=entry["body_html"] or "",
        in_reply_to=asked["rfc_message_id"],
        references=tuple(refs[-20:]),
        provider_thread_id=asked["provider_thread_id"],
        date=engine.now(),
    )
