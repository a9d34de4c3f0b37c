"""Tables of the installation itself: who is alive, what is halted, what the model cost."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import UtcField
from outreach_sdk.storage.models import Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class AiSpend(Row):
    """What was spent on the model on one day (UTC), what is under way counted at its most."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    day = pw.TextField()
    calls = pw.IntegerField()
    tokens = pw.BigIntegerField()
    cost = pw.BigIntegerField()  # millionths of a dollar

    class Meta:
        table_name = "ai_spend"
        indexes = ((("workspace", "day"), True),)


class Heartbeat(Row):
    """Who is alive: clock, workers, web. In the database, since Redis may be lost."""

    role = pw.TextField()
    name = pw.TextField(unique=True)
    seen_at = UtcField(index=True)
    started_at = UtcField()
    trouble = pw.TextField(null=True)  # what keeps it from its work while it lives

    class Meta:
        table_name = "heartbeats"


class Outage(Row):
    """A stretch in which no clock was alive."""

    started_at = UtcField()
    ended_at = UtcField(index=True)

    class Meta:
        table_name = "outages"


class Installation(Row):
    """One row: the halt, whether this database is the one that was armed to send, what links are signed with."""

    identity = pw.TextField(null=True)
    armed = pw.BooleanField(default=True)
    disarmed_why = pw.TextField(null=True)
    halted_at = UtcField(null=True)
    halted_by = pw.TextField(null=True)
    clock_seen_at = UtcField(null=True)
    ai_wait_until = UtcField(null=True)  # the model isn't asked before
    upkeep_at = UtcField(null=True)
    link_key = pw.TextField(null=True)  # signs the links in e-mails; outlives every rotation of other keys

    class Meta:
        table_name = "installation"


TABLES: tuple[type[pw.Model], ...] = (AiSpend, Heartbeat, Outage, Installation)

PARTIAL_INDEXES: tuple[str, ...] = ()
