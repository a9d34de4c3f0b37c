"""Watches: what makes a provider tell of news at once. Polling goes on whatever becomes of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable
from typing import Any

from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import MailAuthError, MailError, MailNotFound
from outreach_sdk.mail.port import CanWatch

__all__ = ["LOOK_AGAIN", "news", "notified", "renew"]

logger = logging.getLogger(__name__)

LOOK_AGAIN = dt.timedelta(seconds=8)
"""After a push the mailbox is read at once, and again this much later: history may lag behind the push."""
RENEW_EVERY = dt.timedelta(days=1)
LEASE = dt.timedelta(minutes=5)
FAILED_WAITS = (
    dt.timedelta(minutes=5),
    dt.timedelta(minutes=30),
    dt.timedelta(hours=3),
    dt.timedelta(hours=12),
)
PATHS = {"gmail": "/webhooks/gmail", "outlook": "/webhooks/outlook"}


def digest(secret: str) -> str:
    """How a clientState is kept."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def news(engine: Engine, provider: str, address: str) -> int:
    """A provider says that something happened in a mailbox; how many of ours that is."""
    return _look(engine, "provider = ? AND address = ?", provider, address)


def _look(engine: Engine, where: str, *params: Any) -> int:
    now = engine.now()
    return engine.store.write(
        f"UPDATE mailboxes SET next_poll_at = ?, look_again_at = ? WHERE {where} AND status = 'connected'",
        now,
        now + LOOK_AGAIN,
        *params,
    )


def notified(engine: Engine, items: Iterable[dict[str, Any]]) -> int:
    """Graph's notifications, some of which may be forged; how many were genuine. Each is answered: a change and
    `missed` by a look, `subscriptionRemoved` by a new subscription, `reauthorizationRequired` by a reauthorisation."""
    store, now, genuine = engine.store, engine.now(), 0
    for item in items:
        subscription, state = item.get("subscriptionId"), item.get("clientState")
        if not isinstance(subscription, str) or not isinstance(state, str) or "\x00" in subscription:
            continue
        row = store.one(
            "SELECT * FROM watches WHERE provider = 'outlook' AND external_id = ?",
            subscription[:200].encode("utf-8", "replace").decode(),
        )
        if row is None or not hmac.compare_digest(row["secret_hash"] or "", digest(state)):
            continue
        genuine += 1
        match item.get("lifecycleEvent"):
            case "subscriptionRemoved":
                store.write(
                    "UPDATE watches SET external_id = NULL, renew_at = ?, tries = 0 WHERE id = ? AND external_id = ?",
                    now,
                    row["id"],
                    row["external_id"],
                )
                _soon(engine)
            case "reauthorizationRequired":
                store.write(
                    "UPDATE watches SET reauthorise = ?, renew_at = ?, tries = 0 WHERE id = ?",
                    True,
                    now,
                    row["id"],
                )
                _soon(engine)
        _look(engine, "id = ?", row["mailbox_id"])
    return genuine


def _soon(engine: Engine) -> None:
    """Have upkeep done at the clock's next tick."""
    engine.store.write("UPDATE installation SET upkeep_at = ?", engine.now())


def renew(engine: Engine) -> int:
    """Set up, renew and reauthorise the watches that are due; how many stand for a while longer."""
    if engine.public_url is None:
        return 0
    store, done = engine.store, 0
    for box in store.rows(
        "SELECT * FROM mailboxes WHERE status = 'connected' AND provider IN ('gmail', 'outlook')"
    ):
        target = engine.push_topic if box["provider"] == "gmail" else engine.public_url + PATHS["outlook"]
        if target is not None:
            done += _one(engine, box, target)
    return done


def _one(engine: Engine, box: dict[str, Any], target: str) -> bool:
    store, now = engine.store, engine.now()
    store.write(
        "INSERT INTO watches (workspace_id, mailbox_id, provider, target, renew_at, reauthorise, tries) "
        "VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (mailbox_id) DO NOTHING",
        box["workspace_id"],
        box["id"],
        box["provider"],
        target,
        now,
        False,
    )
    with store.tx():
        taken = store.rows(
            "UPDATE watches SET renew_at = ? WHERE mailbox_id = ? AND (renew_at <= ? OR target <> ?) RETURNING *",
            now + LEASE,
            box["id"],
            now,
            target,
        )
    if not taken:
        return False
    watch = taken[0]
    fresh = watch["external_id"] is None or watch["target"] != target or watch["provider"] != box["provider"]
    secret = secrets.token_urlsafe(32)
    try:
        transport = engine.transport(box)
        if not isinstance(transport, CanWatch):
            return False
        if not fresh:
            try:
                stands = transport.renew_watch(
                    watch["external_id"], target, reauthorise=bool(watch["reauthorise"])
                )
            except MailNotFound:
                fresh = True
        if fresh:
            stands = transport.watch(target, secret)
    except MailError as exc:
        return _failed(engine, box, watch, exc)
    store.write(
        "UPDATE watches SET provider = ?, external_id = ?, secret_hash = ?, target = ?, expires_at = ?, renew_at = ?, "
        "reauthorise = ?, error = NULL, tries = 0 WHERE id = ?",
        box["provider"],
        stands.external_id,
        digest(secret) if fresh else watch["secret_hash"],
        target,
        stands.expires_at,
        min(now + RENEW_EVERY, now + (stands.expires_at - now) / 2),
        False,
        watch["id"],
    )
    return True


def _failed(engine: Engine, box: dict[str, Any], watch: dict[str, Any], exc: MailError) -> bool:
    """Polling goes on; the mailbox says what is wrong."""
    now = engine.now()
    wait = FAILED_WAITS[min(watch["tries"], len(FAILED_WAITS) - 1)]
    if not isinstance(exc, MailAuthError):  # which the poll reports, and pauses what has to be paused
        logger.info("the watch on mailbox %d couldn't be renewed: %s", box["id"], type(exc).__name__)
    engine.store.write(
        "UPDATE watches SET error = ?, tries = tries + 1, renew_at = ? WHERE id = ?",
        str(exc),
        now + wait,
        watch["id"],
    )
    return False
