"""From a step and a person to the message that leaves."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from outreach_sdk.domain import template
from outreach_sdk.domain.message import (
    Address,
    OutgoingMessage,
    clean_html,
    html_to_text,
    is_html,
    text_hash,
    text_to_html,
)
from outreach_sdk.domain.threading import reply_subject
from outreach_sdk.engine.links import FIELDS, link_fields, unsubscribe_headers
from outreach_sdk.errors import MissingField
from outreach_sdk.storage.store import Store

__all__ = ["content_hash", "links_of", "merge_data", "message", "render_step"]


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


def render_step(
    subject: str | None, body: str, data: dict[str, str], *, signature: str | None
) -> tuple[str, str, str]:
    """(subject, text, html) for these merge fields; MissingField names all that aren't there, at once."""
    missing = sorted({*template.missing(subject or "", data), *template.missing(body, data)})
    if missing:
        raise MissingField(missing)
    line = " ".join(template.render(subject or "", data, html=False).split())
    rich = is_html(body)
    if rich:
        html = clean_html(template.render(body, data, html=True))
        text = html_to_text(html)
    else:
        text = template.render(body, data, html=False).strip("\n")
        html = text_to_html(text, rich=False)
    if signature:
        signed = text_to_html(signature)
        html += f"<br>{signed}"
        text += "\n\n" + html_to_text(signed)
    return line, text, html


def _thread_subject(store: Store, entry: dict[str, Any]) -> str | None:
    """The subject of the thread a reply step belongs to, when the step that opens it was skipped."""
    found = store.value(
        "SELECT subject FROM steps WHERE sequence_id = ? AND removed_at IS NULL AND kind = 'email' "
        "AND thread = 'new' AND subject IS NOT NULL AND rank <= ? ORDER BY rank DESC LIMIT 1",
        entry["sequence_id"],
        entry["rank"],
    )
    return None if found is None else str(found)


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
    body = entry["draft_body"] if entry["draft_body"] is not None else entry["step_body"]
    written = entry["draft_subject"] if entry["draft_subject"] is not None else entry["step_subject"]
    if not replies and not (written or "").strip():
        written = _thread_subject(store, entry)
    if not (body or "").strip() or (not replies and not (written or "").strip()):
        return None
    data |= links_of(store, entry["journey_id"], public_url, written, body)
    subject, text, html = render_step(
        None if replies else written, str(body), data, signature=entry["signature"]
    )
    refs = tuple(json.loads(entry["thread_refs"] or "[]")) if replies else ()

    # Tried again after a soft bounce, it goes to the one it didn't reach: those copied have it.
    copied = entry["attempt"] > 1 and store.value(
        "SELECT 1 FROM outbox WHERE journey_id = ? AND step_id = ? AND state = 'sent' LIMIT 1",
        entry["journey_id"],
        entry["step_id"],
    )

    def people(stored: str | None) -> tuple[Address, ...]:
        if copied:
            return ()
        rendered = (template.render(v, data, html=False).strip() for v in json.loads(stored or "[]"))
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
