"""Spacing between the e-mails of one mailbox (rule 7)."""

from __future__ import annotations

import datetime as dt
from enum import IntEnum

__all__ = ["Priority", "next_slot", "wait_for_slot"]


class Priority(IntEnum):
    """Order in which a mailbox's due e-mails take its free slots."""

    PERSON = 0
    """A person pressed Send now, or answered."""
    FOLLOW_UP = 1
    FIRST = 2


def next_slot(last_call: dt.datetime, answered: dt.datetime | None, spacing: dt.timedelta) -> dt.datetime:
    """The earliest next send of a mailbox: `spacing` after its last call began, and after its answer
    came, so that what the provider accepts is spaced too when its latency varies."""
    return max(last_call, answered or last_call) + spacing


def wait_for_slot(free_at: dt.datetime, now: dt.datetime) -> float:
    """Seconds until the slot, 0 if it is free."""
    return max(0.0, (free_at - now).total_seconds())
