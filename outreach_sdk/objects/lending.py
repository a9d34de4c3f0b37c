"""A mailbox's limits, and lending it to colleagues."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.journey import JourneyStatus, PauseReason
from outreach_sdk.domain.pacing import mailbox_limits
from outreach_sdk.engine.mailboxes import usable_again
from outreach_sdk.engine.notify import notify
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session
from outreach_sdk.storage.claims import lent_to
from outreach_sdk.storage.transitions import event, move_journeys

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MailboxCare", "usable_mailbox"]


def usable_mailbox(session: Session, address_or_id: str | int) -> dict[str, Any]:
    """The row of a mailbox one owns (or, as an admin, sees) or was lent; NotFound otherwise."""
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
            if value is not None and not 0 < value <= 100_000:
                raise InvalidInput(name, value, "Give a whole number from 1, or None for no limit.")
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
        found = mailbox_limits(
            row["provider"],
            per_day=row["per_day"],
            per_hour=row["per_hour"],
            ramp_from=row["ramp_from"],
            ramp_by=row["ramp_by"],
            connected_for=now - row["created_at"],
        )
        rows = [
            {
                "limit": limit.what,
                "hours": limit.window / dt.timedelta(hours=1),
                "most": limit.most,
                "sent": store.value(
                    "SELECT COUNT(*) FROM outbox WHERE mailbox_id = ? AND sending_at > ? AND state IN "
                    "('sending', 'sent', 'unknown', 'needs_person')",
                    self.id,
                    now - limit.window,
                ),
            }
            for limit in found
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
        row, store, now = self._row(), self._session.store, self._session.now()
        user_id = self._colleague(user)

        def work() -> None:
            if store.value(
                f"SELECT 1 FROM grants WHERE mailbox_id = ? AND ended_at IS NULL AND {_same(user_id)}",
                self.id,
                *_one(user_id),
            ):
                return
            store.insert(
                "grants",
                {
                    "workspace_id": row["workspace_id"],
                    "mailbox_id": self.id,
                    "user_id": user_id,
                    "created_at": now,
                },
            )
            event(store, {**row, "journey_id": None}, "mailbox_lent", now, f"{self.address} to {user}")
            usable_again(store, self.id, now)

        store.run(work)

    def revoke(self, user: str) -> None:
        """Take that leave back, at once: journeys that were to send from here pause, and their owners are
        told. Sequences that use it show it among their problems."""
        row, store, now = self._row(), self._session.store, self._session.now()
        user_id = self._colleague(user)

        def work() -> None:
            ended = store.write(
                f"UPDATE grants SET ended_at = ? WHERE mailbox_id = ? AND ended_at IS NULL AND {_same(user_id)}",
                now,
                self.id,
                *_one(user_id),
            )
            if not ended:
                return
            event(
                store, {**row, "journey_id": None}, "mailbox_taken_back", now, f"{self.address} from {user}"
            )
            moved = move_journeys(
                store,
                "status = 'active' AND workspace_id = ? AND owner_id <> ? AND (lane = ? OR (lane IS NULL AND sequence_id "
                "IN (SELECT id FROM sequences WHERE mailbox_id = ?))) AND NOT EXISTS (SELECT 1 FROM grants g WHERE "
                "g.mailbox_id = ? AND g.ended_at IS NULL AND (g.user_id IS NULL OR g.user_id = journeys.owner_id))",
                (row["workspace_id"], row["owner_id"], self.id, self.id, self.id),
                JourneyStatus.PAUSED,
                PauseReason.MAILBOX_DISCONNECTED,
                now,
                detail=f"{self.address} isn't lent any more",
            )
            for owner in {m["owner_id"] for m in moved}:
                notify(
                    store,
                    workspace_id=row["workspace_id"],
                    owner_id=owner,
                    kind="mailbox_taken_back",
                    text=f"You can't send from {self.address} any more. The journeys that need it are paused; give "
                    "their sequence another mailbox.",
                    dedupe=f"taken_back:{self.id}:{owner}:{now.isoformat()}",
                    now=now,
                )

        store.run(work)

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
        found = self._session.store.value(
            "SELECT id FROM users WHERE workspace_id = ? AND (name = ? OR LOWER(email) = ?)",
            self._session.workspace_id,
            user,
            user.lower(),
        )
        if found is None:
            raise NotFound(f"There is no user {user!r} in this workspace.")
        return int(found)


def _same(user_id: int | None) -> str:
    return "user_id IS NULL" if user_id is None else "user_id = ?"


def _one(user_id: int | None) -> tuple[int, ...]:
    return () if user_id is None else (user_id,)
