"""Writing a sequence's steps: adding, editing, moving, removing."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from typing import Any, Literal

from outreach_sdk.domain.given import several
from outreach_sdk.domain.sequence import (
    DEFAULT_SKIP_AFTER,
    Instant,
    Schedule,
    StepKind,
    StepPlan,
    check_step,
    describe_schedule,
    schedule_to_dict,
)
from outreach_sdk.engine import ordering, revising, soundness
from outreach_sdk.errors import InvalidInput
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.session import Session

__all__ = ["Step", "StepWriting", "mailbox_id"]

Rows = list[dict[str, Any]]
SkipAfter = dt.timedelta | float | Literal[False] | None


class Step(int):
    """A step's number (from 1), which `edit_step`, `move_step` and `remove_step` take, and what it is."""

    kind: str
    when: str
    subject: str | None

    def __new__(cls, number: int, plan: StepPlan) -> Step:
        made = super().__new__(cls, number)
        made.kind, made.when, made.subject = str(plan.kind), describe_schedule(plan.schedule), plan.subject
        return made

    @classmethod
    def told(cls, number: int, kind: str, when: str, subject: str | None) -> Step:
        """As another process told of it."""
        made = super().__new__(cls, number)
        made.kind, made.when, made.subject = kind, when, subject
        return made

    def __repr__(self) -> str:
        title = f" “{self.subject}”" if self.subject else ""
        return f"Step {int(self)}: {self.kind}{title}, {self.when}"


class StepWriting:
    """The part of a `Sequence` that writes its steps."""

    id: int
    _session: Session

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("sequences", self.id, "sequence")

    def add_email(
        self,
        subject: str | None = None,
        body: str | None = None,
        *,
        when: Schedule | None = None,
        thread: Literal["new", "reply"] | None = None,
        manual: bool = False,
        skip_after: SkipAfter = None,
        cc: str | Iterable[str] = (),
        bcc: str | Iterable[str] = (),
        mailbox: Mailbox | str | None = None,
        alias: str | None = None,
    ) -> Step:
        """Add an e-mail at the end. `body`: plain text, also with links and bold words in it, or HTML with paragraphs of
        its own. `thread`: None means "new" with a subject or as the first e-mail, else "reply". `skip_after` (manual
        ones): a timedelta or seconds, None = 3 days, False = never. `cc`, `bcc`: one address or several; each may be a
        merge field. InvalidInput."""
        has_email = any(s["kind"] == "email" for s in self._live())
        box = None if mailbox is None else mailbox_id(self._session, mailbox)
        chosen = thread or ("new" if subject is not None or not has_email else "reply")
        plan = StepPlan(
            StepKind.EMAIL,
            when or Instant(),
            subject,
            body,
            chosen,
            manual,
            seconds_of(skip_after) if manual else None,
            several("cc", cc),
            several("bcc", bcc),
            box,
            self._alias(alias, box),
        )
        return self._add(plan)

    def _alias(self, alias: str | None, box: int | None) -> str | None:
        if alias is None:
            return None
        sender = box if box is not None else self._row()["mailbox_id"]
        if sender is None:
            raise InvalidInput("alias", alias, "Choose a mailbox first: seq.set_mailbox(box).")
        return Mailbox.get(sender).check_alias(alias)

    def add_phone(self, note: str, *, when: Schedule | None = None, skip_after: SkipAfter = None) -> Step:
        """Add a call for a person to make."""
        return self._add(
            StepPlan(StepKind.PHONE, when or Instant(), None, note, skip_after=seconds_of(skip_after))
        )

    def add_linkedin(self, note: str, *, when: Schedule | None = None, skip_after: SkipAfter = None) -> Step:
        """Add a LinkedIn message for a person to write."""
        return self._add(
            StepPlan(StepKind.LINKEDIN, when or Instant(), None, note, skip_after=seconds_of(skip_after))
        )

    def add_sms(self, note: str, *, when: Schedule | None = None, skip_after: SkipAfter = None) -> Step:
        """Add a text message for a person to write."""
        return self._add(
            StepPlan(StepKind.SMS, when or Instant(), None, note, skip_after=seconds_of(skip_after))
        )

    def _add(self, plan: StepPlan) -> Step:
        check_step(plan)
        row = self._row()
        live = self._live()
        store = self._session.store

        def work() -> None:
            store.insert(
                "steps",
                {
                    "workspace_id": row["workspace_id"],
                    "owner_id": row["owner_id"],
                    "sequence_id": self.id,
                    "rank": ordering.end_rank(store, self.id),
                    **columns_of(plan),
                },
            )

        self._change(work)
        return Step(len(live) + 1, plan)

    def _change(self, work: Callable[[], None]) -> None:
        """`work` in a transaction that other changes of this sequence wait for. An active one that it breaks is held,
        one that it repairs goes on."""
        store = self._session.store

        def whole() -> None:
            store.one(f"SELECT id FROM sequences WHERE id = ?{store.for_update}", self.id)
            work()
            soundness.check(self._session.engine, self.id)

        store.run(whole)

    def edit_step(self, n: int, **changes: Any) -> None:
        """Change subject, body, when, thread, manual, skip_after, cc, bcc, mailbox or alias of step `n` (from 1). It
        reaches whatever isn't `sending` yet, open tasks too: their timer counts from when they opened, and
        `manual=False` lets the e-mail leave by itself. `manual=True` waits 3 days unless `skip_after` says otherwise.
        `mailbox=None`: the sequence's; without a new `alias` a changed mailbox sends as itself."""
        step = self._nth(n)
        plan = ordering.step_plan(step)
        known = {"subject", "body", "when", "thread", "manual", "skip_after", "cc", "bcc", "mailbox", "alias"}
        if unknown := set(changes) - known:
            raise InvalidInput("changes", sorted(unknown), f"Use {', '.join(sorted(known))}.")
        box, alias = plan.mailbox_id, changes.get("alias", plan.alias)
        if "mailbox" in changes:
            box = None if changes["mailbox"] is None else mailbox_id(self._session, changes["mailbox"])
            alias = changes.get("alias")
        manual, skip_after = changes.get("manual", plan.manual), plan.skip_after
        if "skip_after" in changes or (plan.kind is StepKind.EMAIL and manual and not plan.manual):
            skip_after = seconds_of(changes.get("skip_after"))
        merged = StepPlan(
            plan.kind,
            changes.get("when", plan.schedule),
            changes.get("subject", plan.subject),
            changes.get("body", plan.body),
            changes.get("thread", plan.thread),
            manual,
            skip_after if manual or plan.kind is not StepKind.EMAIL else None,
            several("cc", changes.get("cc", plan.cc)),
            several("bcc", changes.get("bcc", plan.bcc)),
            box,
            self._alias(alias, box) if {"alias", "mailbox"} & set(changes) else alias,
        )
        check_step(merged)
        columns = columns_of(merged)
        texts = ("subject", "body")
        asks = "ai(" in "".join(str(changes.get(t) or "") for t in texts).replace(" ", "")

        def work() -> None:
            self._session.store.write(
                f"UPDATE steps SET {', '.join(f'{c} = ?' for c in columns)} WHERE id = ?",
                *columns.values(),
                step["id"],
            )
            self._reach(step["id"], plan, merged, changes, asks=asks)

        self._change(work)

    def _reach(
        self, step_id: int, old: StepPlan, new: StepPlan, changes: dict[str, Any], *, asks: bool
    ) -> None:
        """Let what was edited reach the journeys that are at this step."""
        engine = self._session.engine
        if old.manual and not new.manual:
            revising.by_itself(engine, self.id, step_id)
        elif old.skip_after != new.skip_after:
            revising.timer_changed(engine, self.id, step_id, old=old.skip_after, new=new.skip_after)
        if asks or old.manual != new.manual or "when" in changes:
            revising.replan(engine, self.id, step_id, keep="when" not in changes)
        if "mailbox" in changes:
            revising.sender_changed(engine, self.id)

    def move_step(self, n: int, to: int) -> None:
        """Move step `n` to place `to` (both from 1). Journeys that are past either place don't go back."""
        step = self._nth(n)
        others = [s for s in self._live() if s["id"] != step["id"]]
        if not isinstance(to, int) or not 1 <= to <= len(others) + 1:
            raise InvalidInput("to", to, f"Give a place from 1 to {len(others) + 1}.")
        store = self._session.store

        def work() -> None:
            ordering.place(store, self.id, step["id"], to)
            revising.moved(self._session.engine, self.id, step["id"])

        self._change(work)

    def remove_step(self, n: int) -> None:
        """Take step `n` (from 1) out; what was sent of it stays on record. Its tasks close, what isn't `sending` yet of it
        never leaves, and journeys that were at it go on with the next."""
        step, store = self._nth(n), self._session.store

        def work() -> None:
            store.write("UPDATE steps SET removed_at = ? WHERE id = ?", self._session.now(), step["id"])
            revising.removed(self._session.engine, self.id, step["id"])

        self._change(work)

    def _live(self) -> Rows:
        self._row()
        return ordering.live_steps(self._session.store, self.id)

    def _nth(self, n: int) -> dict[str, Any]:
        live = self._live()
        if not isinstance(n, int) or not 1 <= n <= len(live):
            raise InvalidInput("n", n, f"The sequence has {len(live)} steps, counted from 1.")
        return live[n - 1]


def mailbox_id(session: Session, mailbox: Mailbox | str | None) -> int | None:
    if mailbox is not None:
        return Mailbox.get(mailbox.id if isinstance(mailbox, Mailbox) else mailbox).id
    found = session.scope.find(
        "mailboxes", "x.owner_id = ? AND x.is_default", (session.user["id"],), tail="ORDER BY x.id LIMIT 1"
    )
    return found[0]["id"] if found else None


def seconds_of(value: SkipAfter) -> float | None:
    if value is None:
        return DEFAULT_SKIP_AFTER.total_seconds()
    if value is False:
        return None
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if value is True or not isinstance(value, int | float):
        raise InvalidInput(
            "skip_after", value, "Give a timedelta or seconds, None for 3 days, False for never."
        )
    return value


def columns_of(plan: StepPlan) -> dict[str, Any]:
    return {
        "kind": str(plan.kind),
        "manual": plan.manual,
        "schedule": json.dumps(schedule_to_dict(plan.schedule)),
        "thread": plan.thread,
        "subject": plan.subject,
        "body": plan.body,
        "skip_after": plan.skip_after,
        "cc": json.dumps(list(plan.cc)),
        "bcc": json.dumps(list(plan.bcc)),
        "mailbox_id": plan.mailbox_id,
        "alias": plan.alias,
    }
