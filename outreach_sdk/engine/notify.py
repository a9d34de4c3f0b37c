"""Telling owners, each thing once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Protocol

from outreach_sdk.errors import MailError
from outreach_sdk.storage.store import Store

__all__ = ["Notices", "mail_notices", "notify"]


def notify(
    store: Store,
    *,
    workspace_id: int,
    owner_id: int,
    kind: str,
    text: str,
    dedupe: str,
    now: dt.datetime,
    journey_id: int | None = None,
    sequence_id: int | None = None,
) -> bool:
    """Record a notification in the product (e-mailed later where SMTP is set). `dedupe` names the fact,
    so that being told twice of it tells the owner once. False if it was known."""
    return (
        store.write(
            "INSERT INTO notifications (workspace_id, owner_id, kind, text, journey_id, sequence_id, dedupe, "
            "created_at, mail_tries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (dedupe) DO NOTHING",
            workspace_id,
            owner_id,
            kind,
            text,
            journey_id,
            sequence_id,
            dedupe,
            now,
        )
        == 1
    )


class Notices(Protocol):
    """What carries a notice to an owner's own inbox."""

    def send(self, to: str, subject: str, text: str, *, key: str) -> None: ...


MAIL_TRIES = 5


def mail_notices(store: Store, carrier: Notices, now: Callable[[], dt.datetime]) -> int:
    """Send the notifications that weren't mailed yet; how many. Each is leased while it is tried, and
    bears the same Message-ID when tried again."""
    sent = 0
    while True:
        row = store.one(
            "UPDATE notifications SET mail_lease = ?, mail_tries = mail_tries + 1 WHERE id = (SELECT id FROM "
            "notifications WHERE mailed_at IS NULL AND mail_tries < ? AND (mail_lease IS NULL OR mail_lease <= ?) "
            "ORDER BY id LIMIT 1) AND mailed_at IS NULL AND (mail_lease IS NULL OR mail_lease <= ?) RETURNING *",
            now() + dt.timedelta(minutes=2),
            MAIL_TRIES,
            now(),
            now(),
        )
        if row is None:
            return sent
        to = store.value("SELECT email FROM users WHERE id = ?", row["owner_id"]) or store.value(
            "SELECT address FROM mailboxes WHERE owner_id = ? ORDER BY is_default DESC, id LIMIT 1",
            row["owner_id"],
        )
        if to is not None:
            subject = f"Outreach: {str(row['kind']).replace('_', ' ')}"
            try:
                carrier.send(
                    str(to), subject, row["text"], key=f"notice-{row['id']}-{row['created_at']:%Y%m%d%H%M%S}"
                )
            except MailError:
                continue
            sent += 1
        store.write("UPDATE notifications SET mailed_at = ? WHERE id = ?", now(), row["id"])
