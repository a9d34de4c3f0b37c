"""Reading mailboxes: what came in, whose journey it belongs to, and what that means for it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import plain_email
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.engine import apart, failpoints, kinds, matching, turns
from outreach_sdk.engine.absence import answered_by_itself
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.hard_bounce import hard_bounced
from outreach_sdk.engine.mailboxes import mailbox_dead, mailbox_locked
from outreach_sdk.engine.progress import person_name
from outreach_sdk.engine.soft_bounce import soft_bounced
from outreach_sdk.engine.speaking import THEM, Author, addresses_of, author, own_words, speaker
from outreach_sdk.engine.stopping import complained, for_event, opted_out, replied, tell
from outreach_sdk.errors import (
    ConfigError,
    DatabaseUnavailable,
    MailAuthError,
    MailError,
    MailNotFound,
    MailTemporary,
)
from outreach_sdk.mail.port import MailTransport, Unread
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event

if TYPE_CHECKING:
    from outreach_sdk.domain import classify

__all__ = ["poll_mailbox", "process_open", "read_again", "take_in", "with_journey"]

logger = logging.getLogger(__name__)

FIRST_LOOK_BACK = dt.timedelta(hours=1)
READ_AGAIN_FOR = dt.timedelta(days=1)
READ_AGAIN_AFTER = dt.timedelta(hours=1)
READ_FOR = 20.0
"""Seconds after which a check that has more to read lets others have a turn."""


def poll_mailbox(engine: Engine, mailbox_id: int) -> int:
    """One reply and bounce check, batch by batch; how many new messages. The cursor moves only after what it covers is
    stored. Nothing where somebody else is at it: what they store serves all."""
    box = turns.take(engine, mailbox_id)
    if box is None:
        return 0
    try:
        return _read_on(engine, box)
    except MailAuthError as exc:
        mailbox_dead(engine, mailbox_id, str(exc))
        raise
    except MailError as exc:
        turns.failed(engine, box, exc)
        raise
    except ConfigError as exc:
        mailbox_locked(engine, mailbox_id, str(exc))
        raise
    except DatabaseUnavailable:
        raise
    except Exception as exc:  # of whatever kind: nobody sees what comes in there, so it counts and is told
        logger.exception("mailbox %d", mailbox_id)
        trouble = MailTemporary(f"Reading it fails: {apart.in_words(exc)}.")
        turns.failed(engine, box, trouble)
        raise trouble from exc
    finally:
        turns.give_back(engine, box)


def _read_on(engine: Engine, box: dict[str, Any]) -> int:
    transport, new = engine.transport(box), 0
    since = min(box["polled_at"] or box["created_at"] or engine.now(), engine.now()) - FIRST_LOOK_BACK
    until = time.monotonic() + READ_FOR
    while True:
        began = engine.now()
        engine.store.idle()
        with turns.going_on(engine, box):
            result = transport.poll(box["cursor"], since=since)
            new += sum(_stored(engine, box, message) for message in result.messages)
        turns.tell_unread(engine, box, result.unread)
        failpoints.hit("batch_stored")
        if not result.more:
            read_again(engine, box, transport)
            process_open(engine)
            turns.took(engine, box, result.cursor, began)
            return new
        if not turns.keep(engine, box, result.cursor, well=result.stopped is None or bool(result.messages)):
            return new
        process_open(engine)
        if result.stopped is not None:
            raise result.stopped
        if time.monotonic() >= until:
            turns.give_back(engine, box, again=True)
            return new
        del result  # before the next batch is there, not after


def _stored(engine: Engine, box: dict[str, Any], message: IncomingMessage) -> bool:
    try:
        return take_in(engine, box, message)
    except DatabaseUnavailable:
        raise
    except Exception as exc:  # whatever it is about one message, those after it are read
        logger.exception("mailbox %d: message %s can't be stored", box["id"], message.provider_message_id)
        unread = Unread(message.provider_message_id, f"storing it failed: {apart.in_words(exc)}")
        turns.tell_unread(engine, box, [unread])  # raises where nothing can be written
        return False


def take_in(engine: Engine, box: dict[str, Any], message: IncomingMessage, *, again: bool = False) -> bool:
    """Store a message with its journey and its verdict, once; False if it was known. One that belonged to nobody is
    matched `again` where it is told to, or where what it may answer was still on its way (`read_again`)."""
    # Its patterns take 3 MiB that a worker without answers can do without.
    from outreach_sdk.domain import classify
    from outreach_sdk.domain.visible import visible_text

    store, now = engine.store, engine.now()
    known = store.one(
        "SELECT id, journey_id, kind, matched_by, again_at FROM inbound WHERE mailbox_id = ? AND provider_message_id = ?",
        box["id"],
        message.provider_message_id,
    )
    if known is not None and not _open_to(known, again):
        return False
    # Asked first: what is recorded from here on is found below.
    waits = message.received_at >= matching.on_its_way_since(store, box["workspace_id"])
    kind, found, verdict = "own", None, None
    message = matching.as_written(store, box, message)
    own = matching.own(store, box, message)
    if own is None:
        verdict = _as_stored(classify.classify(message, now=now.date()))
        found = matching.belongs(store, box, message, verdict)
        kind = verdict.kind
    words, more = message.text, dict[str, Any]()
    who = Author(THEM)
    if found and kind == "human" and verdict is not None:
        words = own_words(store, found["id"], message.text)
        if verdict.opt_out and not classify.asks(words, message.subject):
            verdict = dataclasses.replace(verdict, opt_out=False, reason="a reply")
        if found["late"] and found["how"] == "address" and not verdict.opt_out:
            found = None
        else:
            who = author(store, found, message, box["workspace_id"])
            more = {"writer": who.who, **({"shared": True} if found["shared"] else {})}
    elif found and verdict is not None and (kind == "auto_reply" or verdict.by_responder):
        whose = speaker(store, found, message)
        if verdict.by_responder and not addresses_of(store, found) & set(verdict.recipients):
            verdict = _of_another(verdict, whose, message)
            kind = verdict.kind
        more = {"speaker": whose, "acknowledged": verdict.acknowledged, "shared": found["shared"]}
    values = {
        "workspace_id": box["workspace_id"],
        "owner_id": box["owner_id"],
        "mailbox_id": box["id"],
        "provider_message_id": message.provider_message_id,
        "provider_thread_id": message.provider_thread_id,
        "rfc_message_id": message.rfc_message_id,
        "kind": kind,
        "received_at": message.received_at,
        "again_at": now if waits and found is None and _may_answer(message, kind, own) else None,
        **_NOBODYS,
        "processed_at": now,
    }
    if found and verdict is not None:
        values |= {
            "journey_id": found["id"],
            "candidate_id": found["candidate_id"],
            "writer_id": who.candidate_id,
            "writer_journey_id": who.journey_id,
            "sender": plain_email(message.sender.email) if message.sender else None,
            "reply_to": matching.reply_to(store, box, message) if kind == "human" else None,
            "subject": message.subject,
            "body_text": message.text,
            "visible_text": visible_text(words) if kind in ("human", "auto_reply") else None,
            "matched_by": found["how"],
            "verdict": _verdict_json(verdict, more),
            "processed_at": None,
        }
    return store.run(lambda: _put(store, values, None if known is None else known["id"], now))


def _may_answer(message: IncomingMessage, kind: str, own: str | None) -> bool:
    """Whether it answers an e-mail at all; machines needn't say which."""
    if own == matching.OURS:
        return False
    return bool(message.in_reply_to or message.references) or kind not in ("human", "own")


_NOBODYS: dict[str, Any] = {
    "journey_id": None,
    "candidate_id": None,
    "writer_id": None,
    "writer_journey_id": None,
    "sender": None,
    "reply_to": None,
    "subject": "",
    "body_text": "",
    "visible_text": None,
    "matched_by": None,
    "verdict": None,
}
"""What is kept of a message that belongs to no journey: other people's mail is nobody's business here."""


def _open_to(known: dict[str, Any], again: bool) -> bool:
    """Whether a stored message may turn out to belong to somebody."""
    if known["journey_id"] is not None or known["matched_by"] is not None:
        return False
    return known["again_at"] is not None or (again and known["kind"] != "own")


def _put(store: Store, values: dict[str, Any], known_id: int | None, now: dt.datetime) -> bool:
    """Write a message down; one that came twice to mailboxes of the workspace, for the same journey, counts once: where
    that journey's thread is, if in either."""
    twin = _twin(store, values) if values["journey_id"] is not None else None
    if twin is not None:
        place = {name: values[name] for name in _PLACE}
        if known_id is None and values["matched_by"] == "thread" and twin["matched_by"] != "thread":
            store.write(
                f"UPDATE inbound SET {', '.join(f'{name} = ?' for name in _PLACE)}, matched_by = 'thread' WHERE id = ?",
                *place.values(),
                twin["id"],
            )
            place = {name: twin[name] for name in _PLACE}
        values = {**values, **_NOBODYS, **place, "matched_by": "copy", "processed_at": now}
    if known_id is None:
        names = list(values)
        return (
            store.write(
                f"INSERT INTO inbound ({', '.join(names)}) VALUES {in_marks(names)} "
                "ON CONFLICT (mailbox_id, provider_message_id) DO NOTHING",
                *values.values(),
            )
            == 1
        )
    sets = ", ".join(f"{name} = ?" for name in values)
    changed = store.write(
        f"UPDATE inbound SET {sets} WHERE id = ? AND journey_id IS NULL AND matched_by IS NULL",
        *values.values(),
        known_id,
    )
    return changed == 1 and values["journey_id"] is not None


_PLACE = ("owner_id", "mailbox_id", "provider_message_id", "provider_thread_id")


def _twin(store: Store, values: dict[str, Any]) -> dict[str, Any] | None:
    """The same message as it came before: to another mailbox, once more to this one (a list's copy beside one's own), or
    as a colleague's who connected the same account. Ids of messages aren't to be trusted within one mailbox: there
    the texts agree, too."""
    if store.for_update:  # two mailboxes are read at once
        store.value("SELECT id FROM journeys WHERE id = ? FOR UPDATE", values["journey_id"])
    found = f"SELECT id, matched_by, body_text, {', '.join(_PLACE)} FROM inbound WHERE journey_id = ? AND kind = ? AND "
    of = (values["journey_id"], values["kind"])
    if values["rfc_message_id"] is None:
        return store.one(
            f"{found} provider_message_id = ? AND mailbox_id <> ? AND mailbox_id IN (SELECT s.id FROM mailboxes m JOIN "
            "mailboxes s ON s.workspace_id = m.workspace_id AND s.address = m.address AND s.provider = m.provider "
            "WHERE m.id = ?) LIMIT 1",
            *of,
            values["provider_message_id"],
            values["mailbox_id"],
            values["mailbox_id"],
        )
    rows = store.rows(
        f"{found} rfc_message_id = ? AND sender = ? ORDER BY id LIMIT 20",
        *of,
        values["rfc_message_id"],
        values["sender"],
    )
    for row in rows:
        if row["mailbox_id"] != values["mailbox_id"]:
            return row
        if row["provider_message_id"] != values["provider_message_id"] and _one_text(row, values):
            return row
    return None


def _one_text(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two messages say the same, save what a list puts above or below."""
    shorter, longer = sorted((" ".join(m["body_text"].split()) for m in (one, other)), key=len)
    return shorter in longer if shorter else not longer


def read_again(engine: Engine, box: dict[str, Any], transport: MailTransport) -> None:
    """Messages that belonged to nobody while what they may answer was on its way: for the last time once that has been
    settled. What a colleague's mailbox keeps open isn't waited for: as soon as their thread is known for one of ours,
    and ever more seldom besides."""
    store, now = engine.store, engine.now()
    since = matching.on_its_way_since(store, box["workspace_id"])
    due = [row for row in _waiting(store, box) if row["last_at"] < since or _is_due(row, now)]
    for row in due[:50]:
        thread, last = row["provider_thread_id"], row["last_at"] < since
        try:
            for message in transport.read_thread(thread):
                take_in(engine, box, message, again=True)
        except MailAuthError:
            raise
        except MailError as exc:  # what else came in is dealt with all the same
            if not isinstance(exc, MailNotFound) and now - row["last_at"] < READ_AGAIN_FOR:
                continue
            last = True
        store.write(
            "UPDATE inbound SET again_at = ? WHERE mailbox_id = ? AND provider_thread_id = ? AND again_at IS NOT NULL",
            None if last else now,
            box["id"],
            thread,
        )


def _waiting(store: Store, box: dict[str, Any]) -> list[dict[str, Any]]:
    """Threads to be read again, those read longest ago first; `known`: by now an e-mail of this mailbox stands there."""
    return store.rows(
        "SELECT i.provider_thread_id, MAX(i.received_at) AS last_at, MIN(i.again_at) AS read_at, EXISTS (SELECT 1 FROM "
        "outbox o WHERE o.provider_thread_id = i.provider_thread_id AND o.mailbox_id = i.mailbox_id) AS known "
        "FROM inbound i WHERE i.mailbox_id = ? AND i.again_at IS NOT NULL AND i.provider_thread_id IS NOT NULL "
        "GROUP BY i.mailbox_id, i.provider_thread_id ORDER BY 3, 1",
        box["id"],
    )


def _is_due(row: dict[str, Any], now: dt.datetime) -> bool:
    """After twice as long each time, up to an hour."""
    return bool(row["known"]) or now - row["read_at"] >= min(
        row["read_at"] - row["last_at"], READ_AGAIN_AFTER
    )


def _as_stored(verdict: classify.Verdict) -> classify.Verdict:
    """With the addresses it names as they are stored."""
    recipients, dead = (tuple(map(plain_email, named)) for named in (verdict.recipients, verdict.dead))
    return dataclasses.replace(verdict, recipients=recipients, dead=dead)


def _of_another(verdict: classify.Verdict, whose: str, message: IncomingMessage) -> classify.Verdict:
    """An automatic answer that an address is given up which nobody here wrote to: what somebody else's machine says.
    It is as good as "left" only where the one that answers may be the candidate's own by another name."""
    own = message.sender is not None and plain_email(message.sender.email) in verdict.recipients
    return dataclasses.replace(
        verdict, kind="auto_reply", hard=None, recipients=(), dead=(), left_company=whose != THEM and own
    )


def _verdict_json(verdict: classify.Verdict, more: dict[str, Any]) -> str:
    return json.dumps(
        {
            "hard": verdict.hard,
            "recipients": list(verdict.recipients),
            "status": verdict.status,
            "reason": verdict.reason,
            "return_date": verdict.return_date.isoformat() if verdict.return_date else None,
            "left_company": verdict.left_company,
            "opt_out": verdict.opt_out,
            "evidence": verdict.evidence,
            "final": verdict.final,
            "message_ids": list(verdict.message_ids),
            "dead": list(verdict.dead),
            **more,
        }
    )


_ROWS = (
    "SELECT i.*, j.sequence_id, j.owner_id AS journey_owner, j.enrolled_at, j.ended_at, j.status AS journey_status, "
    "j.email AS journey_email, c.timezone AS candidate_zone, s.timezone AS sequence_zone FROM inbound i "
    "JOIN journeys j ON j.id = i.journey_id JOIN candidates c ON c.id = j.candidate_id "
    "JOIN sequences s ON s.id = j.sequence_id"
)


def with_journey(store: Store, inbound_id: int) -> dict[str, Any] | None:
    """A stored message with what is known of its journey; None where it belongs to none."""
    return store.one(f"{_ROWS} WHERE i.id = ?", inbound_id)


def process_open(engine: Engine) -> int:
    """Act on every stored message that nothing was done about yet; how many."""
    store = engine.store
    done = 0
    for row in store.rows(f"{_ROWS} WHERE i.processed_at IS NULL ORDER BY i.received_at, i.id LIMIT 500"):

        def work(row: dict[str, Any] = row) -> bool:
            now = engine.now()
            taken = store.write(
                "UPDATE inbound SET processed_at = ? WHERE id = ? AND processed_at IS NULL", now, row["id"]
            )
            if taken == 1:
                _act(engine, row, json.loads(row["verdict"] or "{}"), now)
            return taken == 1

        done += apart.each(engine, row["journey_id"], work, "what came in for it can't be dealt with")
    return done


def _act(engine: Engine, row: dict[str, Any], verdict: dict[str, Any], now: dt.datetime) -> None:
    store = engine.store
    kind = row["kind"]
    who = person_name(store, row["candidate_id"])
    if kind == "complaint":
        complained(engine, row, now)
    elif verdict.get("opt_out"):
        kinds.by_rules(engine, row, now, stop=True)
        opted_out(engine, row, now)
    elif kind == "human":
        replied(engine, row, now)
    elif kind == "bounce" and verdict.get("hard"):
        tell(engine, row, *hard_bounced(engine, row, who, verdict, now), now)
    elif kind == "bounce":
        told = soft_bounced(engine, row, who, verdict, now)
        if told is not None:
            tell(engine, row, *told, now)
    elif kind == "delivery_notice" and verdict.get("hard") is False:  # the server goes on trying: no bounce
        event(store, for_event(row), "delivery_delayed", now, verdict.get("reason"))
        tell(
            engine,
            row,
            "delivery_delayed",
            f"An e-mail to {who} hasn't arrived yet; the server goes on trying: {verdict.get('reason')}.",
            now,
        )
    elif kind == "auto_reply" and verdict.get("left_company") and verdict.get("speaker", THEM) == THEM:
        gone = {**verdict, "reason": "has left the company", "recipients": [], "dead": []}
        tell(engine, row, *hard_bounced(engine, row, who, gone, now), now)
    elif kind == "auto_reply":
        told = answered_by_itself(engine, row, who, verdict, now)
        if told is not None:
            tell(engine, row, *told, now)
    else:
        event(store, for_event(row), str(kind), now, row["subject"])
