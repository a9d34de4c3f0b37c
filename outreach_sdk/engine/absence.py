"""What an automatic answer does: the journeys of whoever is away wait for the day of return (rule 17)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.domain.schedule import out_of_office_until
from outreach_sdk.domain.sequence import first_zone
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.speaking import ALIAS, OTHER
from outreach_sdk.storage.transitions import event, move_journey

__all__ = ["answered_by_itself"]


def answered_by_itself(
    engine: Engine, row: dict[str, Any], who: str, verdict: dict[str, Any], now: dt.datetime
) -> tuple[str, str] | None:
    """Act on an automatic answer, in the caller's transaction; the kind of notice and what to tell the owner, if
    anything. What isn't the candidate's own decides nothing about them, and an acknowledgement isn't an absence."""
    event(engine.store, {**row, "owner_id": row["journey_owner"]}, "auto_reply", now, row["subject"])
    whose = verdict.get("speaker")
    gone = verdict.get("left_company")
    said = " ".join((row["visible_text"] or row["body_text"] or "").split())[:200]
    if whose == OTHER:
        told = f"{row['sender']} answered by itself in the thread of {who}: “{said}”. Nothing was changed."
        return ("auto_reply", told) if gone else None
    if verdict.get("acknowledged") and not verdict.get("return_date"):
        return "auto_reply", f"An automatic answer came from {who}: “{said}”. Nothing was changed."
    _wait(engine, row, verdict, now)
    if whose == ALIAS and gone:
        return "auto_reply", (
            f"{row['sender']}, where {who} may have another address, answered by itself: “{said}”. The journey "
            "waits two weeks: cancel it if they are gone."
        )
    return None


def _wait(engine: Engine, row: dict[str, Any], verdict: dict[str, Any], now: dt.datetime) -> None:
    """Pause what would go on meanwhile: all journeys of this person and owner, or of every owner it may be for. What
    waits for something else keeps waiting for that."""
    store = engine.store
    stated = verdict.get("return_date")
    until = out_of_office_until(
        dt.date.fromisoformat(stated) if stated else None,
        received=row["received_at"],
        tz=first_zone(row["candidate_zone"], row["sequence_zone"]),
    )
    if until <= now:
        return
    for journey in store.rows(
        "SELECT id, status, reason, resume_at FROM journeys WHERE candidate_id = ? AND (owner_id = ? OR CAST(? AS BOOLEAN)) "
        f"AND status IN ('active', 'paused') ORDER BY id{store.for_update}",
        row["candidate_id"],
        row["journey_owner"],
        bool(verdict.get("shared")),
    ):
        if _would_go_on(journey, until, stated=bool(stated)):
            move_journey(
                store,
                journey["id"],
                JourneyStatus.PAUSED,
                PauseReason.OUT_OF_OFFICE,
                now,
                detail=f"away until {until:%d %b %Y}",
                resume_at=until,
            )


def _would_go_on(journey: dict[str, Any], until: dt.datetime, *, stated: bool) -> bool:
    """Whether it would go on before `until`. A day that was stated is moved only by another one."""
    if journey["status"] == JourneyStatus.ACTIVE or journey["reason"] == PauseReason.SEQUENCE_DEACTIVATED:
        return True
    later = journey["resume_at"] is not None and until > journey["resume_at"]
    if journey["reason"] == PauseReason.OUT_OF_OFFICE:
        return stated or later
    return bool(later)  # taken up again by hand for a later day
