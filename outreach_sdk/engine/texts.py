"""Texts to use again: snippets by name, templates of whole sequences."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from outreach_sdk.domain import template
from outreach_sdk.domain.given import check_text
from outreach_sdk.domain.message import is_html
from outreach_sdk.domain.variants import live, stored_form
from outreach_sdk.engine import soundness
from outreach_sdk.engine.compose import snippets, with_snippets
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.ordering import live_steps
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.storage.store import Store

__all__ = ["forget_template", "from_template", "keep_snippet", "keep_template", "templates"]

_COLUMNS = ("rank", "kind", "manual", "schedule", "thread", "subject", "body", "skip_after", "cc", "bcc")


def checked_name(value: str) -> str:
    """A name that a template can call."""
    name = " ".join(value.split())
    if not name or len(name) > 100 or not name.isprintable() or set(name) & set("\"'\\"):
        raise InvalidInput("name", value, "Give a name of at most 100 characters, without quotation marks.")
    return name


def keep_snippet(
    engine: Engine, workspace_id: int, user_id: int, name: str, text: str | None, *, shared: bool
) -> None:
    """Keep it, in place of one's own of that name; None forgets it. Active sequences that lack it then are broken.
    NotFound where there is none to forget."""
    if text is not None:
        _check_snippet(name, text)

    def work() -> None:
        _keep(engine, workspace_id, user_id, name, text, shared=shared)
        soundness.check_callers(engine, workspace_id)

    engine.store.run(work)


def _check_snippet(name: str, text: str) -> None:
    if not check_text("text", text).strip():
        raise InvalidInput("text", text, "Write something, or give None to forget the snippet.")
    template.parse(text, field=f"snippet {name}")
    if template.calls(text):
        raise InvalidInput("text", text, "A snippet may hold merge fields, but no snippet and no AI passage.")


def _keep(
    engine: Engine, workspace_id: int, user_id: int, name: str, text: str | None, *, shared: bool
) -> None:
    store = engine.store
    if text is None:
        if not store.write(
            "DELETE FROM snippets WHERE workspace_id = ? AND owner_id = ? AND name = ?",
            workspace_id,
            user_id,
            name,
        ):
            raise NotFound(f"You have no snippet {name!r}.")
        return
    store.write(
        "INSERT INTO snippets (workspace_id, owner_id, name, text, shared, updated_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (workspace_id, owner_id, name) DO UPDATE SET text = excluded.text, shared = excluded.shared, "
        "updated_at = excluded.updated_at",
        workspace_id,
        user_id,
        name,
        text,
        shared,
        engine.now(),
    )


def keep_template(engine: Engine, sequence: dict[str, Any], user_id: int, name: str) -> None:
    """The steps of a sequence for everybody in the workspace, in place of one's own of that name; snippets become text,
    mailboxes and aliases stay behind. InvalidInput where a colleague has one of this name, or there are no steps."""
    store = engine.store
    known = snippets(store, sequence["workspace_id"], sequence["owner_id"])
    steps = []
    for step in live_steps(store, sequence["id"]):
        kept = {c: step[c] for c in _COLUMNS}
        rich = is_html(step["body"] or "")
        kept["body"] = with_snippets(step["body"], known, rich=rich)
        kept["subject"] = with_snippets(step["subject"], known, rich=False)
        kept["variants"] = stored_form(
            replace(
                v,
                subject=with_snippets(v.subject, known, rich=False),
                body=with_snippets(v.body, known, rich=is_html(v.body or "")),
            )
            for v in live(step["variants"])
        )
        kept["manual"] = bool(step["manual"])
        steps.append(kept)
    if not steps:
        raise InvalidInput("steps", sequence["name"], "Add steps first: there is nothing to save.")
    about = {
        "timezone": sequence["timezone"],
        "sending_window": sequence["sending_window"],
        "review": bool(sequence["review"]),
    }
    done = store.write(
        "INSERT INTO templates (workspace_id, owner_id, name, steps, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (workspace_id, name) DO UPDATE SET steps = excluded.steps, created_at = excluded.created_at "
        "WHERE templates.owner_id = excluded.owner_id",
        sequence["workspace_id"],
        user_id,
        name,
        json.dumps({"steps": steps, **about}),
        engine.now(),
    )
    if not done:
        raise InvalidInput("name", name, "A colleague has a template of this name: choose another.")


def templates(store: Store, workspace_id: int) -> list[dict[str, Any]]:
    """All of a workspace's, with how many steps each has and whose it is."""
    rows = store.rows(
        "SELECT t.*, u.name AS who FROM templates t LEFT JOIN users u ON u.id = t.owner_id WHERE t.workspace_id = ? "
        "ORDER BY t.name",
        workspace_id,
    )
    for row in rows:
        row["content"] = json.loads(row["steps"])
    return rows


def from_template(
    engine: Engine,
    workspace_id: int,
    user_id: int,
    name: str,
    *,
    called: str,
    mailbox_id: int | None,
) -> int:
    """A new sequence of one's own with a template's steps, inactive; its id. NotFound."""
    store, now = engine.store, engine.now()
    found = [t for t in templates(store, workspace_id) if t["name"] == name]
    if not found:
        raise NotFound(f"There is no template {name!r}: ws.templates shows them.")
    content = found[0]["content"]

    def work() -> int:
        made = store.insert(
            "sequences",
            {
                "workspace_id": workspace_id,
                "owner_id": user_id,
                "name": called,
                "active": False,
                "timezone": content["timezone"],
                "sending_window": content["sending_window"],
                "review": content["review"],
                "mailbox_id": mailbox_id,
                "created_at": now,
            },
        )
        for step in content["steps"]:
            store.insert(
                "steps", {"workspace_id": workspace_id, "owner_id": user_id, "sequence_id": made, **step}
            )
        return made

    return store.run(work)


def forget_template(store: Store, workspace_id: int, user_id: int, name: str, *, admin: bool) -> None:
    """Take a template of one's own away; an admin any. NotFound."""
    if not store.write(
        "DELETE FROM templates WHERE workspace_id = ? AND name = ? AND (owner_id = ? OR ?)",
        workspace_id,
        name,
        user_id,
        admin,
    ):
        raise NotFound(f"You have no template {name!r}.")
