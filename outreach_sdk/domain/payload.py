"""Reading JSON that somebody else wrote: whatever it holds, a value of the wanted kind or none."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from outreach_sdk.domain.events import Unreadable

__all__ = ["at", "every", "moment", "parse_object", "text", "texts"]


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Unreadable where there is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("its body isn't JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("its body isn't a JSON object")
    return found


def at(data: Any, path: str) -> Any:
    """The value at `a.b.0.c`, or None where the way there is broken."""
    for name in path.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdigit() and len(name) < 6 and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def every(data: Any, path: str) -> list[Any]:
    """The list at `path`; one value counts as a list of it."""
    found = at(data, path)
    return found if isinstance(found, list) else [] if found is None else [found]


def text(data: Any, path: str) -> str:
    """The text or number at `path`, as storable text; empty where there is neither."""
    found = at(data, path)
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        return ""
    cleaned = "".join(c for c in str(found)[:4000] if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF)
    return cleaned.strip()


def texts(data: Any, path: str, inner: str | None = None) -> tuple[str, ...]:
    """The texts in the list at `path`, or those at `inner` of each of its entries."""
    if inner is None:
        found = (text({"x": one}, "x") for one in every(data, path))
    else:
        found = (text(one, inner) for one in every(data, path))
    return tuple(one for one in found if one)


def moment(data: Any, path: str) -> dt.datetime | None:
    """The moment at `path`: ISO 8601 with an offset (UTC without one), or seconds or milliseconds since 1970."""
    found = at(data, path)
    try:
        if isinstance(found, str):
            read = dt.datetime.fromisoformat(found.strip())
            read = read if read.tzinfo is not None else read.replace(tzinfo=dt.UTC)
            read = read.astimezone(dt.UTC)
        elif isinstance(found, (int, float)) and not isinstance(found, bool):
            read = dt.datetime.fromtimestamp(found / 1000 if found > 1e11 else found, dt.UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return read if 1970 <= read.year < 9000 else None
