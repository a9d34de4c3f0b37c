"""For whom an incoming message speaks: a machine answers for its own address, and a quote is nobody's words."""

from __future__ import annotations

import json
from typing import Any

from outreach_sdk.domain import threading
from outreach_sdk.domain.echo import without_echo
from outreach_sdk.domain.freemail import is_free
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.domain.mime import address_pairs
from outreach_sdk.storage.store import Store

__all__ = ["ALIAS", "OTHER", "THEM", "addresses_of", "copied", "own_words", "speaker"]

THEM, ALIAS, OTHER = "them", "alias", "other"
"""The candidate; one at the same employer's domain that may well be theirs; somebody else."""


def addresses_of(store: Store, journey: dict[str, Any]) -> set[str]:
    """The candidate's addresses, and the one this journey writes to. `journey` has id and candidate_id."""
    rows = store.rows(
        "SELECT address FROM candidate_emails WHERE candidate_id = ? UNION SELECT email AS address FROM journeys "
        "WHERE id = ? AND email IS NOT NULL",
        journey["candidate_id"],
        journey["id"],
    )
    return {str(r["address"]).lower() for r in rows}


def copied(entries: list[dict[str, Any]]) -> set[str]:
    """Who got copies of these outbox entries."""
    return {
        address.lower()
        for entry in entries
        for stored in (entry["cc"], entry["bcc"])
        for person in json.loads(stored or "[]")
        for _, address in address_pairs(person)
        if "@" in address
    }


def speaker(store: Store, journey: dict[str, Any], message: IncomingMessage) -> str:
    """Whose automatic answer this is (RFC 3834: a responder speaks for the address it answers from)."""
    senders = set(threading.keys(message).addresses)
    known = addresses_of(store, journey)
    if not senders or senders & known:
        return THEM
    entries = store.rows("SELECT cc, bcc FROM outbox WHERE journey_id = ?", journey["id"])
    if senders & copied(entries):
        return OTHER
    # Exchange answers from the primary address, whichever alias was written to.
    domains = {d for a in known if not is_free(d := a.rpartition("@")[2])}
    return ALIAS if domains & {a.rpartition("@")[2] for a in senders} else OTHER


def own_words(store: Store, journey_id: int, text: str) -> str:
    """What somebody wrote, without what it repeats of our e-mails, however it quotes them."""
    sent = store.rows(
        "SELECT body_text FROM outbox WHERE journey_id = ? AND body_text IS NOT NULL AND sending_at IS NOT NULL "
        "ORDER BY id DESC LIMIT 20",
        journey_id,
    )
    return without_echo(text, [str(r["body_text"]) for r in sent])
