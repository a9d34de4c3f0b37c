"""Tables of looking for addresses and numbers: runs, what was asked of whom, and the credits that pay for finds."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import JsonField, UtcField
from outreach_sdk.storage.models import Owned, Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class CandidatePhone(Owned):
    candidate = pw.BigIntegerField(column_name="candidate_id")
    number = pw.TextField()  # E.164
    kind = pw.TextField(default="other")  # work | personal | other
    verified = pw.BooleanField(null=True)
    source = pw.TextField(default="")
    created_at = UtcField()

    class Meta:
        table_name = "candidate_phones"
        indexes = ((("candidate", "number"), True), (("workspace", "number"), False))


class CreditAccount(Row):
    """What a workspace's ledger sums to, kept beside it: the row that one transaction at a time locks, and
    constraints that no bug can spend through."""

    workspace = pw.BigIntegerField(column_name="workspace_id", unique=True)
    monthly = pw.BigIntegerField(default=0)
    period = pw.TextField()  # the month (UTC) whose allowance was granted
    allowance = pw.BigIntegerField(default=0, constraints=[pw.Check("allowance >= 0")])
    top_ups = pw.BigIntegerField(default=0, constraints=[pw.Check("top_ups >= 0")])

    class Meta:
        table_name = "credit_accounts"


class CreditLedger(Row):
    """Append-only. `amount` is what the balance changed by; a settlement changes nothing, for what it charges was
    taken by its reservation."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    kind = pw.TextField()  # allowance | top_up | reserve | settle | release | expire
    amount = pw.BigIntegerField()
    bucket = pw.TextField()  # allowance | top_up | both
    period = pw.TextField(null=True)  # of the allowance it is from
    reservation = pw.TextField(null=True)
    run = pw.BigIntegerField(column_name="run_id", null=True)
    candidate = pw.BigIntegerField(column_name="candidate_id", null=True)
    field = pw.TextField(null=True)
    provider = pw.TextField(null=True)
    reference = pw.TextField(null=True)
    user = pw.BigIntegerField(column_name="user_id", null=True)
    at = UtcField()

    class Meta:
        table_name = "credit_ledger"
        indexes = ((("workspace", "at"), False), (("run",), False))


class EnrichmentRun(Owned):
    sequence = pw.BigIntegerField(column_name="sequence_id", null=True)
    fields = JsonField(default=list)
    state = pw.TextField()  # running | paused | done
    reason = pw.TextField(null=True)  # no_credits | no_providers
    hold = pw.BooleanField(default=False)  # journeys that get an address stay paused
    max_credits = pw.BigIntegerField(null=True)
    created_at = UtcField()
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "enrichment_runs"


class EnrichmentItem(Owned):
    """One field of one candidate in one run. `next_at` is when it may be taken; a lease while it is worked on."""

    run = pw.BigIntegerField(column_name="run_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    field = pw.TextField()
    state = pw.TextField()  # waiting | working | pending | done
    generation = pw.IntegerField(default=0)
    next_at = UtcField(null=True)
    reservation = pw.TextField(null=True)  # credits held for it
    reserved = pw.BigIntegerField(default=0)
    outcome = pw.TextField(null=True)
    value = pw.TextField(null=True)
    kind = pw.TextField(null=True)
    verified = pw.BooleanField(null=True)
    source = pw.TextField(null=True)
    credits = pw.BigIntegerField(default=0)
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "enrichment_items"
        indexes = ((("run", "candidate", "field"), True), (("candidate", "field"), False))


class EnrichmentAsk(Row):
    """One question to one provider, written before it is put. Its answer serves later runs until it is too old."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    run = pw.BigIntegerField(column_name="run_id")
    item = pw.BigIntegerField(column_name="item_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    field = pw.TextField()
    role = pw.TextField()  # find | verify
    provider = pw.TextField()
    question = pw.TextField()  # digest of what was asked
    state = pw.TextField()  # asking | pending | answered | failed | skipped
    request_id = pw.TextField(null=True)
    points = JsonField(default=list)
    detail = pw.TextField(null=True)
    tries = pw.IntegerField(default=0)
    cached = pw.BooleanField(default=False)
    asked_at = UtcField()
    answered_at = UtcField(null=True)  # of a cached answer: when it was given

    class Meta:
        table_name = "enrichment_asks"
        indexes = (
            (("item", "role", "provider", "question"), True),
            (("candidate", "provider", "question"), False),
            (("request_id",), False),
        )


class EnrichmentGate(Row):
    """One provider's pace and circuit breaker, for all processes together."""

    provider = pw.TextField(unique=True)
    next_at = UtcField()
    failures = pw.IntegerField(default=0)
    shut_until = UtcField(null=True)
    reason = pw.TextField(null=True)

    class Meta:
        table_name = "enrichment_gates"


TABLES: tuple[type[pw.Model], ...] = (
    CandidatePhone, CreditAccount, CreditLedger, EnrichmentRun, EnrichmentItem, EnrichmentAsk, EnrichmentGate,
)  # fmt: skip

PARTIAL_INDEXES = (
    "CREATE UNIQUE INDEX credit_ledger_step ON credit_ledger (reservation, kind, bucket) "
    "WHERE reservation IS NOT NULL AND kind <> 'expire'",
    # A find is paid for once per field and candidate, whatever runs at once.
    "CREATE UNIQUE INDEX credit_ledger_once ON credit_ledger (workspace_id, candidate_id, field) "
    "WHERE kind = 'settle'",
    "CREATE UNIQUE INDEX credit_ledger_purchase ON credit_ledger (workspace_id, reference) "
    "WHERE kind = 'top_up' AND reference IS NOT NULL",
    "CREATE INDEX enrichment_items_due ON enrichment_items (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX enrichment_items_open ON enrichment_items (run_id) WHERE state <> 'done'",
    "CREATE INDEX enrichment_runs_open ON enrichment_runs (workspace_id, state) WHERE state <> 'done'",
)
