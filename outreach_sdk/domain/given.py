"""What a person gave as text: whether it is one, and free of what no message can show and no database keep."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.message import check_header_value
from outreach_sdk.errors import InvalidInput

__all__ = [
    "FURTHEST",
    "LONGEST",
    "check_copied",
    "check_line",
    "check_moment",
    "check_seconds",
    "check_text",
    "several",
    "without_controls",
]

LONGEST = dt.timedelta(days=3_660)
"""The longest time a person can ask for."""
FURTHEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
"""No moment that a person sets lies beyond this, so that one can always be reckoned on from."""

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NEVER = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_BREAKS = re.compile("[\x0b\x0c\x85\u2028\u2029]")
_ONE_ADDRESS = "Give one e-mail address like ana@example.com, or a merge field that holds one."


def check_text(field: str, value: Any) -> str:
    """`value`, if it is text that may run over several lines; InvalidInput for control characters. The breaks that word
    processors leave (U+000B, U+2028, …) may stand in it: they leave as line feeds."""
    if not isinstance(value, str):
        raise InvalidInput(field, value, "Give it as text.")
    found = _NEVER.search(value)
    if found is not None:
        around = value[max(0, found.start() - 20) : found.end() + 20]
        raise InvalidInput(
            field, around, f"Take out the control character U+{ord(found.group()):04X}: nobody can read it."
        )
    return value


def check_line(field: str, value: Any) -> str:
    """`value`, if it is text on one line that can stand in a header. InvalidInput, HeaderInjection."""
    if not isinstance(value, str):
        raise InvalidInput(field, value, "Give it as text.")
    return check_header_value(field, value)


def check_seconds(field: str, given: Any, seconds: float, remedy: str, *, least: float = 0) -> float:
    """`seconds`, which `given` comes to, if they are from `least` to ten years. InvalidInput, with a `remedy` that says
    how to write it."""
    if not least <= seconds <= LONGEST.total_seconds():  # so not a number is refused too
        raise InvalidInput(field, given, remedy)
    return float(seconds)


def check_moment(field: str, moment: dt.datetime) -> dt.datetime:
    """An aware `moment`, if it can be meant. InvalidInput."""
    if moment >= FURTHEST:
        raise InvalidInput(field, moment, f"Give a moment before the year {FURTHEST.year}.")
    return moment


def without_controls(text: str) -> str:
    """`text` as it may leave: other characters that break lines become line feeds, the rest of them goes."""
    if _CONTROLS.search(text) is None:
        return text
    return _CONTROLS.sub("", _BREAKS.sub("\n", text))


def several(field: str, values: str | Iterable[str]) -> tuple[str, ...]:
    """`values`, where a text is one of them and not its letters. InvalidInput."""
    if isinstance(values, str):
        return (values,)
    try:
        return tuple(values)
    except TypeError:
        raise InvalidInput(field, values, "Give a text, or a list of them.") from None


def check_copied(field: str, value: Any) -> None:
    """A literal Cc or Bcc is one plain address; what merge fields come to is seen when they are filled."""
    text = check_line(field, value)
    if "{{" in text or "{%" in text:
        return
    try:
        plain = normalise_email(text)
    except InvalidInput:
        raise InvalidInput(field, value, _ONE_ADDRESS) from None
    if (
        any(c in text for c in '<>,;:"()[]\\')
        or plain.partition("@")[0] != text.strip().partition("@")[0].lower()
    ):
        raise InvalidInput(field, value, _ONE_ADDRESS)
