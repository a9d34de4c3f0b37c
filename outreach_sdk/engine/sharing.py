"""A sequence copied, shared, or handed over."""

from __future__ import annotations

from typing import Any

from outreach_sdk.engine import soundness
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.mailboxes import owner_changed
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import InvalidInput
from outreach_sdk.storage.transitions import event

__all__ = ["clone", "share", "transfer", "unshare"]

_STEP = "kind, manual, schedule, thread, subject, body, skip_after, cc, bcc, mailbox_id, alias, variants"
_OWNED = (
    "UPDATE steps SET owner_id = ? WHERE sequence_id = ?",
    "UPDATE journeys SET owner_id = ? WHERE sequence_id = ?",
    "UPDATE journey_steps SET owner_id = ? WHERE journey_id IN (SELECT id FROM journeys WHERE sequence_id = ?)",
    "UPDATE passages SET owner_id = ? WHERE step_id IN (SELECT id FROM steps WHERE sequence_id = ?)",
    "UPDATE outbox SET owner_id = ? WHERE journey_id IN (SELECT id FROM journeys WHERE sequence_id = ?)",
    "UPDATE events SET owner_id = ? WHERE journey_id IN (SELECT id FROM journeys WHERE sequence_id = ?)",
    "UPDATE imports SET owner_id = ? WHERE sequence_id = ?",
    "UPDATE write_backs SET owner_id = ? WHERE sequence_id = ?",
)


def clone(engine: Engine, sequence: dict[str, Any], name: str, user_id: int) -> int:
    """A copy of its steps and settings under another owner, inactive and without people; its id. A mailbox that
    wasn't lent to that owner shows among the copy's problems."""
    store, now = engine.store, engine.now()

    def work() -> int:
        made = store.insert(
            "sequences",
            {
                **{
                    k: sequence[k]
                    for k in (
                        "workspace_id",
                        "timezone",
                        "mailbox_id",
                        "sending_window",
                        "prefer",
                        "review",
                        "write_back",
                    )
                },
                "owner_id": user_id,
                "name": name,
                "active": False,
                "created_at": now,
            },
        )
        store.write(
            f"INSERT INTO steps (workspace_id, owner_id, sequence_id, rank, {_STEP}) SELECT workspace_id, "
            f"CAST(? AS BIGINT), CAST(? AS BIGINT), rank, {_STEP} FROM steps WHERE sequence_id = ? AND removed_at IS NULL "
            "ORDER BY rank",
            user_id,
            made,
            sequence["id"],
        )
        return made

    return store.run(work)


def share(engine: Engine, sequence: dict[str, Any], user: dict[str, Any]) -> None:
    """Let a colleague see it and work with it. E-mails go on leaving as its owner's."""
    store, now = engine.store, engine.now()
    if user["id"] == sequence["owner_id"]:
        raise InvalidInput("user", user["name"], "It is theirs already.")

    def work() -> None:
        added = store.write(
            "INSERT INTO sequence_shares (workspace_id, sequence_id, user_id, created_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (sequence_id, user_id) DO NOTHING",
            sequence["workspace_id"],
            sequence["id"],
            user["id"],
            now,
        )
        if added:
            event(store, {**sequence, "journey_id": None}, "sequence_shared", now, user["name"])
            notify(
                store,
                workspace_id=sequence["workspace_id"],
                owner_id=user["id"],
                kind="shared",
                text=f"The sequence {sequence['name']!r} was shared with you.",
                dedupe=f"shared:{sequence['id']}:{user['id']}:{now.isoformat()}",
                now=now,
                sequence_id=sequence["id"],
            )

    store.run(work)


def unshare(engine: Engine, sequence: dict[str, Any], user: dict[str, Any]) -> bool:
    """Take that back; False if it wasn't shared with them."""
    return (
        engine.store.write(
            "DELETE FROM sequence_shares WHERE sequence_id = ? AND user_id = ?", sequence["id"], user["id"]
        )
        > 0
    )


def transfer(engine: Engine, sequence: dict[str, Any], user: dict[str, Any]) -> None:
    """Hand it over with all its journeys, also those that run: replies are the new owner's to read. An e-mail in a
    worker's hands is fenced against the change of owner by the mailbox being lent."""
    store, now = engine.store, engine.now()

    def work() -> None:
        store.value(f"SELECT id FROM sequences WHERE id = ?{store.for_update}", sequence["id"])
        store.write("UPDATE sequences SET owner_id = ? WHERE id = ?", user["id"], sequence["id"])
        for sql in _OWNED:
            store.write(sql, user["id"], sequence["id"])
        store.write(
            "DELETE FROM sequence_shares WHERE sequence_id = ? AND user_id = ?", sequence["id"], user["id"]
        )
        new = {**sequence, "owner_id": user["id"], "journey_id": None}
        event(store, new, "sequence_transferred", now, user["name"])
        soundness.check(engine, sequence["id"])  # its new owner may lack the snippets it calls
        owner_changed(engine, new)
        notify(
            store,
            workspace_id=sequence["workspace_id"],
            owner_id=user["id"],
            kind="transferred",
            text=f"The sequence {sequence['name']!r} is yours now, with everybody in it.",
            dedupe=f"transferred:{sequence['id']}:{user['id']}:{now.isoformat()}",
            now=now,
            sequence_id=sequence["id"],
        )

    store.run(work)
