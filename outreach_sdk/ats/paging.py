"""Listings by time of change: how far the pass under way is, where the next one begins, and what a page holds."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from outreach_sdk.errors import AtsUnavailable

__all__ = ["Pass", "entries", "stamp"]

OVERLAP = dt.timedelta(minutes=5)
"""How far before its last beginning a pass goes back: what changed then may have shown late."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through a listing: `since` what change, `page` the next page's name, `began` when."""

    since: str = ""
    page: str = ""
    began: str = ""

    @classmethod
    def read(cls, cursor: str | None, *, since: dt.datetime | None, now: dt.datetime) -> Pass:
        """The pass to go on with; a new one, since `since` or ever, where there is none."""
        if cursor:
            try:
                found = cls(**json.loads(cursor))
            except (ValueError, TypeError):
                found = cls()
            if found.page:
                return found
            return replace(found, began=stamp(now))
        return cls(since=stamp(since) if since else "", began=stamp(now))

    def following(self, page: str) -> tuple[str, bool]:
        """(the cursor after this page, whether there is more at once)."""
        if page:
            return json.dumps(asdict(replace(self, page=page))), True
        began = dt.datetime.fromisoformat(self.began) - OVERLAP
        return json.dumps(asdict(Pass(since=stamp(began)))), False


def stamp(moment: dt.datetime) -> str:
    """A moment as most vendors want it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def entries(page: Mapping[str, Any], name: str, vendor: str) -> list[Any]:
    """The list at `name`. AtsUnavailable where there is none: a page that isn't one would read as "nobody"."""
    found = page.get(name)
    if not isinstance(found, list):
        raise AtsUnavailable(f"{vendor} answered something that isn't what it documents.")
    return found
