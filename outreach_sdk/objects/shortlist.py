"""Shortlists of a sourcing search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.engine import shortlists
from outreach_sdk.engine.headers import mapper_of
from outreach_sdk.engine.people import open_table
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session, current

if TYPE_CHECKING:
    import polars as pl

    from outreach_sdk.objects.candidate import Candidate
    from outreach_sdk.objects.sequence import Sequence

__all__ = ["Shortlist"]


@carried(here="get list")
class Shortlist:
    """People found by a search. Link it to a sequence, and whoever is put on it flows in by itself."""

    def __init__(self, shortlist_id: int, session: Session) -> None:
        self._session = session
        self.id = shortlist_id

    @classmethod
    def create(cls, name: str) -> Shortlist:
        """A new one. InvalidInput without a name, or where the workspace has one of this name."""
        session, plain = current(), " ".join(name.split())
        if not plain or len(plain) > 120 or not plain.isprintable() or "/" in plain:
            raise InvalidInput("name", name, "Give a name of at most 120 characters, without a slash.")

        def work() -> int:
            session.store.value(
                f"SELECT id FROM workspace WHERE id = ?{session.store.for_update}", session.workspace_id
            )
            if shortlists.named(session.store, session.workspace_id, plain) is not None:
                raise InvalidInput("name", plain, "There is a shortlist of this name already.")
            return session.store.insert(
                "shortlists",
                {
                    "workspace_id": session.workspace_id,
                    "owner_id": session.user["id"],
                    "name": plain,
                    "last_member_id": 0,
                    "created_at": session.now(),
                },
            )

        return cls(session.store.run(work), session)

    @classmethod
    def get(cls, name_or_id: str | int) -> Shortlist:
        """One's own, by name or id. NotFound."""
        session = current()
        column = "id" if isinstance(name_or_id, int) else "name"
        found = session.scope.find("shortlists", f"x.{column} = ?", (name_or_id,))
        if not found:
            raise NotFound(f"There is no shortlist {name_or_id!r}.")
        return cls(found[0]["id"], session)

    @classmethod
    def list(cls) -> pl.DataFrame:
        """Frame: id, name, members, created_at."""
        session = current()
        condition, own = session.scope.mine("s")
        rows = session.store.rows(
            "SELECT s.*, (SELECT COUNT(*) FROM shortlist_members m WHERE m.shortlist_id = s.id AND m.removed_at IS NULL) "
            f"AS members FROM shortlists s WHERE {condition} ORDER BY s.id",
            *own,
        )
        return frame(rows, id="int", name="str", members="int", created_at="time")

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("shortlists", self.id, "shortlist")

    @property
    def name(self) -> str:
        """What it is called: the name in its webhook's address."""
        return str(self._row()["name"])

    def add(self, people: Any) -> pl.DataFrame:
        """Put people on it: a frame, dicts or a file. Linked sequences get them at once. Whoever was taken off
        before stays off.

        Frame: row, email, outcome (added, already_member, duplicate, held_back, rejected), reason. ImportRefused
        where it can't be read as people."""
        mapper = mapper_of(self._session.engine, self._session.workspace_id)
        rows = shortlists.add(
            self._session.engine, self._row(), open_table(people, mapper=mapper), f"shortlist {self.name}"
        )
        return frame(rows, row="int", email="str", outcome="str", reason="str")

    def remove(self, candidate: Candidate) -> None:
        """Take somebody off. Their journeys go on. NotFound where they aren't on it."""
        self._row()
        gone = self._session.store.write(
            "UPDATE shortlist_members SET removed_at = ? WHERE shortlist_id = ? AND candidate_id = ? AND removed_at IS NULL",
            self._session.now(),
            self.id,
            candidate.id,
        )
        if not gone:
            raise NotFound(f"{candidate!r} isn't on this shortlist.")

    @property
    def members(self) -> pl.DataFrame:
        """Frame, in the order they came: candidate_id, first_name, last_name, email, linkedin, source, added_at."""
        self._row()
        rows = self._session.store.rows(
            "SELECT m.candidate_id, c.first_name, c.last_name, c.linkedin, m.source, m.added_at, (SELECT e.address FROM "
            "candidate_emails e WHERE e.candidate_id = c.id ORDER BY e.id LIMIT 1) AS email FROM shortlist_members m JOIN "
            "candidates c ON c.id = m.candidate_id WHERE m.shortlist_id = ? AND m.removed_at IS NULL ORDER BY m.id",
            self.id,
        )
        text = dict.fromkeys(("first_name", "last_name", "email", "linkedin", "source"), "str")
        return frame(rows, candidate_id="int", **text, added_at="time")

    @property
    def links(self) -> pl.DataFrame:
        """Frame of the sequences it flows into: sequence, paused, since, waiting (members yet to flow on)."""
        self._row()
        rows = self._session.store.rows(
            "SELECT q.name AS sequence, l.paused, l.created_at AS since, (SELECT COUNT(*) FROM shortlist_members m WHERE "
            "m.shortlist_id = l.shortlist_id AND m.id > l.done_id AND m.removed_at IS NULL) AS waiting "
            "FROM shortlist_links l JOIN sequences q ON q.id = l.sequence_id WHERE "
            "l.shortlist_id = ? AND l.ended_at IS NULL ORDER BY l.id",
            self.id,
        )
        from outreach_sdk.storage.fields import from_us

        for row in rows:
            row["since"] = from_us(row["since"]) if isinstance(row["since"], int) else row["since"]
        return frame(rows, sequence="str", paused="bool", since="time", waiting="int")

    def link(
        self, sequence: Sequence, *, enrich: bool = False, paused: bool = False, backfill: bool = True
    ) -> None:
        """Let whoever is put on it flow into the sequence, live or `paused`; with `backfill` those on it already
        too. `enrich` has missing addresses found, for credits. Linked already, it takes the new options."""
        self._row()
        shortlists.link(
            self._session.engine,
            self.id,
            sequence._row(),
            paused=paused,
            backfill=backfill,
            enrich=enrich,
        )

    def unlink(self, sequence: Sequence) -> None:
        """Stop the flow; who is enrolled stays. NotFound where they aren't linked."""
        self._row()
        if not shortlists.unlink(self._session.engine, self.id, sequence.id):
            raise NotFound("They aren't linked.")

    def __repr__(self) -> str:
        return f"Shortlist({self.name!r}, {self.members.height} people)"
