"""For whom an incoming message speaks: a machine answers for its own address, and a quote is nobody's words."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from outreach_sdk.domain import threading
from outreach_sdk.domain.contact import canonical, plain_email
from outreach_sdk.domain.echo import without_echo
from outreach_sdk.domain.freemail import is_free
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.domain.mime import address_pairs
from outreach_sdk.storage.addresses import owners
from outreach_sdk.storage.store import Store

__all__ = ["ALIAS", "OTHER", "THEM", "Author", "addresses_of", "author", "copied", "own_words", "speaker"]

THEM, ALIAS, OTHER = "them", "alias", "other"
"""The candidate; an address that may well be theirs, which nobody knows yet; somebody else."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a message: of a journey's candidate THEM, ALIAS or OTHER; `candidate_id` where it is another one, and
    their latest journey of the same owner, if any."""

    who: str
    candidate_id: int | None = None
    journey_id: int | None = None


def addresses_of(store: Store, journey: dict[str, Any]) -> set[str]:
    """The candidate's addresses, and the one this journey writes to. `journey` has id and candidate_id."""
    rows = store.rows(
        "SELECT address FROM candidate_emails WHERE candidate_id = ? UNION SELECT email AS address FROM journeys "
        "WHERE id = ? AND email IS NOT NULL",
        journey["candidate_id"],
        journey["id"],
    )
    return {plain_email(str(r["address"])) for r in rows}


def copied(entries: list[dict[str, Any]]) -> set[str]:
    """Who got copies of these outbox entries."""
    return {
        plain_email(address)
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


def author(store: Store, journey: dict[str, Any], message: IncomingMessage, workspace_id: int) -> Author:
    """Who wrote what a person wrote in a journey's thread. From an address that nobody knows it may well be the
    candidate, unless something says otherwise: it got a copy, or its owner's name is another one."""
    senders = threading.authors(message)
    theirs = {canonical(a) for a in addresses_of(store, journey)}
    if not senders or theirs & set(threading.keys(message).addresses):
        return Author(THEM)
    others = owners(store, workspace_id, senders)
    for address in senders:
        if others.get(address):
            return _another(store, journey, others[address][0])
    if set(senders) & copied(store.rows("SELECT cc, bcc FROM outbox WHERE journey_id = ?", journey["id"])):
        return Author(OTHER)
    person = store.one(
        "SELECT first_name, last_name FROM candidates WHERE id = ?", journey["candidate_id"]
    ) or {"first_name": "", "last_name": ""}
    named = message.sender.name if message.sender is not None else ""
    if not _words(named) or _words(f"{person['first_name']} {person['last_name']}") <= _words(
        f"{named} {senders[0].rpartition('@')[0]}"
    ):
        return Author(ALIAS)
    return Author(OTHER)


def _another(store: Store, journey: dict[str, Any], candidate_id: int) -> Author:
    found = store.value(
        "SELECT id FROM journeys WHERE candidate_id = ? AND owner_id = ? ORDER BY CASE WHEN ended_at IS NULL THEN 0 "
        "ELSE 1 END, enrolled_at DESC, id DESC LIMIT 1",
        candidate_id,
        journey["owner_id"],
    )
    return Author(OTHER, candidate_id, found)


def _words(text: str) -> set[str]:
    """The words of a name, however they are written: José is jose."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return set(
        re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)).replace("_", " "))
    )


def own_words(store: Store, journey_id: int, text: str) -> str:
    """What somebody wrote, without what it repeats of our e-mails, however it quotes them."""
    sent = store.rows(
        "SELECT body_text FROM outbox WHERE journey_id = ? AND body_text IS NOT NULL AND sending_at IS NOT NULL "
        "ORDER BY id DESC LIMIT 20",
        journey_id,
    )
    return without_echo(text, [str(r["body_text"]) for r in sent])
