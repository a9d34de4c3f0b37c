"""One journey's trouble is kept apart: it pauses and its owner hears why, while everybody else's work goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.errors import DatabaseUnavailable, OutreachError, StorageError
from outreach_sdk.storage.transitions import move_journey

__all__ = ["each", "in_words", "part"]

logger = logging.getLogger(__name__)

FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a row that nobody foresaw makes the program raise. What else there is, as a lack of memory, is everybody's."""


def each(engine: Engine, journey_id: int, work: Callable[[], bool], failed: str) -> bool:
    """What `work` gives, in a transaction; where it raises, the journey pauses, having `failed` at that in words, and
    that is False. A database that is away is everybody's trouble and raises."""
    try:
        return engine.store.run(work)
    except DatabaseUnavailable:
        raise
    except (*FAULTS, OutreachError) as exc:
        beyond = "a time set for its step lies beyond the calendar; change that time, then resume it"
        why = f"{failed}: {beyond if isinstance(exc, OverflowError) else in_words(exc)}"
        engine.store.run(lambda: _pause(engine, journey_id, why))  # raises where nothing can be written
        logger.exception("journey %d: %s", journey_id, failed)
        return False


def part(work: Callable[[], int], name: str) -> int:
    """What `work` gives; 0 where it raises for a reason of its own, which is logged, so that the rest of a tick or a
    drain is done. What the database or the disk refuses raises."""
    try:
        return work()
    except (StorageError, OSError):
        raise
    except (*FAULTS, OutreachError):
        logger.exception("%s", name)
        return 0


def in_words(exc: Exception) -> str:
    """What an owner is told of it, without a full stop."""
    if isinstance(exc, OutreachError):
        return str(exc).rstrip(".")
    return f"an error in the program ({type(exc).__name__}); the log has it whole"


def _pause(engine: Engine, journey_id: int, why: str) -> None:
    store, now = engine.store, engine.now()
    journey = store.one(
        "SELECT j.*, s.name AS sequence_name FROM journeys j JOIN sequences s ON s.id = j.sequence_id WHERE j.id = ?",
        journey_id,
    )
    if journey is None or not (journey["status"] == JourneyStatus.ACTIVE or journey["resume_at"] is not None):
        return
    if move_journey(store, journey_id, JourneyStatus.PAUSED, PauseReason.SEND_FAILED, now, detail=why):
        notify(
            store,
            workspace_id=journey["workspace_id"],
            owner_id=journey["owner_id"],
            kind=str(PauseReason.SEND_FAILED),
            text=f"The journey of {person_name(store, journey['candidate_id'])} in {journey['sequence_name']} is "
            f"paused: {why}.",
            dedupe=f"apart:{journey_id}:{journey['generation']}",
            now=now,
            journey_id=journey_id,
            sequence_id=journey["sequence_id"],
        )
