"""Tables of what applicant tracking systems are asked and told: polls, who is in process there, notes written back."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import UtcField
from outreach_sdk.storage.models import Owned, Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class AtsPoll(Row):
    """A listing that is gone through again and again. `next_at` is also the lease; `complete_at` is when a pass to
    the end began last: what is known is at least that fresh."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    source = pw.TextField()
    what = pw.TextField()  # interviews | people | hooks
    cursor = pw.TextField(null=True)
    next_at = UtcField()
    began_at = UtcField(null=True)
    whole_began_at = UtcField(null=True)  # of the pass under way, where it is one through everything
    whole_at = UtcField(null=True)  # when such a pass ended last
    complete_at = UtcField(null=True)
    tries = pw.IntegerField(default=0)
    error = pw.TextField(null=True)

    class Meta:
        table_name = "ats_polls"
        indexes = ((("source", "what"), True),)


class AtsPerson(Row):
    """Somebody's standing in one application, known by a keyed digest of an address."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    source = pw.TextField()
    external_id = pw.TextField()
    digest = pw.TextField()
    state = pw.TextField()  # in_process | rejected | hired
    changed_at = UtcField(null=True)
    seen_at = UtcField()

    class Meta:
        table_name = "ats_people"
        indexes = ((("source", "external_id", "digest"), True), (("workspace", "digest"), False))


class WriteBack(Owned):
    """One note to an applicant tracking system, written down before it is sent there. `due_at` is when it may be
    taken next, and the lease while it is; null: it is settled."""

    source = pw.TextField()
    sequence = pw.BigIntegerField(column_name="sequence_id")
    journey = pw.BigIntegerField(column_name="journey_id")
    candidate = pw.BigIntegerField(column_name="candidate_id", index=True)
    kind = pw.TextField()  # sent | replied | outcome
    about = pw.TextField()  # the outbox entry, the message that came in, or the journey and its generation
    state = pw.TextField()  # planned | writing | unknown | written | nobody | failed
    marker = pw.TextField(unique=True)  # in the note, so that it is found again
    person = pw.TextField(null=True)  # theirs in that system
    note_id = pw.TextField(null=True)
    body = pw.TextField(null=True)
    tries = pw.IntegerField(default=0)
    error = pw.TextField(null=True)
    happened_at = UtcField()
    due_at = UtcField(null=True)
    written_at = UtcField(null=True)

    class Meta:
        table_name = "write_backs"
        indexes = ((("kind", "about"), True), (("sequence", "id"), False))


class Hook(Row):
    """A subscription made by us at a vendor, and how it stands there."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    source = pw.TextField()
    external_id = pw.TextField()
    target = pw.TextField()
    active = pw.BooleanField(default=True)
    why = pw.TextField(default="")
    made_at = UtcField()
    seen_at = UtcField(null=True)

    class Meta:
        table_name = "hooks"
        indexes = ((("source", "external_id"), True),)


TABLES: tuple[type[pw.Model], ...] = (AtsPoll, AtsPerson, WriteBack, Hook)

PARTIAL_INDEXES = ("CREATE INDEX write_backs_due ON write_backs (due_at) WHERE due_at IS NOT NULL",)
