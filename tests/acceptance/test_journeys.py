"""What a recruiter sees of journeys: activation, pauses, tasks, replies, bounces, spacing."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk.domain.sequence import Instant, Later, SpecificTime
from outreach_sdk.engine import dispatch, sync
from outreach_sdk.errors import IncompleteSequence, TransitionRefused
from outreach_sdk.objects.journey import Task
from outreach_sdk.objects.report import EnrollmentReport
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.workspace import Workspace
from tests.harness import House, sent_files, wait_until
from tests.mail.hostile import HostileTransport


class NoWake:
    """A clock without workers: the tests drain by hand."""

    def enqueue(self, queue: str, function: str, bucket: int) -> bool:
        return False


def tick(house: House) -> dict[str, int]:
    return dispatch.tick(house.engine, NoWake())


def go(house: House) -> None:
    tick(house)
    dispatch.drain_sends(house.engine, threads=4)


@pytest.mark.rule(1)
def test_an_incomplete_sequence_says_why_and_is_refused(house: House) -> None:
    seq = Sequence.create(timezone="UTC")
    assert seq.status == "incomplete"
    seq.add_email(None, "", thread="reply")
    with pytest.raises(IncompleteSequence) as refused:
        seq.activate()
    told = refused.value.problems
    assert told == seq.problems
    assert len(told) == 4  # name, thread, body, sender
    assert any("name" in t for t in told)
    assert any("mailbox" in t for t in told)


@pytest.mark.rule(2, 4)
def test_enrolled_while_inactive_waits_with_a_banner_and_starts_on_activation(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    report = seq.enroll(house.people(3))
    assert report.enrolled == 3
    assert "activate" in (report.notice or "")
    go(house)
    assert house.witness(box) == Counter()
    assert set(seq.candidates()["status"]) == {"pending"}
    seq.activate()
    house.settle(seq)
    assert sum(house.witness(box).values()) == 6


@pytest.mark.rule(3)
@pytest.mark.failure("pause and resume resends (3–5 copies for some, none for others)")
def test_deactivate_and_activate_resend_nothing_and_skip_nothing(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=0.2)
    seq.enroll(house.people(5))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    for _ in range(4):
        seq.deactivate()
        assert not seq.candidates()["next_due_at"].is_not_null().any()
        go(house)
        seq.activate()
        dispatch.drain_sends(house.engine, threads=2)
    house.settle(seq)
    assert set(house.witness(box).values()) == {1}
    assert sum(house.witness(box).values()) == 10


@pytest.mark.rule(2)
def test_a_journey_paused_by_hand_stays_paused_on_activation(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    journey = seq.journey("p0@candidate0.example")
    journey.pause()
    seq.activate()
    house.settle(seq)
    assert (journey.status, journey.reason) == ("paused", "manual")
    assert all(who != "p0@candidate0.example" for who, _ in house.witness(box))
    journey.resume()
    house.settle(seq)
    assert journey.status == "completed"


@pytest.mark.rule(2)
def test_a_step_inserted_before_the_last_handled_one_does_not_run(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    seq.add_email("Earlier {{ first_name }}", "too late")
    seq.move_step(3, 1)
    seq.edit_step(3, when=Later(seconds=0))
    house.settle(seq)
    assert {s for _, s in house.witness(box)} == {"Hello P0", "Re: Hello P0"}


@pytest.mark.rule(15, 16)
def test_an_answer_stops_the_journey_and_tells_the_owner(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=1.6)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    assert house.provider is not None
    first = next(a for a in house.provider.ledger() if a.subject == "Hello P0")
    house.provider.deliver_reply(first, "Yes, tell me more!")
    house.settle(seq)
    journey = seq.journey("p0@candidate0.example")
    assert (journey.status, journey.reason) == ("cancelled", "replied")
    assert Counter(r for r, _ in house.witness(box))["p0@candidate0.example"] == 1
    assert Counter(r for r, _ in house.witness(box))["p1@candidate1.example"] == 2
    told = house.engine.store.rows("SELECT text FROM notifications WHERE kind = 'replied'")
    assert len(told) == 1
    assert "tell me more" in told[0]["text"]
    assert journey.messages["direction"].to_list() == ["out", "in"]


@pytest.mark.rule(16)
@pytest.mark.failure('Graph notifications missing in bulk moves; restored mail fires "created" again')
def test_a_message_read_twice_counts_once(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    assert house.provider is not None
    house.provider.deliver_reply(house.provider.ledger()[0], "Yes.")
    sync.poll_mailbox(house.engine, box.id)
    house.provider.expire_cursors()
    sync.poll_mailbox(house.engine, box.id)
    sync.poll_mailbox(house.engine, box.id)
    assert house.engine.store.value("SELECT COUNT(*) FROM notifications WHERE kind = 'replied'") == 1


@pytest.mark.rule(16)
@pytest.mark.failure("own follow-up in Sent counted as a reply, across mailboxes too")
def test_ones_own_messages_never_count(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.enroll(house.people(3))
    seq.activate()
    house.settle(seq)
    sync.poll_mailbox(house.engine, box.id)
    assert set(seq.candidates()["status"]) == {"completed"}


@pytest.mark.rule(18)
def test_a_hard_bounce_cancels_and_marks_the_address(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)
    assert house.provider is not None
    house.provider.deliver_bounce(next(a for a in house.provider.ledger() if a.subject == "Hello P1"))
    sync.poll_mailbox(house.engine, box.id)
    assert seq.journey("p1@candidate1.example").reason == "bounced"
    assert seq.journey("p0@candidate0.example").status == "active"
    report = Sequence.create("Other", mailbox=box, timezone="UTC").enroll(house.people(2))
    assert report.rows.filter(report.rows["outcome"] == "held_back")["reason"].to_list() == [
        "invalid_address"
    ]


@pytest.mark.rule(8)
def test_a_manual_email_waits_is_edited_and_sent_once(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    seq.edit_step(2, manual=True, skip_after=3600)
    seq.enroll(house.people(1))
    seq.activate()
    go(house)
    tick(house)
    (task,) = Task.list()
    assert task.draft["body"] == "Just checking, P0."
    task.edit(body="Only for you, {{ first_name }}.")
    task.send_now()
    with pytest.raises(TransitionRefused):
        task.send_now()
    house.settle(seq)
    assert sum(house.witness(box).values()) == 2
    assert any(b"Only for you, P0." in raw for raw in sent_files(house, box))


@pytest.mark.rule(8, 32)
def test_a_send_now_that_a_halt_stopped_leaves_once_it_is_lifted(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box)
    seq.edit_step(1, manual=True)
    seq.remove_step(2)
    seq.enroll(house.people(1))
    seq.activate()
    tick(house)
    Task.list()[0].send_now()
    workspace = Workspace(house.session)
    transport = house.engine.transport
    assert house.provider is not None
    provider = house.provider

    class HaltedMeanwhile(HostileTransport):
        def create_draft(self, *args: Any, **kwargs: Any) -> Any:
            workspace.halt()
            return super().create_draft(*args, **kwargs)

    house.engine.transport = lambda row: HaltedMeanwhile(provider, row["address"])
    dispatch.drain_sends(house.engine, threads=1)
    house.engine.transport = transport
    assert house.witness(box) == Counter()
    tick(house)
    workspace.resume()
    house.settle(seq)
    assert house.witness(box) == Counter({("p0@candidate0.example", "Hello P0"): 1})


@pytest.mark.rule(8, 6)
def test_a_skipped_opening_lets_the_next_email_open_the_thread(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    seq.edit_step(1, manual=True, skip_after=0)
    seq.enroll(house.people(1))
    seq.activate()
    tick(house)
    tick(house)
    house.settle(seq)
    assert house.witness(box) == Counter({("p0@candidate0.example", "Hello P0"): 1})
    assert seq.journey("p0@candidate0.example").steps["status"].to_list() == ["skipped", "sent"]


@pytest.mark.rule(6)
def test_a_specific_time_long_past_pauses_as_overdue(house: House) -> None:
    box = house.local()
    seq = Sequence.create("Past", mailbox=box, timezone="UTC")
    past = house.engine.now() - dt.timedelta(hours=3)
    seq.add_email("Hello", "Hi", when=SpecificTime(past))
    seq.enroll(house.people(1))
    seq.activate()
    journey = seq.journey("p0@candidate0.example")
    assert (journey.status, journey.reason) == ("paused", "overdue")


@pytest.mark.failure("outage or restored database fires long-past sends at once")
def test_what_an_outage_made_a_week_late_pauses_instead_of_firing(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    now = house.engine.now()
    store = house.engine.store
    store.write("UPDATE journeys SET next_due_at = ?", now - dt.timedelta(days=9))
    store.write("UPDATE installation SET clock_seen_at = ?", now - dt.timedelta(days=9))
    dispatch.start_clock(house.engine)
    dispatch.drain_sends(house.engine, threads=2)
    assert house.witness(box) == Counter()
    assert set(seq.candidates()["reason"]) == {"overdue"}


@pytest.mark.rule(32)
def test_halt_stops_everything_until_resume(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    seq.activate()
    workspace = Workspace(house.session)
    workspace.halt()
    go(house)
    assert not house.engine.store.value("SELECT 1 FROM outbox LIMIT 1")
    assert "halted" in (seq.notice or "")
    workspace.resume()
    house.settle(seq)
    assert sum(house.witness(box).values()) == 4


@pytest.mark.rule(9)
def test_a_missing_field_pauses_and_names_it(house: House) -> None:
    box = house.local()
    seq = Sequence.create("Fields", mailbox=box, timezone="UTC")
    seq.add_email("Hello", "Hi {{ nickname }}", when=Instant())
    seq.enroll(house.people(1))
    seq.activate()
    house.settle(seq)
    journey = seq.journey("p0@candidate0.example")
    assert (journey.status, journey.reason) == ("paused", "missing_field")
    assert "nickname" in (journey.detail or "")


@pytest.mark.rule(12)
def test_a_dead_grant_pauses_tells_once_and_resumes_on_reconnecting(house: House) -> None:
    import dataclasses

    from tests.mail.hostile import Faults

    box = house.hostile(dataclasses.replace(Faults.none(), grant_dead=True))
    seq = house.two_steps(box)
    seq.enroll(house.people(3))
    seq.activate()
    house.settle(seq)
    assert box.status == "reauthorise"
    assert set(seq.candidates()["reason"]) == {"reauthorise"}
    assert house.engine.store.value("SELECT COUNT(*) FROM notifications WHERE kind = 'reauthorise'") == 1
    assert seq.status == "active"
    assert any("connected again" in p for p in seq.problems)
    assert house.provider is not None
    house.provider.faults = Faults.none()
    house.provider.close()
    box = house.hostile()
    house.settle(seq)
    assert set(house.witness(box).values()) == {1}
    assert sum(house.witness(box).values()) == 6


@pytest.mark.failure("outage or restored database fires long-past sends at once")
@pytest.mark.rule(7)
@pytest.mark.parametrize("backlog", [False, True])
def test_one_mailbox_is_spaced_also_across_sequences_and_after_an_outage(
    tmp_path: Path, backlog: bool
) -> None:
    spacing = 0.3
    house = House(
        tmp_path / "home", f"sqlite:///{tmp_path / 'db.sqlite'}", {"OUTREACH_STAGGER_SECONDS": str(spacing)}
    )
    box = house.hostile()
    both = [house.two_steps(box, delay=3600), house.two_steps(box, delay=3600)]
    both[0].enroll(house.people(6))
    both[1].enroll(house.people(6, start=6))
    for seq in both:
        seq.activate()
    if backlog:
        house.engine.store.write("UPDATE journeys SET next_due_at = next_due_at - ?", 3600 * 1_000_000)
    assert house.provider is not None
    provider = house.provider

    def all_left() -> bool:
        dispatch.drain_sends(house.engine, threads=8)
        return len(provider.ledger()) == 12

    wait_until(all_left)
    times = sorted(a.at for a in provider.ledger())
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert min(gaps) >= spacing - 0.02, gaps
    house.close()


@pytest.mark.rule(7)
def test_follow_ups_go_before_first_steps(tmp_path: Path) -> None:
    house = House(
        tmp_path / "home", f"sqlite:///{tmp_path / 'db.sqlite'}", {"OUTREACH_STAGGER_SECONDS": "0.05"}
    )
    box = house.hostile()
    seq = house.two_steps(box, delay=0)
    seq.enroll(house.people(3))
    seq.activate()
    house.settle(seq)
    assert house.provider is not None
    subjects = [a.subject for a in sorted(house.provider.ledger(), key=lambda a: a.at)]
    assert subjects == ["Hello P0", "Re: Hello P0", "Hello P1", "Re: Hello P1", "Hello P2", "Re: Hello P2"]
    house.close()


@pytest.mark.rule(20, 21)
def test_every_row_of_an_enrolment_is_accounted_for(house: House) -> None:
    box = house.local()
    seq = house.two_steps(box)
    rows = [
        *house.people(3),
        {"First Name": "P1", "Last Name": "Li", "Email": "P1@Candidate1.example"},
        {"First Name": "Bad", "Last Name": "Li", "Email": "nope"},
        {"First Name": "Link", "Last Name": "Li", "LinkedIn URL": "https://de.linkedin.com/in/link-li/"},
    ]
    dry = seq.enroll(rows, dry_run=True)
    assert seq.candidates().height == 0
    report = seq.enroll(rows)
    assert dry.counts() == report.counts()
    assert sum(report.counts().values()) == len(rows) == report.rows.height
    assert (report.enrolled, report.duplicates, report.rejected) == (4, 1, 1)
    linked = seq.candidates().filter(seq.candidates()["email"].is_null())
    assert linked["reason"].to_list() == ["no_email"]
    again = seq.enroll(rows)
    assert again.enrolled == 0
    assert set(again.rows.filter(again.rows["outcome"] == "duplicate")["reason"]) == {
        "already_in_sequence",
        "same_person_in_file",
    }


@pytest.mark.rule(21)
def test_the_suppressed_are_held_back_and_never_written_to(house: House) -> None:
    from outreach_sdk.objects.candidate import Candidate

    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(2))
    Candidate.get("p0@candidate0.example").suppress("asked by phone")
    seq.activate()
    house.settle(seq)
    assert {who for who, _ in house.witness(box)} == {"p1@candidate1.example"}
    other = Sequence.create("Other", mailbox=box, timezone="UTC").enroll(house.people(2))
    assert other.rows["reason"].to_list()[0] == "suppressed"


@pytest.mark.rule(10)
@pytest.mark.failure("follow-ups not threaded")
def test_a_follow_up_names_the_message_it_follows(house: House) -> None:
    import email
    import email.policy

    box = house.local()
    seq = house.two_steps(box)
    seq.enroll(house.people(1))
    seq.activate()
    house.settle(seq)
    messages = [email.message_from_bytes(raw, policy=email.policy.default) for raw in sent_files(house, box)]
    first = next(m for m in messages if m["Subject"] == "Hello P0")
    second = next(m for m in messages if m["Subject"] == "Re: Hello P0")
    assert second["In-Reply-To"] == first["Message-ID"]
    assert str(first["Message-ID"]) in str(second["References"])
    assert str(first["From"]) == "Ada <ada@agency.example>"


@pytest.mark.rule(7)
def test_one_slow_send_holds_nobody_up(tmp_path: Path) -> None:
    """A drain that claimed a batch and waited for all of it would leave the rest waiting here."""
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'db.sqlite'}", {"OUTREACH_LEASE_SECONDS": "60"})
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(30))
    seq.activate()
    assert house.provider is not None
    provider, let_go, slow = house.provider, threading.Event(), threading.Lock()

    class Slow(HostileTransport):
        def send_draft(self, provider_draft_id: str) -> Any:
            if slow.acquire(blocking=False):
                assert let_go.wait(60)
            return super().send_draft(provider_draft_id)

    transport = house.engine.transport
    house.engine.transport = lambda row: Slow(provider, row["address"])
    drain = threading.Thread(target=dispatch.drain_sends, args=(house.engine,), kwargs={"threads": 4})
    drain.start()
    try:
        wait_until(lambda: len(provider.ledger()) == 29)
    finally:
        let_go.set()
        drain.join(30)
    house.engine.transport = transport
    assert len(provider.ledger()) == 30
    house.close()


@pytest.mark.rule(21)
def test_cells_that_are_run_again_do_not_write_to_the_same_people_again(house: House) -> None:
    def cells(name: str = "Backend engineers") -> EnrollmentReport:
        seq = Sequence.create(name, mailbox=box, timezone="UTC")
        seq.add_email("Hello {{ first_name }}", "Hi")
        report = seq.enroll(house.people(3))
        seq.activate()
        house.settle(seq)
        return report

    box = house.local()
    assert cells().enrolled == 3
    again = cells()
    assert (again.enrolled, again.held_back) == (0, 3)
    assert set(again.rows["reason"]) == {"in_sequence_of_same_name"}
    assert set(house.witness(box).values()) == {1}
    assert cells("Frontend engineers").enrolled == 3, "another sequence is another thing to say"
    assert (
        Sequence.create("Backend engineers")
        .enroll(house.people(4), override="in_sequence_of_same_name")
        .enrolled
        == 4
    )
