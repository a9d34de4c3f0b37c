"""A mailbox's limits, and lending it to colleagues."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.pacing import mailbox_limits
from outreach_sdk.engine.limits import LEFT
from outreach_sdk.engine.mailboxes import lend, take_back
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session, colleague
from outreach_sdk.storage.claims import lent_to
from outreach_sdk.storage.fields import storable

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MailboxCare", "usable_mailbox"]


def usable_mailbox(session: Session, address_or_id: str | int) -> dict[str, Any]:
    """The row of a mailbox one owns (or, as an admin, sees) or was lent; NotFound otherwise."""
    if not isinstance(address_or_id, str | int):
        raise InvalidInput("mailbox", type(address_or_id).__name__, "Give a Mailbox, its address or its id.")
    if not storable(address_or_id):
        raise NotFound(f"There is no mailbox {address_or_id!r}.")
    column = "id" if isinstance(address_or_id, int) else "address"
    found = session.scope.find("mailboxes", f"x.{column} = ?", (address_or_id,)) or session.store.rows(
        f"SELECT m.* FROM mailboxes m WHERE m.workspace_id = ? AND m.{column} = ? AND {lent_to('m', '?')} "
        "ORDER BY m.id LIMIT 1",
        session.workspace_id,
        address_or_id,
        session.user["id"],
        session.user["id"],
    )
    if not found:
        raise NotFound(f"There is no mailbox {address_or_id!r}.")
    return found[0]


class MailboxCare:
    """The part of a `Mailbox` that says how much it may send, and for whom."""

    id: int
    address: str
    _session: Session

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("mailboxes", self.id, "mailbox")

    # -- limits --------------------------------------------------------------------------------
    def set_limits(
        self,
        *,
        per_day: int | None = None,
        per_hour: int | None = None,
        ramp_from: int | None = None,
        ramp_by: int | None = None,
    ) -> None:
        """How many automatic e-mails may leave in any 24 hours and any hour; None: as many as the provider
        takes. A new mailbox is warmed up with `ramp_from` a day on its first day and `ramp_by` more each day
        after. What is over waits in order, nothing fails. Replaces the limits set before."""
        given = {"per_day": per_day, "per_hour": per_hour, "ramp_from": ramp_from, "ramp_by": ramp_by}
        for name, value in given.items():
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 100_000
            ):
                raise InvalidInput(
                    name, value, "Give a whole number from 1 to 100,000, or None for no limit."
                )
        if ramp_by is not None and ramp_from is None:
            raise InvalidInput("ramp_by", ramp_by, "Say how many on the first day too: ramp_from=.")
        self._row()
        self._session.store.write(
            "UPDATE mailboxes SET per_day = ?, per_hour = ?, ramp_from = ?, ramp_by = ?, wait_until = CASE WHEN "
            "troubles = 0 THEN NULL ELSE wait_until END WHERE id = ?",
            *given.values(),
            self.id,
        )

    @property
    def limits(self) -> pl.DataFrame:
        """Frame: limit (in words), hours, most, sent (in the stretch that ends now)."""
        row, now, store = self._row(), self._session.now(), self._session.store
        rows = [
            {
                "limit": limit.what,
                "hours": limit.window / dt.timedelta(hours=1),
                "most": limit.most,
                "sent": store.value(
                    f"SELECT {limit.counted} FROM outbox WHERE mailbox_id = ? AND sending_at > ? AND {LEFT}",
                    self.id,
                    now - limit.window,
                ),
            }
            for limit in mailbox_limits({**row, "connected_at": row["created_at"]}, now)
        ]
        return frame(rows, limit="str", hours="float", most="int", sent="int")

    @property
    def waits(self) -> str | None:
        """Why nothing leaves this mailbox for the moment, and until when; None while it sends."""
        row = self._row()
        if row["wait_until"] is None or row["wait_until"] <= self._session.now():
            return None
        return f"{self.address} sends again after {row['wait_until']:%d %b, %H:%M} UTC: {row['wait_reason']}."

    # -- lending -------------------------------------------------------------------------------
    def allow(self, user: str) -> None:
        """Let a colleague (by name or e-mail) or the whole "team" send from this mailbox. Replies land here and
        are shown to whoever owns the sequence. NotFound for somebody unknown."""
        lend(self._session.engine, self._row(), self._colleague(user), user)

    def revoke(self, user: str) -> None:
        """Take that leave back, at once: journeys that were to send from here pause, and their owners are
        told. Sequences that use it show it among their problems."""
        take_back(self._session.engine, self._row(), self._colleague(user), user)

    @property
    def lent(self) -> pl.DataFrame:
        """Frame of who may send from it besides its owner: user ("team" for everybody), since."""
        self._row()
        rows = self._session.store.rows(
            "SELECT COALESCE(u.name, 'team') AS user_name, g.created_at FROM grants g LEFT JOIN users u ON u.id = g.user_id "
            "WHERE g.mailbox_id = ? AND g.ended_at IS NULL ORDER BY g.id",
            self.id,
        )
        return frame(
            [{"user": r["user_name"], "since": r["created_at"]} for r in rows], user="str", since="time"
        )

    def _colleague(self, user: str) -> int | None:
        if user == "team":
            return None
        return int(colleague(self._session, user)["id"])
