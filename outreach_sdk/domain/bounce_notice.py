"""Delivery reports without a machine-readable part: a mail system's own words."""

from __future__ import annotations

import email
import email.policy
import email.utils
import json
import logging
import re
import warnings
from email.message import Message
from typing import Any

import flufl.bounce

from outreach_sdk.domain.bounce_fault import REPLY_CODE, STATUS, Refusal, at_fault, prose_blames, stage_of
from outreach_sdk.domain.bounce_words import FULL, PASSING, POLICY, UNKNOWN
from outreach_sdk.domain.mime import unix_lines
from outreach_sdk.domain.report_parts import (
    Report,
    about,
    addresses,
    body,
    from_daemon,
    header,
    is_mailer,
    returned_to,
    sender,
    text,
)

__all__ = ["by_flufl", "in_words", "says_nothing_else", "shorten", "sns_notice"]

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)  # a witness that stumbles is no event

_SUBJECT = re.compile(
    r"^(?:mail delivery (?:fail|status|system|error|problem)|undeliver|delivery (?:status|failure|"
    r"notification|report|"
    r"has failed|error|problem)|failure notice|failed (?:mail|delivery)|failure delivery|"
    r"returned (?:mail|e-?mail|to)|mail failed|"
    r"mail (?:could not|system error|failure|delivery|returned|not delivered|status report)|"
    r"message (?:delivery|status)|"
    r"non[- ]?delivery|nondeliverable|unzustellbar|nicht zustellbar|rejected mail|bounce|"
    r"warning: (?:message|could)|"
    r"your message (?:to|couldn)|e?-?mail (?:bounce|rejected)|nachricht nicht|échec|non remis|"
    r"no se (?:ha|puede|pudo)|"
    r"no entregado|mancato recapito|onbestelbaar|olever|недоставлен|не доставлен|配信|メール.{0,6}(?:配信|"
    r"エラー|届)|ваше (?:сообщение|письмо) не доставлено|"
    r"退信|系统退信|投递失败|deliver(?:y)? fail|unable to deliver|undelivered|address (?:not found|unknown)|"
    r"loop alert|communication failure|unknown user|user unknown|no such user|permanent delivery)",
    re.I,
)
_DELAYED = re.compile(
    r"delayed|warning: (?:message|could not)|still (?:trying|being)|will (?:be retried|keep trying)|"
    r"not yet been delivered|delivery attempts will continue|been postponed|will continue to (?:try|attempt)",
    re.I,
)
_UNDELIVERED = re.compile(
    r"(?:could not|couldn['’]t|cannot|can['’]t|was not|wasn['’]t|unable to|not) (?:be )?deliver|undeliver",
    re.I,
)
# A notice that says this and nothing else; who writes about one says more.
_ALL_IT_SAYS = re.compile(
    r"(?:your (?:message|e-?mail) (?:could not|couldn['’]t|was not) be? ?delivered to|"
    r"votre message n['’]a pas p[uû] [eê]tre (?:d[eé]livr[eé]|remis) [aà]|ihre nachricht konnte nicht zugestellt werden an|"
    r"su mensaje no (?:pudo|se pudo|ha podido) ser entregado a|impossibile recapitare il messaggio a)?[\s:*]*",
    re.I,
)
_NO_REPLY = re.compile(r"(?:no|do-?not)[-_.]?reply", re.I)
_NO_REASON = re.compile(r"this is a permanent error\.|delivery to the following recipients failed\.", re.I)
_GIVEN_UP = re.compile(r"giving up|permanent|fatal", re.I)


def in_words(message: Message, parts: list[Message], raw: bytes) -> Report | None:
    """A notice in prose, told by two signs of a mail system at least: anybody may be called a postmaster, write
    about a server, or paste its words. An ordinary sender's message is a person's whatever it says, and so is
    an answer that has a return path."""
    words = body(parts)
    alone = not message.get("In-Reply-To") and says_nothing_else(words)
    # An address that takes no answers sends the message back, with the original below.
    noreply = _NO_REPLY.fullmatch(sender(message)[1].partition("@")[0]) is not None
    noreply = noreply and _returns(parts, words) and not message.get("In-Reply-To")
    # fml, a list server, writes to the list's keeper as one of its people; no person's mail bears its header,
    # nor Exim's.
    marked = message.get("X-MLServer") is not None or bool(message.get("X-Failed-Recipients"))
    nobody = returned_to(message) == "nobody"
    daemon = from_daemon(message) or marked or noreply or alone
    if not (daemon or nobody):
        return None
    subject = _SUBJECT.search(header(message, "Subject")) is not None
    coded = any(p.search(words) for p in (REPLY_CODE, STATUS))
    # No person's address is mailer-daemon: there the mere words of a server do.
    spoken = _no_person(message) and any(p.search(words) for p in (UNKNOWN, PASSING, POLICY, FULL))
    signs = sum((from_daemon(message), nobody, subject, coded or spoken or _brings_back(parts, words)))
    if not (marked or noreply or alone) and (signs < 2 or _is_answer(message, subject=subject)):
        return None
    subject = subject or noreply or alone
    permanent, temporary = by_flufl(raw)
    listed = [a for v in message.get_all("X-Failed-Recipients") or [] for a in addresses(str(v))]
    who = tuple(dict.fromkeys(listed)) or tuple(permanent or temporary) or tuple(_printed(words))
    if not who:
        who = tuple(_named(words, message))
        speaks = any(p.search(words) for p in (UNKNOWN, PASSING, POLICY, FULL, REPLY_CODE, STATUS))
        if not subject and not (speaks and who):
            return None
    status = _status(words)
    evidence = "a server's notice"
    top = header(message, "Subject") + " " + words[:1500]
    late = _DELAYED.search(header(message, "Subject")) or (_DELAYED.search(top) and not permanent)
    if late and not _GIVEN_UP.search(words):
        return Report("delivery_notice", False, who, status, shorten(words), "a server's notice of delay")
    if temporary and not permanent and not UNKNOWN.search(words):
        return Report("bounce", False, who, status, shorten(words), evidence)
    if len(who) > 1:
        parted = [(a, about(a, words)) for a in who]
        dead = tuple(a for a, said in parted if said and _blames(said, _status(said), a))
        if dead or all(said for _, said in parted):
            return Report("bounce", bool(dead), who, status, shorten(words), evidence, dead=dead)
    hard = _blames(words, status, who[0] if who else "")
    return Report("bounce", hard, who, status, shorten(words), evidence, dead=who if hard else ())


def says_nothing_else(words: str) -> bool:
    """Whether all there is are sentences that name an address nobody could be reached at."""
    lines = [x for x in words[:2000].split("\n") if re.search(r"\w", x)]
    told = [" ".join(re.sub(r"[^\s@<]{1,64}@[^\s@>]{1,200}", "", x).strip(" <>*:.\t").split()) for x in lines]
    return (
        2 <= len(lines) <= 8
        and any(told)
        and all(_ALL_IT_SAYS.fullmatch(x) for x in told)
        and any(not x for x in told)
    )


def _returns(parts: list[Message], words: str) -> bool:
    types = {part.get_content_type() for part in parts[1:]}
    return "message/rfc822" in types and _UNDELIVERED.search(words[:1500]) is not None


def _brings_back(parts: list[Message], words: str) -> bool:
    """Whether another message, or its headers, are below."""
    types = {part.get_content_type() for part in parts[1:]}
    if types & {"message/rfc822", "text/rfc822-headers"}:
        return True
    whole = "\n".join(text(p) for p in parts[:3] if p.get_content_maintype() == "text")
    return re.search(r"^(?:[ \t>]*+)message-id[ \t]*+:\s*+<", whole, re.I | re.M) is not None


def _is_answer(message: Message, *, subject: bool) -> bool:
    """Whether it answers a message and can be answered itself: only a person's does both."""
    return bool(message.get("In-Reply-To")) and returned_to(message) != "nobody" and not subject


def _status(words: str) -> str | None:
    return next((s for s in STATUS.findall(words) if s[0] in "45"), None)


def _quoted(words: str) -> str:
    """The lines that quote a server, each with the one it runs on into."""
    lines = words.split("\n")
    marked = [REPLY_CODE.search(x) is not None or STATUS.search(x) is not None for x in lines]
    runs_on = [False, *(m and x.rstrip()[-1:] not in ".!" for m, x in zip(marked, lines, strict=True))]
    return " ".join(x.strip() for x, m, r in zip(lines, marked, runs_on, strict=False) if m or r)[:2000]


def _blames(words: str, status: str | None, who: str) -> bool:
    refusal = Refusal(who, status, _quoted(words), stage_of(words))
    found = at_fault(refusal)
    found = found if found is not None else prose_blames(words)
    # Exim and Exchange leave the reason out where the recipient's own server refused the address.
    return bool(who) and _NO_REASON.search(words) is not None if found is None else found


def _no_person(message: Message) -> bool:
    """Whether From is a mail program's, or the null address, which RFC 5321 4.5.5 keeps for notifications."""
    return is_mailer(message) or header(message, "From").strip() == "<>"


_PRINTED = re.compile(r"^[ \t]*+(?:final|original)-recipient[ \t]*+:[ \t]*+rfc822;(.{3,250})$", re.I | re.M)


def _printed(words: str) -> list[str]:
    """The recipients of a report whose fields (RFC 3464) are printed in the notice, as some gateways do."""
    return list(dict.fromkeys(a for said in _PRINTED.findall(words) for a in addresses(said)))


def _named(words: str, message: Message) -> list[str]:
    """The first address a notice names that isn't in its own headers."""
    own = {a for n in ("From", "To", "Cc") for v in message.get_all(n) or [] for a in addresses(str(v))}
    bracketed = addresses(" ".join(re.findall(r"<[^<>\s]{3,250}+>", words[:3000])))
    found = [a for a in bracketed if a not in own] or [a for a in addresses(words[:3000]) if a not in own]
    return found[:1]


_WITNESS_READS = 16_000


def by_flufl(raw: bytes) -> tuple[list[str], list[str]]:
    """(permanent, temporary) by flufl.bounce. Some of its patterns take the square of a text's length, and an
    empty From raises IndexError: it is shown the beginning of a copy with a From."""
    try:
        message = email.message_from_bytes(
            b"".join(unix_lines(raw).lstrip(b" \t\r\n")[:_WITNESS_READS].splitlines(keepends=True)[:200]),
            policy=email.policy.compat32,
        )
        for part in message.walk():
            if part.get_content_maintype() == "text" and part.get("Content-Transfer-Encoding"):
                words = text(part)
                del part["Content-Transfer-Encoding"]
                part.set_payload(words.encode("ascii", "replace").decode())
        if not email.utils.getaddresses([str(message.get("From") or "")[:500]]):
            del message["From"]
            message["From"] = "unknown@invalid"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            temporary, permanent = flufl.bounce.all_failures(message)
    except Exception:  # noqa: BLE001, RUF100 - its detectors stumble over malformed messages
        return [], []
    return _plain(permanent), _plain(temporary)


def _plain(found: object) -> list[str]:
    if not isinstance(found, set | frozenset):
        return []
    texts = {f.decode("ascii", "replace") if isinstance(f, bytes) else str(f) for f in found}
    return sorted({a for t in texts for a in addresses(t)})


def shorten(words: str) -> str:
    """The lines that quote a server, else the first, as one phrase."""
    lines = words[:4000].split("\n")
    told = ""
    for line in lines:
        if REPLY_CODE.search(line) or STATUS.search(line) or UNKNOWN.search(line):
            told = " ".join(f"{told} {line}".split())
            if len(told) >= 200:
                break
    return (told or " ".join(" ".join(lines[:6]).split()))[:200]


# --- Amazon SES, as SNS mails it --------------------------------------------------------------------------


def sns_notice(message: Message, parts: list[Message]) -> Report | None:
    """An SES notification that SNS sends by e-mail: one JSON object, with a footer below."""
    if not message.get("x-amz-sns-message-id"):
        return None
    words = next((text(p) for p in parts if p.get_content_maintype() == "text"), "")
    try:
        told, _ = json.JSONDecoder(strict=False).raw_decode(words.lstrip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    kind = str(told.get("notificationType") or told.get("eventType") or "")
    about = told.get(kind.lower())
    about = about if isinstance(about, dict) else {}
    if kind == "Complaint":
        who = _people(about.get("complainedRecipients"))
        return Report("complaint", None, tuple(who), None, "marked as spam by the recipient", "Amazon SES")
    if kind == "Delivery":
        who = _people([{"emailAddress": a} for a in about.get("recipients") or []])
        return Report("delivery_notice", None, tuple(who), None, "delivered", "Amazon SES")
    if kind != "Bounce":
        return None
    people = _people(about.get("bouncedRecipients"))
    said = " ".join(str(p.get("diagnosticCode") or "") for p in people.values())
    status = next((str(p["status"]) for p in people.values() if p.get("status")), None)
    permanent = about.get("bounceType") == "Permanent"
    dead = [
        address
        for address, p in people.items()
        if permanent
        and at_fault(Refusal(address, p.get("status"), str(p.get("diagnosticCode") or ""))) is not False
    ]
    return Report(
        "bounce",
        bool(dead),
        tuple(people),
        status,
        said[:200],
        "Amazon SES",
        final=permanent,
        dead=tuple(dead),
    )


def _people(listed: Any) -> dict[str, dict[str, Any]]:
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    return {a: e for e in entries for a in addresses(str(e.get("emailAddress") or ""))}
