"""Tables of what is read in mailbox owners' calendars. Of events nothing is kept but digests of who comes."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import UtcField
from outreach_sdk.storage.models import Owned, Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class Calendar(Owned):
    """A connected mailbox's own calendar. `next_at` is when it may be read next, and the lease while it is; null: it
    isn't read, and `refused` says why."""

    mailbox = pw.BigIntegerField(column_name="mailbox_id", unique=True)
    cursor = pw.TextField(null=True)
    listed_at = UtcField(null=True)  # when it was read whole, rather than what had changed
    read_at = UtcField(null=True)
    next_at = UtcField(null=True)
    tries = pw.IntegerField(default=0)
    refused = pw.TextField(null=True)

    class Meta:
        table_name = "calendars"


class CalendarEntry(Row):
    """Somebody outside the workspace who comes to an event that is ahead: a keyed digest, so that whoever is
    enrolled later is known to have one. Many calendars may hold one event (`external_id`)."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    mailbox = pw.BigIntegerField(column_name="mailbox_id")
    event = pw.TextField(column_name="event_id")
    external_id = pw.TextField()
    digest = pw.TextField()
    starts_at = UtcField()

    class Meta:
        table_name = "calendar_entries"
        indexes = (
            (("mailbox", "event", "digest"), True),
            (("workspace", "digest"), False),
            (("workspace", "external_id"), False),
            (("starts_at",), False),
        )


TABLES: tuple[type[pw.Model], ...] = (Calendar, CalendarEntry)

PARTIAL_INDEXES = ("CREATE INDEX calendars_due ON calendars (next_at) WHERE next_at IS NOT NULL",)
