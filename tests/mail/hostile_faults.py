"""What the hostile provider does wrong, and what it says of each send it accepted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

__all__ = ["Accepted", "Faults"]


@dataclass(frozen=True)
class Faults:
    """Rates are between 0 and 1, drawn from the seed and a counter in the file; times are in seconds."""

    send_rate_limited: float = 0.05
    retry_after: float = 2.0
    send_5xx: float = 0.05
    """An unknown outcome, nothing accepted."""
    send_answer_lost: float = 0.05
    """An unknown outcome, accepted."""
    send_stall: float = 0.0
    """Accepted, answered after `stall_seconds`; unknown where that is past the transport's time-out."""
    stall_seconds: float = 30.0
    read_back_lost: float = 0.02
    """Accepted and answered, but without the Message-ID."""
    draft_temporary: float = 0.03
    draft_answer_lost: float = 0.02
    """MailTemporary although the draft exists."""
    read_temporary: float = 0.02
    strip_marker: float = 0.0
    """The sent copy comes without the key."""
    search_lag: float = 120.0
    """What `search_rfc822msgid` doesn't see yet."""
    listing_lag: float = 0.0
    """What `find_sent` doesn't see yet. Gmail lists Sent currently, so 0 unless a test means otherwise."""
    latency: float = 0.0
    """Of each call, the median."""
    latency_sigma: float = 0.0
    """0: every call takes `latency`; else its lognormal spread."""
    refused: tuple[str, ...] = ()
    """Recipients refused for good."""
    grant_dead: bool = False

    @classmethod
    def none(cls) -> Faults:
        return cls(
            send_rate_limited=0.0,
            send_5xx=0.0,
            send_answer_lost=0.0,
            read_back_lost=0.0,
            draft_temporary=0.0,
            draft_answer_lost=0.0,
            read_temporary=0.0,
            search_lag=0.0,
        )


@dataclass(frozen=True)
class Accepted:
    """One accepted send. `recipients` has Bcc too; `thread` is where the provider put it."""

    at: dt.datetime
    mailbox: str
    send_key: str | None
    recipients: frozenset[str]
    subject: str
    rfc_message_id: str
    provider_message_id: str
    thread: str
    draft_id: str
    text: str
