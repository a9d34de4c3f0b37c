"""A mailbox writes to itself before anything else leaves it: what sending once rests on, and providers don't
promise, is checked on the live account (docs/sending.md)."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from outreach_sdk.domain.message import Address, OutgoingMessage, text_hash
from outreach_sdk.domain.pacing import Priority
from outreach_sdk.domain.threading import reply_subject
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import mailbox_dead, remember_identities
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import (
    ConfigError,
    MailAuthError,
    MailError,
    MailNotFound,
    MailRefused,
    OutreachError,
)
from outreach_sdk.mail.port import Fingerprint, HasIdentities, HasPeculiarities, MailTransport, SentMessage

__all__ = ["FACTS", "OK", "run_test", "run_waiting", "waiting"]

logger = logging.getLogger(__name__)

OK = "ok"
FACTS = {
    "address": "The grant opens the mailbox it is for.",
    "draft": "A draft is found by its marker.",
    "marker": "The marker survives sending.",
    "listed": "Sent lists a message at once.",
    "once": "A draft that was sent can't be sent again.",
    "threading": "A follow-up stays in the thread.",
}
"""What is checked; a provider may add facts of its own."""

AT_ONCE = 5.0
"""Seconds within which Sent must list what was accepted."""
LEASE = dt.timedelta(minutes=5)
LONGEST_WAIT = 900.0


def waiting(engine: Engine, limit: int = 20) -> list[int]:
    """Mailboxes to be tested now: somebody asked, or something is due that may not leave untested."""
    now = engine.now()
    # Not EXISTS: of the plan that PostgreSQL keeps for any moment, it would take a third of all journeys for due.
    due = " OR ".join(
        "COALESCE((SELECT MIN(j.next_due_at) FROM journeys j WHERE j.lane = m.id "
        f"AND j.priority = {priority} AND j.next_due_at IS NOT NULL) <= ?, FALSE)"
        for priority in (Priority.FOLLOW_UP.value, Priority.FIRST.value)
    )
    return [
        row["id"]
        for row in engine.store.rows(
            "SELECT m.id FROM mailboxes m WHERE m.status = 'connected' AND (m.check_next_at IS NULL OR m.check_next_at <= ?) "
            "AND (m.check_asked_at IS NOT NULL OR (m.checked_at IS NULL AND m.check_failed IS NULL AND "
            f"({due} OR EXISTS (SELECT 1 FROM outbox o WHERE o.mailbox_id = m.id AND o.state = 'planned' "
            "AND o.lease_until <= ?)))) ORDER BY m.id LIMIT ?",
            now,
            now,
            now,
            now,
            limit,
        )
    ]


def run_waiting(engine: Engine, log: Callable[[str], None] = lambda _: None) -> int:
    """Test every mailbox that waits for it; how many passed."""
    passed = 0
    for mailbox_id in waiting(engine):
        taken = engine.store.write(
            "UPDATE mailboxes SET check_next_at = ? WHERE id = ? AND (check_next_at IS NULL OR check_next_at <= ?)",
            engine.now() + LEASE,
            mailbox_id,
            engine.now(),
        )
        if taken != 1:
            continue
        try:
            facts = run_test(engine, mailbox_id)
        except OutreachError as exc:
            log(f"self-test: {exc}")
        except Exception:  # one mailbox's trouble, of whatever kind, must not end everybody's tests
            logger.exception("self-test of mailbox %d", mailbox_id)
        else:
            passed += all(v == OK for v in facts.values())
        finally:
            engine.store.idle()
    return passed


def run_test(engine: Engine, mailbox_id: int, *, whole: bool = True) -> dict[str, str]:
    """Each fact: "ok", or a sentence on what was seen instead. It is recorded: a mailbox that passes may send,
    one that doesn't is disarmed and its owner told. No answer decides nothing (MailTemporary and the like): the
    engine tries again later. MailAuthError: the grant is dead, as anywhere. Not `whole`: it is only asked whose
    mailbox it is, and nothing is sent."""
    store = engine.store
    box = store.one("SELECT * FROM mailboxes WHERE id = ?", mailbox_id)
    if box is None or box["status"] != "connected":
        raise MailAuthError("This mailbox isn't connected. Connect it again.")
    try:
        transport = engine.transport(box)
        facts = _facts(engine, box, transport) if whole else _address(box, transport)
        if isinstance(transport, HasIdentities):
            remember_identities(store, mailbox_id, transport.identities())
    except MailAuthError as exc:
        store.write(
            "UPDATE mailboxes SET check_asked_at = NULL, check_next_at = NULL WHERE id = ?", mailbox_id
        )
        mailbox_dead(engine, mailbox_id, str(exc))
        raise
    except (MailError, ConfigError) as exc:
        if isinstance(exc, MailError) and exc.permanent:
            _settle(engine, box, {"answers": str(exc)}, str(exc))
        else:
            tries = int(box["check_tries"] or 0) + 1
            wait = max(exc.retry_after or 0.0, min(15.0 * 2**tries, LONGEST_WAIT))
            store.write(
                "UPDATE mailboxes SET check_tries = ?, check_next_at = ?, check_facts = ? WHERE id = ?",
                tries,
                engine.now() + dt.timedelta(seconds=wait),
                json.dumps({"answers": str(exc)}),
                mailbox_id,
            )
        raise
    wrong = [v for v in facts.values() if v != OK]
    if not whole and not wrong:
        return facts
    _settle(engine, box, facts, " ".join(wrong) or None)
    return facts


def _settle(engine: Engine, box: dict[str, Any], facts: dict[str, str], failed: str | None) -> None:
    store, now = engine.store, engine.now()
    with store.tx():
        store.write(
            "UPDATE mailboxes SET checked_at = ?, check_failed = ?, check_facts = ?, check_asked_at = NULL, "
            "check_next_at = NULL, check_tries = NULL WHERE id = ?",
            now if failed is None else None,
            failed,
            json.dumps(facts),
            box["id"],
        )
        if failed is not None:
            notify(
                store,
                workspace_id=box["workspace_id"],
                owner_id=box["owner_id"],
                kind="check_failed",
                text=f"Nothing leaves {box['address']}: it didn't pass its self-test. {failed} "
                "box.check() tests it again.",
                dedupe=f"check_failed:{box['id']}:{now.isoformat()}",
                now=now,
            )


def _facts(engine: Engine, box: dict[str, Any], transport: MailTransport) -> dict[str, str]:
    facts = {**dict.fromkeys(FACTS, "Not reached: an earlier check failed."), **_address(box, transport)}
    if facts["address"] != OK:
        return facts
    engine.store.idle()
    began, key, words = engine.now(), engine.new_key(), engine.new_key()[:8]
    first = _letter(box, f"Outreach self-test {words}")
    draft = transport.create_draft(first, send_key=key)
    draft_id = draft.provider_draft_id
    try:
        found = transport.find_draft(key)
        seen = found is not None and found.provider_draft_id == draft_id and transport.draft_exists(draft_id)
        facts["draft"] = OK if seen else "A draft just made isn't found by its marker."
        if isinstance(transport, HasPeculiarities):
            facts.update(transport.peculiarities(draft_id))
        if any(facts[name] != OK for name in facts.keys() - FACTS.keys()) or not seen:
            transport.delete_draft(draft_id)
            return facts
        sent = transport.send_draft(draft_id)
    except MailError:
        _tidy(transport, draft_id)
        raise
    facts["marker"], facts["listed"] = _listed(transport, key, began, first)
    facts["once"] = _once(transport, draft_id)
    facts["threading"] = _threads(
        engine, transport, box, first, transport.read_sent(sent.provider_message_id)
    )
    return facts


def _address(box: dict[str, Any], transport: MailTransport) -> dict[str, str]:
    said = transport.address().lower()
    same = said == box["address"]
    return {
        "address": OK if same else f"The grant opens {said}, not {box['address']}. Connect the right account."
    }


def _tidy(transport: MailTransport, draft_id: str) -> None:
    try:
        transport.delete_draft(draft_id)
    except MailError:
        return  # it says of itself that it can be deleted


def _letter(
    box: dict[str, Any], subject: str, text: str | None = None, *, after: SentMessage | None = None
) -> OutgoingMessage:
    me = Address(box["address"], box["name"] or "")
    refs = (after.rfc_message_id,) if after is not None and after.rfc_message_id else ()
    return OutgoingMessage(
        sender=me,
        to=(me,),
        subject=subject,
        text=text or "outreach-sdk wrote this to check how this mailbox sends. You can delete it.\n",
        headers=(("X-Outreach-Self-Test", "1"),),
        in_reply_to=refs[-1] if refs else None,
        references=refs,
        provider_thread_id=after.provider_thread_id if after is not None else None,
        date=dt.datetime.now(dt.UTC),
    )


def _listed(
    transport: MailTransport, key: str, since: dt.datetime, letter: OutgoingMessage
) -> tuple[str, str]:
    """(marker, listed): found by the key within seconds; by its looks alone; or not."""
    deadline = time.monotonic() + AT_ONCE
    looks = Fingerprint(letter.recipients(), letter.subject, text_hash(letter.text))
    nothing = Fingerprint(frozenset(), "", "")
    while True:
        if transport.find_sent(send_key=key, since=since, fingerprint=nothing) is not None:
            return OK, OK
        if transport.find_sent(send_key=key, since=since, fingerprint=looks) is not None:
            return "The provider drops the marker by which a send is found again.", OK
        if time.monotonic() > deadline:
            return (
                "It couldn't be looked for.",
                f"Sent doesn't list a message {AT_ONCE:.0f} s after it was accepted.",
            )
        time.sleep(0.25)


def _once(transport: MailTransport, draft_id: str) -> str:
    try:
        transport.send_draft(draft_id)
    except (MailNotFound, MailRefused):
        return OK
    return "A draft that was sent could be sent again: e-mails might leave twice."


def _threads(
    engine: Engine, transport: MailTransport, box: dict[str, Any], letter: OutgoingMessage, sent: SentMessage
) -> str:
    if sent.rfc_message_id is None or sent.provider_thread_id is None:
        return "The provider doesn't say which Message-ID and thread a sent message has."
    follow = _letter(box, reply_subject(letter.subject), "And this is its follow-up.\n", after=sent)
    draft = transport.create_draft(follow, send_key=engine.new_key())
    try:
        second = transport.send_draft(draft.provider_draft_id)
    except MailError:
        _tidy(transport, draft.provider_draft_id)
        raise
    second = transport.read_sent(second.provider_message_id)
    there = {m.provider_message_id for m in transport.read_thread(sent.provider_thread_id)}
    if second.provider_thread_id != sent.provider_thread_id or second.provider_message_id not in there:
        return "A follow-up doesn't stay in the thread of the e-mail it follows."
    return OK
