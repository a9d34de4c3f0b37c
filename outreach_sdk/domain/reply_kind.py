"""What a person's answer amounts to, by rules alone: what is used without an AI key, or when it fails."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from outreach_sdk.domain.classify import asks_to_stop
from outreach_sdk.domain.reply_words import (
    ADVERSE,
    AGREED,
    COLLEAGUE,
    IN_CHARGE,
    INTERESTED,
    NEGATION,
    NOT_INTERESTED,
    NOT_NOW,
    QUESTION,
    REFERRING,
    SUITABLE,
    WRONG,
)
from outreach_sdk.domain.report_parts import addresses

__all__ = ["Kind", "Referral", "ReplyKind", "reply_kind"]

Kind = Literal[
    "interested",
    "not_now",
    "not_interested",
    "question",
    "referral",
    "wrong_person",
    "unsubscribe",
    "unclear",
]

_MAX_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class Referral:
    """Somebody else to write to: a name, an address, or both; '' for what wasn't given."""

    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class ReplyKind:
    """`confidence` runs from 0 to 1; below 0.5 a person had better look. `because` are the words that decided."""

    kind: Kind
    confidence: float
    referral: Referral | None = None
    because: str = ""


def reply_kind(words: str, *, known: Iterable[str] = ()) -> ReplyKind:
    """The kind of reply that `words` (visible text: no quotes, no signature) are. `known` addresses, the
    candidate's and the team's, are nobody new."""
    words = words[:_MAX_TEXT].strip()
    if not words:
        return ReplyKind("unclear", 0.0)
    if asks_to_stop(words):
        return ReplyKind("unsubscribe", 0.9, because="asks to stop")
    referral = _referral(words, frozenset(a.lower() for a in known))
    wrong = WRONG.search(words)
    if referral is not None and (referral.email or wrong is not None):
        return ReplyKind(
            "referral", 0.9 if referral.email else 0.7, referral, referral.name or referral.email
        )
    if wrong is not None:
        return ReplyKind("wrong_person", 0.85, because=wrong[0])
    later, no = NOT_NOW.search(words), NOT_INTERESTED.search(words)
    yes, denied = _interest(words)
    if yes is not None and (later is not None or no is not None):
        return _mixed(words, later, no, yes)
    if referral is not None and yes is None:
        return ReplyKind("referral", 0.65, referral, referral.name)
    if later is not None:
        return ReplyKind("not_now", 0.85 if no is None else 0.75, because=later[0])
    if no is not None:
        return ReplyKind("not_interested", 0.85, because=no[0])
    if yes is None and denied is not None:
        return ReplyKind("not_interested", 0.6, because=denied[0])
    asks = QUESTION.search(words)
    if yes is None and (agreed := AGREED.search(words)) is not None:
        return ReplyKind("interested", 0.7, because=agreed[0].strip())
    if yes is not None:
        return ReplyKind("interested", 0.85 if asks is None else 0.75, because=yes[0])
    if asks is not None:
        return ReplyKind("question", 0.7, because=asks[0].strip())
    return ReplyKind("unclear", 0.2)


def _interest(words: str) -> tuple[re.Match[str] | None, re.Match[str] | None]:
    """The first sign of interest that isn't denied in its own clause, and the first that is."""
    denied = None
    for found in INTERESTED.finditer(words):
        clause = re.split(r"[.!?\n,;:]", words[max(0, found.start() - 40) : found.start()])[-1]
        if NEGATION.search(clause + " ") is None:
            return found, denied
        denied = denied or found
    return None, denied


def _mixed(
    words: str, later: re.Match[str] | None, no: re.Match[str] | None, yes: re.Match[str]
) -> ReplyKind:
    """Yes and no in one answer: a "but" between them makes the later one count; else only an "in some months"
    is sure enough to wait on."""
    against = later or no
    if against is None:
        return ReplyKind("unclear", 0.3)
    kind: Kind = "not_now" if later is not None else "not_interested"
    start, end = sorted((against.start(), yes.start()))
    if ADVERSE.search(words[start:end]) is not None:
        if yes.start() > against.start():
            return ReplyKind("interested", 0.55, because=yes[0])
        return ReplyKind(kind, 0.6, because=against[0])
    if later is not None:
        return ReplyKind("not_now", 0.55, because=later[0])
    return ReplyKind("unclear", 0.3, because=f"{against[0]} / {yes[0]}")


_UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶŁĽŃŅŇŐŒŘŚŞŠŢŤŪŮŰŲŹŻŽА-ЯЁІЇЄΑ-Ω"
_NAME = re.compile(
    rf"[{_UPPER}][\w'’-]{{1,25}}(?:[ ](?:(?:de|del|della|di|da|dos|van|von|der|den|la|le|bin|al|el)[ ]){{0,2}}"
    rf"[{_UPPER}][\w'’.-]{{0,25}}){{0,2}}"
)
_OWN = re.compile(
    r"(?:me|myself|us|mich|mir|uns|moi|nous|mí|mij|mig|private|personal|work|other|new|e-?mail|mobile|phone|number|"
    r"cell|linkedin|address|adresse|hr)\b",
    re.I,
)
_NO_NAME = re.compile(
    r"(?:i|you|him|her|them|us|google|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|"
    r"june|july|august|september|october|november|december|the|this|that|it|sie|ihnen|ihn|vous|usted|ustedes|lei|voi|"
    r"você)\b",
    re.I,
)


def _referral(words: str, known: frozenset[str]) -> Referral | None:
    """Who is named after "please contact …" and the like, with the address nearest behind."""
    for found in REFERRING.finditer(words):
        rest = words[found.end() : found.end() + 120]
        if _OWN.match(rest) is not None:
            continue  # another way to reach the same person
        name = _NAME.match(rest)
        named = name[0].rstrip(".'’-") if name is not None else ""
        if _NO_NAME.match(named) is not None:
            named = ""
        sentence = re.split(r"\n\s*\n|[!?]|\.\s", rest)[0]
        new = [a for a in addresses(sentence) if a not in known]
        if named or new:
            return Referral(named, new[0] if new else "")
    return _colleague(words, known) or _in_charge(words, known) or _by_address(words, known)


def _in_charge(words: str, known: frozenset[str]) -> Referral | None:
    """Somebody who is named as the one for it, with an address."""
    for found in IN_CHARGE.finditer(words):
        before = words[max(0, found.start() - 60) : found.start()]
        names = [m for m in _NAME.finditer(before) if m.end() == len(before)]
        if not names or _NO_NAME.match(names[0][0]) is not None:
            continue
        new = [a for a in addresses(words[found.end() : found.end() + 160]) if a not in known]
        if new:
            return Referral(names[0][0], new[0])
    return None


def _by_address(words: str, known: frozenset[str]) -> Referral | None:
    """Somebody whose whole name stands right before an address that is made of it, and is nobody known."""
    own = {a.partition("@")[0] for a in known}
    for new in addresses(words):
        local = new.partition("@")[0]
        start = words.lower().find(new)
        names = list(_NAME.finditer(words[max(0, start - 60) : start]))
        if new in known or local in own or not names or len(names[-1][0].split()) < 2:
            continue
        if all(part.lower().strip(".'’-") in local for part in names[-1][0].split()):
            return Referral(names[-1][0].rstrip(".'’-"), new)
    return None


def _colleague(words: str, known: frozenset[str]) -> Referral | None:
    """Somebody the writer knows, by name, with an address or a word on why they suit."""
    for found in COLLEAGUE.finditer(words):
        rest = re.split(r"\n\s*\n|[!?]|\.\s", words[found.end() : found.end() + 160])[0]
        name = _NAME.match(rest)
        if name is None or _NO_NAME.match(name[0]) is not None:
            continue
        new = [a for a in addresses(rest) if a not in known]
        if new or SUITABLE.search(rest[name.end() :]) is not None:
            return Referral(name[0].rstrip(".'’-"), new[0] if new else "")
    return None
