"""From a step and a person to the message that leaves."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Any

from outreach_sdk.domain import template
from outreach_sdk.domain.message import (
    Address,
    OutgoingMessage,
    html_to_text,
    is_html,
    paragraphs,
    text_hash,
    text_to_html,
)
from outreach_sdk.domain.snippets import expand
from outreach_sdk.domain.threading import reply_subject
from outreach_sdk.domain.variants import words_of
from outreach_sdk.engine.links import FIELDS, link_fields, unsubscribe_headers
from outreach_sdk.errors import MissingField
from outreach_sdk.storage.store import Store

__all__ = [
    "content_hash",
    "links_of",
    "merge_data",
    "message",
    "passages_of",
    "render_body",
    "render_step",
    "review_hash",
    "snippets",
    "with_snippets",
]


def merge_data(
    person: dict[str, Any],
    *,
    sender_name: str = "",
    sender_email: str = "",
    links: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The merge fields of a candidate. `person` has first_name, last_name, company, title, linkedin, phone,
    fields (JSON text) and current_email; a file's own columns never replace these, nor `links`."""
    own = json.loads(person.get("fields") or "{}")
    first, last = person["first_name"] or "", person["last_name"] or ""
    known = {
        "first_name": first,
        "last_name": last,
        "full_name": f"{first} {last}".strip(),
        "company": person.get("company") or "",
        "title": person.get("title") or "",
        "linkedin_url": f"https://www.{person['linkedin']}" if person.get("linkedin") else "",
        "phone": person.get("phone") or "",
        "email": person.get("current_email") or "",
        "sender_name": sender_name,
        "sender_email": sender_email,
        **dict.fromkeys(FIELDS, ""),
        **links,
    }
    extra = {template.normalise_field(str(k)): str(v) for k, v in own.items() if v is not None}
    return {**extra, **known}


def render_body(
    subject: str | None,
    body: str,
    data: dict[str, str],
    passages: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, str, str]:
    """(subject, text, html), unsigned, for these merge fields and passages; MissingField names all that aren't there,
    at once."""
    rich = is_html(body)
    line, lacks = template.fill(subject, data, html=False, passages=passages) if subject else ("", [])
    text, also = template.fill(body, data, html=rich, passages=passages)
    if lacks or also:
        raise MissingField(sorted({*lacks, *also}))
    if rich:
        html = text_to_html(text, rich=True)
        text = html_to_text(html)
    else:
        text = text.strip("\n")
        html = text_to_html(text, rich=False)
    return " ".join(line.split()), text, html


def signed_off(text: str, html: str, signature: str | None) -> tuple[str, str]:
    """(text, html) with the signature."""
    if signature:
        signed = text_to_html(signature)
        html += f"<br>{signed}"
        text += "\n\n" + html_to_text(signed)
    return text, html


def render_step(
    subject: str | None,
    body: str,
    data: dict[str, str],
    *,
    signature: str | None,
    passages: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, str, str]:
    """`render_body`, signed."""
    line, text, html = render_body(subject, body, data, passages)
    return line, *signed_off(text, html, signature)


def review_hash(subject: str | None, html: str) -> str:
    """What a person approves, as one figure: the subject of what opens a thread, and the body without signature."""
    return hashlib.sha256(f"{subject or ''}\n{html}".encode("utf-8", "replace")).hexdigest()


def with_snippets(source: str | None, known: Mapping[str, str], *, rich: bool) -> str | None:
    """`source` with the snippets it names, each in the form of what surrounds it."""
    if source is None or "snippet" not in source:
        return source
    if rich:
        source = paragraphs(source)

    def fit(text: str) -> str:
        if rich and not is_html(text):
            return escape(text, quote=False).replace("\n", "<br>")
        return html_to_text(text) if is_html(text) and not rich else text

    return expand(source, known, change=fit)


def _texts(store: Store, entry: dict[str, Any]) -> tuple[str | None, str | None]:
    """(subject, body) of an entry as written, snippets in place; `entry["drawn"]` is whose they are."""
    step = {name: entry[f"step_{name}"] for name in ("id", "subject", "body", "variants")}
    words = words_of(step, entry["journey_id"], entry)
    subject, body, entry["drawn"] = words.subject, words.body, words.letter
    if "snippet" in f"{subject}{body}":
        known = snippets(store, entry["workspace_id"], entry["owner_id"])
        rich = is_html(body or "")
        return with_snippets(subject, known, rich=False), with_snippets(body, known, rich=rich)
    return subject, body


def snippets(store: Store, workspace_id: int, owner_id: int) -> dict[str, str]:
    """The snippets somebody's steps can name: everybody's, and before those their own."""
    rows = store.rows(
        "SELECT name, text FROM snippets WHERE workspace_id = ? AND (owner_id = ? OR shared) "
        "ORDER BY CASE WHEN owner_id = ? THEN 1 ELSE 0 END, id",
        workspace_id,
        owner_id,
        owner_id,
    )
    return {r["name"]: r["text"] for r in rows}


def passages_of(store: Store, candidate_id: int, step_id: int, *texts: str | None) -> dict[str, str]:
    """What was written for this person in this step, by the digest of its prompt."""
    if not any("ai" in (t or "") for t in texts):
        return {}
    rows = store.rows(
        "SELECT digest, text FROM passages WHERE candidate_id = ? AND step_id = ? AND text IS NOT NULL",
        candidate_id,
        step_id,
    )
    return {r["digest"]: r["text"] for r in rows}


def _thread_subject(store: Store, entry: dict[str, Any]) -> str | None:
    """The subject of the thread a reply step belongs to, when the step that opens it was skipped."""
    found = store.one(
        "SELECT id, subject, body, variants FROM steps WHERE sequence_id = ? AND removed_at IS NULL AND kind = 'email' "
        "AND thread = 'new' AND subject IS NOT NULL AND rank <= ? ORDER BY rank DESC LIMIT 1",
        entry["sequence_id"],
        entry["rank"],
    )
    return None if found is None else words_of(found, entry["journey_id"]).subject


def message(
    store: Store, entry: dict[str, Any], *, public_url: str | None = None, list_headers: bool = False
) -> OutgoingMessage | None:
    """The message of a loaded entry, rendered from today's data; None where the step has no subject or
    body any more, MissingField where the person lacks a field. `public_url`: where links lead; `list_headers`: the
    transport carries List-Unsubscribe."""
    data = merge_data(
        entry,
        sender_name=entry["mailbox_name"] or entry["owner_name"] or "",
        sender_email=entry["mailbox_address"],
    )
    replies = (
        entry["thread"] == "reply"
        and entry["journey_thread"] is not None
        and entry["thread_mailbox_id"] == entry["mailbox_id"]
    )
    written, body = _texts(store, entry)
    own = written if entry["thread"] == "new" else None
    if not replies and not (written or "").strip():
        written = _thread_subject(store, entry)
    if not (body or "").strip() or (not replies and not (written or "").strip()):
        return None
    data |= links_of(store, entry["journey_id"], public_url, written, body)
    passages = passages_of(store, entry["candidate_id"], entry["step_id"], written, body)
    subject, text, html = render_body(None if replies else written, str(body), data, passages)
    entry["review_hash"] = review_hash(None if own is None else subject, html)
    text, html = signed_off(text, html, entry["signature"])
    refs = tuple(json.loads(entry["thread_refs"] or "[]")) if replies else ()

    # Tried again after a soft bounce, it goes to the one it didn't reach: those copied have it.
    copied = entry["attempt"] > 1 and store.value(
        "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id = ? AND state = 'sent' LIMIT 1",
        entry["journey_id"],
        entry["step_id"],
    )

    def people(stored: str | None) -> tuple[Address, ...]:
        if copied or stored in (None, "", "[]"):
            return ()
        rendered = (template.render(v, data, html=False).strip() for v in json.loads(str(stored)))
        return tuple(Address(v) for v in rendered if v)

    return OutgoingMessage(
        sender=Address(entry["alias"] or entry["mailbox_address"], entry["mailbox_name"] or ""),
        to=(Address(str(entry["current_email"]), f"{entry['first_name']} {entry['last_name']}".strip()),),
        subject=reply_subject(entry["thread_subject"] or "") if replies else subject,
        text=text,
        html=html,
        cc=people(entry["step_cc"]),
        bcc=people(entry["step_bcc"]),
        in_reply_to=refs[-1] if refs else None,
        references=refs,
        provider_thread_id=entry["journey_thread"] if replies else None,
        date=dt.datetime.now(dt.UTC),
        headers=unsubscribe_headers(store, entry["journey_id"], public_url) if list_headers else (),
    )


def links_of(
    store: Store, journey_id: int | None, public_url: str | None, *templates: str | None
) -> dict[str, str]:
    """The link fields that these templates name, as far as this journey can have them."""
    uses: set[str] = set()
    for source in filter(None, templates):
        if any(name in source for name in ("link", "LINK", "Link")):
            named = template.fields(source)
            uses |= named.required | named.optional
    return link_fields(store, journey_id, public_url, uses=uses)


def content_hash(outgoing: OutgoingMessage) -> str:
    """What was meant to leave, as one figure."""
    people = " ".join(sorted(outgoing.recipients()))
    return text_hash(f"{people} {outgoing.subject} {outgoing.text}")
