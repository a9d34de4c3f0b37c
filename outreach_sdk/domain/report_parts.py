"""The pieces of a delivery report, read within bounds: its parts, their text, addresses, header values."""

from __future__ import annotations

import email.errors
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from outreach_sdk.domain.mime import address_pairs, charset_of, clean, decoded, header_text, read_bounded

__all__ = [
    "Fields",
    "Report",
    "about",
    "addresses",
    "body",
    "from_daemon",
    "groups",
    "header",
    "is_mailer",
    "is_report",
    "of_itself",
    "parameter",
    "read",
    "returned_to",
    "sender",
    "text",
    "typed_address",
]

STATUS_PART = "text/x-delivery-status"
"""What `read_bounded` makes of message/delivery-status."""

_MAX_RAW = 200_000
_MAX_TEXT = 12_000
_MAX_NOTICE = 6_000
_MAX_PARTS = 60
_MAX_GROUPS = 200
_NO_NOTICE = ("text/rfc822-headers", "text/calendar", STATUS_PART)

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """A server's word. `hard` is True only when the address itself is at fault (unknown user or host), False
    for anything that may pass or lies elsewhere (full, blocked, policy), None where it doesn't apply. `final`:
    in the server's own fields it has given up on every recipient named, so that nothing arrives any more;
    `message_ids` then name the message it returns. `dead` are the recipients whose address is at fault."""

    kind: Literal["bounce", "complaint", "delivery_notice"]
    hard: bool | None
    recipients: tuple[str, ...]
    status: str | None
    reason: str
    evidence: str
    final: bool = False
    message_ids: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()


_EDGE = r"\s<>()\[\],;:\"'|=@"
# Possessive, and begun only where a run of characters begins, so that no text takes longer than its length.
_MAIL = re.compile(
    rf"(?<![^{_EDGE}])[^A-Za-z0-9_{_EDGE}]{{0,8}}+([A-Za-z0-9_](?:[^{_EDGE}]|'(?=[A-Za-z0-9])){{0,127}}+"
    r"@[A-Za-z0-9][A-Za-z0-9-]{0,62}+(?:\.[A-Za-z0-9-]{1,63}+){0,10})"
)

# Local parts and display names of mail systems, whole: people are called Daemon, or work at a delivery service.
_DAEMON = re.compile(
    r"(?:mailer[-_. ]?daemon|postmaster|mail[-_. ]?(?:delivery(?:[-_. ]?(?:sub)?system)?|system|daemon|administrator)|"
    r"system[-_. ]administrator|"
    r"daemon|mdaemon|microsoft[-_. ]?exchange(?:[0-9a-f]{32})?|bounces?|bounced|no-?reply-?bounce|mmdf|"
    r"mail-?deliver[a-z]{0,12}|ndr|symantec_antivirus\w{0,60}|autoreply-bounce)",
    re.I,
)
_DAEMON_NAME = re.compile(
    r"(?:[\w.-]{1,30} )?(?:mail(?:er)?[-_. ]?daemon|postmaster)|(?:internet )?mail deliver(?:y|er)?(?: (?:(?:sub)?system|"
    r"service|failure))?|mail administrator|delivery (?:subsystem|system|service|failure)|microsoft exchange",
    re.I,
)
# Where the returned message begins in a report that has no parts.
_ORIGINAL = re.compile(
    r"^(?:[ \t>]{0,20}-{2,80}[ \w()'’./:-]{0,60}(?:original|returned|copy|below|unsent|header|"
    r"transcript of session follows ends)"
    r"|[ \t]{0,20}(?:original message|returned message|the original message(?! was)|message header|"
    r"included is a copy|received: |return-path: |below this line is)|message headers follow|"
    r"bounced e-?mail:|[ \t>]{0,20}-{5,80} message (?:header|text))",
    re.I | re.M,
)


def read(raw: bytes) -> tuple[Message, list[Message]] | None:
    """The message and its parts, the returned message's among them; None where it can't be taken apart."""
    try:
        message = read_bounded(raw.lstrip(b" \t\r\n")[:_MAX_RAW])
        parts: list[Message] = []
        for part in message.walk():
            parts.append(part)
            if len(parts) >= _MAX_PARTS:
                break
    except (ValueError, LookupError, RecursionError, email.errors.MessageError):
        return None
    return message, parts


def of_itself(message: Message) -> list[Message]:
    """The parts that are the message's own, none of a message it returns or has attached."""
    found: list[Message] = []
    waiting = [message]
    while waiting and len(found) < _MAX_PARTS:
        part = waiting.pop(0)
        found.append(part)
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting = [p for p in part.get_payload() if isinstance(p, Message)] + waiting
    return found


def is_report(message: Message) -> bool:
    """Whether its machine-readable part is the message's own word: RFC 6522 has it directly below a
    multipart/report. Some servers use another container; then a mail system must have sent it."""
    if message.get_content_type() == "multipart/report":
        return True
    return from_daemon(message) or returned_to(message) == "nobody"


def returned_to(message: Message) -> Literal["nobody", "somebody", "unknown"]:
    """Where the message's own bounces would go. RFC 5321 4.5.5: a notification's go nowhere,
    and some come from nobody."""
    value = str(message.get("Return-Path") or "-").strip().lower()
    if value == "<>" or value.startswith("<mailer-daemon") or "@" not in sender(message)[1]:
        return "nobody"
    return "somebody" if "@" in value else "unknown"


def parameter(message: Message, name: str) -> str:
    """One parameter of Content-Type, lower-cased, or ''."""
    try:
        return str(message.get_param(name) or "").lower()
    except (TypeError, ValueError, LookupError, AttributeError):
        return ""


def header(message: Message, name: str) -> str:
    """One header, decoded, on one line."""
    value = decoded(header_text(message.get(name) or "")[:2000])
    return " ".join(value.split())


def sender(message: Message) -> tuple[str, str]:
    """(name, address) of From; the whole header for want of an address."""
    whole = header(message, "From")
    pairs = [pair for pair in address_pairs(whole) if pair[1]]
    return pairs[0] if pairs else ("", whole)


def from_daemon(message: Message) -> bool:
    """Whether From is a mail system's, by its whole local part or its whole name."""
    name, address = sender(message)
    local = address.partition("@")[0].replace("<>", "").strip(" \"'")
    name = " ".join(name.split()).strip("\"'")
    return any(x is not None for x in (_DAEMON.fullmatch(local), _DAEMON_NAME.fullmatch(name)))


def is_mailer(message: Message) -> bool:
    """Whether From is a mail program's, rather than a postmaster's, who may be a person."""
    local = sender(message)[1].partition("@")[0].replace("<>", "").strip(" \"'")
    return from_daemon(message) and local.lower() != "postmaster"


def addresses(value: str) -> list[str]:
    """E-mail addresses in `value`, lower-cased, each once, in order."""
    found = (m[1].strip(".").lower() for m in _MAIL.finditer(value))
    return list(dict.fromkeys(a for a in found if not a.startswith(".")))


_TYPED = re.compile(r"[^\s<>()\[\],;:\"@]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){0,10}")
_ESCAPED = re.compile(r"\\x\{([0-9a-f]{2,6})\}", re.I)


def _letter(escaped: re.Match[str]) -> str:
    code = int(escaped[1], 16)
    return chr(code) if code < 0x110000 and chr(code).isprintable() else escaped[0]


def typed_address(value: str) -> str:
    """The address of a recipient field (RFC 3464 2.3.1): all of it, whatever letters it has. RFC 6533 3 writes
    those beyond ASCII as `\\x{F6}` where the way may not be clear for them."""
    kind, parted, rest = value[:1000].partition(";")
    address = (rest if parted else kind).strip().strip("<>").strip()
    if kind.strip().lower() == "utf-8":
        address = _ESCAPED.sub(_letter, address)
    return address.lower() if _TYPED.fullmatch(address) else ""


def text(part: Message) -> str:
    """A part's text, decoded as it says, else as UTF-8, else as Latin-1."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return "" if part.is_multipart() else clean(str(part.get_payload() or "")[:_MAX_TEXT])
    payload = payload[:_MAX_TEXT]
    for name in (charset_of(part), "utf-8"):
        for cut in (0, 1, 2, 3):  # the bound may fall within a character
            try:
                return clean(payload[: len(payload) - cut].decode(name))
            except (UnicodeDecodeError, ValueError):
                if len(payload) < _MAX_TEXT:
                    break
            except LookupError:
                break
    return clean(payload.decode("latin-1"))


def body(parts: list[Message]) -> str:
    """The notice itself: the first text, without the message it returns."""
    for part in parts:
        unsplit = part.get_content_maintype() == "multipart" and not part.is_multipart()
        if not unsplit and (part.get_content_maintype() != "text" or part.get_content_type() in _NO_NOTICE):
            continue
        words = text(part).replace("\r\n", "\n").replace("\r", "\n")
        if part.get_content_subtype() == "html":
            words = re.sub(r"<(style|script)\b[^<]*+", " ", words, flags=re.I)
            words = re.sub(r"<[^<>]*+>", " ", words).replace("&lt;", "<").replace("&gt;", ">")
        if words.strip():
            cut = _ORIGINAL.search(words, 60)
            return (words[: cut.start()] if cut is not None else words)[:_MAX_NOTICE]
    return ""


def groups(part: Message) -> Iterator[Fields]:
    """The blocks of fields of a delivery-status part (RFC 3464 2.1)."""
    words = text(part).replace("\r\n", "\n").replace("\r", "\n")
    for block in re.split(r"\n[ \t]*+\n", words)[:_MAX_GROUPS]:
        unfolded = re.sub(r"\n[ \t]++", " ", block)
        found = dict(re.findall(r"^([A-Za-z-]{1,60}+)[ \t]*+:[ \t]*+(.*)$", unfolded, re.M))
        if found:
            yield {k.lower(): v.strip() for k, v in found.items()}


def about(recipient: str, prose: str) -> str:
    """The lines of a notice from where it names the recipient to where it names another."""
    start = prose.lower().find(recipient) if recipient else -1
    if start < 0:
        return ""
    window = prose[start : start + 1500]
    for found in re.finditer(r"^[ \t*]{0,20}[^\s@]{1,100}@", window[len(recipient) :], re.M):
        if recipient.partition("@")[0] not in found.group().lower():
            return window[: len(recipient) + found.start()]
    return window
