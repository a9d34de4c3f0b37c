"""What a person's answer stops, whom it suppresses, and who is told (rules 15 and 19)."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.contact import plain_email
from outreach_sdk.domain.journey import CancelReason, JourneyStatus
from outreach_sdk.domain.threading import REPLY_WINDOW
from outreach_sdk.engine import kinds
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.engine.speaking import ALIAS, OTHER
from outreach_sdk.storage import notes
from outreach_sdk.storage.store import in_marks
from outreach_sdk.storage.transitions import event, move_journeys

__all__ = ["complained", "for_event", "kind_changed", "opted_out", "replied", "tell", "tell_colleagues"]


def for_event(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "workspace_id": row["workspace_id"],
        "owner_id": row["journey_owner"],
        "journey_id": row["journey_id"],
    }


def tell(engine: Engine, row: dict[str, Any], kind: str, text: str, now: dt.datetime) -> None:
    """The owner of a message's journey."""
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


def _dedupe(row: dict[str, Any], kind: str) -> str:
    return f"{kind}:in{row['id']}"


def tell_colleagues(
    engine: Engine,
    row: dict[str, Any],
    moved: list[dict[str, Any]],
    kind: str,
    what: str,
    now: dt.datetime,
    *,
    then: str = "",
) -> None:
    """Other owners whose journeys stopped with it, each once, of `what` befell {who}. What was written is for the one
    it was written to."""
    store = engine.store
    where = store.value("SELECT address FROM mailboxes WHERE id = ?", row["mailbox_id"])
    for owner, journey in {m["owner_id"]: m for m in reversed(moved)}.items():
        if owner != row["journey_owner"]:
            who = person_name(store, journey["candidate_id"])
            notify(
                store,
                workspace_id=row["workspace_id"],
                owner_id=owner,
                kind=kind,
                text=f"{what.replace('{who}', who)}, in {where}. Your journey with them has stopped, too.{then}",
                dedupe=f"{_dedupe(row, kind)}:{owner}",
                now=now,
                journey_id=journey["id"],
                sequence_id=journey["sequence_id"],
            )


# -- answers ---------------------------------------------------------------------------------------


def replied(engine: Engine, row: dict[str, Any], now: dt.datetime) -> None:
    """Rule 15: the candidate's journeys of that owner stop, and those of whoever wrote in their thread; a completed
    one stays completed. An answer to one that had ended too long ago is one to the journey it stops, if any."""
    store = engine.store
    reply_kind = kinds.by_rules(engine, row, now)
    late = row["ended_at"] is not None and row["received_at"] > row["ended_at"] + REPLY_WINDOW
    if not late:
        notes.replied(store, row["id"], now)  # before the note of what it ended
    moved = _stop_replied(engine, row, now)
    if late:
        own = [m for m in moved if m["owner_id"] == row["journey_owner"]]
        tell_colleagues(engine, row, moved, "replied", "{who} answered", now)
        if not own:
            return
        living = next((m for m in own if m["candidate_id"] == row["candidate_id"]), own[0])
        row = {**row, "journey_id": living["id"], "sequence_id": living["sequence_id"]}
        if living["candidate_id"] == row["candidate_id"]:
            store.write("UPDATE inbound SET journey_id = ? WHERE id = ?", living["id"], row["id"])
            notes.replied(store, row["id"], now)
        moved = own
    event(store, for_event(row), "replied", now, row["subject"])
    tell(engine, row, "replied", _reply_notice(engine, row, reply_kind), now)
    tell_colleagues(engine, row, moved, "replied", "{who} answered", now)


def _stop_replied(engine: Engine, row: dict[str, Any], now: dt.datetime) -> list[dict[str, Any]]:
    store = engine.store
    settings = store.value("SELECT settings FROM workspace WHERE id = ?", row["workspace_id"])
    everyone = json.loads(settings or "{}").get("reply_stops") == "workspace" or _verdict(row).get("shared")
    people = sorted({row["candidate_id"], row["writer_id"] or row["candidate_id"]})
    where = f"candidate_id IN {in_marks(people)} AND workspace_id = ?" + (
        "" if everyone else " AND owner_id = ?"
    )
    params: tuple[Any, ...] = (*people, row["workspace_id"])
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
    return moved


def _verdict(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["verdict"] or "{}"))


def _reply_notice(engine: Engine, row: dict[str, Any], reply_kind: str) -> str:
    first = " ".join((row["visible_text"] or row["body_text"] or "").split())[:200]
    who = person_name(engine.store, row["candidate_id"])
    if row["writer_id"] is not None:
        who = f"{person_name(engine.store, row['writer_id'])}, in the thread of {who},"
    elif _verdict(row).get("writer") == OTHER:
        who = f"{row['sender']}, in the thread of {who},"
    return f"{who} answered ({reply_kind.replace('_', ' ')}): “{first}”"


def kind_changed(engine: Engine, row: dict[str, Any], reply_kind: str) -> None:
    """The notice of a reply that nobody has read yet, in the product or by mail, says of what kind it is held to be."""
    engine.store.write(
        "UPDATE notifications SET text = ? WHERE dedupe = ? AND read_at IS NULL AND mailed_at IS NULL AND slacked_at IS NULL",
        _reply_notice(engine, row, reply_kind),
        _dedupe(row, "replied"),
    )


# -- being left alone ------------------------------------------------------------------------------


def opted_out(engine: Engine, row: dict[str, Any], now: dt.datetime, *, by_person: bool = False) -> None:
    """Rule 19: somebody asked to be left alone. `row` is a message with its journey. Nobody speaks for somebody else:
    what another candidate wrote is theirs, what a stranger wrote is the stranger's, unless a person here says so
    (`by_person`). From an address that nobody knows, and that may well be the candidate's, it is the candidate's."""
    store = engine.store
    asked = "asked not to be written to again by your e-mails"
    who, sender = person_name(store, row["candidate_id"]), row["sender"] or row["journey_email"]
    writer = _verdict(row).get("writer")
    if row["writer_id"] is not None:
        if row["writer_journey_id"] is not None:
            event(
                store,
                {**for_event(row), "journey_id": row["writer_journey_id"]},
                "opted_out",
                now,
                row["subject"],
            )
        _suppress(engine, row, sender, "opted_out", now, of=row["writer_id"])
        name = person_name(store, row["writer_id"])
        text = f"{name} {asked}. They wrote in the thread of {who}, whose journey stops, but who may be written to."
        _stop_everyone(engine, row, row["writer_id"], CancelReason.OPTED_OUT, text, now)
        _stop_replied(engine, row, now)
    elif writer == OTHER and not by_person:
        _suppress(engine, row, sender, "opted_out", now, of=None)
        moved = _stop_replied(engine, row, now)
        event(store, for_event(row), "replied", now, row["subject"])
        text = (
            f"{sender}, in the thread of {who}, {asked}: that address isn't any more, and the journey of {who} stops. "
            f'{who} may be written to; if it was them, message.correct("unsubscribe") says so.'
        )
        tell(engine, row, CancelReason.OPTED_OUT, text, now)
        tell_colleagues(engine, row, moved, "replied", "{who} answered", now)
    else:
        event(store, for_event(row), "opted_out", now, row["subject"])
        _suppress(engine, row, sender, "opted_out", now, of=row["candidate_id"])
        text = f"{who} {asked}."
        if writer == ALIAS:
            text = f"{who} {asked}, from {sender}, which wasn't known as theirs."
        _stop_everyone(engine, row, row["candidate_id"], CancelReason.OPTED_OUT, text, now)


def complained(engine: Engine, row: dict[str, Any], now: dt.datetime) -> None:
    """The candidate's provider says that they call our e-mails spam."""
    event(engine.store, for_event(row), "opted_out", now, "a complaint")
    _suppress(engine, row, row["journey_email"], "complaint", now, of=row["candidate_id"])
    text = f"{person_name(engine.store, row['candidate_id'])} complained about your e-mails."
    _stop_everyone(engine, row, row["candidate_id"], CancelReason.OPTED_OUT, text, now)


def _suppress(
    engine: Engine, row: dict[str, Any], address: str, reason: str, now: dt.datetime, *, of: int | None
) -> None:
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
        plain_email(address),
        of,
    )


def _stop_everyone(
    engine: Engine, row: dict[str, Any], candidate_id: int, reason: CancelReason, text: str, now: dt.datetime
) -> None:
    moved = move_journeys(
        engine.store,
        "candidate_id = ? AND workspace_id = ?",
        (candidate_id, row["workspace_id"]),
        JourneyStatus.CANCELLED,
        reason,
        now,
    )
    for journey in moved:
        event(engine.store, journey, "journey_cancelled", now, reason)
    tell(engine, row, str(reason), text, now)
    tell_colleagues(engine, row, moved, str(reason), "{who} asked not to be written to again", now)
