"""How much and when: limits of mailboxes and people, hours and days, mailboxes that have to wait, mailboxes lent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections import Counter
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from outreach_sdk.config import Settings
from outreach_sdk.domain.pacing import PROVIDER_LIMITS, Limit
from outreach_sdk.domain.sequence import Later, NextBusinessDay, SpecificTime
from outreach_sdk.domain.windows import SendingWindow
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.journey import Task
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session, key_hash, open_session, use
from outreach_sdk.objects.workspace import Workspace, notifications
from tests.harness import ADDRESS, House
from tests.mail.hostile import Faults

MADRID = ZoneInfo("Europe/Madrid")


class Clock:
    """An engine whose time the test sets."""

    def __init__(self, house: House, start: dt.datetime) -> None:
        self.house, self.now = house, start.astimezone(dt.UTC)
        house.engine.now = lambda: self.now

    def drain(self, by: dt.timedelta = dt.timedelta(0)) -> None:
        self.now += by
        dispatch.drain_sends(self.house.engine, threads=4)


def one_step(house: House, box: Mailbox, name: str = "One") -> Sequence:
    seq = Sequence.create(name, mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, are you open to talk?")
    return seq


def left(house: House, box: Mailbox) -> list[str]:
    return sorted(who for who, _ in house.witness(box).elements())


# -- limits of a mailbox -----------------------------------------------------------------------
@pytest.mark.rule(7)
def test_a_mailboxs_limit_is_kept_in_any_stretch_and_the_rest_waits_in_order(house: House) -> None:
    box = house.hostile()
    box.set_limits(per_day=3, per_hour=2)
    clock = Clock(house, dt.datetime(2026, 3, 2, 9, 0, tzinfo=MADRID))
    first, second = one_step(house, box, "A"), one_step(house, box, "B")
    first.enroll(house.people(4))
    first.activate()
    clock.drain()
    second.enroll(house.people(2, start=10))
    second.activate()
    clock.drain()
    assert left(house, box) == [f"p{n}@candidate{n}.example" for n in (0, 1)]
    assert box.waits is not None
    assert "2 an hour" in box.waits
    for role in ("clock", "send"):
        dispatch.beat(house.engine, role, role, clock.now)
    assert "2 an hour" in str(first.notice)
    clock.drain(dt.timedelta(minutes=59))
    assert len(left(house, box)) == 2
    clock.drain(dt.timedelta(minutes=2))
    assert left(house, box) == [f"p{n}@candidate{n}.example" for n in (0, 1, 2)]
    assert "3 a day" in str(box.waits)
    assert box.limits.filter(box.limits["limit"] == "your limit of 3 a day")["sent"].item() == 3
    for _ in range(4):
        clock.drain(dt.timedelta(hours=25))
    # In the order of enrolment, whatever sequence; nothing failed, nobody lost, nothing twice.
    assert house.witness(box) == Counter(
        {(f"p{n}@candidate{n}.example", f"Hello P{n}"): 1 for n in (0, 1, 2, 3, 10, 11)}
    )
    assert set(first.candidates()["status"]) == set(second.candidates()["status"]) == {"completed"}
    assert box.waits is None
    told = notifications().filter(notifications()["kind"] == "mailbox_waits")
    assert 1 <= told.height <= 5, "once a day at most"


@pytest.mark.failure("daily budget checked when planned, not when sent → overshoot")
def test_a_limit_holds_however_many_send_at_once(house: House) -> None:
    box = house.hostile(dataclasses.replace(Faults.none(), latency=0.05))
    box.set_limits(per_day=5)
    seq = one_step(house, box)
    seq.enroll(house.people(30))
    seq.activate()

    def drain() -> None:
        dispatch.drain_sends(house.engine, threads=10)
        house.engine.store.idle()

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(left(house, box)) == 5
    assert house.provider is not None
    assert not house.provider.draft_keys(), "what has to wait leaves no drafts about"


def test_a_new_mailbox_warms_up(house: House) -> None:
    box = house.hostile()
    clock = Clock(house, dt.datetime.now(dt.UTC))
    box.set_limits(per_day=6, ramp_from=1, ramp_by=2)
    seq = one_step(house, box)
    seq.enroll(house.people(12))
    seq.activate()
    per_day = []
    for _ in range(4):
        before = len(left(house, box))
        for _ in range(24):
            clock.drain(dt.timedelta(hours=1, seconds=1))
        per_day.append(len(left(house, box)) - before)
    assert len(left(house, box)) == 12
    assert per_day[0] <= per_day[1] <= 6
    assert per_day[0] < 6


@pytest.mark.parametrize("wrong", [{"per_day": 0}, {"per_hour": -1}, {"ramp_by": 5}])
def test_limits_that_make_no_sense_are_refused_by_name(house: House, wrong: dict[str, int]) -> None:
    box = house.hostile()
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        box.set_limits(**wrong)


# -- limits of a person ------------------------------------------------------------------------
@pytest.mark.rule(21)
def test_one_person_gets_no_more_than_the_workspace_allows_whatever_sequences_say(house: House) -> None:
    Workspace(house.session).set(candidate_per_day=1, candidate_per_week=2)
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 2, 9, 0, tzinfo=MADRID))
    sequences = [one_step(house, box, name) for name in "ABC"]
    for seq in sequences:
        seq.enroll(house.people(1))
        seq.activate()
    clock.drain()
    assert len(left(house, box)) == 1
    waiting = [s for s in sequences if s.candidates()["status"].item() == "active"]
    assert "1 e-mail a day" in waiting[0].candidates()["detail"].item()
    clock.drain(dt.timedelta(hours=23, minutes=59))
    assert len(left(house, box)) == 1
    clock.drain(dt.timedelta(minutes=2))
    assert len(left(house, box)) == 2
    clock.drain(dt.timedelta(days=2))
    assert len(left(house, box)) == 2, "two a week"
    clock.drain(dt.timedelta(days=5))
    assert len(left(house, box)) == 3
    assert {s.candidates()["status"].item() for s in sequences} == {"completed"}


# -- hours and days ----------------------------------------------------------------------------
def test_outside_its_hours_nothing_leaves_and_the_next_morning_is_not_a_burst(house: House) -> None:
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 6, 20, 0, tzinfo=MADRID))  # a Friday evening
    seq = one_step(house, box)
    seq.window = SendingWindow("09:00", "17:00")
    seq.enroll(house.people(40))
    seq.activate()
    due = seq.candidates()["next_due_at"].to_list()
    for at in due:
        local = at.astimezone(MADRID)
        assert (local.date(), local.hour) >= (dt.date(2026, 3, 9), 9)
        assert (local.date(), local.hour) < (dt.date(2026, 3, 9), 17)
    assert len({d.astimezone(MADRID).hour for d in due}) >= 6, "spread over the day"
    seq.deactivate()
    seq.activate()
    assert sorted(seq.candidates()["next_due_at"].to_list()) != [None] * 40
    clock.drain(dt.timedelta(days=2, hours=12, minutes=59))
    assert left(house, box) == [], "Monday, 8:59"
    counts = []
    for _ in range(8):
        clock.drain(dt.timedelta(hours=1))
        counts.append(len(left(house, box)))
    assert counts == sorted(set(counts)), "some each hour"
    assert counts[-1] == 40


def test_hours_are_the_candidates_own(house: House) -> None:
    box = house.hostile()
    Clock(house, dt.datetime(2026, 3, 2, 8, 30, tzinfo=MADRID))
    Workspace(house.session).set(window={"start": "09:00", "end": "10:00"})
    seq = one_step(house, box)
    rows = [
        {"Email": f"p{n}@c{n}.example", "First Name": "P", "Timezone": zone}
        for n, zone in enumerate(["Asia/Tokyo", "America/New_York", ""])
    ]
    seq.enroll(rows)
    seq.activate()
    for zone, at in zip(
        ["Asia/Tokyo", "America/New_York", "Europe/Madrid"],
        seq.candidates()["next_due_at"].to_list(),
        strict=True,
    ):
        local = at.astimezone(ZoneInfo(zone))
        assert local.hour == 9, zone
        assert local.date() == dt.date(2026, 3, 3 if zone == "Asia/Tokyo" else 2)
    shown = seq.preview()["at"].to_list()[0].astimezone(ZoneInfo("Asia/Tokyo"))
    assert shown.hour == 9, "the preview says when it would really leave"
    seq.window = None
    assert seq.window is None
    seq.window = "workspace"
    assert seq.window == SendingWindow("09:00", "10:00")


def test_what_was_held_up_past_its_hours_waits_for_the_next_ones(house: House) -> None:
    box = house.hostile()
    box.set_limits(per_hour=1)
    clock = Clock(house, dt.datetime(2026, 3, 2, 16, 30, tzinfo=MADRID))
    seq = one_step(house, box)
    seq.window = SendingWindow("09:00", "17:00")
    seq.enroll(house.people(2))
    seq.activate()
    clock.drain()
    assert len(left(house, box)) == 1
    clock.drain(dt.timedelta(hours=2))
    assert len(left(house, box)) == 1, "the mailbox could, but it is 18:30"
    (at,) = [d for d in seq.candidates()["next_due_at"].to_list() if d]
    assert at.astimezone(MADRID).date() == dt.date(2026, 3, 3)
    clock.drain(at - clock.now)
    assert len(left(house, box)) == 2


@pytest.mark.rule(6)
def test_a_time_somebody_set_is_kept_whatever_the_hours(house: House) -> None:
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 2, 12, 0, tzinfo=MADRID))
    Workspace(house.session).set(window=SendingWindow("09:00", "17:00"))
    seq = Sequence.create("Evening", mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello", "Hi", when=SpecificTime("2026-03-02 20:00", timezone="Europe/Madrid"))
    seq.enroll(house.people(1))
    seq.activate()
    clock.drain(dt.timedelta(hours=8, minutes=1))
    assert len(left(house, box)) == 1


@pytest.mark.rule(8)
def test_a_persons_send_now_waits_for_no_hours(house: House) -> None:
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 2, 20, 0, tzinfo=MADRID))
    seq = Sequence.create("By hand", mailbox=box, timezone="Europe/Madrid")
    seq.window = SendingWindow("09:00", "17:00")
    seq.add_email("Hello", "Hi", manual=True)
    seq.enroll(house.people(1))
    seq.activate()
    dispatch.tasks.open_due(house.engine)
    Task.list()[0].send_now()
    clock.drain()
    assert len(left(house, box)) == 1


@pytest.mark.rule(6)
def test_holidays_of_the_workspace_move_the_next_business_day(house: House) -> None:
    box = house.hostile()
    Clock(house, dt.datetime(2026, 12, 23, 12, 0, tzinfo=MADRID))
    Workspace(house.session).set(holidays="ES", closed=["2026-12-24"])
    seq = Sequence.create("Christmas", mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello", "Hi", when=NextBusinessDay("09:00"))
    seq.enroll(house.people(1))
    seq.activate()
    (at,) = seq.candidates()["next_due_at"].to_list()
    assert at.astimezone(MADRID) == dt.datetime(2026, 12, 28, 9, 0, tzinfo=MADRID)


@pytest.mark.rule(6)
def test_an_e_mail_held_up_until_a_closed_day_leaves_on_the_next_business_day(house: House) -> None:
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 5, 12, 0, tzinfo=MADRID))  # a Thursday
    Workspace(house.session).set(closed=["2026-03-09"])
    seq = Sequence.create("Held up", mailbox=box, timezone="Europe/Madrid")
    seq.add_email("Hello {{ first_name }}", "Hi", when=NextBusinessDay("09:00"))
    seq.enroll(house.people(2))
    seq.activate()
    clock.drain(dt.timedelta(days=2))
    assert left(house, box) == [], "nothing ran on Friday, and this is Saturday"
    due = {d.astimezone(MADRID) for d in seq.candidates()["next_due_at"].to_list()}
    assert due == {dt.datetime(2026, 3, 10, 9, 0, tzinfo=MADRID)}
    clock.drain(dt.timedelta(days=2, hours=23))
    assert len(left(house, box)) == 2


def test_a_first_step_after_a_delay_finds_its_own_place_in_the_hours(house: House) -> None:
    box = house.hostile()
    Clock(house, dt.datetime(2026, 3, 2, 16, 0, tzinfo=MADRID))
    seq = Sequence.create("Later", mailbox=box, timezone="Europe/Madrid")
    seq.window = SendingWindow("09:00", "17:00")
    seq.add_email("Hello", "Hi", when=Later(hours=2))
    seq.enroll(house.people(20))
    seq.activate()
    hours = {d.astimezone(MADRID).hour for d in seq.candidates()["next_due_at"].to_list()}
    assert hours <= set(range(9, 17))
    assert len(hours) > 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", "9 to 5"),
        ("holidays", "Atlantis"),
        ("closed", ["24.12."]),
        ("candidate_per_day", 0),
        ("overdue_after", "soon"),
        ("colleague_days", "many"),
        ("reply_stops", "nobody"),
        ("colour", "blue"),
    ],
)
def test_settings_name_what_they_cannot_take(house: House, name: str, value: object) -> None:
    ws = Workspace(house.session)
    before = ws.settings
    with pytest.raises(InvalidInput, match=name):
        ws.set(colleague_days=3, **{name: value}) if name != "colleague_days" else ws.set(**{name: value})
    assert ws.settings == before, "nothing half-written"


# -- a mailbox that is told to wait ------------------------------------------------------------
@pytest.mark.rule(13)
def test_told_to_slow_down_the_whole_mailbox_waits_and_nothing_counts_against_anybody(house: House) -> None:
    faults = dataclasses.replace(Faults.none(), send_rate_limited=1.0, retry_after=120.0)
    box = house.hostile(faults)
    assert house.provider is not None
    clock = Clock(house, dt.datetime.now(dt.UTC))
    seq = one_step(house, box)
    seq.enroll(house.people(12))
    seq.activate()
    clock.drain()
    asked = house.provider.calls("send_draft")
    assert 1 <= asked <= 4, "those in flight, and nobody after them"
    assert box.waits is not None
    clock.drain(dt.timedelta(seconds=60))
    assert house.provider.calls("send_draft") == asked
    for _ in range(30):
        clock.drain(dt.timedelta(seconds=121))
    assert set(seq.candidates()["status"]) == {"active"}, "however long it lasts, nobody is paused"
    house.provider.faults = Faults.none()
    clock.drain(dt.timedelta(minutes=20))
    assert len(left(house, box)) == 12
    assert box.waits is None


# -- lent mailboxes ----------------------------------------------------------------------------
@pytest.fixture
def bea(house: House) -> Iterator[Session]:
    """Somebody else of the same workspace."""
    name, key = "bea", "key-of-bea"
    house.engine.store.insert(
        "users",
        {
            "workspace_id": house.session.workspace_id,
            "name": name,
            "email": f"{name}@agency.example",
            "role": "member",
            "api_key_hash": key_hash(key),
            "sequences_access": True,
            "created_at": house.engine.now(),
        },
    )
    who = {"OUTREACH_API_KEY": key} if house.url.startswith("postgres") else {"OUTREACH_USER": name}
    session = open_session(Settings.from_env({**house.env, **who}))
    use(house.session)
    yield session
    session.store.close()


@pytest.mark.rule(11)
@pytest.mark.parametrize("to", ["bea", "bea@agency.example", "team"])
def test_a_lent_mailbox_sends_for_whom_it_was_lent_to_until_it_is_taken_back(
    house: House, bea: Session, to: str
) -> None:
    box = house.local()
    ada = house.session
    use(bea)
    with pytest.raises(NotFound):
        Sequence.create("Beas", mailbox=ADDRESS)
    use(ada)
    box.allow(to)
    box.allow(to)
    assert box.lent.height == 1

    use(bea)
    seq = Sequence.create("Beas", mailbox=ADDRESS, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi", cc=["bea+{{ first_name }}@agency.example"])
    seq.add_email(body="Still there?", when=Later(seconds=0))
    seq.enroll(house.people(3))
    seq.activate()
    claimed = house.engine
    dispatch.drain_sends(claimed, threads=2)
    assert sum(house.witness(box).values()) >= 3
    with pytest.raises(NotFound):
        Mailbox.get(ADDRESS).disconnect()

    use(ada)
    later = one_step(house, box, "Adas")
    later.enroll(house.people(1, start=50))
    box.revoke(to)
    use(bea)
    seq.enroll(house.people(2, start=20))
    dispatch.drain_sends(claimed, threads=2)
    assert not [who for who in left(house, box) if who.startswith("p2") and who != "p2@candidate2.example"]
    assert "isn't lent" in " ".join(seq.problems)
    use(ada)
    box.allow(to)
    use(bea)
    dispatch.drain_sends(claimed, threads=2)
    house.settle(seq)
    assert seq.problems == []
    assert sum(house.witness(box).values()) == 10


@pytest.mark.rule(11)
def test_who_lost_a_mailbox_is_told_and_the_owner_of_the_sequence_reads_the_replies(
    house: House, bea: Session
) -> None:
    box = house.local()
    ada = house.session
    box.allow("team")
    use(bea)
    seq = Sequence.create("Beas", mailbox=ADDRESS, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    seq.add_email(body="Still there?", when=Later(days=3))
    seq.enroll(house.people(2))
    seq.activate()
    dispatch.drain_sends(house.engine, threads=2)

    inbox = house.home / "mail" / ADDRESS / "new"
    (inbox / "1.eml").write_bytes(
        b"From: p0@candidate0.example\r\nTo: ada@agency.example\r\nSubject: Re: Hello P0\r\n"
        b"Message-ID: <a1@candidate0.example>\r\n\r\nYes, let us talk.\r\n"
    )
    house.engine.store.write("UPDATE mailboxes SET next_poll_at = ?", house.engine.now())
    dispatch.drain_polls(house.engine)
    journey = seq.journey("p0@candidate0.example")
    assert (journey.status, journey.reason) == ("cancelled", "replied")
    assert "Yes, let us talk." in str(journey.messages.to_dicts())
    assert any("Yes, let us talk" in t for t in notifications()["text"])

    use(ada)
    assert not any("Yes, let us talk" in t for t in notifications()["text"])
    box.revoke("team")
    use(bea)
    paused = seq.journey("p1@candidate1.example")
    assert (paused.status, paused.reason) == ("paused", "mailbox_disconnected")
    assert any("can't send from" in t for t in notifications()["text"])


@pytest.mark.rule(7)
def test_exchange_counts_the_people_an_email_goes_to(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    most = Limit(dt.timedelta(days=1), 5, "Exchange's limit of 5 recipients a day", recipients=True)
    monkeypatch.setitem(PROVIDER_LIMITS, "hostile", (most,))
    box = house.hostile()
    clock = Clock(house, dt.datetime(2026, 3, 2, 9, 0, tzinfo=MADRID))
    seq = one_step(house, box)
    seq.edit_step(1, cc=["bea@agency.example"], bcc=["ats@agency.example"])
    seq.enroll(house.people(4))
    seq.activate()
    for _ in range(4):
        clock.drain()
    # To three people each: a second one would be one over the five.
    assert len({who for who in left(house, box) if who.startswith("p")}) == 1
    assert box.waits is not None
    assert "5 recipients a day" in box.waits
    assert box.limits["sent"].to_list() == [3]
    for _ in range(3):
        clock.drain(dt.timedelta(hours=24, minutes=1))
    assert len({who for who in left(house, box) if who.startswith("p")}) == 4
