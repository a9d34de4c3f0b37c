"""Tables of imports and shortlists, of whom a sequence is shared with, and of who was erased."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import JsonField, UtcField
from outreach_sdk.storage.models import Owned, Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class Import(Owned):
    """A job that enrols a file or frame; `progress` counts rows done."""

    sequence = pw.BigIntegerField(column_name="sequence_id")
    source = pw.TextField()
    state = pw.TextField()  # copying | waiting | running | done | failed
    options = JsonField(default=dict)
    rows = pw.BigIntegerField(default=0)
    progress = pw.BigIntegerField(default=0)
    error = pw.TextField(null=True)
    holder = pw.TextField(null=True)
    lease_until = UtcField(null=True)
    created_at = UtcField()
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "imports"


class ImportPart(pw.Model):
    """A file being imported, a part a row, so that any worker can go on with it. Gone when it is done."""

    import_id = pw.BigIntegerField()
    part = pw.IntegerField()
    data = pw.BlobField()

    class Meta:
        table_name = "import_parts"
        primary_key = pw.CompositeKey("import_id", "part")


class ImportRow(pw.Model):
    """What became of one row, by name."""

    import_id = pw.BigIntegerField()
    row = pw.BigIntegerField()
    email = pw.TextField(null=True)
    candidate = pw.BigIntegerField(column_name="candidate_id", null=True)
    outcome = pw.TextField()
    reason = pw.TextField(null=True)

    class Meta:
        table_name = "import_rows"
        primary_key = pw.CompositeKey("import_id", "row")


class Shortlist(Owned):
    name = pw.TextField()
    last_member_id = pw.BigIntegerField(default=0)
    created_at = UtcField()

    class Meta:
        table_name = "shortlists"
        indexes = ((("workspace", "name"), True),)


class ShortlistMember(Row):
    workspace = pw.BigIntegerField(column_name="workspace_id")
    shortlist = pw.BigIntegerField(column_name="shortlist_id")
    candidate = pw.BigIntegerField(column_name="candidate_id", index=True)
    source = pw.TextField(default="")
    added_at = UtcField()
    removed_at = UtcField(null=True)

    class Meta:
        table_name = "shortlist_members"
        indexes = ((("shortlist", "candidate"), True),)


class ShortlistLink(Row):
    """Members up to `done_id` have flowed into the sequence."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    shortlist = pw.BigIntegerField(column_name="shortlist_id")
    sequence = pw.BigIntegerField(column_name="sequence_id")
    paused = pw.BooleanField(default=False)
    enrich = pw.BooleanField(default=False)
    done_id = pw.BigIntegerField(default=0)
    created_at = UtcField()
    ended_at = UtcField(null=True)

    class Meta:
        table_name = "shortlist_links"


class Erased(Row):
    """A keyed hash of an address or profile of somebody who was erased: all that is left of them."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    digest = pw.TextField()
    created_at = UtcField()

    class Meta:
        table_name = "erased"
        indexes = ((("workspace", "digest"), True),)


class Erasing(Row):
    """An address that webhook deliveries must still be searched for; gone within the same call, or the next."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    address = pw.TextField()

    class Meta:
        table_name = "erasing"
        indexes = ((("candidate", "address"), True),)


class SequenceShare(Row):
    """Whom, besides its owner, a sequence is there for."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    sequence = pw.BigIntegerField(column_name="sequence_id")
    user = pw.BigIntegerField(column_name="user_id", index=True)
    created_at = UtcField()

    class Meta:
        table_name = "sequence_shares"
        indexes = ((("sequence", "user"), True),)


class KnownTo(Row):
    """Whom a person is known to besides whoever made them known first, and those whose journeys they are in."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    user = pw.BigIntegerField(column_name="user_id")

    class Meta:
        table_name = "known_to"
        indexes = ((("candidate", "user"), True),)


TABLES: tuple[type[pw.Model], ...] = (
    KnownTo, Import, ImportPart, ImportRow, Shortlist, ShortlistMember, ShortlistLink, SequenceShare, Erased, Erasing,
)  # fmt: skip

PARTIAL_INDEXES = (
    "CREATE INDEX imports_lease ON imports (lease_until) WHERE lease_until IS NOT NULL",
    "CREATE UNIQUE INDEX shortlist_links_open ON shortlist_links (shortlist_id, sequence_id) WHERE ended_at IS NULL",
)
