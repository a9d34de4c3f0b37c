"""One claimed outbox entry, taken as far as it goes now."""

from __future__ import annotations

from typing import Any

from outreach_sdk.engine import answers, failpoints, release, send
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import mailbox_dead
from outreach_sdk.engine.recover import recover, unreachable
from outreach_sdk.errors import MailAuthError, MailError, MailRefused, OutreachError
from outreach_sdk.storage.claims import Claim

__all__ = ["process"]


def process(engine: Engine, claim: Claim) -> str:
    """Take one claimed entry as far as it goes now; the name of how it ended."""
    failpoints.hit("after_claim")
    entry = load(engine, claim)
    if entry is None:
        return "gone"
    try:
        transport = engine.transport(_mailbox(engine, entry["mailbox_id"]))
    except MailAuthError as exc:  # disconnected meanwhile: there is nothing to ask it with
        if claim.recover:
            return unreachable(engine, entry)
        release.release(engine, entry)
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return "reauthorise"
    if claim.recover:
        return recover(engine, entry, transport)
    prepare = send.prepare_and_send if entry["answers_id"] is None else answers.prepare_and_send
    try:
        return prepare(engine, entry, transport)
    except MailAuthError as exc:
        release.release(engine, entry)
        mailbox_dead(engine, entry["mailbox_id"], str(exc))
        return "reauthorise"
    except MailRefused as exc:
        return release.refused(engine, entry, str(exc))
    except MailError as exc:  # nothing was sent: drafts and looks only
        return release.held_up(engine, entry, exc)


def load(engine: Engine, claim: Claim) -> dict[str, Any] | None:
    """The entry with all it takes to send it, in one query."""
    return engine.store.one(
        "SELECT o.*, j.status AS journey_status, j.generation AS current_generation, j.email AS current_email, "
        "j.provider_thread_id AS journey_thread, j.thread_mailbox_id, j.thread_subject, j.thread_refs, "
        "j.sequence_id, j.last_rank, j.next_step_id, s.active AS sequence_active, s.review, s.name AS sequence_name, "
        "t.rank, t.kind, t.manual, t.thread, t.subject AS step_subject, t.body AS step_body, t.variants AS step_variants, "
        "t.cc AS step_cc, t.bcc AS step_bcc, t.removed_at, t.alias, js.draft_subject, js.draft_body, js.approved_hash, "
        "c.first_name, c.last_name, c.company, c.title, c.linkedin, c.phone, c.fields, "
        "m.address AS mailbox_address, m.name AS mailbox_name, m.signature, m.polled_at, m.spacing_us, m.troubles, "
        "m.provider, m.per_day, m.per_hour, m.ramp_from, m.ramp_by, "
        "m.created_at AS connected_at, w.settings AS workspace_settings, s.sending_window AS sequence_window, "
        "s.timezone AS sequence_zone, c.timezone AS candidate_zone, t.schedule AS step_schedule, "
        "EXISTS (SELECT 1 FROM contacted k WHERE k.candidate_id = o.candidate_id) "
        "AS known_before, m.status AS mailbox_status, u.name AS owner_name FROM outbox o "
        "JOIN journeys j ON j.id = o.journey_id JOIN sequences s ON s.id = j.sequence_id "
        "LEFT JOIN steps t ON t.id = o.step_id JOIN candidates c ON c.id = o.candidate_id "
        "JOIN mailboxes m ON m.id = o.mailbox_id JOIN workspace w ON w.id = o.workspace_id JOIN users u ON u.id = o.owner_id "
        "LEFT JOIN journey_steps js ON js.journey_id = o.journey_id AND js.step_id = o.step_id "
        "WHERE o.id = ? AND o.generation = ?",
        claim.outbox_id,
        claim.generation,
    )


def _mailbox(engine: Engine, mailbox_id: int) -> dict[str, Any]:
    row = engine.store.one("SELECT * FROM mailboxes WHERE id = ?", mailbox_id)
    if row is None:
        raise OutreachError(f"Mailbox {mailbox_id} isn't there any more.")
    return row
