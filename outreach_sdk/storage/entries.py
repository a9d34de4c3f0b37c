"""Claimed outbox entries with all it takes to send them."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from outreach_sdk.storage.store import Store, in_marks

__all__ = ["load_entries"]

_WHOLE = (
    "SELECT o.*, j.status AS journey_status, j.reason AS journey_reason, "
    "j.generation AS current_generation, j.email AS current_email, "
    "j.provider_thread_id AS journey_thread, j.thread_mailbox_id, j.thread_subject, j.thread_refs, "
    "j.sequence_id, j.last_rank, j.next_step_id, s.active AS sequence_active, s.broken, s.review, s.name AS sequence_name, "
    "t.rank, COALESCE(js.rank, t.rank) AS came_rank, "
    "t.kind, t.manual, t.thread, t.subject AS step_subject, t.body AS step_body, t.variants AS step_variants, "
    "t.cc AS step_cc, t.bcc AS step_bcc, t.removed_at, t.alias, js.draft_subject, js.draft_body, js.approved_hash, "
    "c.first_name, c.last_name, c.company, c.title, c.linkedin, c.phone, c.fields, "
    "m.address AS mailbox_address, m.name AS mailbox_name, m.signature, m.polled_at, m.spacing_us, m.troubles, "
    "m.provider, m.credentials AS mailbox_credentials, m.config AS mailbox_config, "
    "m.owner_id AS mailbox_owner_id, m.per_day, m.per_hour, m.ramp_from, m.ramp_by, "
    "m.created_at AS connected_at, w.settings AS workspace_settings, s.sending_window AS sequence_window, "
    "s.timezone AS sequence_zone, c.timezone AS candidate_zone, t.schedule AS step_schedule, "
    "EXISTS (SELECT 1 FROM contacted k WHERE k.candidate_id = o.candidate_id) "
    "AS known_before, m.status AS mailbox_status, u.name AS owner_name FROM outbox o "
    "JOIN journeys j ON j.id = o.journey_id JOIN sequences s ON s.id = j.sequence_id "
    "LEFT JOIN steps t ON t.id = o.step_id JOIN candidates c ON c.id = o.candidate_id "
    "JOIN mailboxes m ON m.id = o.mailbox_id JOIN workspace w ON w.id = o.workspace_id JOIN users u ON u.id = o.owner_id "
    "LEFT JOIN journey_steps js ON js.journey_id = o.journey_id AND js.step_id = o.step_id "
)


def load_entries(store: Store, ids: Seq[int]) -> dict[int, dict[str, Any]]:
    """These entries by their ids, with their journeys, steps, people and mailboxes."""
    return {row["id"]: row for row in store.rows(f"{_WHOLE}WHERE o.id IN {in_marks(ids)}", *ids)}
