"""Gmail's words into ours: messages, labels, errors. Nothing here does I/O.

Rests on https://developers.google.com/workspace/gmail/api/guides/handle-errors and the v1 discovery document.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from outreach_sdk.domain.http_answers import retry_after, seconds_until, without_secrets
from outreach_sdk.domain.message import KEY_HEADER, IncomingMessage, parse_incoming, text_hash
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.port import Fingerprint, Identity, SentMessage

__all__ = [
    "Seen",
    "decode_raw",
    "encode_raw",
    "error_from",
    "identities_from",
    "is_incoming",
    "moment",
    "read_message",
    "seen_from",
    "with_raw",
]

NOT_INCOMING = frozenset({"SENT", "DRAFT"})

# (status, reason) before (status, None); what isn't here is temporary from 500 up and refused below.
ERRORS: dict[tuple[int, str | None], type[MailError]] = {
    (400, None): MailRefused,
    (400, "invalid_grant"): MailAuthError,
    # "Mail service not enabled": the account lost its mailbox, no message can help.
    (400, "failedPrecondition"): MailAuthError,
    (401, None): MailAuthError,
    (403, None): MailAuthError,
    (403, "rateLimitExceeded"): MailRateLimited,
    (403, "userRateLimitExceeded"): MailRateLimited,
    (403, "quotaExceeded"): MailRateLimited,
    (403, "dailyLimitExceeded"): MailRateLimited,
    (404, None): MailNotFound,
    (408, None): MailTemporary,
    (410, None): MailNotFound,
    (413, None): MailRefused,
    (429, None): MailRateLimited,
}

NOT_THEIRS = frozenset({402, 403, 405, 407, 451})
"""Without Gmail's own JSON these come from something on the way (a web filter, a proxy, an abuse page), which passes."""

SENTENCES: dict[type[MailError], str] = {
    MailRefused: "Gmail refused the request",
    MailRateLimited: "Gmail asks to wait",
    MailTemporary: "Gmail couldn't answer",
    MailAuthError: "Gmail no longer lets us in; reconnect the mailbox",
    MailNotFound: "Gmail doesn't have it",
    MailOutcomeUnknown: "Gmail gave no clear answer to the send",
}

# A day's allowance used up frees itself slowly; a rate comes back within the minute.
DAILY_RETRY_AFTER = 3600.0
_DAILY = frozenset({"dailyLimitExceeded", "quotaExceeded"})

_STRUCTURAL = frozenset({"content-type", "content-transfer-encoding", "mime-version"})
_RETRY_AFTER_TEXT = re.compile(r"retry after\s+(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))", re.I)


def error_from(
    status: int, headers: Mapping[str, str], body: bytes, *, sending: bool = False, now: dt.datetime
) -> MailError:
    """The error an answer stands for. With `sending`, whatever isn't a definite no is an unknown outcome."""
    reason, text = _reason_and_text(body)
    kind = ERRORS.get((status, reason)) or ERRORS.get((status, None))
    if kind is None:
        kind = MailRefused if 400 <= status < 500 else MailTemporary
    if reason is None and status in NOT_THEIRS:
        kind = MailTemporary
    if sending and kind is MailTemporary:
        kind = MailOutcomeUnknown
    if sending and reason == "failedPrecondition":
        # May also be how a consumed draft is refused; the caller looks whether the draft still stands.
        kind = MailRefused
    shown = " ".join(p for p in (str(status), reason, text) if p)
    sentence = f"{SENTENCES[kind]} ({without_secrets(shown)[:300]})."
    if kind is not MailRateLimited:
        return kind(sentence)
    wait = retry_after(headers, now) or _stated_wait(text, now)
    if wait is None:
        wait = DAILY_RETRY_AFTER if reason in _DAILY else MailRateLimited.retry_after
    return MailRateLimited(sentence, retry_after=wait)


def _reason_and_text(body: bytes) -> tuple[str | None, str]:
    try:
        error = json.loads(body.decode("utf-8", "replace"))["error"]
    except (ValueError, KeyError, TypeError):
        return None, ""
    if isinstance(error, str):
        return error, ""
    if not isinstance(error, dict):
        return None, ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    reason = first.get("reason")
    return (reason if isinstance(reason, str) else None), str(error.get("message") or "")


def _stated_wait(text: str, now: dt.datetime) -> float | None:
    """Seconds by "Retry after <time>" in the text, as Gmail's own limits say it."""
    match = _RETRY_AFTER_TEXT.search(text)
    try:
        return None if match is None else seconds_until(dt.datetime.fromisoformat(match[1]), now)
    except ValueError:
        return None


def encode_raw(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii")


def decode_raw(value: str) -> bytes:
    """Gmail's base64url, with padding or without. Raises MailTemporary where it isn't that."""
    try:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError) as exc:
        raise MailTemporary("Gmail sent a message body that can't be decoded.") from exc


def is_incoming(label_ids: object) -> bool:
    return not (isinstance(label_ids, list) and NOT_INCOMING.intersection(label_ids))


def moment(resource: Mapping[str, Any]) -> dt.datetime | None:
    """`internalDate` (milliseconds): when Gmail took the message in, or sent it. None where no calendar has that, or a
    day that hasn't begun yet anywhere."""
    try:
        at = dt.datetime.fromtimestamp(int(resource["internalDate"]) / 1000, dt.UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return at if at <= dt.datetime.now(dt.UTC) + dt.timedelta(days=1) else None


def with_raw(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A Message resource fetched with format=full or metadata, with the bytes that one with format=raw would have had,
    as far as they can be told: its headers and what it says, without what was attached."""
    payload = resource.get("payload") or {}
    headers = [(str(h.get("name")), str(h.get("value"))) for h in payload.get("headers") or ()]
    parts = list(_parts(payload))
    kind, words = next((p for p in parts if p[0] == "plain"), next(iter(parts), ("plain", None)))
    if words is None:
        words = html.unescape(str(resource.get("snippet") or "")).encode()
    lines = [
        f"{name}: {' '.join(value.split())}"
        for name, value in headers
        if re.fullmatch(r"[!-9;-~]+", name) and name.lower() not in _STRUCTURAL
    ]
    lines += ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8"]
    lines += ["Content-Transfer-Encoding: base64", "", ""]
    raw = "\r\n".join(lines).encode("utf-8", "replace") + base64.encodebytes(words)
    return {**resource, "raw": encode_raw(raw)}


def _parts(part: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The text parts, with their kinds. Gmail gives text in UTF-8, whatever it came in."""
    kind, _, sub = str(part.get("mimeType")).lower().partition("/")
    data = (part.get("body") or {}).get("data")
    if kind == "text" and data and not part.get("filename"):
        yield ("html" if sub == "html" else "plain"), decode_raw(str(data))
    for inner in part.get("parts") or ():
        yield from _parts(inner)


def read_message(resource: Mapping[str, Any]) -> IncomingMessage:
    """A Message resource fetched with format=raw."""
    raw = resource.get("raw")
    if not isinstance(raw, str):
        raise MailTemporary("Gmail sent a message without its content.")
    return parse_incoming(
        decode_raw(raw),
        provider_message_id=str(resource["id"]),
        provider_thread_id=str(resource["threadId"]) if resource.get("threadId") else None,
        received_at=moment(resource) or dt.datetime.now(dt.UTC),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look-up needs of a draft or sent message; small enough to remember many."""

    message: SentMessage
    send_key: str | None
    fingerprint: Fingerprint
    sent: bool

    def same_as(self, wanted: Fingerprint) -> bool:
        """Whether this may be the message wanted: another send's marker is proof that it isn't."""
        mine = self.fingerprint
        return (
            self.send_key is None
            and mine.recipients == wanted.recipients
            and mine.subject == " ".join(wanted.subject.split())
            and mine.text_hash == wanted.text_hash
            and wanted.provider_thread_id in (None, mine.provider_thread_id)
        )


def seen_from(resource: Mapping[str, Any]) -> Seen:
    """The essence of a Message resource fetched with format=raw."""
    read = read_message(resource)
    return Seen(
        message=SentMessage(
            read.provider_message_id, read.provider_thread_id, read.rfc_message_id, read.received_at
        ),
        send_key=read.header(KEY_HEADER),
        fingerprint=Fingerprint(
            recipients=frozenset(a.email.lower() for a in (*read.to, *read.cc)),
            subject=read.subject,
            text_hash=text_hash(read.text),
            provider_thread_id=read.provider_thread_id,
        ),
        sent="SENT" in (resource.get("labelIds") or ()),
    )


def identities_from(listed: Mapping[str, Any]) -> list[Identity]:
    """A settings.sendAs list. The account's own address bears no verification status."""
    return [
        Identity(
            str(entry["sendAsEmail"]),
            str(entry.get("displayName") or ""),
            verified=bool(entry.get("isPrimary")) or entry.get("verificationStatus") == "accepted",
            default=bool(entry.get("isDefault")),
            signature=str(entry.get("signature") or ""),
        )
        for entry in listed.get("sendAs") or ()
        if entry.get("sendAsEmail")
    ]
