"""An e-mail that a server turned away for the time being: tried again, a bounded number of times, and only
where the first can't arrive any more."""

from __future__ import annotations

import datetime as dt
import email
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from outreach_sdk.domain.journey import SOFT_BOUNCE_WAITS
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.journey import Journey, Task
from outreach_sdk.objects.sequence import Sequence
from tests.harness import House, wait_until
from tests.mail.hostile import Accepted, Faults, HostileProvider, HostileTransport

BO = "p0@candidate0.example"


class Desk:
    """One candidate in a sequence of two e-mails two days apart, on a clock that the test moves."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._start = house.engine.now()
        self.now = self._start
        house.engine.now = lambda: self.now
        self.box = house.hostile(Faults.none())
        assert house.provider is not None
        self.provider: HostileProvider = house.provider
        self.seq: Sequence = house.two_steps(self.box, delay=48 * 3600)

    def start(self) -> Accepted:
        """Enrolled, activated, the first e-mail gone."""
        self.seq.enroll(self.house.people(1))
        self.seq.activate()
        self.drain()
        return self.provider.ledger()[-1]

    @property
    def journey(self) -> Journey:
        return self.seq.journey(BO)

    def wait(self, time: dt.timedelta) -> None:
        """Time goes by, and whatever is due leaves."""
        self.now += time
        self.drain()

    def drain(self) -> None:
        dispatch.drain_sends(self.house.engine, threads=2)

    def bounce(self, sent: Accepted, action: str = "failed", **more: Any) -> None:
        self.now += dt.timedelta(minutes=5)
        self.provider.deliver_bounce(sent, hard=False, action=action, at=self.now, **more)
        sync.poll_mailbox(self.house.engine, self.box.id)

    def header(self, sent: Accepted, name: str) -> str | None:
        ((raw,),) = self.provider.rows("SELECT raw FROM messages WHERE id = ?", sent.provider_message_id)
        assert isinstance(raw, bytes)
        value = email.message_from_bytes(raw)[name]
        return None if value is None else str(value)

    def left(self) -> list[str]:
        return [a.subject for a in self.provider.ledger()]

    def told(self, kind: str) -> list[str]:
        rows = self.house.engine.store.rows("SELECT text FROM notifications WHERE kind = ? ORDER BY id", kind)
        return [str(r["text"]) for r in rows]

    def due(self) -> dt.datetime | None:
        return self.seq.candidates()["next_due_at"].to_list()[0]  # type: ignore[no-any-return]


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


@pytest.mark.rule(18)
def test_it_is_tried_twice_more_and_then_the_journey_pauses(desk: Desk) -> None:
    sent = desk.start()
    for number, wait in enumerate(SOFT_BOUNCE_WAITS, 2):
        desk.bounce(sent)
        assert desk.due() == desk.now + wait
        assert desk.journey.steps["status"].to_list() == ["due", "planned"]
        desk.wait(wait - dt.timedelta(minutes=1))
        assert desk.left() == ["Hello P0"] * (number - 1), "not before its time"
        desk.wait(dt.timedelta(minutes=1))
        assert desk.left() == ["Hello P0"] * number
        sent = desk.provider.ledger()[-1]
    assert desk.told("send_failed") == []
    desk.bounce(sent)
    assert (desk.journey.status, desk.journey.reason) == ("paused", "send_failed")
    (told,) = desk.told("send_failed")
    assert "P0 Li was turned back 3 times" in told
    assert "out of storage" in told
    desk.wait(dt.timedelta(days=10))
    assert desk.left() == ["Hello P0"] * 3
    attempts = desk.house.engine.store.rows("SELECT attempt, state FROM outbox ORDER BY attempt")
    assert [(a["attempt"], a["state"]) for a in attempts] == [(1, "sent"), (2, "sent"), (3, "sent")]
    desk.journey.resume()
    desk.wait(dt.timedelta(0))
    assert desk.left()[3:] == ["Re: Hello P0"], "resumed by a person, it goes on with the next step"


@pytest.mark.rule(18)
def test_one_that_arrives_at_the_second_try_goes_on_from_there(desk: Desk) -> None:
    desk.bounce(desk.start())
    desk.wait(SOFT_BOUNCE_WAITS[0])
    assert desk.due() == desk.now + dt.timedelta(hours=48), (
        "the next step counts from the e-mail that arrived"
    )
    desk.wait(dt.timedelta(hours=48))
    assert desk.left() == ["Hello P0", "Hello P0", "Re: Hello P0"]
    assert desk.journey.status == "completed"
    second, third = desk.provider.ledger()[1:]
    assert third.thread == second.thread, "follow-ups answer the one that arrived"


@pytest.mark.rule(18)
def test_the_next_step_waits_while_a_try_is_open(desk: Desk) -> None:
    sent = desk.start()
    desk.now += dt.timedelta(hours=46)
    desk.bounce(sent)
    desk.wait(dt.timedelta(hours=3))  # the follow-up's own time
    assert desk.left() == ["Hello P0"]
    desk.wait(dt.timedelta(hours=1))
    assert desk.left() == ["Hello P0", "Hello P0"]


@pytest.mark.rule(14, 18)
def test_a_server_that_goes_on_trying_is_told_and_nothing_is_sent_again(desk: Desk) -> None:
    desk.bounce(desk.start(), action="delayed")
    assert "hasn't arrived yet" in desk.told("delivery_delayed")[0]
    assert desk.due() == desk.now + dt.timedelta(hours=48) - dt.timedelta(minutes=5)
    desk.wait(dt.timedelta(hours=40))
    assert desk.left() == ["Hello P0"]


@pytest.mark.rule(14, 18)
@pytest.mark.parametrize("action", ["delayed\nX: 1", "unheard-of", ""])
def test_a_report_that_does_not_say_failed_is_told_and_nothing_is_sent_again(desk: Desk, action: str) -> None:
    desk.bounce(desk.start(), action=action)
    desk.wait(dt.timedelta(hours=40))
    assert desk.left() == ["Hello P0"]
    assert len(desk.told("soft_bounce") + desk.told("delivery_delayed")) == 1


@pytest.mark.rule(14, 18)
def test_two_reports_on_one_attempt_open_one_more(desk: Desk) -> None:
    sent = desk.start()
    desk.bounce(sent)
    due = desk.due()
    desk.bounce(sent)
    assert desk.due() == due
    assert len(desk.told("soft_bounce")) == 1
    desk.wait(dt.timedelta(hours=30))
    desk.bounce(sent)  # and one that comes when the second attempt has left long ago
    desk.wait(dt.timedelta(hours=6))
    assert desk.left() == ["Hello P0", "Hello P0"]


@pytest.mark.rule(14, 18)
def test_a_report_on_somebody_copied_sends_nothing_again(desk: Desk) -> None:
    desk.seq.edit_step(1, cc=("boss@agency.example",))
    sent = desk.start()
    desk.bounce(sent, recipient="boss@agency.example")
    desk.wait(dt.timedelta(hours=40))
    assert desk.left() == ["Hello P0"]


@pytest.mark.rule(18)
def test_those_copied_get_it_once(desk: Desk) -> None:
    desk.seq.edit_step(1, cc=("boss@agency.example",), bcc=("ats@agency.example",))
    sent = desk.start()
    desk.bounce(sent, recipient=BO)
    desk.wait(SOFT_BOUNCE_WAITS[0])
    got = Counter(r for a in desk.provider.ledger() for r in a.recipients)
    assert got == {BO: 2, "boss@agency.example": 1, "ats@agency.example": 1}


@pytest.mark.rule(15, 18)
@pytest.mark.parametrize("how", ["answer", "cancel", "hard", "suppress"])
def test_what_ends_the_journey_ends_the_further_try(desk: Desk, how: str) -> None:
    sent = desk.start()
    desk.bounce(sent)
    ways: dict[str, Callable[[], object]] = {
        "answer": lambda: desk.provider.deliver_reply(sent, "Yes, tell me more.", at=desk.now),
        "cancel": lambda: desk.journey.cancel(),
        "hard": lambda: desk.provider.deliver_bounce(sent, at=desk.now),
        "suppress": lambda: Candidate.get(BO).suppress("asked by phone"),
    }
    ways[how]()
    sync.poll_mailbox(desk.house.engine, desk.box.id)
    for _ in range(4):
        desk.wait(dt.timedelta(hours=12))
    assert desk.left() == ["Hello P0"]
    assert desk.journey.status == "cancelled"


@pytest.mark.rule(3, 18)
def test_a_pause_keeps_the_further_try_for_later(desk: Desk) -> None:
    sent = desk.start()
    desk.bounce(sent)
    desk.seq.deactivate()
    assert desk.due() is None
    desk.wait(dt.timedelta(hours=30))
    assert desk.left() == ["Hello P0"]
    desk.seq.activate()
    desk.drain()
    assert desk.left() == ["Hello P0", "Hello P0"]


@pytest.mark.rule(3, 18)
def test_a_report_that_comes_during_a_pause_is_acted_on_after_it(desk: Desk) -> None:
    sent = desk.start()
    desk.journey.pause()
    desk.bounce(sent)
    again = desk.now + SOFT_BOUNCE_WAITS[0]
    desk.wait(dt.timedelta(hours=1))
    assert desk.due() is None
    desk.journey.resume()
    assert desk.due() == again


@pytest.mark.rule(14, 18)
def test_once_the_next_step_left_it_is_only_told(desk: Desk) -> None:
    first = desk.start()
    desk.wait(dt.timedelta(hours=48))
    desk.seq.add_email(body="Once more.", when=Later(days=9))
    assert desk.left() == ["Hello P0", "Re: Hello P0"]
    desk.bounce(first)
    desk.wait(dt.timedelta(hours=30))
    assert desk.left() == ["Hello P0", "Re: Hello P0"]
    assert "moved on" in desk.told("soft_bounce")[0]


@pytest.mark.rule(8, 18)
def test_once_the_next_task_is_open_it_is_only_told(desk: Desk) -> None:
    desk.seq.edit_step(2, manual=True)
    first = desk.start()
    desk.now += dt.timedelta(hours=48)
    dispatch.tasks.open_due(desk.house.engine)
    desk.bounce(first)
    desk.wait(dt.timedelta(hours=30))
    assert desk.left() == ["Hello P0"]
    Task.list()[0].skip()
    assert desk.journey.status == "completed"


@pytest.mark.rule(8, 18)
def test_a_manual_email_is_tried_again_as_it_was_edited(desk: Desk) -> None:
    desk.seq.edit_step(1, manual=True)
    desk.seq.enroll(desk.house.people(1))
    desk.seq.activate()
    dispatch.tasks.open_due(desk.house.engine)
    Task.list()[0].edit(body="Only for you.")
    Task.list()[0].send_now()
    desk.drain()
    desk.bounce(desk.provider.ledger()[-1])
    desk.wait(SOFT_BOUNCE_WAITS[0] - dt.timedelta(minutes=1))
    assert desk.left() == ["Hello P0"]
    desk.wait(dt.timedelta(minutes=1))
    assert [a.text.strip() for a in desk.provider.ledger()] == ["Only for you."] * 2
    assert Task.list() == []


@pytest.mark.rule(10, 18)
def test_a_follow_up_is_tried_again_in_its_thread(desk: Desk) -> None:
    first = desk.start()
    desk.wait(dt.timedelta(hours=48))
    assert desk.journey.status == "completed"

    other = Sequence.create("Three", mailbox=desk.box, timezone="UTC")
    for _ in range(3):
        other.add_email("Hello {{ first_name }}", "Hi", when=Later(hours=1))
    other.edit_step(2, thread="reply")
    other.edit_step(3, thread="reply", when=Later(days=9))
    other.enroll(desk.house.people(1, start=1))
    other.activate()
    desk.wait(dt.timedelta(hours=1))
    desk.wait(dt.timedelta(hours=1))
    opening, follow_up = desk.provider.ledger()[2:]
    desk.bounce(follow_up)
    desk.wait(SOFT_BOUNCE_WAITS[0])
    again = desk.provider.ledger()[-1]
    assert again.subject == "Re: Hello P1"
    assert again.thread == opening.thread
    assert desk.header(again, "In-Reply-To") == opening.rfc_message_id, "not to what never arrived"
    assert first.thread != opening.thread


@pytest.mark.rule(6, 18)
def test_an_opening_in_place_of_a_skipped_one_opens_a_thread_again(desk: Desk) -> None:
    desk.seq.edit_step(1, manual=True, skip_after=0)
    desk.seq.edit_step(2, when=Later(hours=1))
    desk.seq.add_email(body="Once more.", when=Later(days=9))
    desk.seq.enroll(desk.house.people(1))
    desk.seq.activate()
    for hours in (0, 0, 1):
        desk.now += dt.timedelta(hours=hours)
        dispatch.tasks.open_due(desk.house.engine)
        dispatch.tasks.auto_skip(desk.house.engine)
    desk.drain()
    assert desk.left() == ["Hello P0"]
    desk.bounce(desk.provider.ledger()[-1])
    desk.wait(SOFT_BOUNCE_WAITS[0])
    assert desk.left() == ["Hello P0", "Hello P0"]
    assert desk.header(desk.provider.ledger()[-1], "In-Reply-To") is None


@pytest.mark.rule(14, 18)
def test_a_report_found_at_the_last_look_takes_the_next_step_back(desk: Desk) -> None:
    """The follow-up is drafted already, in a worker's hands, when the report on the opening comes to light."""
    sent = desk.start()
    provider, transport = desk.provider, desk.house.engine.transport

    class Meanwhile(HostileTransport):
        def create_draft(self, *args: Any, **kwargs: Any) -> Any:
            draft = super().create_draft(*args, **kwargs)
            provider.deliver_bounce(sent, hard=False, action="failed", at=desk.now)
            return draft

    desk.house.engine.transport = lambda row: Meanwhile(provider, row["address"])
    desk.wait(dt.timedelta(hours=48))
    desk.house.engine.transport = transport
    assert desk.left() == ["Hello P0"]
    assert provider.draft_keys() == []
    assert desk.due() == desk.now + SOFT_BOUNCE_WAITS[0]
    desk.wait(SOFT_BOUNCE_WAITS[0])
    assert desk.left() == ["Hello P0", "Hello P0"]
    desk.wait(dt.timedelta(hours=48))
    assert desk.left() == ["Hello P0", "Hello P0", "Re: Hello P0"]


@pytest.mark.rule(14, 18)
@pytest.mark.parametrize("failpoint", ["after_draft", "after_sending", "after_accept"])
def test_a_further_try_survives_kills_too(house: House, failpoint: str) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=0.5)
    seq.enroll(house.people(1))
    seq.activate()
    seq.edit_step(2, when=Later(hours=48))
    dispatch.drain_sends(house.engine, threads=1)
    assert house.provider is not None
    house.provider.deliver_bounce(house.provider.ledger()[0], hard=False, action="failed")
    base = house.engine.now
    house.engine.now = lambda: base() - SOFT_BOUNCE_WAITS[0]
    sync.poll_mailbox(house.engine, box.id)
    house.engine.now = base
    assert house.drain(failpoint=failpoint) == -9

    def settled() -> bool:
        dispatch.drain_sends(house.engine, threads=1)
        return seq.journey(BO).steps["status"].to_list() == ["sent", "due"]

    wait_until(settled)
    assert house.witness(box) == Counter({(BO, "Hello P0"): 2})
    assert house.provider.draft_keys() == []


@pytest.mark.rule(18)
@pytest.mark.parametrize("active", [True, False], ids=["active", "switched off"])
def test_the_last_email_is_tried_again_too_though_the_journey_was_over(desk: Desk, active: bool) -> None:
    desk.seq.remove_step(2)
    sent = desk.start()
    assert desk.journey.status == "completed"
    if not active:
        desk.seq.deactivate()
    desk.bounce(sent)
    assert desk.journey.status == ("active" if active else "paused")
    if not active:
        desk.wait(SOFT_BOUNCE_WAITS[0] + dt.timedelta(hours=1))
        assert len(desk.left()) == 1
        desk.seq.activate()
    desk.wait(SOFT_BOUNCE_WAITS[0] + dt.timedelta(minutes=1))
    assert len(desk.left()) == 2
    assert desk.journey.status == "completed"
