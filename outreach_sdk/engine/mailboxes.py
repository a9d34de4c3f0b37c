"""What happens to a mailbox whose grant has died."""

from __future__ import annotations

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.notify import notify
from outreach_sdk.storage.transitions import move_journeys

__all__ = ["mailbox_dead"]


def mailbox_dead(engine: Engine, mailbox_id: int, why: str) -> None:
    """A dead grant: the mailbox shows `reauthorise`, its journeys pause, each owner is told once."""
    store, now = engine.store, engine.now()

    def work() -> None:
        box = store.one(
            "UPDATE mailboxes SET status = 'reauthorise', status_detail = ? WHERE id = ? AND status = 'connected' "
            "RETURNING *",
            why,
            mailbox_id,
        )
        if box is None:
            return
        moved = move_journeys(
            store,
            "(lane = ? OR id IN (SELECT journey_id FROM outbox WHERE mailbox_id = ? AND state IN "
            "('planned', 'claimed', 'drafted'))) AND status = 'active'",
            (mailbox_id, mailbox_id),
            JourneyStatus.PAUSED,
            PauseReason.REAUTHORISE,
            now,
            detail=why,
        )
        for owner in {(m["workspace_id"], m["owner_id"]) for m in moved} | {
            (box["workspace_id"], box["owner_id"])
        }:
            notify(
                store,
                workspace_id=owner[0],
                owner_id=owner[1],
                kind="reauthorise",
                text=f"{box['address']} has to be connected again: {why}. Its journeys wait until then.",
                dedupe=f"reauthorise:{mailbox_id}:{owner[1]}:{now.isoformat()}",
                now=now,
            )

    store.run(work)
