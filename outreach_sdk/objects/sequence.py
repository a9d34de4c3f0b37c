"""Sequences: written once, enrolled in bulk, set going."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.given import check_text
from outreach_sdk.domain.sequence import (
    StepPlan,
    describe_schedule,
    zone,
)
from outreach_sdk.domain.variants import live
from outreach_sdk.domain.windows import SendingRules, SendingWindow, is_set_time, sending_rules
from outreach_sdk.engine import dispatch, drafting, lifecycle, ordering, review, revising, soundness
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.notebook.card import Card, Shown
from outreach_sdk.objects import looks
from outreach_sdk.objects.carrying import carried
from outreach_sdk.objects.charting import SequenceCharts
from outreach_sdk.objects.engine import missing
from outreach_sdk.objects.enrolling import SequenceEnrolling
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.journey import Journey
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.owning import SequenceOwning
from outreach_sdk.objects.panels import SequencePanels
from outreach_sdk.objects.previewing import SequencePreview
from outreach_sdk.objects.results import SequenceResults
from outreach_sdk.objects.reviewing import SequenceReview
from outreach_sdk.objects.session import Session, current, local_zone
from outreach_sdk.objects.settings import preferred, window_value
from outreach_sdk.objects.shortlist import Shortlist
from outreach_sdk.objects.steps import StepWriting, mailbox_id
from outreach_sdk.objects.testing import SequenceTesting
from outreach_sdk.objects.texting import SequenceTemplate
from outreach_sdk.objects.varying import SequenceVariants

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Sequence"]

Rows = list[dict[str, Any]]
Sentences = list[str]


@carried(
    here="get list candidates stats variants export funnel journey replies timeline editor live switch write_backs "
    "enroll import_csv",
    also="_enroll_rows _import_file",
)
class Sequence(
    SequenceEnrolling,
    SequenceTesting,
    StepWriting,
    SequenceVariants,
    SequenceOwning,
    SequenceTemplate,
    SequenceReview,
    SequenceResults,
    SequenceCharts,
    SequencePanels,
    SequencePreview,
    Shown,
):
    """A plan of dated steps. `Sequence.create`, `get` and `list` are the ways in."""

    def __init__(self, sequence_id: int, session: Session) -> None:
        self._session = session
        self.id = sequence_id

    # -- finding -------------------------------------------------------------------------------
    @classmethod
    def create(
        cls,
        name: str | None = None,
        *,
        mailbox: Mailbox | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> Sequence:
        """A new, empty sequence of one's own. `mailbox`: what it sends from (default: one's default
        mailbox); `timezone`: IANA name (default: this machine's). Whoever is in another one of one's own of this name
        is held back (`in_sequence_of_same_name`), so that a cell that is run again doesn't write to them again."""
        session = current()
        session.check_access()
        named = "" if name is None else check_text("name", name).strip()
        name_of_zone = local_zone() if timezone is None or timezone == "" else zone(timezone).key
        sequence_id = session.store.insert(
            "sequences",
            {
                "workspace_id": session.workspace_id,
                "owner_id": session.user["id"],
                "name": named,
                "active": False,
                "timezone": name_of_zone,
                "mailbox_id": mailbox_id(session, mailbox),
                "created_at": session.now(),
            },
        )
        return cls(sequence_id, session)

    @classmethod
    def get(cls, name_or_id: str | int) -> Sequence:
        """One's sequence by id, or by name (the latest of that name). NotFound otherwise."""
        session = current()
        column = "id" if isinstance(name_or_id, int) else "name"
        found = session.scope.find(
            "sequences", f"x.{column} = ?", (name_or_id,), tail="ORDER BY x.id DESC LIMIT 1"
        )
        if not found:
            raise NotFound(f"There is no sequence {name_or_id!r}.")
        return cls(found[0]["id"], session)

    @classmethod
    def list(cls) -> pl.DataFrame:
        """Frame: id, name, status, steps, journeys, active, next_due_at, created_at."""
        session = current()
        condition, own = session.scope.mine("s", "s.id")
        rows = session.store.rows(
            "SELECT s.*, (SELECT COUNT(*) FROM steps t WHERE t.sequence_id = s.id AND t.removed_at IS NULL) AS steps, "
            "(SELECT COUNT(*) FROM journeys j WHERE j.sequence_id = s.id) AS journeys, "
            "(SELECT COUNT(*) FROM journeys j WHERE j.sequence_id = s.id AND j.status = 'active') AS going, "
            "(SELECT MIN(j.next_due_at) FROM journeys j WHERE j.sequence_id = s.id) AS next_due_at "
            f"FROM sequences s WHERE {condition} ORDER BY s.id",
            *own,
        )
        statuses = lifecycle.statuses(session.store, rows)
        for row in rows:
            row["status"] = statuses[row["id"]]
            row["active"] = row["going"]
        return frame(
            rows,
            id="int",
            name="str",
            status="str",
            steps="int",
            journeys="int",
            active="int",
            next_due_at="time",
            created_at="time",
        )

    @property
    def name(self) -> str:
        return str(self._row()["name"])

    @name.setter
    def name(self, value: str) -> None:
        named = check_text("name", value).strip()
        self._row()
        store = self._session.store

        def work() -> None:
            store.write("UPDATE sequences SET name = ? WHERE id = ?", named, self.id)

        self._change(work)

    def set_mailbox(self, mailbox: Mailbox | str) -> None:
        """Send from this mailbox; what isn't `sending` yet follows."""
        self._row()
        box = mailbox_id(self._session, mailbox)
        store = self._session.store

        def work() -> None:
            store.write("UPDATE sequences SET mailbox_id = ? WHERE id = ?", box, self.id)
            revising.sender_changed(self._session.engine, self.id)

        self._change(work)

    @property
    def window(self) -> SendingWindow | None:
        """When its automatic e-mails may leave, in the candidate's time zone: its own window, else its
        workspace's; None for any time. Set a SendingWindow, None for any time, or "workspace"."""
        return self._rules().window

    @window.setter
    def window(self, value: SendingWindow | Mapping[str, str] | Literal["workspace"] | None) -> None:
        self._row()
        stored = None if value == "workspace" else json.dumps(window_value("window", value) or {})
        store = self._session.store

        def work() -> None:
            store.write("UPDATE sequences SET sending_window = ? WHERE id = ?", stored, self.id)
            steps = [s["id"] for s in self._live() if _has_no_time(ordering.step_plan(s))]
            revising.window_changed(self._session.engine, self.id, steps)

        self._change(work)

    @property
    def prefer(self) -> str | None:
        """Which of a candidate's addresses its journeys use from now on: "work", "personal", or None for its owner's
        or the workspace's preference. Those enrolled keep theirs (`journey.use_email`)."""
        found = self._row()["prefer"]
        return None if found is None else str(found)

    @prefer.setter
    def prefer(self, value: str | None) -> None:
        self._row()
        self._session.store.write(
            "UPDATE sequences SET prefer = ? WHERE id = ?", preferred("prefer", value), self.id
        )

    def _rules(self) -> SendingRules:
        settings = self._session.store.value(
            "SELECT settings FROM workspace WHERE id = ?", self._session.workspace_id
        )
        return sending_rules(settings, self._row()["sending_window"])

    @property
    def steps(self) -> pl.DataFrame:
        """Frame: step (from 1), kind, manual, when, thread, subject, body, variants (how many texts, its own counted)."""
        rows = self._live()
        for number, row in enumerate(rows, 1):
            row["step"] = number
            row["when"] = describe_schedule(ordering.step_plan(row).schedule)
            row["variants"] = 1 + len(live(row["variants"]))
        text = dict.fromkeys(("when", "thread", "subject", "body"), "str")
        return frame(rows, step="int", kind="str", manual="bool", **text, variants="int")

    # -- state ---------------------------------------------------------------------------------
    @property
    def problems(self) -> Sentences:
        """What keeps it incomplete, one sentence each."""
        return [p.text for p in lifecycle.sequence_problems(self._session.store, self._row())]

    @property
    def status(self) -> str:
        """ "incomplete" | "inactive" | "active". One that breaks while active stays active, its problems shown."""
        row = self._row()
        return lifecycle.statuses(self._session.store, [row])[self.id]

    def activate(self) -> int:
        """Set it going; how many journeys go. IncompleteSequence says what is missing."""
        self._row()
        return lifecycle.activate(self._session.engine, self.id)

    def deactivate(self) -> int:
        """Hold it: journeys pause where they are; how many."""
        self._row()
        return lifecycle.deactivate(self._session.engine, self.id)

    @property
    def notice(self) -> str | None:
        """The yellow banner: why nothing leaves, or None."""
        row = self._row()
        if not row["active"]:
            told = "This sequence isn't active: nobody is written to until you call activate()."
            lacks = drafting.lacking(self._session.engine, row)
            return f"{told} {lacks}" if lacks else told
        if row["broken"]:
            return soundness.sentence(self._session.store, row)
        gate = self._session.store.one("SELECT armed, disarmed_why, halted_at, halted_by FROM installation")
        if gate and gate["halted_at"] is not None:
            return f"All sending was halted by {gate['halted_by']}: nothing leaves until ws.resume()."
        if gate and not gate["armed"]:
            return f"{gate['disarmed_why']} Nothing leaves until ws.arm()."
        if (lack := missing(self._session, dispatch.alive(self._session.engine))) is not None:
            return lack
        box = self._session.store.one(
            "SELECT address, wait_until, wait_reason FROM mailboxes WHERE id = ? AND wait_until > ?",
            row["mailbox_id"],
            self._session.now(),
        )
        if box is not None:
            return f"{box['address']} sends again after {box['wait_until']:%d %b, %H:%M} UTC: {box['wait_reason']}."
        if row["review"] and (count := review.waiting(self._session.engine, self.id)):
            waits = "e-mail waits" if count == 1 else "e-mails wait"
            return f"{count:,} {waits} for your approval: read seq.drafts(), then seq.approve(frame)."
        return None

    def link(
        self, shortlist: Shortlist, *, enrich: bool = False, paused: bool = False, backfill: bool = True
    ) -> None:
        """Let whoever is put on the shortlist flow in, live or `paused`; with `backfill` those on it already too.
        `enrich` has missing addresses found, for credits."""
        _shortlist(shortlist).link(self, enrich=enrich, paused=paused, backfill=backfill)

    def unlink(self, shortlist: Shortlist) -> None:
        """Stop that flow; who is enrolled stays. NotFound where they aren't linked."""
        _shortlist(shortlist).unlink(self)

    def journey(self, candidate_or_email: Any) -> Journey:
        """One candidate's way through this sequence: by e-mail address, id or Candidate."""
        self._row()
        if isinstance(candidate_or_email, str):
            found = self._session.store.one(
                "SELECT j.id FROM journeys j JOIN candidate_emails e ON e.candidate_id = j.candidate_id "
                "WHERE j.sequence_id = ? AND e.address = ?",
                self.id,
                normalise_email(candidate_or_email),
            )
        else:
            wanted = getattr(candidate_or_email, "id", candidate_or_email)
            found = self._session.store.one(
                "SELECT id FROM journeys WHERE sequence_id = ? AND candidate_id = ?", self.id, wanted
            )
        if found is None:
            raise NotFound(f"{candidate_or_email!r} isn't enrolled in this sequence.")
        return Journey(found["id"], self._session)

    # -- looks ---------------------------------------------------------------------------------
    def _line(self) -> str:
        rows = self._session.store.rows(
            "SELECT status, reason, COUNT(*) AS n FROM journeys WHERE sequence_id = ? GROUP BY status, reason",
            self.id,
        )
        told = {" · ".join(x for x in (r["status"], r["reason"]) if x): r["n"] for r in rows}
        counts = ", ".join(f"{n} {what}" for what, n in sorted(told.items())) or "nobody enrolled"
        lines = [f"Sequence({self.name!r}, {self.status}: {counts})", *self.problems]
        notice = self.notice
        return "\n".join([*lines, *([notice] if notice else [])])

    def _card(self) -> Card:
        return looks.sequence_card(self._session, self._row(), self.notice)


def _shortlist(given: Any) -> Shortlist:
    from outreach_sdk.objects.shortlist import Shortlist

    if not isinstance(given, Shortlist):
        raise InvalidInput("shortlist", given, "Give a Shortlist: Shortlist.get(name) finds one.")
    return given


def _has_no_time(plan: StepPlan) -> bool:
    """Whether a window says when it leaves."""
    return plan.automatic and not is_set_time(plan.schedule)
