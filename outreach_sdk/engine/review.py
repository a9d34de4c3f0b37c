"""Nothing leaves unapproved, where a sequence says so (rule 30): what waits, what a person approves, what is void.

An approval is of one text: its hash stands at the journey's step, and claim and fence compare it with what is about
to leave. Whatever changes the text afterwards (the step, the person's data) makes the e-mail wait again.
"""

from __future__ import annotations

from typing import Any

from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import person_name
from outreach_sdk.engine.release import release
from outreach_sdk.storage.holds import hold, let_go, sound

__all__ = ["hold_back", "switch", "waiting"]


def switch(engine: Engine, sequence_id: int, on: bool) -> None:
    """Hold a sequence's automatic e-mails until they are approved, or let go of what waited."""
    store = engine.store

    def work() -> None:
        store.write("UPDATE sequences SET review = ? WHERE id = ?", on, sequence_id)
        if on:
            hold(store, "sequence_id = ?", sequence_id)
        else:
            let_go(store, engine.now(), "sequence_id = ?", sequence_id)

    store.run(work)


def waiting(engine: Engine, sequence_id: int) -> int:
    """How many e-mails wait for approval now."""
    return int(
        engine.store.value(
            "SELECT COUNT(*) FROM journeys j JOIN sequences s ON s.id = j.sequence_id WHERE j.sequence_id = ? "
            "AND j.held_due_at IS NOT NULL AND j.passages_at IS NULL AND j.lane IS NOT NULL AND s.review",
            sequence_id,
        )
    )


def hold_back(engine: Engine, entry: dict[str, Any]) -> str:
    """A claimed entry whose text nobody approved: given back, its journey held, an approval of another text void."""
    store, now = engine.store, engine.now()

    def work() -> None:
        if not release(engine, entry, reschedule_it=False):
            return
        sound(store, entry["journey_id"])  # a repair lets go of what is held below
        void = store.write(
            "UPDATE journey_steps SET approved_hash = NULL, approved_at = NULL WHERE journey_id = ? AND step_id = ? "
            "AND approved_hash <> ?",
            entry["journey_id"],
            entry["step_id"],
            entry["review_hash"] or "",
        )
        store.write(
            "UPDATE journeys SET held_due_at = COALESCE(next_due_at, ?), next_due_at = NULL WHERE id = ? "
            "AND status = 'active' AND next_step_id = ? AND held_due_at IS NULL",
            entry["due_at"],
            entry["journey_id"],
            entry["step_id"],
        )
        # Approved anew between the fence and here: nothing to wait for.
        if not let_go(store, now, "id = ?", entry["journey_id"]) and void:
            notify(
                store,
                workspace_id=entry["workspace_id"],
                owner_id=entry["owner_id"],
                kind="review",
                text=f"The e-mail to {person_name(store, entry['candidate_id'])} in {entry['sequence_name']} isn't what "
                "was approved any more: it waits for you to read it again.",
                dedupe=f"review:{entry['id']}:{entry['generation']}",
                now=now,
                journey_id=entry["journey_id"],
                sequence_id=entry["sequence_id"],
            )

    store.run(work)
    return "unapproved"
