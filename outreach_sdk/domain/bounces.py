"""Delivery reports: what a mail server says about a message that didn't arrive."""

from __future__ import annotations

import email
import email.errors
import email.policy
import email.utils
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Literal

import flufl.bounce

from outreach_sdk.domain.bounce_words import PASSING, POLICY, UNKNOWN

__all__ = ["Report", "read_report"]

_MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """A server's word. `hard` is True only when the address itself is at fault (unknown user or host), False
    for anything that may pass or lies elsewhere (full, blocked, policy), None where it doesn't apply. `final`:
    in the server's own fields it has given up on every recipient named, so that nothing arrives any more;
    `message_ids` then name the message it returns."""

    kind: Literal["bounce", "complaint", "delivery_notice"]
    hard: bool | None
    recipients: tuple[str, ...]
    status: str | None
    reason: str
    evidence: str
    final: bool = False
    message_ids: tuple[str, ...] = ()


_HARD_STATUS = re.compile(r"5\.(?:1\.[123610]|1\.10|4\.4|7\.17)$")
_SOFT_STATUS = re.compile(r"5\.(?:2\.|3\.|4\.[0-35-9]|5\.|6\.|7\.|1\.[789])")
_FULL = re.compile(r"quota|\bfull\b|exceed", re.I)
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.])([45]\d\d)[ -](?=\D)")
_MAIL = re.compile(
    r"[A-Za-z0-9_][^\s<>()\[\],;:\"'|=]*@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*"
)

_DAEMON = re.compile(
    r"^(?:mailer[-_]?daemon|postmaster|mail[-_.]?(?:delivery|system|daemon|administrator)|daemon|"
    r"mdaemon|microsoft"
    r"exchange\w*|bounce[sd]?|no-?reply-?bounce|mmdf|mail-?deliver\w*|symantec_antivirus\w*|"
    r"autoreply-bounce)",
    re.I,
)
_DAEMON_NAME = re.compile(
    r"mail delivery|mailer.?daemon|postmaster|mail administrator|delivery (?:subsystem|system|"
    r"service|failure)",
    re.I,
)
_SUBJECT = re.compile(
    r"^(?:mail delivery (?:fail|status|system|error|problem)|undeliver|delivery (?:status|failure|"
    r"notification|report|"
    r"has failed|error|problem)|failure notice|failed (?:mail|delivery)|failure delivery|"
    r"returned (?:mail|e-?mail|to)|"
    r"mail (?:could not|system error|failure|delivery|returned|not delivered|status report)|"
    r"message (?:delivery|status)|"
    r"non[- ]?delivery|nondeliverable|unzustellbar|nicht zustellbar|rejected mail|bounce|"
    r"warning: (?:message|could)|"
    r"your message (?:to|couldn)|e?-?mail (?:bounce|rejected)|nachricht nicht|échec|non remis|"
    r"no se (?:ha|puede|pudo)|"
    r"no entregado|mancato recapito|onbestelbaar|olever|недоставлен|не доставлен|配信|メール.{0,6}(?:配信|"
    r"エラー|届)|"
    r"退信|系统退信|投递失败|deliver(?:y)? fail|unable to deliver|undelivered|address (?:not found|unknown)|"
    r"communication failure|unknown user|user unknown|no such user|permanent delivery)",
    re.I,
)
_ORIGINAL = re.compile(
    r"^(?:[ \t>]*-{2,}[ \w()'’./:-]*(?:original|returned|copy|below|unsent|header|"
    r"transcript of session follows ends)"
    r"|[ \t]*(?:original message|returned message|the original message|message header|included is a copy|"
    r"received: |return-path: |\s*Below this line is)|\s*Message headers follow|"
    r"[ \t>]*-{5,} message (?:header|text))",
    re.I | re.M,
)


def read_report(raw: bytes) -> Report | None:
    """The delivery report in `raw`, or None for any other message. Never raises on content.

    Without a machine-readable part the sender must be a mail system, so that a person who forwards a
    bounce stays a person.
    """
    try:
        message = email.message_from_bytes(raw.lstrip(b" \t\r\n"), policy=email.policy.compat32)
        parts = list(message.walk())
    except (ValueError, LookupError, RecursionError, email.errors.MessageError):
        return None
    types = [part.get_content_type() for part in parts]
    top = message.get_content_type()
    report = str(message.get_param("report-type") or "").lower() if top == "multipart/report" else ""
    if report == "feedback-report" or "message/feedback-report" in types:
        return _complaint(parts)
    if _forwarded(message):
        return None
    if report == "disposition-notification" or (
        top == "multipart/report" and "message/disposition-notification" in types
    ):
        return Report("delivery_notice", None, (), None, "read receipt", "message/disposition-notification")
    if _is_jmrp(message):
        return _complaint(parts)
    status = _delivery_status(parts, message)
    if status is not None:
        return status
    return _in_words(message, parts)


def _header(message: Message, name: str) -> str:
    try:
        value = message.get(name)
        return " ".join(
            str(email.header.make_header(email.header.decode_header(str(value))) if value else "").split()
        )
    except (ValueError, LookupError, UnicodeError, email.errors.MessageError):
        return str(message.get(name) or "")


def _sender(message: Message) -> tuple[str, str]:
    name, address = email.utils.parseaddr(_header(message, "From"))
    return name, address or _header(message, "From")


def _from_daemon(message: Message) -> bool:
    name, address = _sender(message)
    return bool(_DAEMON.match(address.strip()) or _DAEMON_NAME.search(name) or _DAEMON.match(name))


def _forwarded(message: Message) -> bool:
    """A person passed a report on: `Fwd:` or `Re:` from somebody who is no mail system."""
    subject = _header(message, "Subject")
    return bool(re.match(r"(?:re|fwd?|aw|wg|tr|rv|sv|vs|i)\s*:", subject, re.I)) and not _from_daemon(message)


def _is_jmrp(message: Message) -> bool:
    return bool(re.match(r"complaint about message from ", _header(message, "Subject"), re.I)) or bool(
        message.get("X-HmXmrOriginalRecipient")
    )


# --- complaints -----------------------------------------------------------------------------------------


def _complaint(parts: list[Message]) -> Report:
    found: dict[str, None] = {}
    for part in parts:
        for name in ("Original-Rcpt-To", "Removal-Recipient", "X-HmXmrOriginalRecipient"):
            for value in part.get_all(name) or []:
                found.update(dict.fromkeys(_addresses(str(value))))
    body = "\n".join(_text(p) for p in parts if p.get_content_type() == "message/feedback-report")
    for line in re.findall(r"^(?:original-rcpt-to|removal-recipient)\s*:(.*)$", body, re.I | re.M):
        found.update(dict.fromkeys(_addresses(line)))
    if not found:
        for part in parts[1:]:
            for value in part.get_all("To") or []:
                found.update(dict.fromkeys(_addresses(str(value))))
    return Report("complaint", None, tuple(found), None, "marked as spam by the recipient", "feedback report")


# --- RFC 3464 -------------------------------------------------------------------------------------------


def _groups(part: Message) -> Iterator[dict[str, str]]:
    """The blocks of fields of one delivery-status part, however it was wrapped."""
    payload = part.get_payload()
    if isinstance(payload, list):
        for block in payload:
            if isinstance(block, Message):
                fields = {k.lower(): " ".join(str(v).split()) for k, v in block.items()}
                if fields:
                    yield fields
                text = block.get_payload()
                if isinstance(text, str) and ":" in text:
                    yield from _loose(text)
    else:
        yield from _loose(_text(part))


def _loose(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        unfolded = re.sub(r"\n[ \t]+", " ", block)
        fields = dict(re.findall(r"^([A-Za-z-]+)[ \t]*:[ \t]*(.*)$", unfolded, re.M))
        if fields:
            yield {k.lower(): v.strip() for k, v in fields.items()}


def _delivery_status(parts: list[Message], message: Message) -> Report | None:
    recipients: dict[str, None] = {}
    actions: list[str] = []
    statuses: list[str] = []
    words: list[str] = []
    for part in parts:
        if part.get_content_type() not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        for fields in _groups(part):
            action = (fields.get("action") or "").split(" ")[0].strip("();").lower()
            address = ""
            for name in ("original-recipient", "final-recipient", "x-actual-recipient"):
                value = fields.get(name, "")
                found = _addresses(value.partition(";")[2] or value)
                if found and (name != "original-recipient" or not address):
                    address = address or found[0]
            if not address and not action and "status" not in fields:
                continue
            if address:
                recipients[address] = None
            if action:
                actions.append(action)
            statuses += _STATUS.findall(fields.get("status", ""))[:1]
            words.append(fields.get("diagnostic-code", ""))
    if not actions and not statuses:
        return None
    text = " ".join(w for w in words if w)
    told = next(iter(_STATUS.findall(text)), None)
    status = next((s for s in statuses if not s.endswith(".0.0")), None) or told or next(iter(statuses), None)
    if not recipients:
        recipients = dict.fromkeys(_found_by_flufl(message))
    who = tuple(recipients)
    if actions and all(a in ("delivered", "relayed", "expanded", "deliverable") for a in actions):
        return Report("delivery_notice", None, who, status, "delivered", "message/delivery-status")
    if actions and all(a == "delayed" for a in actions):
        return Report(
            "delivery_notice", False, who, status, text[:200] or "delayed", "message/delivery-status"
        )
    if not actions and status is not None and status.startswith("2"):
        return Report("delivery_notice", None, who, status, "delivered", "message/delivery-status")
    human = _body(parts)
    hard = _is_hard(status, text, human)
    return Report(
        "bounce",
        hard,
        who,
        status,
        _shorten(text or human),
        "message/delivery-status",
        final=bool(actions) and all(a == "failed" for a in actions),
        message_ids=_returned(parts, message),
    )


_MESSAGE_ID = re.compile(r"<[^<>\s]+>")


def _returned(parts: list[Message], message: Message) -> tuple[str, ...]:
    """The Message-ID of what comes back, else of what the report answers."""
    for part in parts[1:]:
        if part.get_content_type() == "text/rfc822-headers":
            found = re.search(r"^Message-ID\s*:\s*(<[^<>\s]+>)", _text(part), re.I | re.M)
            if found is not None:
                return (found[1],)
        elif (found := _MESSAGE_ID.search(str(part.get("Message-ID") or ""))) is not None:
            return (found[0],)
    return tuple(_MESSAGE_ID.findall(str(message.get("In-Reply-To") or "")))


def _is_hard(status: str | None, said: str, beside: str) -> bool:
    """The server's words first, then its code, then the prose around them. Without any reason it is soft: a
    bounded number of further tries costs less than an address struck out by mistake."""
    if POLICY.search(said) is not None or _FULL.search(said) is not None:
        return False
    if (status or "").startswith("4.") and "dns" in said.lower():
        return False  # a name server that may answer tomorrow
    if UNKNOWN.search(said) is not None:
        return True
    if status is not None and _HARD_STATUS.match(status):
        return True
    if status is not None and _SOFT_STATUS.match(status):
        return False
    if PASSING.search(said) is not None:
        return False
    for line in beside.split("\n"):
        if UNKNOWN.search(line) is not None and _FULL.search(line) is None and POLICY.search(line) is None:
            return True
    return (
        UNKNOWN.search(beside) is not None and _FULL.search(beside) is None and POLICY.search(beside) is None
    )


# --- reports in words -----------------------------------------------------------------------------------


def _in_words(message: Message, parts: list[Message]) -> Report | None:
    daemon = _from_daemon(message)
    subject = _SUBJECT.search(_header(message, "Subject")) is not None
    returns = str(message.get("Return-Path") or "-").strip()
    nobody = returns in ("<>", "", "<MAILER-DAEMON>") or not _sender(message)[1]
    noreply = re.match(r"(?:no|do-?not)[-_.]?reply", _sender(message)[1], re.I) is not None
    failed = bool(message.get("X-Failed-Recipients"))
    if not (daemon or failed or subject):
        return None
    text = _body(parts)
    permanent, temporary = _flufl(message)
    if not (daemon or failed or nobody or noreply) and (
        message.get("In-Reply-To") or not (permanent or temporary)
    ):
        return None  # a person who writes about a failed delivery
    listed = [a for v in message.get_all("X-Failed-Recipients") or [] for a in _addresses(str(v))]
    who = tuple(dict.fromkeys(listed)) or tuple(permanent or temporary)
    speaks = any(p.search(text) for p in (UNKNOWN, PASSING, POLICY, _REPLY_CODE, _STATUS))
    if not who:
        who = tuple(_named(text, parts))
        if not subject and not (speaks and who):
            return None
    status = next((s for s in _STATUS.findall(text) if s[0] in "45"), None)
    delayed = re.search(
        r"delayed|warning: (?:message|could not)|still (?:trying|being)|will (?:be retried|keep trying)",
        (_header(message, "Subject") + " " + text[:1500]).lower(),
    )
    if delayed is not None and not permanent and not re.search(r"giving up|permanent|fatal", text, re.I):
        return Report("delivery_notice", False, who, status, _shorten(text), "a server's notice of delay")
    if temporary and not permanent and not UNKNOWN.search(text):
        return Report("bounce", False, who, status, _shorten(text), "a server's notice")
    return Report(
        "bounce", _is_hard(status, _diagnosis(text), text), who, status, _shorten(text), "a server's notice"
    )


def _diagnosis(text: str) -> str:
    """The lines that quote a server."""
    lines = [line for line in text.split("\n") if _REPLY_CODE.search(line) or _STATUS.search(line)]
    return " ".join(lines)[:2000]


def _named(text: str, parts: list[Message]) -> list[str]:
    found = list(dict.fromkeys(a.lower() for a in re.findall(rf"<({_MAIL.pattern})>", text[:3000])))
    own = {
        a
        for p in parts[:1]
        for n in ("From", "To", "Cc")
        for v in p.get_all(n) or []
        for a in _addresses(str(v))
    }
    found = [a for a in found if a not in own] or [a for a in _addresses(text[:3000]) if a not in own]
    return found[:1]


def _flufl(message: Message) -> tuple[list[str], list[str]]:
    """(permanent, temporary) by flufl.bounce, whose detectors stumble over malformed messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            temporary, permanent = flufl.bounce.all_failures(message)
    except Exception:  # noqa: BLE001, RUF100 - an empty From alone raises IndexError; a witness may be silent
        return [], []
    return _plain(permanent), _plain(temporary)


def _found_by_flufl(message: Message) -> list[str]:
    permanent, temporary = _flufl(message)
    return permanent or temporary


def _plain(found: object) -> list[str]:
    if not isinstance(found, set | frozenset):
        return []
    texts = {f.decode("ascii", "replace") if isinstance(f, bytes) else str(f) for f in found}
    return sorted({a for t in texts for a in _addresses(t)})


# --- pieces ---------------------------------------------------------------------------------------------


def _addresses(value: str) -> list[str]:
    return list(dict.fromkeys(a.strip(".").lower() for a in _MAIL.findall(value)))


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part.get_payload() or "") if not part.is_multipart() else ""
    for name in (str(part.get_content_charset() or "utf-8"), "utf-8", "latin-1"):
        try:
            return payload[:_MAX_TEXT].decode(name, "strict" if name != "latin-1" else "replace")
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return ""


def _body(parts: list[Message]) -> str:
    """The notice itself: the first text, without the message it returns."""
    for part in parts:
        if part.get_content_maintype() == "text" and part.get_content_type() != "text/rfc822-headers":
            text = _text(part).replace("\r\n", "\n").replace("\r", "\n")
            if part.get_content_subtype() == "html":
                text = re.sub(r"<[^<>]*>", " ", text)
            if text.strip():
                cut = _ORIGINAL.search(text, 60)
                return text[: cut.start()] if cut is not None else text
    return ""


def _shorten(text: str) -> str:
    lines = [
        line
        for line in text.split("\n")
        if _REPLY_CODE.search(line) or _STATUS.search(line) or UNKNOWN.search(line)
    ]
    return " ".join(" ".join(lines or text.split("\n")[:6]).split())[:200]
