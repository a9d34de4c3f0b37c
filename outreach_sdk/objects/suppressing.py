"""Whom nobody in a workspace writes to: the list, in and out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.given import check_text
from outreach_sdk.engine import holding, people
from outreach_sdk.engine.confined import confined_to
from outreach_sdk.engine.staging import plain
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SuppressionList"]

_COLUMNS = ("value", "email", "address", "domain")


class SuppressionList:
    """The part of a `Workspace` that keeps its do-not-contact list."""

    _session: Session

    @property
    def suppressions(self) -> pl.DataFrame:
        """Frame, newest first: value, kind ("address" | "domain"), reason, source, created_at. What it writes
        (`.write_csv`) `suppress` reads."""
        rows = self._session.store.rows(
            "SELECT value, kind, reason, source, created_at FROM suppressions WHERE workspace_id = ? ORDER BY id DESC",
            self._session.workspace_id,
        )
        return frame(rows, value="str", kind="str", reason="str", source="str", created_at="time")

    def suppress(self, values: str | Path | Iterable[str] | pl.DataFrame, reason: str = "by hand") -> int:
        """Nobody writes to these addresses ("ana@example.com") or whole domains ("example.com") any more, and journeys
        that do are cancelled, at once; how many were new. `values`: one, several, a frame, or a CSV file with a column
        value, email, address or domain (and, if it has one, reason). InvalidInput names what is neither, and then
        nothing was changed."""
        check_text("reason", reason)
        listed = [(*holding.read_value(text), why) for text, why in _listed(values, reason)]
        user = self._session.user["id"]
        return holding.suppress(
            self._session.engine, self._session.workspace_id, user, listed, source="by hand"
        )

    def unsuppress(self, value: str) -> None:
        """Take an address or domain off the list, on the record. Cancelled journeys stay cancelled. InvalidInput
        where it isn't on it."""
        kind, stored = holding.read_value(value)
        user = self._session.user["id"]
        holding.unsuppress(self._session.engine, self._session.workspace_id, user, kind, stored)


def _listed(values: Any, reason: str) -> list[tuple[str, str]]:
    if isinstance(values, str) and (confined_to() is not None or not Path(values).is_file()):
        return [(values, reason)]
    rows: list[dict[str, Any]] | None = None
    if isinstance(values, (str, Path)):
        rows = people.plain_rows(Path(values))
    else:
        rows = people.records(values)
    if rows is not None:
        named = {str(c).strip().lower(): c for c in (rows[0] if rows else {})}
        column = next((named[c] for c in _COLUMNS if c in named), None)
        if column is None:
            if not rows:
                return []
            raise InvalidInput("values", sorted(named), f"Give a column called {', '.join(_COLUMNS)}.")
        why = named.get("reason")
        return [(str(r[column]), str((r[why] if why else None) or reason)) for r in rows if r[column]]
    return [(str(v), reason) for v in map(plain, values) if v is not None]
