"""An active sequence that isn't complete any more sends nothing until it is repaired (rule 1).

While `sequences.broken` is set, what would be due is held (`storage/holds.py`), e-mails and tasks alike, and a person's
Send now waits. A lost mailbox isn't a matter of this: the journeys that need it pause (`mailboxes.py`).
"""

from __future__ import annotations

from typing import Any

from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.lifecycle import written_problems
from outreach_sdk.engine.notify import notify
from outreach_sdk.engine.progress import plan_many
from outreach_sdk.storage.holds import hold, let_go
from outreach_sdk.storage.store import Store

__all__ = ["check", "check_callers", "sentence"]


def check(engine: Engine, sequence_id: int) -> None:
    """Hold an active sequence that what was just written broke, or let go of one that it repaired. In the transaction
    that wrote it."""
    store, now = engine.store, engine.now()
    row = store.one(f"SELECT * FROM sequences WHERE id = ?{store.for_update}", sequence_id)
    if row is None or not row["active"]:
        return
    broken = bool(written_problems(store, row))
    if broken == bool(row["broken"]):
        return
    store.write("UPDATE sequences SET broken = ? WHERE id = ?", broken, sequence_id)
    if not broken:
        _go_on(engine, sequence_id)
        return
    hold(store, "sequence_id = ?", sequence_id)
    store.write(
        "UPDATE outbox SET lease_until = NULL WHERE state = 'planned' AND answers_id IS NULL AND journey_id IN "
        "(SELECT id FROM journeys WHERE sequence_id = ?)",
        sequence_id,
    )
    notify(
        store,
        workspace_id=row["workspace_id"],
        owner_id=row["owner_id"],
        kind="broken",
        text=sentence(store, row, repr(row["name"]) if row["name"] else "A sequence without a name"),
        dedupe=f"broken:{sequence_id}:{now.isoformat()}",
        now=now,
        sequence_id=sequence_id,
    )


def _go_on(engine: Engine, sequence_id: int) -> None:
    """What was held, at its own time or now; then whoever came while there was no step, and Send nows that waited."""
    store, now = engine.store, engine.now()
    let_go(store, now, "sequence_id = ?", sequence_id)
    rest = store.rows(
        "SELECT id FROM journeys WHERE sequence_id = ? AND status = 'active' AND next_due_at IS NULL "
        "AND held_due_at IS NULL ORDER BY id",
        sequence_id,
    )
    plan_many(store, [row["id"] for row in rest], now)


def check_callers(engine: Engine, workspace_id: int) -> None:
    """The same for every active sequence of a workspace that calls a snippet, when snippets changed."""
    for row in engine.store.rows(
        "SELECT s.id FROM sequences s WHERE s.workspace_id = ? AND s.active AND EXISTS (SELECT 1 FROM steps t WHERE "
        "t.sequence_id = s.id AND t.removed_at IS NULL AND (t.subject LIKE '%snippet%' OR t.body LIKE '%snippet%' OR "
        "CAST(t.variants AS TEXT) LIKE '%snippet%')) ORDER BY s.id",
        workspace_id,
    ):
        check(engine, row["id"])


def sentence(store: Store, sequence: dict[str, Any], called: str = "This sequence") -> str:
    """What is wrong with a broken sequence, and what that means."""
    wrong = " ".join(p.text for p in written_problems(store, sequence))
    return f"{called} is broken: {wrong} Nothing leaves until it is repaired."
