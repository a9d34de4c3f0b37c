"""E-mails of a sequence sent to oneself or a colleague, to see them as a mail client shows them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.message import Address, OutgoingMessage
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.failpoints import hit
from outreach_sdk.engine.mailboxes import mailbox_dead
from outreach_sdk.errors import MailAuthError, MailError, MailNotFound, MailOutcomeUnknown, OutreachError
from outreach_sdk.storage.claims import lent_to

__all__ = ["plan", "run"]

LEASE = dt.timedelta(minutes=2)
KEPT = dt.timedelta(days=1)


def plan(
    engine: Engine, owner: dict[str, Any], mailbox_id: int, sequence_id: int, mails: list[dict[str, Any]]
) -> list[int]:
    """Have these sent ({"number", "recipient", "subject", "body_html", "body_text"}); their ids. What was planned long
    ago and is settled is forgotten: it holds what candidates are told."""
    store, now = engine.store, engine.now()

    def work() -> list[int]:
        store.write("DELETE FROM test_sends WHERE lease_until IS NULL AND created_at < ?", now - KEPT)
        return [
            store.insert(
                "test_sends",
                {
                    "workspace_id": owner["workspace_id"],
                    "owner_id": owner["id"],
                    "mailbox_id": mailbox_id,
                    "sequence_id": sequence_id,
                    "send_key": engine.new_key(),
                    "state": "planned",
                    "lease_until": now,
                    "created_at": now,
                    **mail,
                },
            )
            for mail in mails
        ]

    return store.run(work)


def run(engine: Engine) -> int:
    """Send those that wait; how many left. One that a dead process had in its hands is not sent again: its draft, if it
    stands, is taken away."""
    sent = 0
    while (row := _claim(engine)) is not None:
        try:
            state, detail = _left_over(engine, row) if row["state"] == "sending" else _send(engine, row)
        except MailAuthError as exc:
            mailbox_dead(engine, row["mailbox_id"], str(exc))
            state, detail = "failed", str(exc)
        except OutreachError as exc:
            state, detail = "failed", str(exc)
        engine.store.write(
            "UPDATE test_sends SET state = ?, detail = ?, lease_until = NULL WHERE id = ?",
            state,
            detail,
            row["id"],
        )
        sent += state == "sent"
    return sent


def _claim(engine: Engine) -> dict[str, Any] | None:
    store, now = engine.store, engine.now()

    def work() -> dict[str, Any] | None:
        row = store.one(
            "SELECT * FROM test_sends WHERE lease_until <= ? ORDER BY lease_until, id LIMIT 1"
            + (" FOR UPDATE SKIP LOCKED" if store.dialect == "postgresql" else ""),
            now,
        )
        if row is not None:
            store.write(
                "UPDATE test_sends SET state = 'sending', lease_until = ? WHERE id = ?",
                now + LEASE,
                row["id"],
            )
        return row

    return store.run(work)


def _send(engine: Engine, row: dict[str, Any]) -> tuple[str, str | None]:
    box = engine.store.one(
        f"SELECT m.*, i.armed, i.halted_at, {lent_to('m', '?')} AS lent FROM mailboxes m CROSS JOIN installation i "
        "WHERE m.id = ?",
        row["owner_id"],
        row["owner_id"],
        row["mailbox_id"],
    )
    if box is None or box["status"] != "connected" or not box["lent"]:
        return "failed", "The mailbox isn't connected, or isn't lent any more."
    if not box["armed"] or box["halted_at"] is not None:
        return "failed", "All sending is halted."
    transport = engine.transport(box)
    engine.store.idle()
    message = OutgoingMessage(
        sender=Address(box["address"], box["name"] or ""),
        to=(Address(row["recipient"]),),
        subject=row["subject"],
        text=row["body_text"],
        html=row["body_html"],
        date=engine.now(),
    )
    draft = transport.create_draft(message, send_key=row["send_key"])
    hit("test_drafted")
    try:
        transport.send_draft(draft.provider_draft_id)
    except (MailOutcomeUnknown, MailNotFound):
        return "unknown", "It may have left: look into the inbox before you try again."
    except MailError:
        transport.delete_draft(draft.provider_draft_id)
        raise
    return "sent", None


def _left_over(engine: Engine, row: dict[str, Any]) -> tuple[str, str | None]:
    box = engine.store.one("SELECT * FROM mailboxes WHERE id = ?", row["mailbox_id"])
    if box is not None and box["status"] == "connected":
        transport = engine.transport(box)
        stray = transport.find_draft(row["send_key"])
        if stray is not None:
            transport.delete_draft(stray.provider_draft_id)
            return "failed", "The process that sent it died before it did. Try again."
    return "unknown", "It may have left: look into the inbox before you try again."
