"""Candidates: people, whatever sequence they are in."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import clean_name, email_kind, normalise_email, normalise_linkedin
from outreach_sdk.domain.events import InterviewScheduled
from outreach_sdk.domain.given import check_moment, check_text
from outreach_sdk.domain.journey import CancelReason, JourneyStatus
from outreach_sdk.domain.sequence import zone
from outreach_sdk.engine import bookings, contact_points, erasing, holding
from outreach_sdk.engine.enroll import lock_people
from outreach_sdk.engine.erased import was_erased
from outreach_sdk.engine.owners import tell_of_stopped
from outreach_sdk.engine.progress import person_name
from outreach_sdk.errors import InvalidInput, NaiveDatetime, NotFound, TransitionRefused
from outreach_sdk.notebook.card import Card, Shown
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.looks_people import candidate_card
from outreach_sdk.objects.session import Session, current
from outreach_sdk.storage.transitions import events, move_journeys

if TYPE_CHECKING:
    import polars as pl

    from outreach_sdk.objects.enrichment import Enrichment

__all__ = ["Candidate"]


@carried(here="get find enrich")
class Candidate(Shown):
    """One person, known by any of their addresses or by their LinkedIn URL."""

    def __init__(self, row: dict[str, Any], session: Session) -> None:
        self._session = session
        self.id: int = row["id"]
        self.first_name: str = row["first_name"]
        self.last_name: str = row["last_name"]
        self.company: str = row["company"]
        self.title: str = row["title"]
        self.linkedin_url: str | None = f"https://www.{row['linkedin']}" if row["linkedin"] else None

    @classmethod
    def create(
        cls,
        *,
        email: str | None = None,
        first_name: str = "",
        last_name: str = "",
        linkedin_url: str | None = None,
        company: str = "",
        title: str = "",
        timezone: str | None = None,
    ) -> Candidate:
        """A new person; where a colleague made them known, that one, unchanged. InvalidInput where one has them already."""
        if email is None and linkedin_url is None:
            raise InvalidInput("email", None, "Give an e-mail address or a LinkedIn URL.")
        session = current()
        store, now = session.store, session.now()
        if timezone is not None:
            timezone = zone(timezone).key
        address = normalise_email(email) if email is not None else None
        profile = normalise_linkedin(linkedin_url) if linkedin_url is not None else None

        def work() -> int:
            lock_people(store, session.workspace_id)
            if was_erased(store, session.workspace_id, [address, profile]):
                raise InvalidInput(
                    "email", address or profile, "They asked to be erased: nobody writes to them."
                )
            known = store.one(
                "SELECT id FROM candidates WHERE workspace_id = ? AND (linkedin = ? OR id IN (SELECT candidate_id FROM "
                "candidate_emails WHERE workspace_id = ? AND address = ?)) LIMIT 1",
                session.workspace_id,
                profile,
                session.workspace_id,
                address,
            )
            if known is not None and session.scope.find("candidates", "x.id = ?", (known["id"],)):
                raise InvalidInput(
                    "email", address or profile, "You have them already: Candidate.get finds them."
                )
            if known is not None:  # a colleague's: the same person twice is one candidate
                store.write(
                    "INSERT INTO known_to (workspace_id, candidate_id, user_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    session.workspace_id,
                    known["id"],
                    session.user["id"],
                )
                return int(known["id"])
            own = {"workspace_id": session.workspace_id, "owner_id": session.user["id"]}
            candidate = store.insert(
                "candidates",
                {
                    **own,
                    "first_name": clean_name(first_name) if first_name else "",
                    "last_name": clean_name(last_name) if last_name else "",
                    "company": company,
                    "title": title,
                    "linkedin": profile,
                    "timezone": timezone,
                    "fields": "{}",
                    "source": "by hand",
                    "created_at": now,
                },
            )
            if address is not None:
                store.insert(
                    "candidate_emails",
                    {
                        **own,
                        "candidate_id": candidate,
                        "address": address,
                        "kind": email_kind(address),
                        "invalid": False,
                        "source": "by hand",
                        "created_at": now,
                    },
                )
                bookings.match_address(store, session.workspace_id, candidate, address)
            return int(candidate)

        return cls.get(store.run(work))

    @classmethod
    def get(cls, email_or_id: str | int) -> Candidate:
        """By id or any address of theirs; NotFound otherwise."""
        session = current()
        if isinstance(email_or_id, int):
            return cls(session.scope.get("candidates", email_or_id, "candidate"), session)
        found = session.scope.find(
            "candidates",
            "x.id IN (SELECT candidate_id FROM candidate_emails WHERE address = ?)",
            (normalise_email(email_or_id),),
        )
        if not found:
            raise NotFound(f"There is no candidate {email_or_id!r}.")
        return cls(found[0], session)

    @classmethod
    def find(cls, text: str = "") -> pl.DataFrame:
        """Frame of people whose name, company or address holds `text`: id, first_name, last_name, company,
        title, linkedin, created_at."""
        if not isinstance(text, str):
            raise InvalidInput("text", text, "Give part of a name, a company or an address.")
        like = f"%{text.lower()}%"
        rows = current().scope.find(
            "candidates",
            "(LOWER(x.first_name || ' ' || x.last_name || ' ' || x.company) LIKE ? OR x.id IN "
            "(SELECT candidate_id FROM candidate_emails WHERE address LIKE ?))",
            (like, like),
            tail="ORDER BY x.id",
        )
        return frame(
            rows,
            id="int",
            first_name="str",
            last_name="str",
            company="str",
            title="str",
            linkedin="str",
            created_at="time",
        )

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("candidates", self.id, "candidate")

    @property
    def emails(self) -> pl.DataFrame:
        """Frame: address, kind (work|personal|other), verified, invalid (an e-mail to it came back), source, chosen
        (a journey of theirs that hasn't ended uses it)."""
        self._row()
        rows = self._session.store.rows(
            "SELECT e.*, EXISTS (SELECT 1 FROM journeys j WHERE j.candidate_id = e.candidate_id AND LOWER(j.email) = "
            "e.address AND j.ended_at IS NULL) AS chosen FROM candidate_emails e WHERE e.candidate_id = ? ORDER BY e.id",
            self.id,
        )
        return frame(
            rows, address="str", kind="str", verified="bool", invalid="bool", source="str", chosen="bool"
        )

    def add_email(
        self,
        address: str,
        *,
        kind: str | None = None,
        verified: bool | None = None,
        source: str = "by hand",
    ) -> None:
        """One more address of theirs, or more about one that is. `kind`: "work" | "personal" | "other" (default: by
        its domain). InvalidInput where it is somebody else's, came back before, or isn't to be written to."""
        if kind is not None and kind not in contact_points.KINDS:
            raise InvalidInput("kind", kind, f"Use {', '.join(contact_points.KINDS)}.")
        self._row()
        session = self._session
        person = {"workspace_id": session.workspace_id, "candidate_id": self.id}
        plain = normalise_email(address)

        def work() -> None:
            lock_people(session.store, session.workspace_id)
            contact_points.add_email(
                session.store,
                person,
                plain,
                user_id=session.user["id"],
                now=session.now(),
                kind=kind,
                verified=verified,
                source=source,
            )

        session.store.run(work)

    def export(self) -> dict[str, Any]:
        """Everything held of them that one may see, for an admin whoever's sequence it is from: {"person", "emails",
        "journeys", "sent", "received", "tasks", "bookings", "events", "imports", "passages", "phones", "looked_for",
        "shortlists", "suppressions"}, lists of dicts with aware times."""
        scope, row = self._session.scope, self._row()
        if scope.admin:
            return holding.held(self._session.store, row)
        condition, own = scope.mine("j", "j.sequence_id")
        seen = self._session.store.rows(
            f"SELECT j.id FROM journeys j WHERE {condition} AND j.candidate_id = ?", *own, self.id
        )
        return holding.held(
            self._session.store, row, journeys={r["id"] for r in seen}, owner_id=scope.user_id
        )

    def erase(self) -> None:
        """Remove them everywhere: their journeys are cancelled, and names, addresses, texts and what vendors told of
        them go from every table. Numbers of what happened stay, and a keyed hash of each address, by which they are
        held back should anybody import them again. What lies in the mailboxes themselves stays there. For good.
        TransitionRefused while an e-mail to them is under way, and for members where colleagues write to them, too."""
        self._row()
        session = self._session
        condition, own = session.scope.mine("j", "j.sequence_id")
        if not session.scope.admin and session.store.value(
            f"SELECT 1 FROM journeys j WHERE j.candidate_id = ? AND NOT ({condition}) LIMIT 1", self.id, *own
        ):
            raise TransitionRefused("Colleagues write to them, too: ask an admin to erase them.")
        erasing.erase(session.engine, self.id, by=session.user["id"])

    @property
    def phones(self) -> pl.DataFrame:
        """Frame: number (E.164), kind (work|personal|other), verified, source."""
        self._row()
        rows = self._session.store.rows(
            "SELECT phone AS number, 'other' AS kind, source FROM candidates WHERE id = ? AND phone IS NOT NULL",
            self.id,
        ) + self._session.store.rows(
            "SELECT * FROM candidate_phones WHERE candidate_id = ? ORDER BY id", self.id
        )
        return frame(rows, number="str", kind="str", verified="bool", source="str")

    def enrich(self, fields: Iterable[str] = ("email",), *, wait: bool = True) -> Enrichment:
        """Look for what is missing of them; see Enrichment.run."""
        self._row()
        from outreach_sdk.objects.enrichment import Enrichment

        return Enrichment.run(self, fields, wait=wait)

    @property
    def journeys(self) -> pl.DataFrame:
        """Frame of their journeys one may see: sequence, status, reason, enrolled_at, ended_at."""
        self._row()
        condition, own = self._session.scope.mine("j", "j.sequence_id")
        rows = self._session.store.rows(
            "SELECT j.*, s.name AS sequence FROM journeys j JOIN sequences s ON s.id = j.sequence_id "
            f"WHERE {condition} AND j.candidate_id = ? ORDER BY j.id",
            *own,
            self.id,
        )
        return frame(rows, sequence="str", status="str", reason="str", enrolled_at="time", ended_at="time")

    def record_interview(
        self, starts_at: dt.datetime, *, title: str = "", link: str = "", external_id: str | None = None
    ) -> int:
        """Note an interview they have, found elsewhere than in a connected calendar or ATS; how many journeys of
        theirs stopped, whoever's. Owners are told. The same `external_id` again is the same interview, moved."""
        if not isinstance(starts_at, dt.datetime):
            raise InvalidInput("starts_at", starts_at, "Give a datetime with a time zone.")
        if starts_at.tzinfo is None:
            raise NaiveDatetime("starts_at", starts_at, "Give it a time zone.")
        check_moment("starts_at", starts_at)
        self._row()
        session, now = self._session, self._session.now()
        told = InterviewScheduled(
            external_id=external_id or secrets.token_hex(8),
            occurred_at=now,
            starts_at=starts_at,
            title=title,
            link=link,
            in_ats=False,
        )

        def work() -> int:
            booking, _ = bookings.take(session.engine, session.workspace_id, "by hand", told, now)
            session.store.write(
                "INSERT INTO booking_people (workspace_id, booking_id, address, candidate_id, created_at) "
                "VALUES (?, ?, '', ?, ?) ON CONFLICT DO NOTHING",
                session.workspace_id,
                booking,
                self.id,
                now,
            )
            return bookings.act_on(session.engine, booking)

        return session.store.run(work)

    def suppress(self, reason: str = "by hand") -> None:
        """Never write to any of their addresses again; their journeys are cancelled, at once. InvalidInput."""
        check_text("reason", reason)
        self._row()
        session, now = self._session, self._session.now()
        with session.store.tx():
            session.store.write(
                "INSERT INTO suppressions (workspace_id, owner_id, kind, value, reason, source, created_at) "
                "SELECT workspace_id, ?, 'address', address, ?, 'by hand', CAST(? AS BIGINT) FROM candidate_emails "
                "WHERE candidate_id = ? ON CONFLICT (workspace_id, kind, value) DO NOTHING",
                session.user["id"],
                reason,
                now,
                self.id,
            )
            moved = move_journeys(
                session.store,
                "candidate_id = ?",
                (self.id,),
                JourneyStatus.CANCELLED,
                CancelReason.SUPPRESSED,
                now,
                detail=reason,
            )
            events(session.store, moved, "journey_cancelled", now, CancelReason.SUPPRESSED)
            tell_of_stopped(
                session.store,
                moved,
                by=session.user["id"],
                kind="suppressed",
                why=f"{person_name(session.store, self.id)} isn't to be written to any more, says a colleague ({reason}).",
                dedupe=f"suppressed:{self.id}:{now.isoformat()}",
                now=now,
            )

    def _card(self) -> Card:
        row = self._row()
        return candidate_card(self._session, row, self.emails, self.phones, self.journeys)

    def _line(self) -> str:
        return f"Candidate({f'{self.first_name} {self.last_name}'.strip() or self.id!r})"
