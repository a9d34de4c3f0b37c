"""Reading mailboxes: what came in, whose journey it belongs to, and what that means for it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain import threading
from outreach_sdk.domain.journey import CancelReason, JourneyStatus
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.engine import apart, failpoints, kinds, turns
from outreach_sdk.engine.absence import answered_by_itself
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.hard_bounce import hard_bounced
from outreach_sdk.engine.mailboxes import mailbox_dead, mailbox_locked, own_addresses
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.engine.soft_bounce import soft_bounced
from outreach_sdk.engine.speaking import THEM, addresses_of, own_words, speaker
from outreach_sdk.errors import ConfigError, MailAuthError, MailError
from outreach_sdk.storage import notes
from outreach_sdk.storage.store import Store, in_marks
from outreach_sdk.storage.transitions import event, move_journeys

if TYPE_CHECKING:
    from outreach_sdk.domain import classify

__all__ = ["kind_changed", "opted_out", "poll_mailbox", "process_open", "take_in", "with_journey"]

REPLY_WINDOW = dt.timedelta(days=180)
FIRST_LOOK_BACK = dt.timedelta(hours=1)
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
    finally:
        turns.give_back(engine, box)


def _read_on(engine: Engine, box: dict[str, Any]) -> int:
    transport, new = engine.transport(box), 0
    since = (box["polled_at"] or box["created_at"] or engine.now()) - FIRST_LOOK_BACK
    until = time.monotonic() + READ_FOR
    while True:
        began = engine.now()
        engine.store.idle()
        result = transport.poll(box["cursor"], since=since)
        new += sum(take_in(engine, box, message) for message in result.messages)
        turns.tell_unread(engine, box, result)
        failpoints.hit("batch_stored")
        if not result.more:
            process_open(engine)
            turns.took(engine, box, result.cursor, began)
            return new
        if not turns.keep(engine, box, result.cursor):
            return new
        process_open(engine)
        if time.monotonic() >= until:
            turns.give_back(engine, box, again=True)
            return new
        del result  # before the next batch is there, not after


def take_in(engine: Engine, box: dict[str, Any], message: IncomingMessage) -> bool:
    """Store a message with its journey and its verdict, once; False if it was known."""
    # Its patterns take 3 MiB that a worker without answers can do without.
    from outreach_sdk.domain import classify
    from outreach_sdk.domain.visible import visible_text

    store, now = engine.store, engine.now()
    if store.value(
        "SELECT 1 FROM inbound WHERE mailbox_id = ? AND provider_message_id = ?",
        box["id"],
        message.provider_message_id,
    ):
        return False
    team = own_addresses(store, box["workspace_id"])
    if threading.is_own(message, team):
        kind, found, verdict = "own", None, None
    else:
        verdict = classify.classify(message, now=now.date())
        found = _match(store, box, message, verdict)
        kind = verdict.kind
    words, whose = message.text, None
    if found and kind == "human" and verdict is not None:
        words = own_words(store, found["id"], message.text)
        if verdict.opt_out and not classify.asks(words, message.subject):
            verdict = dataclasses.replace(verdict, opt_out=False, reason="a reply")
    elif found and verdict is not None and (kind == "auto_reply" or verdict.by_responder):
        whose = speaker(store, found, message)
        if verdict.by_responder and not addresses_of(store, found) & set(verdict.recipients):
            verdict = _of_another(verdict, whose, message)
            kind = verdict.kind
    stored = store.write(
        "INSERT INTO inbound (workspace_id, owner_id, mailbox_id, provider_message_id, provider_thread_id, "
        "rfc_message_id, journey_id, candidate_id, sender, subject, body_text, visible_text, kind, matched_by, "
        "verdict, received_at, processed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (mailbox_id, provider_message_id) DO NOTHING",
        box["workspace_id"],
        box["owner_id"],
        box["id"],
        message.provider_message_id,
        message.provider_thread_id,
        message.rfc_message_id,
        found["id"] if found else None,
        found["candidate_id"] if found else None,
        message.sender.email if message.sender and found else None,
        message.subject if found else "",
        message.text if found else "",  # other people's mail is nobody's business here
        visible_text(words) if found and kind in ("human", "auto_reply") else None,
        kind,
        found["how"] if found else None,
        _verdict_json(verdict, whose) if verdict is not None and found else None,
        message.received_at,
        None if found else now,
    )
    return stored == 1


def _of_another(verdict: classify.Verdict, whose: str, message: IncomingMessage) -> classify.Verdict:
    """An automatic answer that an address is given up which nobody here wrote to: what somebody else's machine says.
    It is as good as "left" only where the one that answers may be the candidate's own by another name."""
    own = message.sender is not None and message.sender.email.lower() in verdict.recipients
    return dataclasses.replace(
        verdict, kind="auto_reply", hard=None, recipients=(), dead=(), left_company=whose != THEM and own
    )


def _verdict_json(verdict: classify.Verdict, whose: str | None) -> str:
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
            **({} if whose is None else {"speaker": whose, "acknowledged": verdict.acknowledged}),
        }
    )


def _refs(rows: list[dict[str, Any]]) -> dict[int, threading.JourneyRef]:
    return {
        r["id"]: threading.JourneyRef(journey_id=r["id"], started_at=r["enrolled_at"], ended_at=r["ended_at"])
        for r in rows
    }


def _match(
    store: Store, box: dict[str, Any], message: IncomingMessage, verdict: classify.Verdict
) -> dict[str, Any] | None:
    keys = threading.keys(message)
    columns = "j.id, j.candidate_id, j.owner_id, j.enrolled_at, j.ended_at"
    by_thread: dict[str, threading.JourneyRef] = {}
    by_id: dict[str, threading.JourneyRef] = {}
    by_address: dict[str, list[threading.JourneyRef]] = {}
    rows: dict[int, dict[str, Any]] = {}
    if keys.thread_id:
        for r in store.rows(
            f"SELECT {columns} FROM outbox o JOIN journeys j ON j.id = o.journey_id "
            "WHERE o.provider_thread_id = ? AND o.mailbox_id = ? ORDER BY o.id DESC LIMIT 1",
            keys.thread_id,
            box["id"],
        ):
            rows[r["id"]] = r
            by_thread[keys.thread_id] = _refs([r])[r["id"]]
    ids = sorted({*keys.message_ids, *verdict.message_ids})[:200]
    if ids:
        for r in store.rows(
            f"SELECT o.rfc_message_id, {columns} FROM outbox o JOIN journeys j ON j.id = o.journey_id "
            f"WHERE o.rfc_message_id IN {in_marks(ids)} AND o.workspace_id = ?",
            *ids,
            box["workspace_id"],
        ):
            rows[r["id"]] = r
            by_id[r["rfc_message_id"]] = _refs([r])[r["id"]]
    addresses = {a.lower() for a in keys.addresses}
    if verdict.kind in ("bounce", "delivery_notice", "complaint"):
        addresses = {a.lower() for a in verdict.recipients}
    if addresses:
        found = sorted(addresses)[:50]
        for r in store.rows(
            f"SELECT e.address, {columns} FROM candidate_emails e JOIN journeys j ON j.candidate_id = e.candidate_id "
            f"WHERE e.workspace_id = ? AND e.address IN {in_marks(found)} AND EXISTS (SELECT 1 FROM outbox o "
            "WHERE o.journey_id = j.id AND o.sending_at IS NOT NULL) ORDER BY j.enrolled_at DESC, j.id DESC",
            box["workspace_id"],
            *found,
        ):
            rows[r["id"]] = r
            by_address.setdefault(r["address"], []).append(_refs([r])[r["id"]])
    for returned in verdict.message_ids:
        if (ref := by_id.get(returned)) is not None:
            return {**rows[ref.journey_id], "how": "references"}
    hit = threading.match(message, by_thread=by_thread, by_message_id=by_id, by_address=by_address)
    if hit is None and verdict.kind in ("bounce", "delivery_notice", "complaint"):
        # A bounce comes from a postmaster: its journey is the one of the recipient it names.
        named = [ref for a in sorted(addresses) for ref in by_address.get(a, [])]
        return {**rows[named[0].journey_id], "how": "recipient"} if named else None
    return None if hit is None else {**rows[hit.journey_id], "how": hit.how}


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
        _suppress(engine, row, row["journey_email"], "complaint", now)
        text = f"{who} complained about your e-mails."
        _stop_everyone(engine, row, CancelReason.OPTED_OUT, text, now)
    elif verdict.get("opt_out"):
        kinds.by_rules(engine, row, now, stop=True)
        opted_out(engine, row, now)
    elif kind == "human":
        _replied(engine, row, who, now)
    elif kind == "bounce" and verdict.get("hard"):
        _tell(engine, row, *hard_bounced(engine, row, who, verdict, now), now)
    elif kind == "bounce":
        told = soft_bounced(engine, row, who, verdict, now)
        if told is not None:
            _tell(engine, row, *told, now)
    elif kind == "delivery_notice" and verdict.get("hard") is False:  # the server goes on trying: no bounce
        event(store, _for_event(row), "delivery_delayed", now, verdict.get("reason"))
        _tell(
            engine,
            row,
            "delivery_delayed",
            f"An e-mail to {who} hasn't arrived yet; the server goes on trying: {verdict.get('reason')}.",
            now,
        )
    elif kind == "auto_reply" and verdict.get("left_company") and verdict.get("speaker", THEM) == THEM:
        gone = {**verdict, "reason": "has left the company", "recipients": [], "dead": []}
        _tell(engine, row, *hard_bounced(engine, row, who, gone, now), now)
    elif kind == "auto_reply":
        told = answered_by_itself(engine, row, who, verdict, now)
        if told is not None:
            _tell(engine, row, *told, now)
    else:
        event(store, _for_event(row), str(kind), now, row["subject"])


def _for_event(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "workspace_id": row["workspace_id"],
        "owner_id": row["journey_owner"],
        "journey_id": row["journey_id"],
    }


def _tell(engine: Engine, row: dict[str, Any], kind: str, text: str, now: dt.datetime) -> None:
    notify(
        engine.store,
        workspace_id=row["workspace_id"],
        owner_id=row["journey_owner"],
        kind=kind,
        text=text,
        dedupe=_dedupe(row, kind),
        now=now,
        journey_id=row["journey_id"],
        sequence_id=row["sequence_id"],
    )


def _replied(engine: Engine, row: dict[str, Any], who: str, now: dt.datetime) -> None:
    """Rule 15: the candidate's journeys of that owner stop; a completed one stays completed."""
    store = engine.store
    reply_kind = kinds.by_rules(engine, row, now)
    if row["ended_at"] is not None and now - row["ended_at"] > REPLY_WINDOW:
        return
    notes.replied(store, row["id"], now)
    settings = store.value("SELECT settings FROM workspace WHERE id = ?", row["workspace_id"])
    everyone = json.loads(settings or "{}").get("reply_stops") == "workspace"
    where = "candidate_id = ? AND workspace_id = ?" + ("" if everyone else " AND owner_id = ?")
    params: tuple[Any, ...] = (row["candidate_id"], row["workspace_id"])
    moved = move_journeys(
        store,
        where,
        params if everyone else (*params, row["journey_owner"]),
        JourneyStatus.CANCELLED,
        CancelReason.REPLIED,
        now,
    )
    for journey in moved:
        event(store, journey, "journey_cancelled", now, CancelReason.REPLIED)
    event(store, _for_event(row), "replied", now, row["subject"])
    _tell(engine, row, "replied", _reply_notice(row, who, reply_kind), now)


def _reply_notice(row: dict[str, Any], who: str, reply_kind: str) -> str:
    first = " ".join((row["visible_text"] or row["body_text"] or "").split())[:200]
    return f"{who} answered ({reply_kind.replace('_', ' ')}): “{first}”"


def kind_changed(engine: Engine, row: dict[str, Any], reply_kind: str) -> None:
    """The notice of a reply that nobody has read yet, in the product or by mail, says of what kind it is held to be."""
    engine.store.write(
        "UPDATE notifications SET text = ? WHERE dedupe = ? AND read_at IS NULL AND mailed_at IS NULL AND slacked_at IS NULL",
        _reply_notice(row, person_name(engine.store, row["candidate_id"]), reply_kind),
        _dedupe(row, "replied"),
    )


def _dedupe(row: dict[str, Any], kind: str) -> str:
    return f"{kind}:{row['mailbox_id']}:{row['provider_message_id']}"


def opted_out(engine: Engine, row: dict[str, Any], now: dt.datetime) -> None:
    """Rule 19: the candidate asked to be left alone. `row` is a message with its journey."""
    _suppress(engine, row, row["sender"] or row["journey_email"], "opted_out", now)
    who = person_name(engine.store, row["candidate_id"])
    text = f"{who} asked not to be written to again by your e-mails."
    _stop_everyone(engine, row, CancelReason.OPTED_OUT, text, now)


def _suppress(engine: Engine, row: dict[str, Any], address: str, reason: str, now: dt.datetime) -> None:
    """The address they wrote from or were written to at, and every other one known to be theirs."""
    engine.store.write(
        "INSERT INTO suppressions (workspace_id, owner_id, kind, value, reason, source, created_at) "
        "SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), 'address', q.address, ?, 'reply', CAST(? AS BIGINT) FROM "
        "(SELECT ? AS address UNION SELECT LOWER(e.address) FROM candidate_emails e WHERE e.candidate_id = ?) AS q "
        "WHERE TRUE ON CONFLICT (workspace_id, kind, value) DO NOTHING",
        row["workspace_id"],
        row["journey_owner"],
        reason,
        now,
        address.lower(),
        row["candidate_id"],
    )


def _stop_everyone(
    engine: Engine, row: dict[str, Any], reason: CancelReason, text: str, now: dt.datetime
) -> None:
    for journey in move_journeys(
        engine.store,
        "candidate_id = ? AND workspace_id = ?",
        (row["candidate_id"], row["workspace_id"]),
        JourneyStatus.CANCELLED,
        reason,
        now,
    ):
        event(engine.store, journey, "journey_cancelled", now, reason)
    _tell(engine, row, str(reason), text, now)
