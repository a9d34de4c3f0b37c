"""Graph's words into ours and back: messages, cursors, errors. Nothing here does I/O.

Rests on https://learn.microsoft.com/graph/api/resources/message, /graph/errors,
/graph/api/singlevaluelegacyextendedproperty-get and the property ids of [MS-OXPROPS].
"""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from outreach_sdk.domain.http_answers import retry_after, without_secrets
from outreach_sdk.domain.message import Address, OutgoingMessage, html_to_text, text_hash
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.batch import Failing
from outreach_sdk.mail.port import Draft, Fingerprint, SentMessage

__all__ = [
    "KEY_PROPERTY",
    "Cursor",
    "draft_from",
    "error_from",
    "has_key",
    "key_of",
    "looks_like",
    "mime_from",
    "moment",
    "payload",
    "same_words",
    "sent_from",
    "stamp",
    "submitted",
    "threading_properties",
]

KEY_PROPERTY = "String {9da44218-aee6-46b8-8834-01f28c6010eb} Name OutreachKey"
"""Carries the send key. The GUID is ours alone and never changes: sent messages are found by it."""

FLAGS_PROPERTY = "Integer 0x0E07"  # PidTagMessageFlags
SUBMITTED = 0x4  # mfSubmit: handed over for sending

IN_REPLY_TO = "String 0x1042"  # PidTagInReplyToId
REFERENCES = "String 0x1039"  # PidTagInternetReferences

# Standard headers Graph refuses as such, which Exchange writes from a property of their own.
HEADER_PROPERTIES = {
    "list-help": "String 0x1043",
    "list-subscribe": "String 0x1044",
    "list-unsubscribe": "String 0x1045",
}

# (status, code) before (status, None); what isn't here is temporary from 500 up and refused below.
ERRORS: dict[tuple[int, str | None], type[MailError]] = {
    (400, None): MailRefused,
    (400, "ErrorInvalidIdMalformed"): MailNotFound,
    (400, "ErrorInvalidId"): MailNotFound,
    (401, None): MailAuthError,
    (403, None): MailAuthError,
    (403, "ErrorSendAsDenied"): MailRefused,
    (403, "ErrorInvalidRecipients"): MailRefused,
    (403, "ErrorItemNotFound"): MailNotFound,
    (403, "ErrorMessageSizeExceeded"): MailRefused,
    (403, "ErrorExceededMessageLimit"): MailRateLimited,
    (404, None): MailNotFound,
    # The account lost its mailbox, or never had one in the cloud: no message can help.
    (404, "MailboxNotEnabledForRESTAPI"): MailAuthError,
    (404, "ErrorInvalidUser"): MailAuthError,
    (408, None): MailTemporary,
    (409, None): MailTemporary,
    (410, None): MailNotFound,
    (412, None): MailTemporary,
    (413, None): MailRefused,
    (423, None): MailTemporary,
    (429, None): MailRateLimited,
}

NOT_THEIRS = frozenset({402, 403, 405, 407, 451})
"""Without Graph's own JSON these come from something on the way (a web filter, a proxy, an abuse page), which passes."""

SENTENCES: dict[type[MailError], str] = {
    MailRefused: "Outlook refused the request",
    MailRateLimited: "Outlook asks to wait",
    MailTemporary: "Outlook couldn't answer",
    MailAuthError: "Outlook no longer lets us in; reconnect the mailbox",
    MailNotFound: "Outlook doesn't have it",
    MailOutcomeUnknown: "Outlook gave no clear answer to the send",
}

# A day's allowance used up frees itself slowly; a rate comes back within minutes.
DAILY_RETRY_AFTER = 3600.0


def error_from(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    sending: bool = False,
    alone: bool = False,
    now: dt.datetime,
) -> MailError:
    """The error an answer stands for. With `sending`, whatever isn't a definite no is an unknown outcome. With `alone`, 403
    is a no to one message, as where its sender protected it: a grant that is too narrow shows at the listing."""
    code, text = _code_and_text(body)
    kind = ERRORS.get((status, code)) or ERRORS.get((status, None))
    if kind is None:
        kind = MailRefused if 400 <= status < 500 else MailTemporary
    if code is None and status in NOT_THEIRS:
        kind = MailTemporary
    if sending and kind is MailTemporary:
        kind = MailOutcomeUnknown
    if alone and status == 403 and kind is MailAuthError:
        kind = MailRefused
    shown = " ".join(p for p in (str(status), code, text) if p)
    sentence = f"{SENTENCES[kind]} ({without_secrets(shown)[:300]})."
    wait = retry_after(headers, now)
    if kind is MailRateLimited:
        daily = code == "ErrorExceededMessageLimit"
        wait = wait or (DAILY_RETRY_AFTER if daily else MailRateLimited.retry_after)
        return MailRateLimited(sentence, retry_after=wait)
    if kind is MailTemporary and wait is not None:
        return MailTemporary(sentence, retry_after=wait)
    return kind(sentence)


def _code_and_text(body: bytes) -> tuple[str | None, str]:
    try:
        error = json.loads(body.decode("utf-8", "replace"))["error"]
    except (ValueError, KeyError, TypeError):
        return None, ""
    if not isinstance(error, dict):
        return None, ""
    code = error.get("code")
    return (code if isinstance(code, str) else None), str(error.get("message") or "")


def stamp(moment: dt.datetime) -> str:
    """An OData time, rounded down to the second, which is all that Graph keeps."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: object) -> dt.datetime | None:
    """A time as Graph writes it, or None."""
    try:
        read = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read.replace(tzinfo=dt.UTC) if read.tzinfo is None else read.astimezone(dt.UTC)


def has_key(send_key: str) -> str:
    """The $filter of messages that bear `send_key`. Its comparison is blind to case (Microsoft's page says
    so in one language and the opposite in another): check with `key_of`."""
    value = send_key.replace("'", "''")
    return f"singleValueExtendedProperties/Any(ep: ep/id eq '{KEY_PROPERTY}' and ep/value eq '{value}')"


def _property(resource: Mapping[str, Any], name: str) -> str | None:
    for entry in resource.get("singleValueExtendedProperties") or ():
        # Exchange writes hexadecimal ids in its own case ("Integer 0xe07").
        if str(entry.get("id")).lower().replace("0x0", "0x") == name.lower().replace("0x0", "0x"):
            return str(entry.get("value"))
    return None


def key_of(resource: Mapping[str, Any]) -> str | None:
    """The send key on a message fetched with the property expanded."""
    return _property(resource, KEY_PROPERTY)


def submitted(resource: Mapping[str, Any]) -> bool:
    """Whether the message was handed over for sending: one on its way still says it is a draft."""
    try:
        return bool(int(_property(resource, FLAGS_PROPERTY) or "0", 0) & SUBMITTED)
    except ValueError:
        return False


def draft_from(resource: Mapping[str, Any]) -> Draft:
    """A draft's immutable id is also its message id, before and after sending."""
    return Draft(str(resource["id"]), str(resource["id"]), resource.get("conversationId") or None)


def sent_from(resource: Mapping[str, Any]) -> SentMessage:
    return SentMessage(
        str(resource["id"]),
        resource.get("conversationId") or None,
        resource.get("internetMessageId") or None,
        moment(resource.get("sentDateTime")),
    )


def _people(entries: Iterable[Mapping[str, Any]] | None) -> frozenset[str]:
    return frozenset(str((e.get("emailAddress") or {}).get("address") or "").lower() for e in entries or ())


def looks_like(resource: Mapping[str, Any], wanted: Fingerprint) -> bool:
    """Whether all but the words agree, and no other send's marker is on it."""
    people = _people(resource.get("toRecipients")) | _people(resource.get("ccRecipients"))
    return (
        key_of(resource) is None
        and people == wanted.recipients
        and " ".join(str(resource.get("subject") or "").split()) == " ".join(wanted.subject.split())
        and wanted.provider_thread_id in (None, resource.get("conversationId"))
    )


def same_words(resource: Mapping[str, Any], wanted: Fingerprint) -> bool:
    """Whether the visible words agree, of a message fetched with its body."""
    body = resource.get("body") or {}
    words = str(body.get("content") or "")
    if str(body.get("contentType")).lower() == "html":
        words = html_to_text(words)
    return text_hash(words) == wanted.text_hash


def _recipient(address: Address) -> dict[str, Any]:
    local, _, domain = address.email.rpartition("@")
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    inner = {"address": f"{local}@{domain}"}
    return {"emailAddress": {**inner, "name": address.name} if address.name else inner}


def payload(message: OutgoingMessage, *, send_key: str, mailbox: str) -> dict[str, Any]:
    """The draft as JSON, the key on it. MailRefused for headers that Graph can't carry."""
    properties = [{"id": KEY_PROPERTY, "value": send_key}]
    custom = []
    for name, value in message.headers:
        if name.lower().startswith("x-"):
            custom.append({"name": name, "value": value})
        elif name.lower() in HEADER_PROPERTIES:
            properties.append({"id": HEADER_PROPERTIES[name.lower()], "value": value})
        else:
            raise MailRefused(
                f"Outlook can't send the header {name!r}: it takes X- headers and a few others."
            )
    rich = message.html is not None
    made: dict[str, Any] = {
        "subject": message.subject,
        "body": {
            "contentType": "html" if rich else "text",
            "content": message.html if rich else message.text,
        },
        "toRecipients": [_recipient(a) for a in message.to],
        "ccRecipients": [_recipient(a) for a in message.cc],
        "bccRecipients": [_recipient(a) for a in message.bcc],
        "singleValueExtendedProperties": properties,
    }
    if custom:
        made["internetMessageHeaders"] = custom
    if message.rfc_message_id:
        made["internetMessageId"] = message.rfc_message_id
    if message.sender.email.lower() != mailbox.lower():
        made["from"] = _recipient(message.sender)
    return made


def threading_properties(message: OutgoingMessage) -> list[dict[str, str]]:
    """In-Reply-To and References where there is no message to reply to any more: Graph refuses the headers
    themselves."""
    found = []
    if message.in_reply_to:
        found.append({"id": IN_REPLY_TO, "value": message.in_reply_to})
    if message.references:
        found.append({"id": REFERENCES, "value": " ".join(message.references)})
    return found


def mime_from(resource: Mapping[str, Any]) -> bytes:
    """RFC 5322 bytes from the JSON of a message that Exchange can't convert itself."""

    def line(name: str, value: object) -> str:
        return f"{name}: {' '.join(str(value).split())}"

    def people(entries: Iterable[Mapping[str, Any] | None]) -> str:
        pairs = [(e or {}).get("emailAddress") or {} for e in entries]
        return ", ".join(
            email.utils.formataddr((str(p.get("name") or ""), str(p["address"])))
            for p in pairs
            if p.get("address")
        )

    structural = {"content-type", "content-transfer-encoding", "mime-version"}
    lines = [
        line(str(h.get("name")), h.get("value"))
        for h in resource.get("internetMessageHeaders") or ()
        if re.fullmatch(r"[!-9;-~]+", str(h.get("name"))) and str(h.get("name")).lower() not in structural
    ]
    there = {entry.partition(":")[0].lower() for entry in lines}
    body = resource.get("body") or {}
    kind = "html" if str(body.get("contentType")).lower() == "html" else "plain"
    known = {
        "From": people([resource.get("from")]),
        "To": people(resource.get("toRecipients") or ()),
        "Cc": people(resource.get("ccRecipients") or ()),
        "Subject": resource.get("subject"),
        "Message-ID": resource.get("internetMessageId"),
    }
    lines += [line(name, value) for name, value in known.items() if value and name.lower() not in there]
    lines += ["MIME-Version: 1.0", f"Content-Type: text/{kind}; charset=utf-8"]
    lines += ["Content-Transfer-Encoding: base64", ""]
    content = base64.encodebytes(str(body.get("content") or "").encode("utf-8", "replace"))
    return "\r\n".join([*lines, ""]).encode("utf-8", "replace") + content


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next poll begins, and which messages from there on were told already.

    It carries the id of Sent Items, so that a process that has just started needn't ask for it; and where the next
    look at the inbox's delta begins, when the last one was, and which messages were told since; and those that couldn't
    be read, by their ids.
    """

    start: dt.datetime
    sent_folder: str
    told: frozenset[str] = frozenset()
    delta: str = ""
    swept: dt.datetime | None = None
    passed: frozenset[str] = frozenset()
    failing: Mapping[str, Failing] = field(default_factory=dict)

    @staticmethod
    def short(message_id: str) -> str:
        """An id of 150 characters in eleven."""
        return base64.urlsafe_b64encode(hashlib.sha256(message_id.encode()).digest()[:8]).decode().rstrip("=")

    def encode(self) -> str:
        inner = {"v": 1, "from": stamp(self.start), "sent": self.sent_folder, "told": sorted(self.told)}
        inner |= {"delta": self.delta, "passed": sorted(self.passed - self.told)}
        inner |= {"swept": stamp(self.swept)} if self.swept else {}
        inner |= {"failing": {k: f.encode() for k, f in self.failing.items()}} if self.failing else {}
        return json.dumps(inner, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Cursor | None:
        """None for what isn't a cursor of this kind, as after a change of versions."""
        try:
            inner = json.loads(text)
            if inner["v"] != 1:
                return None
            start = moment(inner["from"])
            if start is None:
                return None
            told, passed = frozenset(map(str, inner["told"])), frozenset(map(str, inner.get("passed", ())))
            delta, swept = str(inner.get("delta", "")), moment(inner.get("swept"))
            failing = {str(k): Failing.decode(v) for k, v in inner.get("failing", {}).items()}
            return cls(start, str(inner["sent"]), told, delta, swept, passed, failing)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
