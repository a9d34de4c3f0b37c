"""What every use case is given."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outreach_sdk.ai.port import HeaderReader, PassageWriter, ReplyJudge
from outreach_sdk.calendars.port import Calendar
from outreach_sdk.domain.events import Event, Received
from outreach_sdk.enrichment.port import Enrichers
from outreach_sdk.mail.port import MailTransport
from outreach_sdk.storage.store import Store

__all__ = ["Engine", "utc_now"]


def utc_now() -> dt.datetime:
    """The clock of everything but tests."""
    return dt.datetime.now(dt.UTC)


@dataclass(slots=True)
class Engine:
    """The store, the way to a mailbox's transport, and the installation's numbers.

    `transport` takes a mailbox's row and gives its transport; what it gives is reused and thread-safe. `rules`
    judge a reply at once; `model` gives who judges it afterwards, or None.
    """

    store: Store
    transport: Callable[[dict[str, Any]], MailTransport]
    rules: ReplyJudge
    model: Callable[[], ReplyJudge | None] = lambda: None
    writer: Callable[[], PassageWriter | None] = lambda: None
    """Who writes passages into e-mails, or None."""
    header_reader: Callable[[], HeaderReader | None] = lambda: None
    """Who reads the headers of spreadsheets beside the rules, or None."""
    now: Callable[[], dt.datetime] = utc_now
    new_key: Callable[[], str] = lambda: secrets.token_hex(16)
    holder: str | None = None
    """The name under which this process beats, so that what it holds is let go when it falls silent."""
    spacing: dt.timedelta = dt.timedelta(seconds=3)
    cap: int = 50
    lease: dt.timedelta = dt.timedelta(seconds=120)
    poll_every: dt.timedelta = dt.timedelta(seconds=300)
    drain_for: dt.timedelta = dt.timedelta(seconds=30)
    overdue_after: dt.timedelta = dt.timedelta(days=7)
    unknown_for: dt.timedelta = dt.timedelta(hours=2)
    reader: Callable[[str], Callable[[Received], list[Event]] | None] = lambda source: None
    """What reads a source's deliveries; None where nothing does."""
    enrichers: Callable[[], Enrichers] = Enrichers
    """Whoever can be asked for addresses and numbers: those that have a key."""
    asker: Callable[[str], Any] = lambda source: None
    askable: tuple[str, ...] = ()
    connected: tuple[str, ...] = ()
    """The account at a source's system (ats.port), the sources whose deliveries can be asked about, and all systems
    there is a key for."""
    calendar: Callable[[dict[str, Any]], Calendar | None] = lambda box: None
    """The calendar of a mailbox's owner; None where its provider has none."""
    public_url: str | None = None
    push_topic: str | None = None
    """Where the web service is reached from outside, and Google's topic for news of mailboxes."""
