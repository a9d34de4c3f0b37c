"""Which journey a message belongs to, and what that stops."""

from __future__ import annotations

from typing import Any

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.contact import canonical
from outreach_sdk.domain.sequence import Later
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import MailOutcomeUnknown, MailTemporary
from outreach_sdk.mail.port import SentMessage
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session
from outreach_sdk.storage.addresses import canonical_sql
from tests.acceptance.scenarios import (
    Clock,
    address,
    another_mailbox,
    colleague,
    fresh,
    go,
    provider_of,
    read_mail,
    state,
    through,
    told,
)
from tests.harness import ADDRESS, House
from tests.mail.hostile import Faults, HostileTransport


def completed(house: House, clock: Clock) -> Mailbox:
    """A mailbox that wrote twice to one person, whose journey has ended."""
    box = house.hostile()
    seq = house.two_steps(box, delay=60)
    seq.enroll(house.people(1))
    seq.activate()
    go(house)
    clock.on(minutes=2)
    go(house)
    assert seq.journey(address(0)).status == "completed"
    return box


def boxes(house: House) -> tuple[Session, Mailbox, Session, Mailbox]:
    """Ada and Bob, each with a mailbox at one provider."""
    ada = house.hostile()
    bob = colleague(house, "bob")
    return house.session, ada, bob, another_mailbox(house, bob, "bob@agency.example")


def written(house: House, session: Session, box: Mailbox, name: str, *, steps: int = 2) -> Sequence:
    """A sequence of this user's whose first e-mail has left for one person."""
    sessions.use(session)
    seq = Sequence.create(name, mailbox=box, timezone="UTC")
    seq.add_email(f"{name} {{{{ first_name }}}}", "Are you open to talk?")
    for _ in range(steps - 1):
        seq.add_email(body="Is it a no?", when=Later(days=3))
    seq.enroll(house.people(1), override=["contacted_by_colleague"])
    seq.activate()
    go(house)
    return seq


# -- fresh messages --------------------------------------------------------------------------------


@pytest.mark.rule(16, 19)
@pytest.mark.parametrize("days", [1, 400])
def test_who_asks_to_be_left_alone_after_the_journey_ended_is(house: House, days: int) -> None:
    clock = Clock(house)
    box = completed(house, clock)
    clock.on(days=days)
    dispatch.drain_polls(house.engine)
    provider_of(house).deliver(ADDRESS, fresh("Please unsubscribe me.", subject="Unsubscribe"), at=clock.now)
    read_mail(house, clock)
    assert told(house.session) == ["P0 Li asked not to be written to again by your e-mails."]
    report = house.two_steps(box).enroll(house.people(1))
    assert report.rows["reason"].to_list() == ["suppressed"]


@pytest.mark.rule(15, 16)
def test_a_fresh_answer_to_an_ended_journey_stops_the_one_that_has_yet_to_write(house: House) -> None:
    clock = Clock(house)
    box = completed(house, clock)
    later = Sequence.create("Second", mailbox=box, timezone="UTC")
    later.add_email("Another {{ first_name }}", "Hi", when=Later(hours=5))
    later.enroll(house.people(1))
    later.activate()
    clock.on(days=179)
    dispatch.drain_polls(house.engine)
    later.journey(address(0)).pause()  # or it would have left long ago
    provider_of(house).deliver(ADDRESS, fresh("I signed elsewhere."), at=clock.now)
    read_mail(house, clock)
    assert state(house.session, later) == ("cancelled", "replied")
    (first,) = house.engine.store.rows("SELECT status FROM journeys WHERE sequence_id <> ?", later.id)
    assert first["status"] == "completed"
    assert [n.startswith("P0 Li answered") for n in told(house.session)] == [True]
    assert list(outreach.inbox()["text"]) == ["I signed elsewhere."]


@pytest.mark.rule(15)
def test_half_a_year_after_the_end_a_fresh_message_is_nobody_s_business(house: House) -> None:
    clock = Clock(house)
    completed(house, clock)
    clock.on(days=181)
    dispatch.drain_polls(house.engine)
    provider_of(house).deliver(ADDRESS, fresh("Lunch?"), at=clock.now)
    read_mail(house, clock)
    assert told(house.session) == []
    assert outreach.inbox().height == 0
    assert house.engine.store.value("SELECT body_text FROM inbound") == ""


@pytest.mark.rule(15, 16)
def test_a_fresh_answer_belongs_to_whose_mailbox_got_it(house: House) -> None:
    clock = Clock(house)
    ada, box, bob, other = boxes(house)
    hers = written(house, ada, box, "Hello")
    clock.on(days=1)
    his = written(house, bob, other, "Hi")
    clock.on(hours=3)
    provider_of(house).deliver(ADDRESS, fresh("I'm not looking, thank you."), at=clock.now)
    read_mail(house, clock)
    assert (state(ada, hers), state(bob, his)) == (("cancelled", "replied"), ("active", None))
    assert len(told(ada)) == 1
    assert told(bob) == []
    for _ in range(4):
        clock.on(days=1)
        dispatch.drain_polls(house.engine)
        go(house)
    assert [a.mailbox for a in provider_of(house).ledger() if a.subject.startswith("Re:")] == [other.address]


@pytest.mark.rule(15, 16)
def test_a_fresh_answer_that_may_be_to_either_of_two_stops_both(house: House) -> None:
    clock = Clock(house)
    ada, box, bob, other = boxes(house)
    third = colleague(house, "carol")
    carol = another_mailbox(house, third, "carol@agency.example")
    hers, his = written(house, ada, box, "Hello"), written(house, bob, other, "Hi")
    provider_of(house).deliver(
        carol.address, fresh("Your colleague wrote to me: no, thanks.", to=carol.address), at=clock.now
    )
    read_mail(house, clock)
    assert (state(ada, hers), state(bob, his)) == (("cancelled", "replied"),) * 2
    assert [len(told(ada)), len(told(bob)), len(told(third))] == [1, 1, 0]
    assert "Your journey with them has stopped, too." in told(ada)[0]
    assert "no, thanks" in told(bob)[0]


@pytest.mark.rule(16, 17, 18)
def test_a_bounce_and_an_absence_without_a_reference_belong_to_whose_mailbox_got_them(house: House) -> None:
    clock = Clock(house)
    ada, box, bob, other = boxes(house)
    hers = written(house, ada, box, "Hello")
    clock.on(hours=1)
    his = written(house, bob, other, "Hi")
    away = fresh("I am out of office for two weeks.", subject="Automatic reply: Hello P0")
    provider_of(house).deliver(ADDRESS, b"Auto-Submitted: auto-replied\r\n" + away, at=clock.now)
    read_mail(house, clock)
    assert (state(ada, hers), state(bob, his)) == (("paused", "out_of_office"), ("active", None))
    bounce = fresh(
        f"Delivery to the following recipient failed permanently:\r\n\r\n  {address(0)}\r\n\r\n"
        "550 5.1.1 The email account that you tried to reach does not exist.",
        sender="Mail Delivery Subsystem <mailer-daemon@mail.example>",
        subject="Delivery Status Notification (Failure)",
        number=2,
    )
    provider_of(house).deliver(ADDRESS, bounce, at=clock.now)
    read_mail(house, clock)
    assert [("came back" in n) for n in told(ada)] == [True]
    assert state(bob, his) == ("cancelled", "bounced")
    (notice,) = told(bob)
    assert notice.startswith(f"{address(0)} isn't an address of P0 Li any more (")
    assert notice.endswith(f", in {ADDRESS}. Your journey with them has stopped, too.")


@pytest.mark.rule(17, 18)
@pytest.mark.parametrize("how", ["report", "left", "given up"])
def test_colleagues_whose_journeys_stop_with_an_address_are_told_once(house: House, how: str) -> None:
    clock = Clock(house)
    ada, box, bob, other = boxes(house)
    hers = written(house, ada, box, "Hello")
    clock.on(hours=1)
    his, another = written(house, bob, other, "Hi"), written(house, bob, other, "Once more")
    carol = colleague(house, "carol")
    elsewhere = written(house, carol, another_mailbox(house, carol, "carol@agency.example"), "Third")
    elsewhere.journey(address(0)).cancel()
    provider = provider_of(house)
    first = provider.ledger()[0]
    if how == "report":
        provider.deliver_bounce(first, at=clock.now)
    else:
        text = "I have left the company for good." if how == "left" else "This mailbox has been closed."
        provider.deliver_reply(first, text, headers=(("Auto-Submitted", "auto-replied"),), at=clock.now)
    read_mail(house, clock)
    assert {state(bob, seq)[0] for seq in (his, another)} | {state(ada, hers)[0]} == {"cancelled"}
    assert [len(told(user)) for user in (ada, bob, carol)] == [1, 1, 0]
    assert told(bob)[0].startswith(f"{address(0)} isn't an address of P0 Li any more (")


@pytest.mark.rule(15)
def test_an_answer_in_a_very_old_thread_stops_the_journey_that_runs(house: House) -> None:
    clock = Clock(house)
    box = completed(house, clock)
    first = provider_of(house).ledger()[0]
    clock.on(days=200)
    dispatch.drain_polls(house.engine)
    second = written(house, house.session, box, "New role")
    clock.on(hours=20)
    provider_of(house).deliver_reply(first, "Thanks for both mails. I have signed elsewhere.", at=clock.now)
    read_mail(house, clock)
    assert state(house.session, second) == ("cancelled", "replied")
    assert len(told(house.session)) == 1
    assert [m.visible_text for m in second.journey(address(0)).replies] == [
        "Thanks for both mails. I have signed elsewhere."
    ]


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("known", "writes"),
    [
        ("bo.li+jobs@gmail.com", "bo.li@gmail.com"),
        ("bo.li+jobs@gmail.com", "Boli@googlemail.com"),
        ("boli@gmail.com", "b.o.li@gmail.com"),
        ("bo.li@googlemail.com", "boli@gmail.com"),
        ("bo+jobs@home.example", "bo@home.example"),
        ("bo@home.example", "bo+x@home.example"),
        ("bo@bücher.example", "bo@bücher.example"),
        ("bo@bücher.example", "Bo <BO@XN--BCHER-KVA.example>"),
        ("bo@xn--bcher-kva.example", "Bo <bo@Bücher.example>"),
        ("bo@home.example", '"bo"@home.example'),
        ("bo@home.example", "bo@home.example."),
    ],
)
def test_a_fresh_answer_under_another_spelling_of_the_address_counts(
    house: House, known: str, writes: str
) -> None:
    clock = Clock(house)
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll([{"First Name": "Bo", "Email": known}, {"First Name": "Al", "Email": "b.o@home.example"}])
    seq.activate()
    go(house)
    provider_of(house).deliver(ADDRESS, fresh("Not interested.", sender=writes), at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, known) == ("cancelled", "replied")
    assert state(house.session, seq, "b.o@home.example") == ("active", None)


@pytest.mark.rule(19, 21)
@pytest.mark.parametrize("domain", ["bücher.example", "xn--bcher-kva.example"])
def test_who_asks_to_be_left_alone_from_an_international_domain_is(house: House, domain: str) -> None:
    clock = Clock(house)
    bo = {"First Name": "Bo", "Last Name": "Li", "Email": "bo@bücher.example"}
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll([bo])
    seq.activate()
    go(house)
    (first,) = provider_of(house).ledger()
    reference = f"In-Reply-To: {first.rfc_message_id}\r\n".encode()
    answer = fresh("Please unsubscribe me.", sender=f"bo@{domain}")
    provider_of(house).deliver(ADDRESS, reference + answer, at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, "bo@bücher.example") == ("cancelled", "opted_out")
    assert told(house.session) == ["Bo Li asked not to be written to again by your e-mails."]
    again = house.two_steps(house.hostile()).enroll([bo])
    assert again.rows["reason"].to_list() == ["suppressed"]


@pytest.mark.rule(18)
def test_a_report_that_spells_an_international_domain_out_is_about_the_candidate(house: House) -> None:
    clock = Clock(house)
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.edit_step(1, cc=["ats@inbound.example"])
    seq.enroll([{"First Name": "Bo", "Email": "bo@bücher.example"}])
    seq.activate()
    go(house)
    (first,) = provider_of(house).ledger()
    provider_of(house).deliver_bounce(first, "bo@bücher.example", at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, "bo@bücher.example") == ("cancelled", "bounced")


@pytest.mark.rule(16)
def test_who_has_the_very_address_comes_before_who_has_another_spelling(house: House) -> None:
    clock = Clock(house)
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(
        [{"First Name": "A", "Email": "bo+x@home.example"}, {"First Name": "B", "Email": "bo@home.example"}]
    )
    seq.activate()
    go(house)
    provider_of(house).deliver(ADDRESS, fresh("No.", sender="bo@home.example"), at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, "bo@home.example") == ("cancelled", "replied")
    assert state(house.session, seq, "bo+x@home.example") == ("active", None)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("spelled", "form"),
    [
        ("bo@home.example", "bo@home.example"),
        ("b.o@home.example", "b.o@home.example"),
        ("bo+jobs+x@home.example", "bo@home.example"),
        ("b.o.li@gmail.com", "boli@gmail.com"),
        ("b.o+a.b@googlemail.com", "bo@gmail.com"),
        ("bo.li@notgmail.com", "bo.li@notgmail.com"),
        ("bo.li@gmail.com.example", "bo.li@gmail.com.example"),
        ("bo.li@mail.gmail.com", "bo.li@mail.gmail.com"),
    ],
)
def test_database_and_rules_agree_on_what_an_address_is(house: House, spelled: str, form: str) -> None:
    store = house.engine.store
    sql = canonical_sql(store, "q.a")
    assert canonical(spelled) == form
    assert store.value(f"SELECT {sql} FROM (SELECT CAST(? AS TEXT) AS a) AS q", spelled) == form


# -- answers that come before it is known that their e-mail left -------------------------------------


@pytest.mark.rule(14, 16)
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("how", ["lost", "killed"])
def test_an_answer_read_before_the_send_was_settled_is_found_afterwards(
    house: House, how: str, steps: int
) -> None:
    box = house.hostile(Faults.none())
    seq = Sequence.create("Role", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi")
    if steps == 2:
        seq.add_email(body="Is it a no?", when=Later(hours=1))
    seq.enroll(house.people(1))
    seq.activate()
    provider = provider_of(house)
    if how == "killed":
        assert house.drain(failpoint="after_accept") == -9
    else:
        provider.faults = Faults(**{**vars(Faults.none()), "send_answer_lost": 1.0})
        dispatch.drain_sends(house.engine, threads=1)
        provider.faults = Faults.none()
    clock = Clock(house)
    clock.on(minutes=30)  # the one that reads is quicker than the one that asks what became of it
    provider.deliver_reply(provider.ledger()[0], "Gladly.", sender="private@home.example", at=clock.now)
    assert dispatch.drain_polls(house.engine)["messages"] == 1
    assert told(house.session) == []
    go(house)
    read_mail(house, clock)
    clock.on(hours=2)
    go(house)
    assert state(house.session, seq) == (("completed", None) if steps == 1 else ("cancelled", "replied"))
    assert [a.subject for a in provider.ledger()] == ["Hello P0"]
    assert len(told(house.session)) == 1
    assert [m.sender for m in seq.journey(address(0)).replies] == ["private@home.example"]
    assert house.engine.store.value("SELECT COUNT(*) FROM inbound WHERE again_at IS NOT NULL") == 0


@pytest.mark.rule(16)
def test_other_mail_that_came_meanwhile_is_read_once_more_and_stays_nobody_s(house: House) -> None:
    box = house.hostile()
    seq = house.two_steps(box, delay=3600)
    seq.enroll(house.people(1))
    seq.activate()
    assert house.drain(failpoint="after_accept") == -9
    clock = Clock(house)
    clock.on(minutes=30)
    provider = provider_of(house)
    provider.deliver(ADDRESS, fresh("News.", sender="news@shop.example"), at=clock.now)
    dispatch.drain_polls(house.engine)
    dispatch.drain_sends(house.engine, threads=1)
    read_mail(house, clock)
    before = provider.calls("read_thread")
    read_mail(house, clock)
    assert provider.calls("read_thread") == before
    assert house.engine.store.rows("SELECT sender, subject, body_text FROM inbound") == [
        {"sender": None, "subject": "", "body_text": ""}
    ]


class BobsIsOutOfOrder(HostileTransport):
    """Nobody can say what became of what Bob sends."""

    def send_draft(self, provider_draft_id: str) -> SentMessage:
        if self._address.startswith("bob"):
            raise MailOutcomeUnknown("504")
        return super().send_draft(provider_draft_id)

    def find_sent(self, **asked: Any) -> SentMessage | None:
        if self._address.startswith("bob"):
            raise MailTemporary("503")
        return super().find_sent(**asked)


@pytest.mark.rule(14, 16)
@pytest.mark.parametrize("to", [ADDRESS, "carol@agency.example"], ids=["in the thread", "elsewhere"])
def test_an_answer_doesn_t_wait_for_what_a_colleague_s_mailbox_keeps_open(house: House, to: str) -> None:
    ada, box, bob, other = boxes(house)
    another_mailbox(house, colleague(house, "carol"), "carol@agency.example")
    provider, clock = provider_of(house), Clock(house)
    with through(house, BobsIsOutOfOrder):
        sessions.use(bob)
        his = Sequence.create("His", mailbox=other, timezone="UTC")
        his.add_email("Hi", "Are you open to talk?")
        his.enroll(house.people(1, start=5))
        his.activate()
        go(house)
        clock.on(minutes=20)
        sessions.use(ada)
        hers = Sequence.create("Hers", mailbox=box, timezone="UTC")
        hers.add_email("Hello {{ first_name }}", "Are you open to talk?")
        hers.enroll(house.people(1))
        hers.activate()
        provider.faults = Faults(**{**vars(Faults.none()), "send_answer_lost": 1.0})
        dispatch.drain_sends(house.engine, threads=1)
        provider.faults = Faults.none()
        (first,) = (a for a in provider.ledger() if address(0) in a.recipients)
        clock.on(seconds=2)
        reference = f"In-Reply-To: {first.rfc_message_id}\r\n".encode()
        answer = fresh("Gladly.", sender="private@home.example", to=to)
        if to == ADDRESS:
            provider.deliver_reply(first, "Gladly.", sender="private@home.example", at=clock.now)
        else:
            provider.deliver(to, reference + answer, at=clock.now)
        dispatch.drain_polls(house.engine)
        clock.on(minutes=6)
        dispatch.drain_polls(house.engine)
        assert told(ada) == []
        go(house)
        for _ in range(5):
            clock.on(minutes=6)
            dispatch.drain_polls(house.engine)
        assert [n.split(" (")[0] for n in told(ada)] == ["P0 Li answered"]
        states = house.engine.store.rows("SELECT state FROM outbox ORDER BY id")
        assert [row["state"] for row in states] == ["unknown", "sent"]


@pytest.mark.rule(16)
def test_other_mail_is_read_again_ever_more_seldom_while_an_e_mail_stays_open(house: House) -> None:
    _, _, bob, other = boxes(house)
    provider, clock = provider_of(house), Clock(house)
    with through(house, BobsIsOutOfOrder):
        written(house, bob, other, "His")
        clock.on(minutes=1)
        reference = b"In-Reply-To: <other@shop.example>\r\n"
        for number in range(3):
            news = fresh("News.", sender="news@shop.example", number=number)
            provider.deliver(ADDRESS, reference + news, at=clock.now)
        dispatch.drain_polls(house.engine)
        counts = []
        for _ in range(2):
            before = provider.calls("read_thread")
            for _ in range(60):
                clock.on(minutes=6)
                dispatch.drain_polls(house.engine)
            counts.append(provider.calls("read_thread") - before)
    assert counts[1] <= 3 * 6
    assert counts[0] <= 3 * 10
    assert house.engine.store.value("SELECT COUNT(*) FROM inbound WHERE again_at IS NOT NULL") == 3
