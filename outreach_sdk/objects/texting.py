"""Snippets and templates: texts that are written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import texts
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.sequence import Sequence

__all__ = ["SequenceTemplate", "WorkspaceTexts"]


class WorkspaceTexts:
    """The part of a `Workspace` that keeps texts."""

    _session: Session

    def snippet(self, name: str, text: str | None, *, shared: bool = False) -> None:
        """Keep a text that steps call by its name, `{{ snippet("intro") }}`, with merge fields of its own; `shared` lets
        everybody in the workspace call it (one's own of the same name comes first). It reaches whatever hasn't left.
        None forgets it. InvalidInput, TemplateError, NotFound."""
        session = self._session
        texts.keep_snippet(
            session.engine,
            session.workspace_id,
            session.user["id"],
            texts.checked_name(name),
            text,
            shared=shared,
        )

    @property
    def snippets(self) -> pl.DataFrame:
        """Frame of those one can call: name, text, shared, mine, updated_at."""
        session = self._session
        rows = session.store.rows(
            "SELECT * FROM snippets WHERE workspace_id = ? AND (owner_id = ? OR shared) ORDER BY name, id",
            session.workspace_id,
            session.user["id"],
        )
        for row in rows:
            row["mine"] = row["owner_id"] == session.user["id"]
        return frame(rows, name="str", text="str", shared="bool", mine="bool", updated_at="time")

    @property
    def templates(self) -> pl.DataFrame:
        """Frame of the sequences that colleagues saved to begin with: name, steps, review, saved_by, saved_at.
        `ws.from_template(name)` begins one."""
        rows = [
            {
                "name": t["name"],
                "steps": len(t["content"]["steps"]),
                "review": t["content"]["review"],
                "saved_by": t["who"],
                "saved_at": t["created_at"],
            }
            for t in texts.templates(self._session.store, self._session.workspace_id)
        ]
        return frame(rows, name="str", steps="int", review="bool", saved_by="str", saved_at="time")

    def from_template(
        self, template: str, name: str | None = None, *, mailbox: Mailbox | str | None = None
    ) -> Sequence:
        """A new sequence of one's own with a template's steps, called `name` (the template's), nobody enrolled,
        inactive. NotFound."""
        from outreach_sdk.objects.sequence import Sequence
        from outreach_sdk.objects.steps import mailbox_id

        session = self._session
        session.check_access()
        made = texts.from_template(
            session.engine,
            session.workspace_id,
            session.user["id"],
            template,
            called=(name or template).strip(),
            mailbox_id=mailbox_id(session, mailbox),
        )
        return Sequence(made, session)

    def remove_template(self, name: str) -> None:
        """Take a template of one's own away (an admin any); sequences made from it stay. NotFound."""
        session = self._session
        texts.forget_template(
            session.store,
            session.workspace_id,
            session.user["id"],
            name,
            admin=session.user["role"] == "admin",
        )


class SequenceTemplate:
    """The part of a `Sequence` that others begin from."""

    _session: Session

    if TYPE_CHECKING:

        def _row(self) -> dict[str, Any]: ...

    def save_template(self, name: str | None = None) -> None:
        """Save its steps for everybody in the workspace, under its own name or another (`ws.templates`,
        `ws.from_template`): texts, times, window and review; not people, mailboxes and aliases. One's own template of
        that name is replaced. InvalidInput."""
        row = self._row()
        texts.keep_template(
            self._session.engine, row, self._session.user["id"], texts.checked_name(name or row["name"])
        )
