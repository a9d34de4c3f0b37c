"""What every vendor's HTTP answers have in common."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Mapping

LONGEST = 30 * 86_400.0
"""Seconds: what a vendor asks for beyond that can't be meant."""

__all__ = ["retry_after", "seconds_until", "without_secrets"]

_SECRET = re.compile(
    r"(?i)\b(?:ya29\.|1//|bearer\s+)\S+|\beyJ[\w.=-]{8,}|((?:access|refresh|id)_token|client_secret)(\W+)[\w./+-]+"
)


def retry_after(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """Seconds to wait by the Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    if value.isdecimal():
        return min(float(value), LONGEST)
    try:
        return seconds_until(email.utils.parsedate_to_datetime(value), now)
    except (ValueError, TypeError):
        return None


def seconds_until(moment: dt.datetime, now: dt.datetime) -> float:
    """At least one. A time without a zone is UTC, as in HTTP dates."""
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return min(max(1.0, (aware - now).total_seconds()), LONGEST)


def without_secrets(text: str) -> str:
    """A vendor's own words, without the tokens it may have quoted back."""
    return _SECRET.sub("…", text)
