"""Notices outside the product: by e-mail, by Slack, each as it comes or once a day together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from outreach_sdk.errors import MailError, MailOutcomeUnknown, MailRateLimited
from outreach_sdk.storage.store import Store, in_marks

__all__ = ["MAIL", "SLACK", "Channel", "Notices", "tell", "waiting"]

TRIES = 5
LEASE = dt.timedelta(minutes=2)
STALE = dt.timedelta(days=2)
"""What couldn't be told for so long isn't told any more: it stands in the product, and a channel that is set up
later mustn't begin with all that ever happened."""
AT_MOST = 50
"""Notices that one digest spells out."""


class Notices(Protocol):
    """What carries a notice to where its owner reads it."""

    def send(self, to: str, subject: str, text: str, *, key: str) -> None:
        """Once. MailOutcomeUnknown: it may have arrived. MailRefused, MailTemporary, MailRateLimited, MailAuthError."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """The columns that say what of a notice is still to be told, and SQL for where its owner `u` reads it."""

    due: str
    tries: str
    told: str
    address: str


MAIL = Channel(
    "mail_due_at",
    "mail_tries",
    "mailed_at",
    "COALESCE(u.email, (SELECT m.address FROM mailboxes m WHERE m.owner_id = u.id "
    "ORDER BY m.is_default DESC, m.id LIMIT 1))",
)
SLACK = Channel("slack_due_at", "slack_tries", "slacked_at", "u.slack_url")


def waiting(store: Store, channel: Channel, now: dt.datetime) -> bool:
    """Whether something is to be told now."""
    return bool(
        store.value(
            f"SELECT 1 FROM notifications WHERE {channel.due} <= ? ORDER BY {channel.due} LIMIT 1", now
        )
    )


def tell(store: Store, channel: Channel, carrier: Notices, now: Callable[[], dt.datetime]) -> int:
    """Tell what is due; how many messages went out. A due time is the lease of whoever tells: a crash between the
    message and its record tells it once more, two minutes later (mail with the same Message-ID)."""
    stale = f"SELECT id FROM notifications WHERE {channel.due} <= ? ORDER BY {channel.due} LIMIT 1000"
    store.write(f"UPDATE notifications SET {channel.due} = NULL WHERE id IN ({stale})", now() - STALE)
    sent = 0
    while (rows := _claim(store, channel, now())) is not None:
        if not rows:  # another process was quicker
            continue
        sent += _one(store, channel, carrier, rows, now)
    return sent


def _claim(store: Store, channel: Channel, now: dt.datetime) -> list[dict[str, Any]] | None:
    """The next notice, or for a digest all of its owner's; None where nothing is due."""

    def work() -> list[dict[str, Any]] | None:
        head = store.one(
            f"SELECT n.id, n.owner_id, u.tell, {channel.address} AS address FROM notifications n "
            f"JOIN users u ON u.id = n.owner_id WHERE n.{channel.due} <= ? ORDER BY n.{channel.due}, n.id LIMIT 1",
            now,
        )
        if head is None:
            return None
        which = ("owner_id", head["owner_id"]) if head["tell"] == "digest" else ("id", head["id"])
        rows = store.rows(
            f"UPDATE notifications SET {channel.due} = ?, {channel.tries} = {channel.tries} + 1 "
            f"WHERE {which[0]} = ? AND {channel.due} <= ? RETURNING *",
            now + LEASE,
            which[1],
            now,
        )
        rows.sort(key=lambda r: r["id"])
        return [{**r, "address": head["address"]} for r in rows]

    return store.run(work)


def _one(
    store: Store,
    channel: Channel,
    carrier: Notices,
    rows: list[dict[str, Any]],
    now: Callable[[], dt.datetime],
) -> int:
    ids = [r["id"] for r in rows]
    where = f"WHERE id IN {in_marks(ids)}"
    if not rows[0]["address"]:
        store.write(f"UPDATE notifications SET {channel.due} = NULL {where}", *ids)
        return 0
    store.idle()
    try:
        carrier.send(
            str(rows[0]["address"]),
            *_words(rows),
            key=f"notice-{rows[0]['id']}-{len(rows)}-{rows[0]['created_at']:%Y%m%d%H%M%S}",
        )
    except MailOutcomeUnknown:
        pass  # told perhaps; twice would be worse, and it stands in the product
    except MailError as exc:
        again: dt.datetime | None = None
        if not exc.permanent and rows[0][channel.tries] < TRIES:
            wait = exc.retry_after if isinstance(exc, MailRateLimited) and exc.retry_after else None
            again = now() + (dt.timedelta(seconds=wait) if wait else LEASE * rows[0][channel.tries])
        store.write(f"UPDATE notifications SET {channel.due} = ? {where}", again, *ids)
        return 0
    store.write(f"UPDATE notifications SET {channel.due} = NULL, {channel.told} = ? {where}", now(), *ids)
    return 1


def _words(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """(subject, text)."""
    if len(rows) == 1:
        return f"Outreach: {str(rows[0]['kind']).replace('_', ' ')}", str(rows[0]["text"])
    lines = [f"• {' '.join(str(r['text']).split())}" for r in rows[:AT_MOST]]
    if len(rows) > AT_MOST:
        lines.append(f"… and {len(rows) - AT_MOST} more: outreach.notifications()")
    return f"Outreach: {len(rows)} notices", "\n".join(lines)
