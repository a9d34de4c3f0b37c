"""Variants of an e-mail step's texts: A is the step itself, B, C … what is tried beside it (rule 31).

Which one a journey gets is drawn from journey, step and letter alone, the highest number winning: the same each time
it is asked, and a variant more or less moves nobody but those it gains or gives up.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

__all__ = ["FIRST", "Variant", "Words", "draw", "known", "live", "next_letter", "stored_form", "words_of"]

FIRST = "A"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Variant:
    """Texts that differ from the step's; None is the step's own. One that was removed is kept for what left with
    it."""

    letter: str
    subject: str | None = None
    body: str | None = None
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """What an e-mail says, as written. `letter`: its variant; None: somebody changed the draft by hand."""

    letter: str | None
    subject: str | None
    body: str | None


@functools.lru_cache(maxsize=512)
def known(stored: str | None) -> tuple[Variant, ...]:
    """The variants of a step beside A, as stored (JSON), removed ones too."""
    return tuple(Variant(**v) for v in json.loads(stored or "[]"))


def live(stored: str | None) -> tuple[Variant, ...]:
    """Those that weren't removed."""
    return tuple(v for v in known(stored) if not v.removed)


def stored_form(variants: Iterable[Variant]) -> str:
    """What `known` reads."""
    rows = [
        {"letter": v.letter, "subject": v.subject, "body": v.body, "removed": v.removed} for v in variants
    ]
    return json.dumps(rows, ensure_ascii=False)


def next_letter(variants: Iterable[Variant]) -> str | None:
    """The next letter: none is given twice, so that no two texts are counted as one. None: all are used up."""
    used = {FIRST, *(v.letter for v in variants)}
    return next((x for x in ascii_uppercase if x not in used), None)


def draw(journey_id: int, step_id: int, letters: Iterable[str]) -> str:
    """The variant that this journey gets in this step."""

    def weight(letter: str) -> tuple[bytes, str]:
        made = hashlib.blake2b(f"{journey_id}.{step_id}.{letter}".encode(), digest_size=8)
        return made.digest(), letter

    return max(letters, key=weight)


def words_of(step: Mapping[str, Any], journey_id: int | None, stored: Mapping[str, Any] = NOTHING) -> Words:
    """What a step (id, subject, body, variants) says to this journey: the variant that was drawn for it before
    (`stored["variant"]`, as long as there is one), else the one drawn now, and before either what somebody wrote into
    the draft (`draft_subject`, `draft_body`). Without a journey, A."""
    others = {v.letter: v for v in live(step["variants"])}
    letter = stored.get("variant")
    if letter != FIRST and letter not in others:
        letter = None
    if letter is None:
        letter = draw(journey_id, step["id"], (FIRST, *others)) if others and journey_id else FIRST
    chosen = others.get(letter, Variant(FIRST))
    subject, body = stored.get("draft_subject"), stored.get("draft_body")
    by_hand = subject is not None or body is not None
    if subject is None:
        subject = step["subject"] if chosen.subject is None else chosen.subject
    if body is None:
        body = step["body"] if chosen.body is None else chosen.body
    return Words(None if by_hand else letter, subject, body)
