"""Spacing between the e-mails of one mailbox (rule 7), and how many it may send in a stretch of time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

__all__ = ["PARALLEL", "Limit", "Priority", "mailbox_limits", "next_slot", "spacing_of", "wait_for_slot"]


class Priority(IntEnum):
    """Order in which a mailbox's due e-mails take its free slots."""

    PERSON = 0
    """A person pressed Send now, or answered."""
    FOLLOW_UP = 1
    FIRST = 2


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` e-mails (or with `recipients`, people they go to) in any stretch of `window`; `what` names it
    in a sentence."""

    window: dt.timedelta
    most: int
    what: str
    recipients: bool = False

    @property
    def counted(self) -> str:
        """SQL over outbox entries: how much of it they use up."""
        return "COALESCE(SUM(recipients), 0)" if self.recipients else "COUNT(*)"


_MINUTE, _HOUR, _DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)

PROVIDER_LIMITS: dict[str, tuple[Limit, ...]] = {
    # https://knowledge.workspace.google.com/admin/gmail/gmail-sending-limits-in-google-workspace
    "gmail": (Limit(_DAY, 2_000, "Gmail's limit of 2,000 a day"),),
    # https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits
    "outlook": (
        Limit(_MINUTE, 30, "Exchange's limit of 30 a minute"),
        Limit(_DAY, 10_000, "Exchange's limit of 10,000 recipients a day", recipients=True),
    ),
}

PARALLEL = {"outlook": 4}
"""Requests a provider takes at a time for one mailbox, where that is fewer than we would make."""


def mailbox_limits(box: Mapping[str, Any], now: dt.datetime) -> list[Limit]:
    """The limits a mailbox is under: its provider's, its owner's, and while it warms up `ramp_from` a day on
    its first day and `ramp_by` more each day after. `box` has provider, per_day, per_hour, ramp_from, ramp_by
    and connected_at."""
    per_day, per_hour, ramp_from = box["per_day"], box["per_hour"], box["ramp_from"]
    found = list(PROVIDER_LIMITS.get(box["provider"], ()))
    if per_hour is not None:
        found.append(Limit(_HOUR, per_hour, f"your limit of {per_hour:,} an hour"))
    if per_day is not None:
        found.append(Limit(_DAY, per_day, f"your limit of {per_day:,} a day"))
    if ramp_from is not None:
        today = ramp_from + (box["ramp_by"] or 0) * max((now - box["connected_at"]).days, 0)
        if per_day is None or today < per_day:
            found.append(Limit(_DAY, today, f"{today:,} a day while this mailbox warms up"))
    return found


def spacing_of(microseconds: int) -> dt.timedelta:
    """What a mailbox leaves between its e-mails; a day is the most."""
    return min(dt.timedelta(microseconds=microseconds), _DAY)


def next_slot(last_call: dt.datetime, answered: dt.datetime | None, spacing: dt.timedelta) -> dt.datetime:
    """The earliest next send of a mailbox: `spacing` after its last call began, and after its answer
    came, so that what the provider accepts is spaced too when its latency varies."""
    return max(last_call, answered or last_call) + spacing


def wait_for_slot(free_at: dt.datetime, now: dt.datetime) -> float:
    """Seconds until the slot, 0 if it is free."""
    return max(0.0, (free_at - now).total_seconds())
