"""Tables of what the outside tells by webhook: deliveries, bookings, who they are about, what watches mailboxes."""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import JsonField, UtcField
from outreach_sdk.storage.models import Row

__all__ = ["PARTIAL_INDEXES", "TABLES"]


class Delivery(Row):
    """One received POST, stored before it is acknowledged. `lease_until` is when it may be taken next; null:
    it is settled."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    source = pw.TextField()
    delivery_id = pw.TextField()
    headers = JsonField(default=dict)
    body = pw.BlobField(null=True)  # null: retention has taken it away
    received_at = UtcField()
    state = pw.TextField()  # received | done | ignored | lookup | dead
    tries = pw.IntegerField(default=0)
    lease_until = UtcField(null=True)
    processed_at = UtcField(null=True)
    look_at = UtcField(null=True)  # when its own system may be asked next; null: it needn't be
    looks = pw.IntegerField(default=0)
    outcome = pw.TextField(null=True)  # a sentence without personal data

    class Meta:
        table_name = "deliveries"
        indexes = ((("source", "delivery_id"), True), (("state", "received_at"), False))


class Refusal(Row):
    """How many deliveries were turned away, by day; nothing of them is kept."""

    source = pw.TextField()
    reason = pw.TextField()
    day = pw.TextField()
    count = pw.BigIntegerField()

    class Meta:
        table_name = "refusals"
        indexes = ((("source", "reason", "day"), True),)


class Booking(Row):
    """A meeting or interview as its own system last described it, by that system's times."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    source = pw.TextField()
    external_id = pw.TextField()
    also_id = pw.TextField(null=True)  # by which its system says that it was called off
    kind = pw.TextField()  # meeting | ats | interview
    status = pw.TextField()  # scheduled | canceled | moved
    occurred_at = UtcField()  # of the event that `status` is from
    starts_at = UtcField(null=True)
    # Of every event that said it stands, whatever came after: what stops journeys must not depend on the order
    # in which deliveries arrive.
    stood = pw.BooleanField(default=False)
    last_start_at = UtcField(null=True)
    booked_at = UtcField(null=True)
    title = pw.TextField(default="")
    link = pw.TextField(default="")
    replaces = pw.TextField(null=True)
    created_at = UtcField()

    class Meta:
        table_name = "bookings"
        indexes = (
            (("workspace", "source", "external_id"), True),
            (("workspace", "source", "also_id"), False),
            (("workspace", "starts_at"), False),
        )


class BookingPerson(Row):
    """Somebody a booking is about, by an address without its plus tag or, by a link's token, directly.
    `candidate_id` null: waits until a candidate with that address appears. `acted_at` null: to be acted on. `off_at`: since
    when they aren't invited any more, though it stands; `turns`: how often they left it and came back."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    booking = pw.BigIntegerField(column_name="booking_id")
    address = pw.TextField(default="")
    candidate = pw.BigIntegerField(column_name="candidate_id", null=True)
    acted_at = UtcField(null=True)
    off_at = UtcField(null=True)
    turns = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    created_at = UtcField()

    class Meta:
        table_name = "booking_people"
        indexes = (
            (("booking", "address", "candidate"), True),
            (("workspace", "address"), False),
            (("candidate",), False),
        )


class Watch(Row):
    """What makes a provider tell of a mailbox's news at once. It only hastens polling, which goes on without."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    mailbox = pw.BigIntegerField(column_name="mailbox_id", unique=True)
    provider = pw.TextField()
    external_id = pw.TextField(null=True, unique=True)
    secret_hash = pw.TextField(null=True)  # of the clientState that proves a notification
    target = pw.TextField(default="")  # where it tells: a change of address makes a new one
    expires_at = UtcField(null=True)
    renew_at = UtcField()  # also its lease
    reauthorise = pw.BooleanField(default=False)
    error = pw.TextField(null=True)
    tries = pw.IntegerField(default=0)

    class Meta:
        table_name = "watches"


TABLES: tuple[type[pw.Model], ...] = (Delivery, Refusal, Booking, BookingPerson, Watch)

PARTIAL_INDEXES = (
    "CREATE INDEX deliveries_open ON deliveries (lease_until) WHERE lease_until IS NOT NULL",
    "CREATE INDEX deliveries_kept ON deliveries (received_at) WHERE body IS NOT NULL AND lease_until IS NULL",
    "CREATE INDEX deliveries_look ON deliveries (look_at) WHERE look_at IS NOT NULL",
    "CREATE INDEX booking_people_waiting ON booking_people (workspace_id, address) WHERE candidate_id IS NULL",
    "CREATE UNIQUE INDEX booking_people_waiting_once ON booking_people (booking_id, address) WHERE candidate_id IS NULL",
    "CREATE INDEX booking_people_due ON booking_people (id) WHERE acted_at IS NULL AND candidate_id IS NOT NULL",
    # Few addresses have a plus tag: these are the ones looked through for what a tag was added to.
    "CREATE INDEX candidate_emails_tagged ON candidate_emails (workspace_id, address) WHERE address LIKE '%+%'",
)
