"""What came of a sequence, grouped: reached, answered, interested, met."""

from __future__ import annotations

from typing import Any

from outreach_sdk.domain.reply_answer import KINDS
from outreach_sdk.domain.variants import FIRST, live
from outreach_sdk.storage.store import Store

__all__ = ["GROUPS", "MEASURES", "answered", "stats"]

GROUPS = {
    "sequence": "''",
    "source": "c.source",
    "title": "c.title",
    "company": "c.company",
    "mailbox": (
        "(SELECT m.address FROM outbox o JOIN mailboxes m ON m.id = o.mailbox_id WHERE o.journey_id = j.id "
        "AND o.state = 'sent' AND o.answers_id IS NULL ORDER BY o.sent_at, o.id LIMIT 1)"
    ),
    "step": "e.step_id",
    "variant": "e.variant",
}
"""What statistics may be grouped by, and the SQL for it: of a journey `j` and its candidate `c`."""

_ENDS = ("bounced", "opted_out", "meetings", "interviews")
MEASURES = ("people", "reached", "sent", "replied", *KINDS, "auto_replies", *_ENDS)

# A journey's answers: those in its thread, save what another candidate wrote there, which is theirs.
_ANSWERS = (
    "FROM inbound i WHERE i.kind = 'human' AND (i.writer_journey_id = j.id OR (i.journey_id = j.id AND "
    "i.writer_journey_id IS NULL))"
)

# What was booked stops the journeys that run. Where the person's last one had ended by then, it is what that led to.
_BOOKED = """
  (COALESCE(j.reason, '') IN ({reasons}) OR (j.status IN ('completed', 'cancelled') AND EXISTS (
    SELECT 1 FROM booking_people bp JOIN bookings b ON b.id = bp.booking_id WHERE bp.candidate_id = j.candidate_id
    AND b.stood AND b.kind IN ({kinds}) AND COALESCE(b.booked_at, b.created_at) >= j.enrolled_at
    AND EXISTS (SELECT 1 FROM outbox o WHERE o.journey_id = j.id AND o.state = 'sent' AND o.answers_id IS NULL)
    AND NOT EXISTS (SELECT 1 FROM journeys k WHERE k.candidate_id = j.candidate_id AND k.id > j.id
      AND k.enrolled_at <= COALESCE(b.booked_at, b.created_at)))))"""

# Of each journey: what it sent, its first and its latest answer, what came of it, and the step that is credited with
# that: the last one sent before the first answer.
_JOURNEYS = f"""
SELECT j.id, {{group}} AS grp,
  (SELECT COUNT(*) FROM outbox o WHERE o.journey_id = j.id AND o.state = 'sent' AND o.answers_id IS NULL) AS sent,
  (SELECT MIN(i.received_at) {_ANSWERS}) AS first_reply,
  (SELECT COALESCE(i.reply_kind, 'unclear') {_ANSWERS} ORDER BY i.received_at DESC, i.id DESC LIMIT 1) AS last_kind,
  EXISTS (SELECT 1 FROM inbound i WHERE i.journey_id = j.id AND i.kind = 'auto_reply') AS machine,
  (COALESCE(j.reason, '') = 'bounced'
    OR EXISTS (SELECT 1 FROM events v WHERE v.journey_id = j.id AND v.kind = 'bounced')) AS bounced,
  (COALESCE(j.reason, '') = 'opted_out'
    OR EXISTS (SELECT 1 FROM events v WHERE v.journey_id = j.id AND v.kind = 'opted_out')) AS opted_out,
  {_BOOKED.format(reasons="'meeting_booked'", kinds="'meeting'")} AS meetings,
  {_BOOKED.format(reasons="'interview_scheduled', 'ats_interview'", kinds="'ats', 'interview'")} AS interviews
FROM journeys j JOIN candidates c ON c.id = j.candidate_id WHERE j.sequence_id = ?
"""
_CREDITED = """
SELECT p.*, (SELECT o.id FROM outbox o WHERE o.journey_id = p.id AND o.state = 'sent' AND o.answers_id IS NULL
  AND (p.first_reply IS NULL OR o.sent_at <= p.first_reply) ORDER BY o.sent_at DESC, o.id DESC LIMIT 1) AS entry_id
FROM p
"""
# MATERIALIZED: else a planner that flattens asks each inner question once for every column that uses its answer.


def stats(store: Store, sequence_id: int, by: str) -> list[dict[str, Any]]:
    """Rows of `MEASURES` and `met` (a meeting or an interview) with `grp`; for "step", `grp` is the step's id, in their
    order, and for "variant" beside it `variant` is its letter, null for what was edited by hand. A handful of
    statements, however many journeys there are."""
    if by == "step":
        return _by_step(store, sequence_id)
    if by == "variant":
        return _by_variant(store, sequence_id)
    sql = _JOURNEYS.format(group=GROUPS[by])
    found = store.rows(
        f"WITH q AS MATERIALIZED ({sql}) SELECT COALESCE(q.grp, '') AS grp, COUNT(*) AS people, SUM(CASE WHEN q.sent > 0 "
        f"THEN 1 ELSE 0 END) AS reached, CAST(SUM(q.sent) AS BIGINT) AS sent, {_sums()} FROM q GROUP BY COALESCE(q.grp, '') "
        "ORDER BY 2 DESC, 1",
        sequence_id,
        *KINDS,
    )
    return found or [{"grp": "", **dict.fromkeys(MEASURES, 0), "met": 0}] if by == "sequence" else found


def _sums() -> str:
    kinds = ", ".join(f"SUM(CASE WHEN q.last_kind = ? THEN 1 ELSE 0 END) AS {kind}" for kind in KINDS)
    ends = ", ".join(f"SUM(CASE WHEN q.{name} THEN 1 ELSE 0 END) AS {name}" for name in _ENDS)
    return (
        "SUM(CASE WHEN q.first_reply IS NOT NULL THEN 1 ELSE 0 END) AS replied, "
        f"{kinds}, SUM(CASE WHEN q.machine THEN 1 ELSE 0 END) AS auto_replies, {ends}, "
        "SUM(CASE WHEN q.meetings OR q.interviews THEN 1 ELSE 0 END) AS met"
    )


def answered(store: Store, condition: str, params: tuple[Any, ...]) -> dict[int, int]:
    """How many journeys of each sequence got an answer, as `stats` counts them; `condition` is on sequences `s`."""
    return {
        r["sequence_id"]: int(r["n"])
        for r in store.rows(
            "SELECT j.sequence_id, COUNT(DISTINCT j.id) AS n FROM inbound i JOIN journeys j ON j.id = "
            "COALESCE(i.writer_journey_id, i.journey_id) JOIN sequences s ON s.id = j.sequence_id "
            f"WHERE i.kind = 'human' AND i.journey_id IS NOT NULL AND {condition} GROUP BY j.sequence_id",
            *params,
        )
    }


def _by_step(store: Store, sequence_id: int) -> list[dict[str, Any]]:
    sent = store.rows(
        "SELECT s.id AS grp, COUNT(DISTINCT o.journey_id) AS people, COUNT(o.id) AS sent FROM steps s LEFT JOIN outbox o "
        "ON o.step_id = s.id AND o.state = 'sent' WHERE s.sequence_id = ? AND (s.removed_at IS NULL OR o.id IS NOT NULL) "
        "GROUP BY s.id, s.rank ORDER BY s.rank",
        sequence_id,
    )
    came = {r["step_id"]: r for r in _came(store, sequence_id, "e.step_id")}
    nothing = dict.fromkeys(MEASURES, 0)
    return [{**nothing, **came.get(r["grp"], {}), **r, "reached": r["people"]} for r in sent]


def _came(store: Store, sequence_id: int, columns: str) -> list[dict[str, Any]]:
    """What came of it, credited to entries `e` of the outbox, grouped by these columns of theirs."""
    journeys = _JOURNEYS.format(group="''")
    return store.rows(
        f"WITH p AS MATERIALIZED ({journeys}), q AS MATERIALIZED ({_CREDITED}) SELECT {columns}, {_sums()} FROM q "
        f"JOIN outbox e ON e.id = q.entry_id GROUP BY {columns}",
        sequence_id,
        *KINDS,
    )


def _by_variant(store: Store, sequence_id: int) -> list[dict[str, Any]]:
    """A row for each variant there is, and for each that was sent."""
    sent = {
        (r["step_id"], r["variant"]): r
        for r in store.rows(
            "SELECT o.step_id, o.variant, COUNT(DISTINCT o.journey_id) AS people, COUNT(o.id) AS sent FROM steps s JOIN "
            "outbox o ON o.step_id = s.id AND o.state = 'sent' WHERE s.sequence_id = ? GROUP BY o.step_id, o.variant",
            sequence_id,
        )
    }
    came = {(r["step_id"], r["variant"]): r for r in _came(store, sequence_id, "e.step_id, e.variant")}
    out = []
    for step in store.rows(
        "SELECT id, variants, removed_at FROM steps WHERE sequence_id = ? AND kind = 'email' ORDER BY rank",
        sequence_id,
    ):
        there = {FIRST, *(v.letter for v in live(step["variants"]))} if step["removed_at"] is None else set()
        letters = there | {letter for step_id, letter in sent if step_id == step["id"]}
        for letter in sorted(letters, key=lambda x: x or "~"):
            key = step["id"], letter
            row = {**dict.fromkeys(MEASURES, 0), **came.get(key, {}), **sent.get(key, {})}
            out.append({**row, "grp": step["id"], "variant": letter, "reached": row["people"]})
    return out
