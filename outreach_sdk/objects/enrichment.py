"""Enrichment: finding addresses and numbers of people, and the credits that pay for what is found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import normalise_email, normalise_linkedin
from outreach_sdk.domain.waterfall import most
from outreach_sdk.engine import credits as ledger_book
from outreach_sdk.engine import dispatch, enrich, gates
from outreach_sdk.engine import people as people_rows
from outreach_sdk.engine.credits import Balance
from outreach_sdk.engine.staging import plain
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.notebook.card import Banner, Bar, Card, Shown, Table
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.charting import coverage_chart
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session, current
from outreach_sdk.wiring import ENRICHMENT

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Enrichment"]


@carried(here="get run wait coverage", also="_start")
class Enrichment(Shown):
    """One run over people: each field of each person is looked for, provider after provider, until somebody
    vouches for it. 3 credits an e-mail that is new and verified, 10 a phone number, nothing else."""

    def __init__(self, session: Session, run_id: int) -> None:
        self._session = session
        self.id = run_id

    # -- starting ------------------------------------------------------------------------------
    @classmethod
    def estimate(cls, people_or_sequence: Any, fields: Iterable[str] = ("email",)) -> int:
        """Credits a run can cost at most. Asks nobody, changes nothing."""
        session, wanted = current(), enrich.checked_fields(fields)
        people, unknown = _people(session, people_or_sequence, create=False)
        found = enrich.missing(session.store, session.workspace_id, people, wanted)
        return most(wanted, {f: n + unknown for f, n in found.items()})

    @classmethod
    def run(
        cls,
        people_or_sequence: Any,
        fields: Iterable[str] = ("email",),
        *,
        max_credits: int | None = None,
        wait: bool = True,
    ) -> Enrichment:
        """Look for `fields` (email, phone) of a sequence's people, a Candidate or several, ids, addresses, or rows
        with an id, an e-mail address or a LinkedIn URL. Rows of people not known yet make them candidates.

        `wait=False` leaves it to the engine's workers. `max_credits`: never spend more on this run; what is left
        then ends as `over_max`. Without credits the run pauses, and goes on by itself after a top-up."""
        run = cls._start(people_or_sequence, tuple(fields), max_credits)
        return run.wait() if wait else run

    @classmethod
    def _start(cls, people_or_sequence: Any, fields: Iterable[str], max_credits: int | None) -> Enrichment:
        session, wanted = current(), enrich.checked_fields(fields)
        if max_credits is not None and (
            isinstance(max_credits, bool) or not isinstance(max_credits, int) or max_credits < 0
        ):
            raise InvalidInput(
                "max_credits", max_credits, "Give a whole number from 0, or None for no limit."
            )
        people, _ = _people(session, people_or_sequence, create=True)
        sequence = people_or_sequence.id if isinstance(people_or_sequence, Sequence) else None
        run_id = enrich.start(
            session.engine,
            session.workspace_id,
            session.user["id"],
            people,
            wanted,
            max_credits=max_credits,
            sequence_id=sequence,
        )
        return cls(session, run_id)

    @classmethod
    def get(cls, run_id: int) -> Enrichment:
        """A run by its id; NotFound."""
        session = current()
        session.scope.get("enrichment_runs", run_id, "enrichment run")
        return cls(session, run_id)

    def wait(self, timeout: float | None = None) -> Enrichment:
        """Work on it here, beside the workers, until it is done or paused, with a progress bar; itself, also after
        `timeout` seconds. Where providers' keys are the workers' alone, it is followed instead."""
        from tqdm.auto import tqdm

        self._row()
        engine = self._session.engine
        until = None if timeout is None else time.monotonic() + timeout
        with tqdm(total=self._total(), unit=" fields", desc="looking", delay=1.0, leave=False) as bar:
            while self.status == "running":
                here = engine.enrichers().finders or not dispatch.alive(engine).get("send")
                if here and not self._session.walled and self._due():
                    enrich.drain(engine, run_id=self.id, seconds=5.0)
                bar.update(self._done() - bar.n)
                if self.status != "running" or (until is not None and time.monotonic() >= until):
                    break
                time.sleep(0.2)
        return self

    # -- what became of it ---------------------------------------------------------------------
    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("enrichment_runs", self.id, "enrichment run")

    def _total(self) -> int:
        return int(
            self._session.store.value("SELECT COUNT(*) FROM enrichment_items WHERE run_id = ?", self.id)
        )

    def _done(self) -> int:
        return int(
            self._session.store.value(
                "SELECT COUNT(*) FROM enrichment_items WHERE run_id = ? AND state = 'done'", self.id
            )
        )

    def _due(self) -> bool:
        return bool(
            self._session.store.value(
                "SELECT 1 FROM enrichment_items WHERE run_id = ? AND next_at <= ? LIMIT 1",
                self.id,
                self._session.now(),
            )
        )

    @property
    def status(self) -> str:
        """running, paused or done."""
        return str(self._row().get("state"))

    @property
    def notice(self) -> str | None:
        """Why it is paused and what lets it go on; None while it isn't."""
        row = self._row()
        left = self._total() - self._done()
        if row.get("reason") == "no_credits":
            return f"Out of credits with {left} still to do: Enrichment.top_up(credits) lets it go on."
        if row.get("reason") == "no_providers":
            keys = ", ".join(f"OUTREACH_{n.upper()}_API_KEY" for n in list(ENRICHMENT)[:3])
            return f"No provider is set up, {left} still to do. Set {keys} or another where the workers run."
        return None

    @property
    def cost(self) -> int:
        """Credits spent on it so far."""
        self._row()
        return int(
            self._session.store.value(
                "SELECT COALESCE(SUM(credits), 0) FROM enrichment_items WHERE run_id = ?", self.id
            )
        )

    @property
    def results(self) -> pl.DataFrame:
        """Frame: candidate, first_name, last_name, field, status (waiting, working, pending, done), outcome (found,
        known, missed, unverified, not_usable, suppressed, over_max, gone; null until done), value, kind, verified,
        source, credits, at."""
        self._row()
        rows = self._session.store.rows(
            "SELECT i.*, c.first_name, c.last_name, i.candidate_id AS candidate, i.state AS status, "
            "i.finished_at AS done_at FROM enrichment_items i LEFT JOIN candidates c ON c.id = i.candidate_id "
            "WHERE i.run_id = ? ORDER BY i.id",
            self.id,
        )
        for row in rows:
            row["at"] = row["done_at"]
        return frame(
            rows,
            candidate="int",
            first_name="str",
            last_name="str",
            field="str",
            status="str",
            outcome="str",
            value="str",
            kind="str",
            verified="bool",
            source="str",
            credits="int",
            at="time",
        )

    @property
    def attempts(self) -> pl.DataFrame:
        """Frame of who was asked: candidate, field, role (find, verify), provider, state (answered, pending, failed,
        skipped, asking), found (how many values), cached, detail, asked_at, answered_at (of a cached answer: when
        it was given). Providers without a key are listed as skipped, once a field."""
        self._row()
        rows = self._session.store.rows(
            "SELECT a.*, a.candidate_id AS candidate FROM enrichment_asks a WHERE a.run_id = ? ORDER BY a.id",
            self.id,
        )
        for row in rows:
            row["found"] = len(json.loads(row["points"] or "[]"))
        who = self._session.engine.enrichers()
        wanted = json.loads(self._row().get("fields") or "[]")
        orders = enrich.order(self._session.store, self._session.workspace_id)
        asked = {(r["field"], r["provider"]) for r in rows}
        for field in wanted:
            for name in orders[field]:
                if name not in who.finders and (field, name) not in asked:
                    detail = f"OUTREACH_{name.upper()}_API_KEY isn't set here."
                    rows.append(
                        {
                            "field": field,
                            "role": "find",
                            "provider": name,
                            "state": "skipped",
                            "detail": detail,
                        }
                    )
        return frame(
            rows,
            candidate="int",
            field="str",
            role="str",
            provider="str",
            state="str",
            found="int",
            cached="bool",
            detail="str",
            asked_at="time",
            answered_at="time",
        )

    # -- credits -------------------------------------------------------------------------------
    @classmethod
    def credits(cls) -> Balance:
        """balance, allowance (left this month), top_ups, monthly (what the plan gives), renews_at."""
        session = current()
        return ledger_book.balance(session.store, session.workspace_id, session.now())

    @classmethod
    def top_up(cls, credits: int, reference: str | None = None) -> Balance:
        """Add credits that never expire; runs that wait for them go on. The same `reference` is the same purchase,
        counted once. InvalidInput."""
        session = current()
        return ledger_book.top_up(
            session.store,
            session.workspace_id,
            credits,
            session.now(),
            user_id=session.user["id"],
            reference=reference,
        )

    @classmethod
    def ledger(cls) -> pl.DataFrame:
        """Frame of every change, oldest first: at, kind (allowance, top_up, reserve, settle, release, expire),
        amount, balance (after it), run, candidate, field, provider, reference, user. A settlement's amount is 0:
        what it keeps was taken by its reservation. Members see their own runs and every change that is nobody's."""
        from outreach_sdk.storage.fields import from_us

        session = current()
        rows = ledger_book.entries(session.store, session.workspace_id)
        for row in rows:
            mine = session.user["role"] == "admin" or row["user_id"] in (None, session.user["id"])
            row |= {
                "at": from_us(row["at"]),
                "run": row["run_id"],
                "candidate": row["candidate_id"] if mine else None,
                "user": row["user_name"],
            }
        return frame(
            rows,
            at="time",
            kind="str",
            amount="int",
            balance="int",
            run="int",
            candidate="int",
            field="str",
            provider="str",
            reference="str",
            user="str",
        )

    @classmethod
    def providers(cls) -> pl.DataFrame:
        """Frame: provider, email, phone, verify (its place in each order, or null), configured, state (ready,
        no_key, or why it is left alone), until, asked, found."""
        session = current()
        engine, who = session.engine, session.engine.enrichers()
        shut, orders = gates.states(engine), enrich.order(session.store, session.workspace_id)
        counts = {
            r["provider"]: r
            for r in session.store.rows(
                "SELECT provider, COUNT(*) AS asked, SUM(CASE WHEN points <> '[]' THEN 1 ELSE 0 END) AS found "
                "FROM enrichment_asks WHERE workspace_id = ? AND NOT cached AND state <> 'skipped' GROUP BY provider",
                session.workspace_id,
            )
        }
        rows: list[dict[str, Any]] = []
        for name in ENRICHMENT:
            configured = name in who.finders or name in who.verifiers
            places = {w: o.index(name) + 1 for w, o in orders.items() if name in o}
            state = "no_key" if not configured else shut.get(name, {}).get("reason") or "ready"
            seen = counts.get(name, {})
            rows.append(
                {
                    "provider": name,
                    **places,
                    "configured": configured,
                    "state": state,
                    "until": shut.get(name, {}).get("shut_until"),
                    "asked": int(seen.get("asked") or 0),
                    "found": int(seen.get("found") or 0),
                }
            )
        return frame(
            rows,
            provider="str",
            email="int",
            phone="int",
            verify="int",
            configured="bool",
            state="str",
            until="time",
            asked="int",
            found="int",
        )

    # -- shown ---------------------------------------------------------------------------------
    def _outcomes(self) -> dict[str, int]:
        rows = self._session.store.rows(
            "SELECT COALESCE(outcome, 'to do') AS outcome, COUNT(*) AS n FROM enrichment_items WHERE run_id = ? "
            "GROUP BY COALESCE(outcome, 'to do') ORDER BY 1",
            self.id,
        )
        return {str(r["outcome"]): int(r["n"]) for r in rows}

    def _line(self) -> str:
        told = ", ".join(f"{n:,} {o.replace('_', ' ')}" for o, n in self._outcomes().items()) or "nobody"
        notice = self.notice
        return f"Enrichment({self.status}: {told}; {self.cost} credits)" + (f"\n{notice}" if notice else "")

    def coverage(self) -> Any:
        """Chart: what was found of each field, and what each provider cost."""
        self._session.scope.get("enrichment_runs", self.id, "enrichment run")
        return coverage_chart(self._session, self.id)

    def _card(self) -> Card:
        outcomes, total, cost = self._outcomes(), self._total(), self.cost
        done = total - outcomes.get("to do", 0)
        have = outcomes.get("found", 0) + outcomes.get("known", 0)
        facts = [
            ("progress", f"{done:,} of {total:,}"),
            ("cost", f"{cost:,} credits"),
            ("coverage", f"{have / total:.0%}" if total else "–"),
        ]
        sources = self._session.store.rows(
            "SELECT source, COUNT(*) AS n, SUM(credits) AS credits FROM enrichment_items WHERE run_id = ? AND "
            "outcome = 'found' GROUP BY source ORDER BY 2 DESC LIMIT 12",
            self.id,
        )
        return Card(
            "Enrichment",
            self.status,
            [
                Banner(self.notice),
                Table(["", ""], facts),
                Bar([(o.replace("_", " "), n) for o, n in outcomes.items()]),
                Table(
                    ["found by", "finds", "credits"],
                    [(r["source"] or "", int(r["n"]), int(r["credits"] or 0)) for r in sources],
                ),
            ],
        )


_WHOM = "Give a Sequence, Candidates, ids, addresses, a frame or a list of dicts."


def _people(session: Session, given: Any, *, create: bool) -> tuple[list[int], int]:
    """(ids of candidates, each once; how many rows are nobody's yet)."""
    if isinstance(given, Sequence):
        session.scope.get("sequences", given.id, "sequence")
        rows = session.store.rows(
            "SELECT candidate_id FROM journeys WHERE sequence_id = ? ORDER BY id", given.id
        )
        return [int(r["candidate_id"]) for r in rows], 0
    if isinstance(given, (Candidate, str, int, Mapping)):
        given = [given]
    elif (listed := people_rows.records(given)) is not None:
        given = listed
    if not isinstance(given, Iterable):
        raise InvalidInput("people", given, _WHOM)
    found: dict[int, None] = {}
    unknown = 0
    for one in given:
        person = _one(session, one, create=create)
        if person is None:
            unknown += 1
        else:
            found[person] = None
    return list(found), unknown


def _one(session: Session, one: Any, *, create: bool) -> int | None:
    if isinstance(one, Candidate):
        return one.id
    if isinstance(one, (str, int)) and not isinstance(one, bool):
        return Candidate.get(one).id
    if not isinstance(one, Mapping):
        raise InvalidInput("people", one, _WHOM)
    cells = {str(k).strip().lower().replace(" ", "_"): plain(v) for k, v in one.items()}
    row = {name: value for name, value in cells.items() if value not in (None, "")}
    if isinstance(number := row.get("candidate_id", row.get("id")), int):
        return Candidate.get(number).id
    email, profile = row.get("email"), row.get("linkedin_url", row.get("linkedin"))
    if email is not None:
        try:
            return Candidate.get(str(email)).id
        except NotFound:
            pass
    if profile is not None:
        known = session.scope.find("candidates", "x.linkedin = ?", (normalise_linkedin(str(profile)),))
        if known:
            return int(known[0]["id"])
    if email is None and profile is None:
        raise InvalidInput("people", dict(one), "Each row needs an id, an e-mail address or a LinkedIn URL.")
    if not create:
        return None
    return Candidate.create(
        email=None if email is None else normalise_email(str(email)),
        linkedin_url=None if profile is None else str(profile),
        **{n: str(row[n]) for n in ("first_name", "last_name", "company", "title") if n in row},
    ).id
