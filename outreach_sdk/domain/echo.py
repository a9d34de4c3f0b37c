"""What a reply repeats of the e-mail it answers, found by the e-mail itself and so in any language."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["without_echo"]

LONG = 20
"""Characters from which on a line that stands in our e-mail is its line; a shorter one only behind such a line."""

_MAX = 40_000


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def without_echo(text: str, ours: Sequence[str]) -> str:
    """`text` without the lines that stand in one of `ours`, quoted (`>`) or not, wrapped anew or not."""
    whole = [_plain(one[:_MAX]) for one in ours if one.strip()]
    if not whole:
        return text
    kept: list[str] = []
    inside = False
    for line in text[:_MAX].splitlines():
        words = _plain(line.lstrip(" \t>|"))
        if not words:
            kept.append(line)
            continue
        inside = (len(words) >= LONG or inside) and any(words in one for one in whole)
        if not inside:
            kept.append(line)
    return "\n".join(kept) + text[_MAX:]
