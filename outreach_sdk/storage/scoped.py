"""The one path by which a person's queries reach rows: what isn't theirs isn't found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outreach_sdk.errors import NotFound
from outreach_sdk.storage.fields import storable
from outreach_sdk.storage.store import Store

__all__ = ["Scoped"]


_SEQUENCE_OF = {
    "sequences": "x.id",
    "journeys": "x.sequence_id",
    "journey_steps": "(SELECT j.sequence_id FROM journeys j WHERE j.id = x.journey_id)",
    "imports": "x.sequence_id",
}
"""Tables whose rows belong to a sequence, and so to whom it was shared with: SQL for it."""


class Scoped:
    """Rows of one workspace; those of one owner, unless `admin`."""

    def __init__(
        self,
        store: Store,
        *,
        workspace_id: int,
        user_id: int,
        admin: bool,
        gate: Callable[[], None] = lambda: None,
    ) -> None:
        self._gate = gate
        self.store = store
        self.workspace_id = workspace_id
        self.user_id = user_id
        self.admin = admin

    def mine(self, alias: str, shared: str | None = None) -> tuple[str, tuple[Any, ...]]:
        """(condition, parameters) that keep a query to what this person may see. `shared`: SQL for the sequence that a
        row belongs to, where what was shared with them counts too. AccessDenied where they have no access to any."""
        if shared is not None:
            self._gate()
        if self.admin:
            return f"{alias}.workspace_id = ?", (self.workspace_id,)
        if shared is None:
            return f"{alias}.workspace_id = ? AND {alias}.owner_id = ?", (self.workspace_id, self.user_id)
        return (
            f"{alias}.workspace_id = ? AND ({alias}.owner_id = ? OR {shared} IN "
            "(SELECT sequence_id FROM sequence_shares WHERE user_id = ?))",
            (self.workspace_id, self.user_id, self.user_id),
        )

    def _people(self) -> tuple[str, tuple[Any, ...]]:
        """A person is there for whoever made them known, and for everybody whose journey they are in."""
        self._gate()
        if self.admin:
            return "x.workspace_id = ?", (self.workspace_id,)
        return (
            "x.workspace_id = ? AND (x.owner_id = ? OR EXISTS (SELECT 1 FROM known_to k WHERE k.candidate_id = x.id AND "
            "k.user_id = ?) OR EXISTS (SELECT 1 FROM journeys j WHERE j.candidate_id = x.id AND "
            "(j.owner_id = ? OR j.sequence_id IN (SELECT sequence_id FROM sequence_shares WHERE user_id = ?))))",
            (self.workspace_id, *[self.user_id] * 4),
        )

    def find(
        self, table: str, where: str = "TRUE", params: tuple[Any, ...] = (), *, tail: str = ""
    ) -> list[dict[str, Any]]:
        """Rows of `table` (aliased x) this person may see."""
        if not all(map(storable, params)):
            return []
        condition, own = self._people() if table == "candidates" else self.mine("x", _SEQUENCE_OF.get(table))
        return self.store.rows(
            f"SELECT x.* FROM {table} x WHERE {condition} AND {where} {tail}", *own, *params
        )

    def get(self, table: str, row_id: int, what: str) -> dict[str, Any]:
        """One row by id; NotFound also where it is somebody else's."""
        found = self.find(table, "x.id = ?", (row_id,))
        if not found:
            raise NotFound(f"There is no such {what}.")
        return found[0]
