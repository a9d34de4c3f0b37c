"""Every table. Each row bears its workspace and, where it belongs to somebody, its owner.

The models describe and create the schema; queries run against an explicit database (`Store`), never
against one bound globally.
"""

from __future__ import annotations

import peewee as pw

from outreach_sdk.storage.fields import JsonField, UtcField

__all__ = ["TABLES", "Row"]


class Row(pw.Model):
    """Base of all tables."""

    id = pw.BigAutoField()


class Workspace(Row):
    name = pw.TextField()
    settings = JsonField(default=dict)
    created_at = UtcField()


class User(Row):
    workspace = pw.BigIntegerField(column_name="workspace_id", index=True)
    name = pw.TextField()
    email = pw.TextField(null=True)
    role = pw.TextField(default="member")
    api_key_hash = pw.TextField(null=True, unique=True)
    sequences_access = pw.BooleanField(default=True)
    booking_url = pw.TextField(null=True)  # where people book time with them; null: the workspace's
    prefer = pw.TextField(null=True)  # work | personal: which address of a candidate comes first
    tell = pw.TextField(null=True)  # digest | off; null: each notice as it comes
    tell_at = pw.TextField(null=True)  # when the digest goes out, "08:00", in tell_zone
    tell_zone = pw.TextField(null=True)
    slack_url = pw.TextField(null=True)
    db_role = pw.TextField(null=True, unique=True)  # storage/wall.py
    created_at = UtcField()

    class Meta:
        table_name = "users"
        indexes = ((("workspace", "name"), True),)


class Owned(Row):
    workspace = pw.BigIntegerField(column_name="workspace_id")
    owner = pw.BigIntegerField(column_name="owner_id")


class Mailbox(Owned):
    provider = pw.TextField()
    address = pw.TextField()
    name = pw.TextField(default="")
    status = pw.TextField(default="connected")  # connected | reauthorise | disconnected
    status_detail = pw.TextField(null=True)
    credentials = pw.TextField(null=True)  # encrypted
    config = JsonField(default=dict)
    signature = pw.TextField(null=True)
    is_default = pw.BooleanField(default=False)
    identities = JsonField(null=True)  # the addresses it may send as, with the provider's signature of each
    renewing_until = UtcField(null=True)  # one process renews the tokens until then
    revoking = pw.TextField(null=True)  # encrypted: what the provider must still be told to forget
    checked_at = UtcField(null=True)  # null: nothing leaves until the self-test has passed
    check_failed = pw.TextField(null=True)
    check_facts = JsonField(null=True)
    check_asked_at = UtcField(null=True)
    check_next_at = UtcField(null=True)  # a lease, or the wait after a self-test that got no answer
    check_tries = pw.IntegerField(null=True)
    unusable = pw.TextField(null=True)  # no key opens its tokens
    look_up = pw.BooleanField(
        default=False, constraints=[pw.SQL("DEFAULT FALSE")]
    )  # for sends nobody could settle
    cursor = pw.TextField(null=True)
    polled_at = UtcField(null=True)
    next_poll_at = UtcField()
    reading_until = UtcField(null=True)  # somebody is reading it; a lease
    read_wait_until = UtcField(null=True)  # nobody asks it for news before
    read_tries = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])  # failed readings in a row
    first_failed_at = UtcField(null=True)  # nothing of it could be read
    look_again_at = UtcField(null=True)  # a push came: history may not show yet what it is about
    next_slot_at = UtcField()
    last_call_at = UtcField()
    spacing_us = pw.BigIntegerField()
    per_day = pw.IntegerField(null=True)
    per_hour = pw.IntegerField(null=True)
    ramp_from = pw.IntegerField(null=True)
    ramp_by = pw.IntegerField(null=True)
    wait_until = UtcField(null=True)  # nothing is claimed for it before, whoever it is
    wait_reason = pw.TextField(null=True)
    troubles = pw.IntegerField(
        default=0, constraints=[pw.SQL("DEFAULT 0")]
    )  # temporary refusals since the last success
    created_at = UtcField()

    class Meta:
        table_name = "mailboxes"
        indexes = ((("workspace", "address", "owner"), True),)


class Grant(Row):
    """Leave to send from somebody else's mailbox; `user_id` null is the whole team's."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    mailbox = pw.BigIntegerField(column_name="mailbox_id", index=True)
    user = pw.BigIntegerField(column_name="user_id", null=True)
    created_at = UtcField()
    ended_at = UtcField(null=True)

    class Meta:
        table_name = "grants"


class ConnectLink(Owned):
    """One way through consent by way of the web service, used once (engine/connecting.py)."""

    provider = pw.TextField()
    token_hash = pw.TextField(unique=True)
    address = pw.TextField(null=True)  # the one expected
    name = pw.TextField(default="")
    state_hash = pw.TextField(null=True, unique=True)
    browser_hash = pw.TextField(null=True)
    calendar = pw.BooleanField(default=True)  # whether leave to read it is asked for too
    memo = pw.TextField(null=True)  # encrypted: what the sign-in needs to be finished
    mailbox = pw.BigIntegerField(column_name="mailbox_id", null=True)
    error = pw.TextField(null=True)
    created_at = UtcField()
    expires_at = UtcField()
    started_at = UtcField(null=True)
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "connect_links"


class Candidate(Owned):
    first_name = pw.TextField(default="")
    last_name = pw.TextField(default="")
    company = pw.TextField(default="")
    title = pw.TextField(default="")
    linkedin = pw.TextField(null=True)
    phone = pw.TextField(null=True)
    timezone = pw.TextField(null=True)
    fields = JsonField(default=dict)
    source = pw.TextField(default="")
    created_at = UtcField()

    class Meta:
        table_name = "candidates"
        indexes = ((("workspace", "linkedin"), True),)


class CandidateEmail(Owned):
    candidate = pw.BigIntegerField(column_name="candidate_id", index=True)
    address = pw.TextField()
    kind = pw.TextField(default="other")
    verified = pw.BooleanField(null=True)
    invalid = pw.BooleanField(default=False)
    source = pw.TextField(default="")
    created_at = UtcField()

    class Meta:
        table_name = "candidate_emails"
        indexes = ((("workspace", "address"), True),)


class Contacted(Row):
    """Who wrote to whom, when last: for the colleague rule and the last look."""

    workspace = pw.BigIntegerField(column_name="workspace_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    owner = pw.BigIntegerField(column_name="owner_id")
    last_at = UtcField()

    class Meta:
        table_name = "contacted"
        indexes = ((("candidate", "owner"), True),)


class Sequence(Owned):
    name = pw.TextField(default="")
    active = pw.BooleanField(default=False)
    timezone = pw.TextField()
    mailbox = pw.BigIntegerField(column_name="mailbox_id", null=True)
    prefer = pw.TextField(null=True)  # work | personal; null: its owner's, then the workspace's
    write_back = pw.TextField(null=True)  # the applicant tracking system that is told of what happens
    sending_window = JsonField(null=True)  # null: the workspace's; {}: none
    review = pw.BooleanField(
        default=False, constraints=[pw.SQL("DEFAULT FALSE")]
    )  # nothing leaves unapproved
    broken = pw.BooleanField(
        default=False, constraints=[pw.SQL("DEFAULT FALSE")]
    )  # an active one that isn't complete any more (engine/soundness.py)
    top_rank = pw.DoubleField(default=0, constraints=[pw.SQL("DEFAULT 0")])  # the highest a step ever had
    created_at = UtcField()
    activated_at = UtcField(null=True)

    class Meta:
        table_name = "sequences"
        indexes = ((("workspace", "owner"), False),)


class Step(Owned):
    """`rank` orders steps. Where it is renumbered (engine/ordering.py), what journeys remember of it is too."""

    sequence = pw.BigIntegerField(column_name="sequence_id")
    rank = pw.DoubleField()
    kind = pw.TextField()
    manual = pw.BooleanField(default=False)
    schedule = JsonField()
    thread = pw.TextField(default="new")
    subject = pw.TextField(null=True)
    body = pw.TextField(null=True)
    skip_after = pw.DoubleField(null=True)
    cc = JsonField(default=list)
    bcc = JsonField(default=list)
    mailbox = pw.BigIntegerField(column_name="mailbox_id", null=True)
    alias = pw.TextField(null=True)  # type: ignore[assignment]
    variants = JsonField(default=list, constraints=[pw.SQL("DEFAULT '[]'")])  # domain/variants.py
    removed_at = UtcField(null=True)

    class Meta:
        table_name = "steps"
        indexes = ((("sequence", "rank"), False),)


class Journey(Owned):
    """`next_due_at` is set only while active with nothing in the outbox open for it.
    `lane` is the mailbox the next step leaves from; null for a task. `held_due_at` stands in for `next_due_at`
    while the step waits for approval, for its passages to be written (`passages_at`: when, or a lease), or for its
    sequence to be repaired."""

    sequence = pw.BigIntegerField(column_name="sequence_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    email = pw.TextField(null=True)
    status = pw.TextField()
    reason = pw.TextField(null=True)
    detail = pw.TextField(null=True)
    generation = pw.IntegerField(default=0)
    last_rank = pw.DoubleField(default=-1e300)
    anchor_at = UtcField()
    next_step = pw.BigIntegerField(column_name="next_step_id", null=True)
    next_due_at = UtcField(null=True)
    lane = pw.BigIntegerField(null=True)
    priority = pw.SmallIntegerField(default=2)
    resume_at = UtcField(null=True)
    held_due_at = UtcField(null=True)
    passages_at = UtcField(null=True)
    thread_mailbox = pw.BigIntegerField(column_name="thread_mailbox_id", null=True)
    provider_thread_id = pw.TextField(null=True)
    thread_subject = pw.TextField(null=True)
    thread_refs = JsonField(default=list)
    enrolled_at = UtcField()
    ended_at = UtcField(null=True)

    class Meta:
        table_name = "journeys"
        indexes = ((("sequence", "candidate"), True), (("candidate", "owner"), False))


class JourneyStep(Owned):
    journey = pw.BigIntegerField(column_name="journey_id")
    step = pw.BigIntegerField(column_name="step_id")
    candidate = pw.BigIntegerField(column_name="candidate_id")
    kind = pw.TextField()
    rank = pw.DoubleField()
    status = pw.TextField()
    due_at = UtcField(null=True)
    handled_at = UtcField(null=True)
    skip_at = UtcField(null=True)
    skip_left_us = pw.BigIntegerField(null=True)
    draft_subject = pw.TextField(null=True)
    draft_body = pw.TextField(null=True)
    note = pw.TextField(null=True)
    approved_hash = pw.TextField(null=True)  # of the text that was approved: any other waits again
    approved_at = UtcField(null=True)
    approved_by = pw.BigIntegerField(null=True)
    acted_by = pw.BigIntegerField(null=True)  # who sent, did or skipped a task; null: its timer

    class Meta:
        table_name = "journey_steps"
        indexes = ((("journey", "step"), True),)


class Outbox(Owned):
    """One intended send, never deleted (docs/sending.md): of a step, or, with `answers` set and `step_id` its
    negative, a person's answer to that message."""

    journey = pw.BigIntegerField(column_name="journey_id")
    step = pw.BigIntegerField(column_name="step_id")
    answers = pw.BigIntegerField(column_name="answers_id", null=True)
    candidate = pw.BigIntegerField(column_name="candidate_id")
    attempt = pw.IntegerField(default=1)
    send_key = pw.TextField(unique=True)
    state = pw.TextField()
    generation = pw.IntegerField(default=0)
    journey_generation = pw.IntegerField()
    lease_until = UtcField(null=True)
    holder = pw.TextField(null=True)
    priority = pw.SmallIntegerField(default=2)
    mailbox = pw.BigIntegerField(column_name="mailbox_id")
    recipient = pw.TextField()
    variant = pw.TextField(null=True)  # whose text it bears: A, B …; null: an answer, or edited by hand
    subject = pw.TextField(null=True)
    body_html = pw.TextField(null=True)
    body_text = pw.TextField(null=True)
    content_hash = pw.TextField(null=True)
    review_hash = pw.TextField(null=True)  # of the text as a person reviews it
    cc = JsonField(default=list)
    bcc = JsonField(default=list)
    recipients = pw.IntegerField(default=1, constraints=[pw.SQL("DEFAULT 1")])  # to, cc and bcc
    provider_draft_id = pw.TextField(null=True)
    provider_message_id = pw.TextField(null=True)
    provider_thread_id = pw.TextField(null=True)
    rfc_message_id = pw.TextField(null=True)
    tries = pw.IntegerField(default=0)
    looks = pw.IntegerField(default=0)
    error = pw.TextField(null=True)
    due_at = UtcField()
    claimed_at = UtcField(null=True)
    ahead = pw.BooleanField(
        default=False, constraints=[pw.SQL("DEFAULT FALSE")]
    )  # claimed, not in flight yet
    drafted_at = UtcField(null=True)
    sending_at = UtcField(null=True)
    sent_at = UtcField(null=True)

    class Meta:
        table_name = "outbox"
        indexes = (
            (("journey", "step", "attempt"), True),
            (("candidate", "sending_at"), False),
            (("mailbox", "sending_at"), False),
        )


class Inbound(Owned):
    """A message that came in: UNIQUE(mailbox, provider_message_id), so it counts once."""

    mailbox = pw.BigIntegerField(column_name="mailbox_id")
    provider_message_id = pw.TextField()
    provider_thread_id = pw.TextField(null=True)
    rfc_message_id = pw.TextField(null=True)
    journey = pw.BigIntegerField(column_name="journey_id", null=True)
    candidate = pw.BigIntegerField(column_name="candidate_id", null=True)
    # Another candidate who wrote in this one's thread, and their journey with the same owner, if any.
    writer = pw.BigIntegerField(column_name="writer_id", null=True)
    writer_journey = pw.BigIntegerField(column_name="writer_journey_id", null=True)
    sender = pw.TextField(null=True)
    reply_to = pw.TextField(null=True)  # where they want answers, if not at `sender`
    subject = pw.TextField(default="")
    body_text = pw.TextField(default="")
    kind = pw.TextField(null=True)  # bounce | complaint | auto_reply | delivery_notice | human | own
    matched_by = pw.TextField(null=True)
    verdict = JsonField(null=True)
    received_at = UtcField()
    processed_at = UtcField(null=True)
    again_at = UtcField(null=True)  # it is read again: what it may answer was still on its way
    visible_text = pw.TextField(null=True)  # body_text without quotes and signature
    reply_kind = pw.TextField(null=True)  # of a human's: domain.reply_kind.Kind
    kind_by = pw.TextField(null=True)  # rules | model | person
    kind_confidence = pw.DoubleField(null=True)
    kind_model = pw.TextField(null=True)
    kind_version = pw.TextField(null=True)
    kind_answer = JsonField(null=True)  # the model's own, kept whatever a person says; what was wrong with it
    referral_name = pw.TextField(null=True)
    referral_email = pw.TextField(null=True)
    kind_due_at = UtcField(null=True)  # when the model is to be asked; a lease while it is
    kind_tries = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    corrected_from = pw.TextField(null=True)
    corrected_at = UtcField(null=True)
    corrected_by = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "inbound"
        indexes = ((("mailbox", "provider_message_id"), True), (("journey",), False))


class Suppression(Owned):
    kind = pw.TextField()  # address | domain
    value = pw.TextField()
    reason = pw.TextField()
    source = pw.TextField(default="")
    created_at = UtcField()

    class Meta:
        table_name = "suppressions"
        indexes = ((("workspace", "kind", "value"), True),)


class Notification(Owned):
    kind = pw.TextField()
    text = pw.TextField()
    journey = pw.BigIntegerField(column_name="journey_id", null=True)
    sequence = pw.BigIntegerField(column_name="sequence_id", null=True)
    dedupe = pw.TextField(unique=True)
    created_at = UtcField()
    read_at = UtcField(null=True)
    mail_due_at = UtcField(
        null=True
    )  # when to mail it, or the lease of whoever does; null: done, or not wanted
    mail_tries = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    mailed_at = UtcField(null=True)
    slack_due_at = UtcField(null=True)
    slack_tries = pw.IntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")])
    slacked_at = UtcField(null=True)

    class Meta:
        table_name = "notifications"
        indexes = ((("owner", "created_at"), False),)


class Event(Owned):
    """Append-only: what happened to journeys, and who did it."""

    journey = pw.BigIntegerField(column_name="journey_id", null=True)
    kind = pw.TextField()
    detail = pw.TextField(null=True)
    at = UtcField()

    class Meta:
        table_name = "events"
        indexes = ((("journey", "at"), False),)


TABLES: tuple[type[pw.Model], ...] = (
    Workspace, User, Mailbox, Grant, ConnectLink, Candidate, CandidateEmail, Contacted,
    Sequence, Step, Journey, JourneyStep,
    Outbox, Inbound, Suppression, Notification, Event,
)  # fmt: skip

PARTIAL_INDEXES = (
    "CREATE UNIQUE INDEX mailboxes_default ON mailboxes (owner_id) WHERE is_default",
    # A mailbox's due e-mails, in the order of rule 7; and any due journey at all.
    "CREATE INDEX journeys_lane_due ON journeys (lane, priority, next_due_at, id) "
    "WHERE next_due_at IS NOT NULL",
    "CREATE INDEX journeys_mail_due ON journeys (next_due_at) WHERE next_due_at IS NOT NULL AND lane IS NOT NULL",
    "CREATE INDEX journeys_task_due ON journeys (next_due_at, id) "
    "WHERE next_due_at IS NOT NULL AND lane IS NULL",
    "CREATE INDEX journeys_held ON journeys (sequence_id, held_due_at) WHERE held_due_at IS NOT NULL",
    "CREATE INDEX journeys_passages ON journeys (passages_at, id) WHERE passages_at IS NOT NULL",
    "CREATE INDEX journeys_passages_late ON journeys (held_due_at) WHERE passages_at IS NOT NULL",
    "CREATE INDEX journeys_unplanned ON journeys (sequence_id) WHERE next_step_id IS NULL AND status = 'active'",
    "CREATE INDEX journeys_resume ON journeys (resume_at) WHERE resume_at IS NOT NULL",
    # What is open in a mailbox: without it the planner reads everything the mailbox ever sent.
    "CREATE INDEX outbox_open ON outbox (mailbox_id, state, lease_until) WHERE lease_until IS NOT NULL",
    "CREATE INDEX outbox_lease ON outbox (state, lease_until) WHERE lease_until IS NOT NULL",
    # What a provider calls an e-mail, once there is one: no page is written for those that have yet to leave.
    "CREATE INDEX outbox_provider_message ON outbox (provider_message_id) WHERE provider_message_id IS NOT NULL",
    "CREATE INDEX outbox_provider_thread ON outbox (provider_thread_id) WHERE provider_thread_id IS NOT NULL",
    "CREATE INDEX outbox_rfc_message ON outbox (rfc_message_id) WHERE rfc_message_id IS NOT NULL",
    "CREATE INDEX journey_steps_skip ON journey_steps (skip_at) WHERE skip_at IS NOT NULL",
    "CREATE INDEX journey_steps_open ON journey_steps (owner_id, status) WHERE status = 'waiting'",
    # A copy in another mailbox; what another candidate wrote.
    "CREATE INDEX inbound_rfc_message ON inbound (rfc_message_id) "
    "WHERE journey_id IS NOT NULL AND rfc_message_id IS NOT NULL",
    "CREATE INDEX inbound_writer_journey ON inbound (writer_journey_id) WHERE writer_journey_id IS NOT NULL",
    "CREATE INDEX inbound_again ON inbound (mailbox_id) WHERE again_at IS NOT NULL",
    "CREATE INDEX inbound_open ON inbound (id) WHERE processed_at IS NULL",
    "CREATE INDEX inbound_kind_due ON inbound (kind_due_at) WHERE kind_due_at IS NOT NULL",
    "CREATE INDEX notifications_mail_due ON notifications (mail_due_at, id) WHERE mail_due_at IS NOT NULL",
    "CREATE INDEX notifications_slack_due ON notifications (slack_due_at, id) WHERE slack_due_at IS NOT NULL",
)
