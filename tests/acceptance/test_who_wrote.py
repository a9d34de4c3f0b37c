"""Who wrote a message: a candidate, another one, a stranger, one of ours; and who is answered."""

from __future__ import annotations

import pytest

import outreach_sdk as outreach
from outreach_sdk.domain.message import KEY_HEADER
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import MissingField
from outreach_sdk.mail.port import Identity
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.candidate import Candidate
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.scenarios import (
    Clock,
    address,
    another_mailbox,
    colleague,
    fresh,
    go,
    opened,
    provider_of,
    read_mail,
    state,
    told,
)
from tests.harness import ADDRESS, House
from tests.mail.hostile import HostileTransport


def _two(house: House) -> Sequence:
    seq = house.two_steps(house.hostile(), delay=3600)
    seq.enroll(house.people(2))
    seq.activate()
    go(house)
    return seq


def _answers(house: House, clock: Clock, text: str, sender: str, **headers: str) -> None:
    """Somebody answers the first person's e-mail."""
    provider = provider_of(house)
    first = next(a for a in provider.ledger() if address(0) in a.recipients)
    provider.deliver_reply(
        first,
        text,
        sender=sender,
        headers=tuple((k.replace("_", "-"), v) for k, v in headers.items()),
        at=clock.now,
    )
    read_mail(house, clock)


@pytest.mark.rule(15, 16)
def test_a_candidate_who_answers_in_another_s_thread_has_answered_too(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "P0 passed this on to me: no thanks.", address(1))
    assert [state(house.session, seq, address(n)) for n in range(2)] == [("cancelled", "replied")] * 2
    assert [n.split(" answered")[0] for n in told(house.session)] == ["P1 Li, in the thread of P0 Li,"]
    assert [m.sender for m in seq.journey(address(1)).replies] == [address(1)]
    assert sorted(seq.journey(address(1)).messages["direction"]) == ["in", "out"]
    assert list(outreach.inbox()["candidate"]) == ["P1 Li"]


@pytest.mark.rule(19)
def test_what_another_candidate_asks_for_is_theirs_alone(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "Please unsubscribe me.", address(1))
    assert state(house.session, seq, address(1)) == ("cancelled", "opted_out")
    assert state(house.session, seq, address(0)) == ("cancelled", "replied")
    assert list(house.engine.store.rows("SELECT value FROM suppressions")) == [{"value": address(1)}]
    assert told(house.session)[0].startswith("P1 Li asked not to be written to again")


@pytest.mark.rule(19)
def test_a_stranger_s_wish_is_the_stranger_s_until_a_person_says_otherwise(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(
        house, clock, "Please take me off this thread, unsubscribe me.", "Kim Oz <kim@elsewhere.example>"
    )
    store = house.engine.store
    assert state(house.session, seq) == ("cancelled", "replied")
    assert store.rows("SELECT value FROM suppressions") == [{"value": "kim@elsewhere.example"}]
    (notice,) = told(house.session)
    assert notice.startswith("kim@elsewhere.example, in the thread of P0 Li, asked")
    seq.journey(address(0)).replies[0].correct("unsubscribe")
    assert {r["value"] for r in store.rows("SELECT value FROM suppressions")} == {
        "kim@elsewhere.example",
        address(0),
    }


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "sender", ["P0 Li <private@home.example>", "private@home.example", "p0.li@home.example"]
)
def test_a_candidate_s_wish_from_an_address_nobody_knew_holds_for_all_of_theirs(
    house: House, sender: str
) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "Please unsubscribe me.", sender)
    mail = sender.rpartition("<")[2].rstrip(">")
    assert state(house.session, seq) == ("cancelled", "opted_out")
    assert {r["value"] for r in house.engine.store.rows("SELECT value FROM suppressions")} == {
        mail,
        address(0),
    }
    assert told(house.session) == [
        f"P0 Li asked not to be written to again by your e-mails, from {mail}, which wasn't known as theirs."
    ]


# -- whose own messages they are -----------------------------------------------------------------------


@pytest.mark.rule(16)
def test_a_candidate_who_uses_this_software_too_has_answered(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "Yes, let's talk.", address(0), **{KEY_HEADER: "6d1f0a2b9c"})
    assert state(house.session, seq) == ("cancelled", "replied")


@pytest.mark.rule(16)
def test_a_colleague_who_is_a_candidate_answers_in_their_own_thread(house: House) -> None:
    clock = Clock(house)
    box, provider = house.hostile(), provider_of(house)
    bob = another_mailbox(house, colleague(house, "bob"), "bob@agency.example")
    seq = house.two_steps(box, delay=86_400)
    seq.enroll([{"First Name": "Bob", "Email": "bob@agency.example"}, {"First Name": "Me", "Email": ADDRESS}])
    seq.activate()
    go(house)
    sent = {min(a.recipients): a for a in provider.ledger()}
    reference = f"In-Reply-To: {sent['bob@agency.example'].rfc_message_id}\r\n".encode()
    provider.deliver(
        bob.address, reference + fresh("Yes!", sender=bob.address), at=clock.now
    )  # the sent copy
    provider.deliver(ADDRESS, fresh("Lunch?", sender=bob.address, number=2), at=clock.now)
    provider.deliver_reply(sent[ADDRESS], "A note to myself.", at=clock.now)
    read_mail(house, clock)
    assert [state(house.session, seq, a)[0] for a in (bob.address, ADDRESS)] == ["active", "active"]
    provider.deliver(ADDRESS, reference + fresh("Yes!", sender=bob.address, number=3), at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, bob.address) == ("cancelled", "replied")
    assert state(house.session, seq, ADDRESS) == ("active", None)


@pytest.mark.rule(11, 16)
def test_a_colleague_without_a_mailbox_who_was_copied_is_one_of_ours(house: House) -> None:
    clock = Clock(house)
    colleague(house, "carl")
    seq = house.two_steps(house.hostile(), delay=86_400)
    seq.edit_step(1, cc=["carl@agency.example"])
    seq.enroll([*house.people(1), {"First Name": "Carl", "Email": "carl@agency.example"}])
    seq.activate()
    go(house)
    _answers(house, clock, "Ada, that's the one I met at the fair.", "Carl <Carl@agency.example>")
    assert [state(house.session, seq, a)[0] for a in (address(0), "carl@agency.example")] == ["active"] * 2
    assert told(house.session) == []
    (his,) = (
        a
        for a in provider_of(house).ledger()
        if min(a.recipients) == "carl@agency.example" and len(a.recipients) == 1
    )
    provider_of(house).deliver_reply(his, "Yes, I'm open to talk.", at=clock.now)
    read_mail(house, clock)
    assert state(house.session, seq, "carl@agency.example") == ("cancelled", "replied")
    assert state(house.session, seq)[0] == "active"


@pytest.mark.rule(15, 16)
@pytest.mark.parametrize("later", ["the colleague's", "the sender's"])
def test_an_answer_that_reaches_two_mailboxes_counts_once(house: House, later: str) -> None:
    clock = Clock(house)
    seq = opened(house)
    provider = provider_of(house)
    bob = another_mailbox(house, colleague(house, "bob"), "bob@agency.example")
    (first,) = provider.ledger()
    answer = f"In-Reply-To: {first.rfc_message_id}\r\n".encode() + fresh("Let's talk.")
    for to in sorted((ADDRESS, bob.address), reverse=later == "the sender's"):
        provider.deliver(to, answer, at=clock.now)
        read_mail(house, clock)
    assert len(told(house.session)) == 1
    assert outreach.inbox().height == 1
    (message,) = seq.journey(address(0)).replies
    message.reply("When?")
    dispatch.drain_sends(house.engine, threads=1)
    assert [(a.mailbox, a.subject) for a in provider.ledger()][1:] == [(ADDRESS, "Re: Your message")]


@pytest.mark.rule(15, 16)
@pytest.mark.parametrize("first", ["one's own", "the list's"])
def test_an_answer_that_reaches_a_mailbox_twice_counts_once(house: House, first: str) -> None:
    clock = Clock(house)
    seq = opened(house)
    provider = provider_of(house)
    reference = f"In-Reply-To: {provider.ledger()[0].rfc_message_id}\r\n".encode()
    own = reference + fresh("Let's talk.")
    copy = (
        b"List-Id: <jobs.agency.example>\r\n" + reference + fresh("Let's talk.\r\n____\r\nThe list of jobs")
    )
    for answer in (own, copy) if first == "one's own" else (copy, own):
        provider.deliver(ADDRESS, answer, at=clock.now)
    read_mail(house, clock)
    assert len(told(house.session)) == 1
    assert outreach.inbox().height == 1
    assert len(seq.journey(address(0)).replies) == 1


@pytest.mark.rule(15, 16, 19)
def test_another_answer_under_the_same_id_is_another_answer(house: House) -> None:
    clock = Clock(house)
    seq = opened(house)
    provider = provider_of(house)
    reference = f"In-Reply-To: {provider.ledger()[0].rfc_message_id}\r\n".encode()
    for text in ("Let's talk.", "On second thoughts, please unsubscribe me."):
        provider.deliver(ADDRESS, reference + fresh(text), at=clock.now)
        read_mail(house, clock)
    assert len(seq.journey(address(0)).replies) == 2
    assert house.engine.store.rows("SELECT value FROM suppressions") == [{"value": address(0)}]


@pytest.mark.rule(15, 16)
def test_an_answer_without_an_id_in_an_account_of_two_counts_once(house: House) -> None:
    clock = Clock(house)
    seq = opened(house)
    provider = provider_of(house)
    bob = colleague(house, "bob")
    another_mailbox(house, bob, ADDRESS)
    reference = f"In-Reply-To: {provider.ledger()[0].rfc_message_id}\r\n".encode()
    answer = reference + fresh("Let's talk.").replace(b"Message-ID: <m1@home.example>\r\n", b"")
    for _ in range(2):  # two answers, each of them in both
        provider.deliver(ADDRESS, answer, at=clock.now)
        read_mail(house, clock)
    assert [len(told(user)) for user in (house.session, bob)] == [2, 0]
    sessions.use(house.session)
    assert len(seq.journey(address(0)).replies) == 2


GROUP = "jobs@agency.example"
LIST = f"List-ID: <jobs.agency.example>\r\nMailing-list: list {GROUP}\r\nPrecedence: list\r\n"
NAMED = "X-Original-From: P0 Li <p0@candidate0.example>\r\nX-Original-Sender: p0@candidate0.example\r\n"


def _by_the_group(house: House, clock: Clock, headers: str, text: str = "I have signed elsewhere.") -> None:
    """An answer as a group of ours passes it on, from a domain that lets nobody else write for it."""
    (first, *_) = provider_of(house).ledger()
    raw = (
        f"From: \"'P0 Li' via Jobs\" <{GROUP}>\r\nTo: Jobs <{GROUP}>\r\nSubject: Re: Hello P0\r\n"
        f"Message-ID: <g@candidate0.example>\r\nIn-Reply-To: {first.rfc_message_id}\r\n{headers}\r\n{text}\r\n"
    )
    provider_of(house).deliver(ADDRESS, raw.encode(), at=clock.now)
    read_mail(house, clock)


def _as_the_group(house: House, monkeypatch: pytest.MonkeyPatch) -> Sequence:
    """Two steps that leave under a group's address, of which the first has left."""
    aliases = [Identity(ADDRESS, "Ada", default=True), Identity(GROUP, "Jobs")]
    monkeypatch.setattr(HostileTransport, "identities", lambda self: aliases, raising=False)
    seq = house.two_steps(house.hostile(), delay=3600)
    for step in (1, 2):
        seq.edit_step(step, alias=GROUP)
    seq.enroll(house.people(1))
    seq.activate()
    go(house)
    return seq


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "headers",
    [
        LIST + NAMED + "Reply-To: P0 Li <p0@candidate0.example>\r\n",
        LIST + NAMED + f"Reply-To: {GROUP}\r\n",
        LIST + "X-Original-Sender: p0@candidate0.example\r\n",
        LIST + "Reply-To: P0 Li <p0@candidate0.example>\r\n",
        "X-Google-Group-Id: 7\r\n" + NAMED,
    ],
)
def test_an_answer_that_a_group_passes_on_under_its_own_address_is_its_author_s(
    house: House, monkeypatch: pytest.MonkeyPatch, headers: str
) -> None:
    clock = Clock(house)
    seq = _as_the_group(house, monkeypatch)
    _by_the_group(house, clock, headers)
    assert state(house.session, seq) == ("cancelled", "replied")
    assert [n.split(" (")[0] for n in told(house.session)] == ["P0 Li answered"]
    (message,) = seq.journey(address(0)).replies
    assert message.sender == address(0)
    message.reply("I wish you well there.")
    clock.on(hours=2)
    go(house)
    subjects = [(a.subject, a.recipients) for a in provider_of(house).ledger()[1:]]
    assert subjects == [("Re: Hello P0", frozenset({address(0)}))]


@pytest.mark.rule(19)
def test_whoever_asks_by_a_group_to_be_left_alone_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(house)
    seq = _as_the_group(house, monkeypatch)
    other = NAMED.replace("p0@candidate0.example", "p0@home.example")
    _by_the_group(house, clock, LIST + other, "Please unsubscribe me.")
    assert state(house.session, seq) == ("cancelled", "opted_out")
    suppressed = {r["value"] for r in house.engine.store.rows("SELECT value FROM suppressions")}
    assert suppressed == {"p0@home.example", address(0)}


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "headers",
    [
        LIST + f"X-Original-From: Ada <{ADDRESS}>\r\nReply-To: Client <client@acme.example>\r\n",
        LIST,
        "Reply-To: P0 Li <p0@candidate0.example>\r\n",
    ],
    ids=["by one of ours", "by nobody named", "by no list"],
)
def test_what_one_of_ours_writes_to_the_group_is_no_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, headers: str
) -> None:
    clock = Clock(house)
    seq = _as_the_group(house, monkeypatch)
    _by_the_group(house, clock, headers)
    assert state(house.session, seq) == ("active", None)
    assert told(house.session) == []


# -- answering -------------------------------------------------------------------------------------------


@pytest.mark.rule(29)
def test_an_answer_goes_to_whoever_wrote_by_their_name(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "P0 passed this on, I'm interested!", address(1))
    (message,) = seq.journey(address(0)).replies
    message.reply("Hi {{ first_name }}, when can we talk?")
    dispatch.drain_sends(house.engine, threads=1)
    last = provider_of(house).ledger()[-1]
    assert last.recipients == frozenset({address(1)})
    ((raw,),) = provider_of(house).rows(
        "SELECT raw FROM messages WHERE kind = 'sent' ORDER BY seq DESC LIMIT 1"
    )
    assert b"P1 Li" in raw  # type: ignore[operator]
    assert "Hi P1, when" in last.text


@pytest.mark.rule(29)
def test_a_stranger_isn_t_called_by_the_candidate_s_name(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "P0 passed this on, I'm interested!", "Kim Oz <kim@elsewhere.example>")
    (message,) = seq.journey(address(0)).replies
    with pytest.raises(MissingField):
        message.reply("Hi {{ first_name }}!")
    message.reply("Hi Kim!")
    dispatch.drain_sends(house.engine, threads=1)
    assert provider_of(house).ledger()[-1].recipients == frozenset({"kim@elsewhere.example"})


@pytest.mark.rule(29)
def test_an_answer_goes_where_they_want_it(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "Write to my private address.", address(0), Reply_To="P0 <Private@home.example>")
    (message,) = seq.journey(address(0)).replies
    message.reply("Thanks!")
    dispatch.drain_sends(house.engine, threads=1)
    assert provider_of(house).ledger()[-1].recipients == frozenset({"private@home.example"})


@pytest.mark.rule(19)
def test_who_is_erased_is_gone_from_another_s_thread_too(house: House) -> None:
    clock = Clock(house)
    seq = _two(house)
    _answers(house, clock, "Zanzibar", address(1), Reply_To="p1@home.example")
    (message,) = seq.journey(address(0)).replies
    message.reply("Hi {{ first_name }}, how is Zanzibar?")
    dispatch.drain_sends(house.engine, threads=1)
    him = Candidate.get(address(1))
    assert [m["body_text"].strip() for m in him.export()["received"]] == ["Zanzibar"]
    him.erase()
    store = house.engine.store
    for table in ("inbound", "outbox", "notifications", "events", "suppressions"):
        kept = str(store.rows(f"SELECT * FROM {table} WHERE TRUE"))
        assert not [w for w in ("Zanzibar", "p1@home", address(1), "P1") if w in kept], table
    assert seq.journey(address(0)).reason == "replied"
