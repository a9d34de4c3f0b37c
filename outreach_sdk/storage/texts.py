"""Tables of texts: snippets, passages the model wrote, templates that colleagues share."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import JsonField, UtcField
from outreach_sdk.storage.models import Owned

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class Snippet(Owned):
    """A text to reuse in steps by its name: its owner's, or with `shared` everybody's."""

    name = pw.TextField()
    text = pw.TextField()
    shared = pw.BooleanField(default=False)
    updated_at = UtcField()

    class Meta:
        table_name = "snippets"
        indexes = ((("workspace", "owner", "name"), True),)


class Passage(Owned):
    """What stands for one `ai(…)` in one step to one candidate. `digest` is of the prompt with its fields filled."""

    candidate = pw.BigIntegerField(column_name="candidate_id")
    step = pw.BigIntegerField(column_name="step_id")
    digest = pw.TextField()
    prompt = pw.TextField()
    text = pw.TextField(null=True)  # null: the fallback stands
    why = pw.TextField(null=True)  # why it does
    model = pw.TextField(null=True)
    created_at = UtcField()

    class Meta:
        table_name = "passages"
        indexes = ((("candidate", "step", "digest"), True),)


class Template(Owned):
    """The steps of a sequence, saved for others to begin with."""

    name = pw.TextField()
    steps = JsonField()
    created_at = UtcField()

    class Meta:
        table_name = "templates"
        indexes = ((("workspace", "name"), True),)


class TestSend(Owned):
    """An e-mail of a sequence on its way to a colleague who wants to see it. Once `sending` was committed it is never
    sent again by the machine."""

    mailbox = pw.BigIntegerField(column_name="mailbox_id")
    sequence = pw.BigIntegerField(column_name="sequence_id")
    candidate = pw.BigIntegerField(column_name="candidate_id", null=True)  # whose it shows
    number = pw.IntegerField()
    recipient = pw.TextField()
    subject = pw.TextField()
    body_html = pw.TextField()
    body_text = pw.TextField()
    send_key = pw.TextField(unique=True)
    state = pw.TextField()  # planned | sending | sent | failed | unknown
    detail = pw.TextField(null=True)
    lease_until = UtcField(null=True)  # null: settled
    created_at = UtcField()

    class Meta:
        table_name = "test_sends"


TABLES: tuple[type[pw.Model], ...] = (Snippet, Passage, Template, TestSend)

PARTIAL_INDEXES: tuple[str, ...] = (
    "CREATE INDEX test_sends_open ON test_sends (lease_until, id) WHERE lease_until IS NOT NULL",
)
