"""Whose journey a message belongs to, who wrote it, and whether what it answers may still be on its way."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain import threading
from outreach_sdk.domain.contact import canonical, normalise_email, plain_email
from outreach_sdk.domain.message import KEY_HEADER, IncomingMessage
from outreach_sdk.domain.mime import address_pairs
from outreach_sdk.engine.mailboxes import own_addresses
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.addresses import owners
from outreach_sdk.storage.store import Store, in_marks

if TYPE_CHECKING:
    from outreach_sdk.domain import classify

__all__ = ["COLLEAGUES", "OURS", "as_written", "belongs", "on_its_way_since", "own", "reply_to"]

REPORTS = ("bounce", "delivery_notice", "complaint")

CLOCKS = dt.timedelta(minutes=1)
"""How far a provider's clock may be behind."""

NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)

_COLUMNS = "j.id, j.candidate_id, j.owner_id, j.enrolled_at, j.ended_at"


OURS, COLLEAGUES = "ours", "a colleague's"


def as_written(store: Store, box: dict[str, Any], message: IncomingMessage) -> IncomingMessage:
    """A message with its author in From, where a group of ours has put itself there."""
    if not threading.listed(message) or _has_our_key(store, box, message):
        return message
    return threading.posted(message, own_addresses(store, box["workspace_id"]))


def _has_our_key(store: Store, box: dict[str, Any], message: IncomingMessage) -> bool:
    key = message.header(KEY_HEADER)
    if key is None:
        return False
    found = store.value(
        "SELECT 1 FROM outbox WHERE send_key = ? AND workspace_id = ?", key.strip(), box["workspace_id"]
    )
    return bool(found)


def own(store: Store, box: dict[str, Any], message: IncomingMessage) -> str | None:
    """Whether one of ours wrote it (rule 16). Colleagues may be candidates too: what one writes from the address that
    was written to, in that very thread, is an answer, save in the mailbox it was sent from. COLLEAGUES: it would be,
    if its thread were known for the candidate's."""
    known = _has_our_key(store, box, message)
    if not threading.is_own(message, own_addresses(store, box["workspace_id"]), key_known=known):
        return None
    authors = threading.authors(message)
    mine = {canonical(plain_email(str(i["address"]))) for i in json.loads(box.get("identities") or "[]")}
    mine.add(canonical(plain_email(str(box["address"]))))
    if known or mine & {canonical(a) for a in authors}:
        return OURS
    people = owners(store, box["workspace_id"], authors)
    if not people:
        return OURS
    found = _in_thread(store, box, message, ())
    return None if found and any(found["candidate_id"] in who for who in people.values()) else COLLEAGUES


def on_its_way_since(store: Store, workspace_id: int) -> dt.datetime:
    """From when on what comes in may answer an e-mail that left, or may have left, and isn't recorded yet under what its
    provider calls it, so that an answer to it can't be told from other mail. In the far future where there is none."""
    row = store.one(
        "SELECT MIN(sending_at) AS left_at FROM outbox WHERE state IN ('sending', 'unknown') AND lease_until IS NOT NULL "
        "AND workspace_id = ?",
        workspace_id,
    )
    return NEVER if row is None or row["left_at"] is None else row["left_at"] - CLOCKS


def belongs(
    store: Store, box: dict[str, Any], message: IncomingMessage, verdict: classify.Verdict
) -> dict[str, Any] | None:
    """The journey a message belongs to: id, candidate_id, owner_id, `how` it was found, whether it may as well be
    another owner's (`shared`), and whether it had ended too long ago (`late`)."""
    found = _in_thread(store, box, message, verdict.message_ids)
    if found is None:
        found = _by_address(store, box, message, verdict)
    if found is None:
        return None
    ref = _ref(found)
    return {"shared": False, **found, "late": ref.late(message.received_at)}


def _ref(row: dict[str, Any]) -> threading.JourneyRef:
    return threading.JourneyRef(
        journey_id=row["id"],
        started_at=row["enrolled_at"],
        ended_at=row["ended_at"],
        owner_id=row["owner_id"],
        nearness=row.get("nearness", 2),
        wrote_at=row.get("wrote_at"),
    )


def _in_thread(
    store: Store, box: dict[str, Any], message: IncomingMessage, returned: Iterable[str]
) -> dict[str, Any] | None:
    """By the e-mails that came back, the provider's thread, or the messages it answers."""
    keys = threading.keys(message)
    by_thread: dict[str, threading.JourneyRef] = {}
    by_id: dict[str, threading.JourneyRef] = {}
    rows: dict[int, dict[str, Any]] = {}
    if keys.thread_id:
        for r in store.rows(
            f"SELECT {_COLUMNS} FROM outbox o JOIN journeys j ON j.id = o.journey_id "
            "WHERE o.provider_thread_id = ? AND o.mailbox_id = ? ORDER BY o.id DESC LIMIT 1",
            keys.thread_id,
            box["id"],
        ):
            rows[r["id"]] = r
            by_thread[keys.thread_id] = _ref(r)
    ids = sorted({*keys.message_ids, *returned})[:200]
    if ids:
        for r in store.rows(
            f"SELECT o.rfc_message_id, {_COLUMNS} FROM outbox o JOIN journeys j ON j.id = o.journey_id "
            f"WHERE o.rfc_message_id IN {in_marks(ids)} AND o.workspace_id = ?",
            *ids,
            box["workspace_id"],
        ):
            rows[r["id"]] = r
            by_id[r["rfc_message_id"]] = _ref(r)
    for message_id in returned:
        if (ref := by_id.get(message_id)) is not None:
            return {**rows[ref.journey_id], "how": "references"}
    hit = threading.match(message, by_thread=by_thread, by_message_id=by_id)
    return None if hit is None else {**rows[hit.journey_id], "how": hit.how}


def _by_address(
    store: Store, box: dict[str, Any], message: IncomingMessage, verdict: classify.Verdict
) -> dict[str, Any] | None:
    """By its sender; a report, which comes from a postmaster, by the recipient it names."""
    report = verdict.kind in REPORTS
    senders = threading.keys(message).addresses
    wanted = list(dict.fromkeys(sorted(verdict.recipients) if report else senders))[:50]
    people = owners(store, box["workspace_id"], wanted)
    everybody = sorted({candidate for theirs in people.values() for candidate in theirs})
    if not everybody:
        return None
    wrote: dict[int, list[dict[str, Any]]] = {}
    for r in store.rows(
        f"SELECT {_COLUMNS}, (SELECT MAX(o.sending_at) FROM outbox o WHERE o.journey_id = j.id) AS wrote_at, CASE WHEN "
        "EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = j.id AND o.mailbox_id = ? AND o.sending_at IS NOT NULL) "
        "THEN 0 WHEN j.owner_id = ? THEN 1 ELSE 2 END AS nearness FROM journeys j WHERE j.workspace_id = ? AND "
        f"j.candidate_id IN {in_marks(everybody)}",
        box["id"],
        box["owner_id"],
        box["workspace_id"],
        *everybody,
    ):
        if r["wrote_at"] is not None:
            wrote.setdefault(r["candidate_id"], []).append(r)
    rows = {r["id"]: r for theirs in wrote.values() for r in theirs}
    for address in wanted:
        for candidate in people.get(address, ()):
            refs = [_ref(r) for r in wrote.get(candidate, ())]
            near = threading.nearest(refs, message.received_at, however_old=verdict.opt_out or report)
            if near is not None:
                how = "recipient" if report else "address"
                return {**rows[near[0].journey_id], "how": how, "shared": near[1]}
    return None


def reply_to(store: Store, box: dict[str, Any], message: IncomingMessage) -> str | None:
    """Where its author wants answers (RFC 5322, Reply-To), if not where it came from. Never one of ours."""
    asked = [a for k, v in message.headers if k.lower() == "reply-to" for _, a in address_pairs(v)]
    team = own_addresses(store, box["workspace_id"]) if asked else set()
    for text in asked[:5]:
        try:
            address = normalise_email(text)
        except InvalidInput:
            continue
        if address not in team:
            return None if address in threading.authors(message) else address
    return None
