"""Whose fault a refusal is: the address's, or anything else's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from outreach_sdk.domain.bounce_words import BARE_UNKNOWN, FULL, PASSING, POLICY, UNKNOWN

__all__ = ["REPLY_CODE", "STATUS", "Refusal", "Stage", "at_fault", "prose_blames", "stage_of"]

Stage = Literal["connect", "mail", "rcpt", "data"]

STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
REPLY_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?:[ -]|: )(?=\D)")

# RFC 3463: X.1.1 bad mailbox, X.1.2 bad system, X.1.3 bad syntax, X.1.6 moved, X.1.10 null MX (RFC 7505) and
# Exchange's RecipientNotFound; X.1.0 is "other address status", which IronPort says of an unknown recipient.
# X.4.4 is "unable to route": no such domain. 5.7.17: the mailbox owner has changed (RFC 7293).
_ADDRESS = re.compile(r"(?:5\.1\.(?:0|1|2|3|6|10)|4\.1\.[16]|5\.4\.4|5\.7\.17)$")
# X.2.x speaks of a mailbox that is there; X.1.7 and X.1.8 of the sender's; X.3 to X.7 of systems, routes,
# protocol, content and policy.
_ELSEWHERE = re.compile(r"[45]\.(?:[235-7]\.|4\.[0-35-9]|4\.\d\d|1\.[789])")
# RFC 3463: the sender's address has a bad syntax, or a system that doesn't exist.
_SENDERS = re.compile(r"[45]\.1\.[78]$")
_MAILBOX_IS_THERE = re.compile(r"[45]\.2\.")

# How each family of servers tells at which command it was refused.
_STAGES: dict[Stage, re.Pattern[str]] = {
    stage: re.compile(pattern, re.I)
    for stage, pattern in cast(
        tuple[tuple[Stage, str], ...],
        (
            (
                "rcpt",
                r"(?:in reply to|in response to the|after|during|for|>>>|smtp:) ?rcpt\b|\[rcpt_to\]|smtp command\s+rcpt|"
                r"does not like recipient",
            ),
            (
                "data",
                r"(?:in reply to|in response to the|after|during|for|>>>) ?(?:the )?(?:end of |pipelined |sending )?"
                r"(?:data|text)\b|after (?:end of data|transfer of (?:mail text|data))|\[(?:data|body)\]|"
                r"smtp command\s+data|failed after i sent the message",
            ),
            (
                "mail",
                r"(?:in reply to|in response to the|after|during|for|>>>) ?mail\b(?: ?from)?\b|\[mail_from\]|"
                r"smtp command\s+mail|but sender was rejected",
            ),
            (
                "connect",
                r"(?:in reply to|after|>>>) ?(?:helo|ehlo)\b|after initial connection|\[(?:helo|ehlo|connect)\]|"
                r"but greeting failed|wasn't able to establish an smtp connection",
            ),
        ),
    )
}
# What two Japanese carriers answer after DATA when their customer's filter refuses a message: one names no
# address (at RCPT it does), the other puts the words the other way round.
_FILTERING = re.compile(r"\b550\W{0,3}: user unknown|unknown user [\w.+-]{1,64}@docomo\.ne\.jp", re.I)


# Pages of block lists, and what passes whatever the code says: a name server that failed (netdb's TRY_AGAIN),
# Postfix' address verification under way, and a 4yz reply that asks to be tried later (RFC 5321 4.2.1).
# 450 says "mailbox unavailable" of a busy one, 550 of one that isn't there (RFC 5321 4.2.2).
_NOT_THIS = re.compile(
    r"https?://\S{0,200}(?:spamhaus|spamcop|sorbs|barracuda|abuseat|surbl|uribl|rbl|dnsbl|block|blacklist|/bl\b)|"
    r"unexpected name ?server reply|servfail|temporar(?:y|ily) (?:locked|unavailable|disabled|rejected|failure|"
    r"lookup)|host not found, try again|unverified address|verification in progress|"
    r"(?<![\d.])4\d\d[ -][^\n]{0,120}\b(?:try|retry)\b[^\n]{0,20}\blater\b|"
    r"(?<![\d.])450[ -][^\n]{0,80}\bmailbox unavailable\b|"
    r"\b(?:mailbox|account|user)\b[^.\n]{0,30}\b(?:currently|temporarily) (?:suspended|inactive|locked)\b",
    re.I,
)
# Names of people, hosts and pages, whose letters mean nothing.
_NAMES = re.compile(
    r"[^\s@]{0,64}@[^\s@]{1,200}|https?://\S{1,300}|\b(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was said about one recipient: `status` of the report's own field, `said` the server's words,
    `by_program` where the words are a local program's and no SMTP reply (RFC 3464 2.1.2, x-unix)."""

    recipient: str
    status: str | None
    said: str
    stage: Stage | None = None
    by_program: bool = False


def stage_of(words: str) -> Stage | None:
    """The SMTP command that was refused; None where `words` name none, or several."""
    found = {stage for stage, pattern in _STAGES.items() if pattern.search(words)}
    return found.pop() if len(found) == 1 else None


# A sentence of its own, first in the reply: what follows may name a policy.
_OUTRIGHT = re.compile(
    r"\W{0,3}5\d\d[ -](?:5\.\d{1,3}\.\d{1,3} )?\W{0,3}(?:(?:recipient|user|mailbox)(?: is)? unknown|"
    r"(?:unknown|no such) (?:recipient|user|mailbox)(?: here)?)\.\s",
    re.I,
)


# RFC 5321 4.2.3: 551 "User not local", whatever words a server gives it.
_NOT_LOCAL = re.compile(r"\W{0,3}551[ -](?!\s*[245]\.\d)")


def at_fault(refusal: Refusal) -> bool | None:
    """True where there is no such address or host, or it has moved; False where the cause lies elsewhere;
    None where no cause is told. Words that tell a cause outweigh a code, since many servers say 5.1.1 or
    5.0.0 of everything; a code that tells a cause outweighs vague words."""
    said = refusal.said[:2000]
    told = STATUS.findall(said)
    specific = [c for c in (refusal.status, *told) if c is not None and not c.endswith(".0.0")]
    code = specific[0] if specific else refusal.status or (told[0] if told else None)
    plain = _NAMES.sub("x", said)
    if _OUTRIGHT.match(said) is not None and refusal.stage not in ("data", "mail"):
        return True
    if any(p.search(plain) for p in (FULL, POLICY)) or _NOT_THIS.search(said) is not None:
        return False
    if code is not None and code.startswith("4.") and "dns" in said.lower():
        return False  # a name server that may answer tomorrow
    if refusal.stage == "mail" or (code is not None and _SENDERS.match(code)):
        return False
    if UNKNOWN.search(said) is not None or UNKNOWN.search(plain) is not None:
        return _unknown(refusal, said, code)
    if (code is not None and _ADDRESS.match(code)) or _NOT_LOCAL.match(said) is not None:
        return True
    if code is not None and _ELSEWHERE.match(code):
        return False
    return False if PASSING.search(said) is not None else None


def _unknown(refusal: Refusal, said: str, code: str | None) -> bool:
    """Whether "user unknown" is meant so. Told at RCPT it is (RFC 5321 3.3); a server that took the recipient
    and says it of the message afterwards, with no code to bear it out, has a filter speaking; nor is it so
    under a code of a mailbox that is there, or in the words of a local program."""
    if refusal.stage == "rcpt":
        return True
    if refusal.by_program:
        return False
    sure = code is not None and _ADDRESS.match(code) is not None and not code.endswith(".1.0")
    if sure:
        return True
    if BARE_UNKNOWN.search(said) is None:
        return True
    if refusal.stage == "data" or _FILTERING.search(said) is not None:
        return False
    return code is None or _MAILBOX_IS_THERE.match(code) is None


def prose_blames(words: str) -> bool | None:
    """The same of a notice's own sentences, line by line: the line that names an unknown address decides."""
    words = _NAMES.sub("x", words[:6000])
    for line in words.split("\n"):
        if UNKNOWN.search(line) is not None and not any(p.search(line) for p in (FULL, POLICY, _NOT_THIS)):
            return True
    if any(p.search(words) for p in (FULL, POLICY, _NOT_THIS)):
        return False
    if UNKNOWN.search(words) is not None:
        return True
    return False if PASSING.search(words) is not None else None
