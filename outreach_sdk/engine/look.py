"""The last look before a follow-up: has this person answered meanwhile?"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from outreach_sdk.engine import sync, turns
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import mailbox_dead
from outreach_sdk.engine.release import retry_later
from outreach_sdk.errors import ConfigError, MailAuthError, MailError, MailRateLimited, MailTemporary
from outreach_sdk.mail.port import MailTransport

__all__ = ["ANSWERED", "hold", "last_look", "needed"]

THREADS = 5
"""Threads with the same person that are read, latest first."""

PATIENCE = 10.0
"""Seconds to wait for a mailbox that somebody else is reading."""

LOOK_BACK = dt.timedelta(days=180)

ANSWERED = "answered"
"""Something came in that stops or moves the journey."""


def needed(entry: dict[str, Any]) -> bool:
    """Whether anyone here wrote to this person before, so that there may be something to find."""
    return bool(entry["known_before"])


def hold(
    engine: Engine, entry: dict[str, Any], transport: MailTransport, *, threads: bool = True
) -> str | None:
    """None after a look that found nothing, at the mailbox alone or with `threads` at theirs as well; ANSWERED; or what
    the entry waits as. A look that fails counts against it, one that has to wait doesn't."""
    try:
        if threads:
            return last_look(engine, entry, transport)
        up_to_date(engine, entry)
    except MailAuthError:
        raise
    except MailRateLimited as exc:
        wait = dt.timedelta(seconds=exc.retry_after or MailRateLimited.retry_after)
        return retry_later(engine, entry, None, until=engine.now() + wait)
    except MailError as exc:
        return retry_later(engine, entry, exc)
    return None


def up_to_date(engine: Engine, entry: dict[str, Any]) -> None:
    """Have the entry's mailbox read, by this thread or whoever is at it, unless it was within two intervals. MailRateLimited:
    that will take a while; another MailError: it can't be read."""
    deadline, mailbox_id = time.monotonic() + PATIENCE, entry["mailbox_id"]
    polled_at = entry["polled_at"]
    while True:
        now = engine.now()
        if polled_at is not None and now - polled_at <= 2 * engine.poll_every:
            return
        box = engine.store.one("SELECT * FROM mailboxes WHERE id = ?", mailbox_id)
        if box is None or box["status"] != "connected":
            return  # which the fence minds
        if polled_at != box["polled_at"]:
            polled_at = box["polled_at"]
            continue
        if wait := turns.waits(box, now):
            kind = MailTemporary if box["read_tries"] else MailRateLimited
            raise kind(str(box["status_detail"] or "The mailbox can't be read yet."), retry_after=wait)
        if time.monotonic() >= deadline:
            raise MailRateLimited(f"{box['address']} is still being read.", retry_after=PATIENCE)
        if turns.held(box, now):
            engine.store.idle()
            time.sleep(0.1)
        else:
            sync.poll_mailbox(engine, mailbox_id)


def last_look(engine: Engine, entry: dict[str, Any], transport: MailTransport) -> str | None:
    """None: go on; ANSWERED. MailRateLimited: nobody can look yet; another MailError: a mailbox couldn't be read. Only
    where it is `needed`."""
    store, now = engine.store, engine.now()
    up_to_date(engine, entry)
    threads = store.rows(
        "SELECT mailbox_id, provider_thread_id, MAX(sent_at) AS last_at FROM outbox WHERE candidate_id = ? "
        "AND sent_at > ? AND provider_thread_id IS NOT NULL GROUP BY mailbox_id, provider_thread_id "
        "ORDER BY 3 DESC LIMIT ?",
        entry["candidate_id"],
        now - LOOK_BACK,
        THREADS,
    )
    for thread in threads:
        box = store.one("SELECT * FROM mailboxes WHERE id = ?", thread["mailbox_id"])
        own = box is not None and box["id"] == entry["mailbox_id"]
        if box is None or (box["status"] != "connected" and not own):
            continue
        try:
            reader = transport if own else engine.transport(box)
            for message in reader.read_thread(thread["provider_thread_id"]):
                sync.take_in(engine, box, message, again=True)
        except MailAuthError as exc:
            if own:
                raise
            mailbox_dead(engine, box["id"], str(exc))
        except ConfigError as exc:  # no key here opens another mailbox they were written to from
            raise MailTemporary(str(exc)) from exc
    sync.process_open(engine)
    journey = store.one("SELECT status, generation FROM journeys WHERE id = ?", entry["journey_id"])
    if (
        journey is None
        or journey["status"] != "active"
        or journey["generation"] != entry["journey_generation"]
    ):
        entry["journey_status"] = journey["status"] if journey is not None else "gone"
        return ANSWERED
    return None
