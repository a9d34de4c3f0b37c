"""What a workspace can be set to, and how each value is checked."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from outreach_sdk.domain.companies import company_key
from outreach_sdk.domain.given import LONGEST, check_moment, check_seconds
from outreach_sdk.domain.outside import check_address
from outreach_sdk.domain.sequence import zone
from outreach_sdk.domain.waterfall import EMAIL_ORDER, PHONE_ORDER, VERIFIERS
from outreach_sdk.domain.windows import SendingWindow, days_off
from outreach_sdk.engine.contact_points import PREFERENCES
from outreach_sdk.engine.kinds import MONTHLY_LIMIT
from outreach_sdk.engine.outside import REJECTED_DAYS
from outreach_sdk.errors import InvalidInput

__all__ = ["DEFAULTS", "booking_page", "checked_setting", "mine", "moment_after", "preferred", "window_value"]

DEFAULTS: dict[str, Any] = {
    "colleague_days": 30,
    "reply_stops": "owner",
    "window": None,
    "holidays": None,
    "closed": [],
    "candidate_per_day": None,
    "candidate_per_week": None,
    "overdue_after": 7 * 86_400,
    "ai_replies": True,
    "ai_passages": True,
    "ai_headers": True,
    "ai_monthly_limit": MONTHLY_LIMIT,
    "booking_url": None,
    "prefer": None,
    "sequences": True,
    "one_sequence": False,
    "ats_check": True,
    "rejected_days": REJECTED_DAYS,
    "off_limits": [],
    "enrich_email": list(EMAIL_ORDER),
    "enrich_phone": list(PHONE_ORDER),
    "enrich_verify": list(VERIFIERS),
}
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def checked_setting(name: str, value: Any) -> Any:
    """`value` as it is stored; InvalidInput for an unknown name or a value it can't take."""
    check = _CHECKS.get(name)
    if check is None:
        raise InvalidInput(name, value, f"Settings are {', '.join(DEFAULTS)}.")
    return check(name, value)


def window_value(name: str, value: Any) -> dict[str, str] | None:
    """A SendingWindow (or {"start", "end", "days"}, some of them) as it is stored."""
    if value is None:
        return None
    if isinstance(value, dict) and set(value) <= {"start", "end", "days"}:
        value = SendingWindow(**value)
    if not isinstance(value, SendingWindow):
        raise InvalidInput(name, value, 'Give SendingWindow("09:00", "17:00", days="mon-fri"), or None.')
    return value.to_dict()


def _days(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3_650:
        raise InvalidInput(name, value, "Give a number of days from 0 to 3650.")
    return value


def _whose(name: str, value: Any) -> str:
    if value not in ("owner", "workspace"):
        raise InvalidInput(name, value, 'Use "owner" or "workspace".')
    return str(value)


def _country(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput(name, value, 'Give a country like "ES", or None.')
    days_off(value)
    return value


def _dates(_name: str, value: Any) -> list[str]:
    return sorted(day.isoformat() for day in days_off(None, value).dates)


def _count(name: str, value: Any) -> int | None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000
    ):
        raise InvalidInput(name, value, "Give a whole number from 1, or None for no limit.")
    return value


def _duration(name: str, value: Any) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([dhms])\s*", value) if isinstance(value, str) else None
    seconds = math.nan
    if match is not None:
        seconds = float(match.group(1)) * _UNITS[match.group(2)]
    elif isinstance(value, dt.timedelta):
        seconds = value.total_seconds()
    remedy = 'Give a time from a minute to ten years, like "7d", "12h" or a timedelta.'
    return check_seconds(name, value, seconds, remedy, least=60)


def moment_after(name: str, value: dt.timedelta | dt.datetime | str, now: dt.datetime) -> dt.datetime:
    """The moment that "30d", a timedelta or an aware datetime names; InvalidInput for the past."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise InvalidInput(name, value, "Give an aware datetime, with its time zone.")
        at = check_moment(name, value)
    elif isinstance(value, dt.timedelta) and value <= LONGEST:
        at = now + max(value, -LONGEST)
    else:
        at = now + dt.timedelta(seconds=_duration(name, value))
    if at < now:
        raise InvalidInput(name, value, "That is past. Give a time to come.")
    return at.astimezone(dt.UTC)


def preferred(name: str, value: Any) -> str | None:
    """ "work", "personal" or None."""
    if value not in (None, *PREFERENCES):
        raise InvalidInput(name, value, 'Use "work", "personal", or None for the address each row names.')
    return None if value is None else str(value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(name, value, "Use True or False.")
    return value


def _dollars(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100_000:
        raise InvalidInput(name, value, "Give dollars a month from 0 to 100000, or None for no limit.")
    return float(value)


def booking_page(name: str, value: Any) -> str | None:
    """The https address of a booking page, or None."""
    if value is None:
        return None
    parts = urlsplit(value) if isinstance(value, str) and value.isprintable() and " " not in value else None
    if parts is None or parts.scheme != "https" or not parts.hostname:
        raise InvalidInput(
            name, value, "Give the page people book at, like https://calendly.com/ana/30min, or None."
        )
    return str(value)


def _companies(name: str, value: Any) -> list[str]:
    given = (
        [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple, set)) else None
    )
    if given is None or not all(isinstance(one, str) and company_key(one) for one in given):
        raise InvalidInput(name, value, 'Give names or domains of companies: ["Acme Ltd", "acme.example"].')
    if len(given) > 10_000:
        raise InvalidInput(name, f"{len(given)} companies", "Give 10,000 at most.")
    return sorted({one.strip() for one in given})


def _providers(known: tuple[str, ...]) -> Callable[[str, Any], list[str]]:
    def check(name: str, value: Any) -> list[str]:
        given = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []
        if not given or set(given) - set(known) or len(set(given)) < len(given):
            raise InvalidInput(name, value, f"Give some of {', '.join(known)}, each once.")
        return given

    return check


def _telling(name: str, value: Any) -> str | None:
    if value not in ("each", "digest", "off"):
        raise InvalidInput(name, value, 'Use "each", "digest" or "off".')
    return None if value == "each" else str(value)


def _o_clock(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value)):
        raise InvalidInput(name, value, 'Give a time like "08:00".')
    return value


def _zone(name: str, value: Any) -> str | None:
    return None if value is None else zone(str(value)).key


def mine(private_hosts: tuple[str, ...]) -> dict[str, Callable[[str, Any], Any]]:
    """What a person sets for themselves, with its checks; all stored in their row of users."""
    return {
        "booking_url": booking_page,
        "prefer": preferred,
        "tell": _telling,
        "tell_at": _o_clock,
        "tell_zone": _zone,
        "slack_url": lambda n, v: (
            None if v is None else check_address(n, str(v), private_hosts=private_hosts)
        ),
    }


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "colleague_days": _days,
    "reply_stops": _whose,
    "window": window_value,
    "holidays": _country,
    "closed": _dates,
    "candidate_per_day": _count,
    "candidate_per_week": _count,
    "overdue_after": _duration,
    "ai_replies": _switch,
    "ai_passages": _switch,
    "ai_headers": _switch,
    "ai_monthly_limit": _dollars,
    "booking_url": booking_page,
    "prefer": preferred,
    "sequences": _switch,
    "one_sequence": _switch,
    "ats_check": _switch,
    "rejected_days": _days,
    "off_limits": _companies,
    "enrich_email": _providers(EMAIL_ORDER),
    "enrich_phone": _providers(PHONE_ORDER),
    "enrich_verify": _providers(VERIFIERS),
}
