"""Whose turn it is to read a mailbox: one reader at a time, and what is known of a mailbox that can't be read."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import MailError, OutreachError
from outreach_sdk.mail.port import Unread
from outreach_sdk.storage.store import Store

__all__ = ["failed", "give_back", "going_on", "held", "keep", "take", "tell_unread", "took", "waits"]

logger = logging.getLogger(__name__)

TURN = dt.timedelta(seconds=90)
"""How long a reader that doesn't say that it goes on counts as alive."""
LONGEST_BATCH = dt.timedelta(minutes=15)
"""How long one batch may take before its reader counts as stuck."""
LONGEST = dt.timedelta(hours=1)
"""The most that a provider's own time to wait is taken for."""
FAILED_WAITS = (15.0, 300.0)
"""Seconds for which nobody who wants to send asks again after a failure; they double up to the second."""
UNSEEN = dt.timedelta(hours=2)
"""How long a mailbox may fail before its owner is told that answers aren't seen."""


def take(engine: Engine, mailbox_id: int) -> dict[str, Any] | None:
    """The mailbox's row, to be read by this caller alone until `give_back`; None where it isn't connected, somebody else
    is at it, or its provider asked to be left alone."""
    store, now = engine.store, engine.now()

    def work() -> dict[str, Any] | None:
        return store.one(
            "UPDATE mailboxes SET reading_until = ? WHERE id = ? AND status = 'connected' AND "
            "(reading_until IS NULL OR reading_until <= ? OR reading_until > ?) AND (read_tries > 0 OR "
            "read_wait_until IS NULL OR read_wait_until <= ? OR read_wait_until > ?) RETURNING *",
            now + _turn(engine),
            mailbox_id,
            now,
            now + TURN,  # from before the clock was set back
            now,
            now + LONGEST,
        )

    return store.run(work)


def _turn(engine: Engine) -> dt.timedelta:
    """How long a turn lasts that nobody gives back: no longer than any other claim of a process that died."""
    return min(TURN, engine.lease)


@contextmanager
def going_on(engine: Engine, box: dict[str, Any]) -> Iterator[None]:
    """Within this the turn goes on, however slowly a batch comes in; the row is nobody else's to change."""
    over = threading.Event()
    every = _turn(engine) / 3

    def go_on() -> None:
        try:
            for _ in range(LONGEST_BATCH // every):
                if over.wait(every.total_seconds()) or not _extended(engine, box):
                    return
        except OutreachError as exc:  # the reader itself finds out
            logger.warning("mailbox %d: its turn couldn't be extended: %s", box["id"], exc)
        finally:
            engine.store.idle()

    going = threading.Thread(target=go_on, name=f"turn-{box['id']}", daemon=True)
    going.start()
    try:
        yield
    finally:
        over.set()
        going.join()


def _extended(engine: Engine, box: dict[str, Any], sets: str = "", *params: Any) -> bool:
    """Whether the turn, which lasts anew, was still this reader's."""
    until = engine.now() + _turn(engine)
    if not _write(engine.store, box, f"{sets}reading_until = ?", *params, until):
        return False
    box["reading_until"] = until
    return True


def held(box: dict[str, Any], now: dt.datetime) -> bool:
    """Whether somebody is reading it."""
    return box["reading_until"] is not None and now < box["reading_until"] <= now + TURN


def waits(box: dict[str, Any], now: dt.datetime) -> float:
    """For how many seconds it isn't to be asked."""
    until = box["read_wait_until"]
    return (until - now).total_seconds() if until is not None and now < until <= now + LONGEST else 0.0


def keep(engine: Engine, box: dict[str, Any], cursor: str, *, well: bool = True) -> bool:
    """A batch is stored: the cursor moves, the turn goes on. False: it is somebody else's by now. Unless that went `well`
    it goes on counting as failing."""
    since = None if well else box["first_failed_at"]
    if not _extended(engine, box, "cursor = ?, first_failed_at = ?, ", cursor, since):
        return False
    box.update(cursor=cursor, first_failed_at=since)
    return True


_WELL = "CASE WHEN status = 'connected' THEN NULL ELSE status_detail END"
"""SQL: what else is wrong with it stays said, as that its grant died while it was read."""


def took(engine: Engine, box: dict[str, Any], cursor: str, began: dt.datetime) -> None:
    """All is stored that had come in when it `began`."""
    _write(
        engine.store,
        box,
        # A push that came meanwhile, or whose message didn't show yet, is looked for again soon.
        "cursor = ?, polled_at = ?, next_poll_at = CASE WHEN look_again_at > ? THEN look_again_at ELSE CAST(? AS BIGINT) "
        f"END, status_detail = {_WELL}, read_wait_until = NULL, read_tries = 0, "
        "first_failed_at = NULL, reading_until = NULL, unusable = NULL, "
        "wait_until = CASE WHEN unusable IS NULL THEN wait_until END",
        cursor,
        began,
        began,
        began + engine.poll_every,
    )


def give_back(engine: Engine, box: dict[str, Any], *, again: bool = False) -> None:
    """Somebody else may read it; `again`, for there is more."""
    if again:
        _write(engine.store, box, f"next_poll_at = ?, status_detail = {_WELL}, read_tries = 0", engine.now())
    _write(engine.store, box, "reading_until = NULL")


def failed(engine: Engine, box: dict[str, Any], exc: MailError) -> None:
    """It couldn't be read: its provider's own time is waited for, else one that doubles."""
    store, now = engine.store, engine.now()
    stated = vars(exc).get("retry_after")
    first, most = FAILED_WAITS
    tries = 0 if stated is not None else box["read_tries"] + 1
    seconds = float(stated) if stated is not None else min(first * 2.0 ** min(tries - 1, 8), most)
    wait = min(dt.timedelta(seconds=seconds), LONGEST)
    since = box["first_failed_at"] or now
    soon = dt.timedelta(seconds=5 if stated is not None else 60)
    _write(
        store,
        box,
        f"status_detail = {_WELL.replace('NULL', '?')}, first_failed_at = ?, read_tries = ?, read_wait_until = ?, "
        "next_poll_at = ?",
        str(exc),
        since,
        tries,
        now + wait,
        now + min(max(wait, soon), engine.poll_every),
    )
    if now - since >= UNSEEN:
        seen = box["polled_at"] or box["created_at"]
        notify(
            store,
            workspace_id=box["workspace_id"],
            owner_id=box["owner_id"],
            kind="answers_unseen",
            text=f"Answers that came to {box['address']} after {seen:%d %b, %H:%M} UTC aren't seen, for it can't be read: "
            f"{str(exc).rstrip('.')}. Follow-ups from it wait.",
            dedupe=f"answers_unseen:{box['id']}:{seen.isoformat()}",
            now=now,
        )


def tell_unread(engine: Engine, box: dict[str, Any], unread: Iterable[Unread]) -> None:
    """Say which messages can't be read: one of them may be an answer."""
    for one in unread:
        if _tell(engine, box, one):
            logger.warning("mailbox %d: message %s can't be read", box["id"], one.provider_message_id)


def _tell(engine: Engine, box: dict[str, Any], one: Unread) -> bool:
    return notify(
        engine.store,
        workspace_id=box["workspace_id"],
        owner_id=box["owner_id"],
        kind="message_unread",
        text=f"A message that came to {box['address']} can't be read ({one.why.rstrip('.')}). If it is a candidate's "
        "answer, nothing stops by itself: look into the mailbox.",
        dedupe=f"message_unread:{box['id']}:{one.provider_message_id}",
        now=engine.now(),
    )


def _write(store: Store, box: dict[str, Any], sets: str, *params: Any) -> bool:
    """Change the mailbox's row, if the turn is still this reader's."""
    taken = store.write(
        f"UPDATE mailboxes SET {sets} WHERE id = ? AND reading_until = ?",
        *params,
        box["id"],
        box["reading_until"],
    )
    return taken == 1
