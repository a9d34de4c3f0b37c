"""Whose a sequence is, and who may work with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from outreach_sdk.engine import sharing
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session, colleague

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceOwning"]


class SequenceOwning:
    """The part of a `Sequence` that copies it, shares it and hands it over."""

    id: int
    _session: Session

    if TYPE_CHECKING:

        def __init__(self, sequence_id: int, session: Session) -> None: ...

        def _row(self) -> dict[str, Any]: ...

    def clone(self, name: str) -> Self:
        """A copy of one's own: steps, times, window and mailbox, nobody enrolled, inactive."""
        if not name.strip():
            raise InvalidInput("name", name, "Give the copy a name.")
        made = sharing.clone(self._session.engine, self._row(), name.strip(), self._session.user["id"])
        return type(self)(made, self._session)

    def share(self, user: str) -> None:
        """Let a colleague (by name or e-mail) see it and work with it: steps, people, tasks, replies. E-mails go on
        leaving as its owner's. Only its owner or an admin may. NotFound for somebody unknown."""
        sharing.share(self._session.engine, self._own(), colleague(self._session, user))

    def unshare(self, user: str) -> None:
        """Take that back. NotFound where it wasn't shared with them."""
        if not sharing.unshare(self._session.engine, self._own(), colleague(self._session, user)):
            raise NotFound(f"It isn't shared with {user!r}.")

    @property
    def shared_with(self) -> pl.DataFrame:
        """Frame: user, since."""
        self._row()
        rows = self._session.store.rows(
            "SELECT u.name AS who, s.created_at FROM sequence_shares s JOIN users u ON u.id = s.user_id WHERE "
            "s.sequence_id = ? ORDER BY s.id",
            self.id,
        )
        return frame([{"user": r["who"], "since": r["created_at"]} for r in rows], user="str", since="time")

    def transfer(self, user: str) -> None:
        """Hand it over with everybody in it, running journeys included; it is theirs then, and no longer one's own.
        Its mailboxes stay whose they are: where they aren't lent to the new owner, nothing leaves and the sequence says
        so. Only its owner or an admin may. NotFound for somebody unknown."""
        sharing.transfer(self._session.engine, self._own(), colleague(self._session, user))

    def _own(self) -> dict[str, Any]:
        row = self._row()
        if self._session.user["role"] != "admin" and row["owner_id"] != self._session.user["id"]:
            raise NotFound("Only its owner or an admin can share it or hand it over.")
        return row
