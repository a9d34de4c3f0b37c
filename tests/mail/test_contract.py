"""What outreach_sdk/mail/port.py promises, on every implementation."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from outreach_sdk.domain.message import KEY_HEADER, Address, OutgoingMessage, message_ids, text_hash
from outreach_sdk.errors import MailNotFound, MailRefused
from outreach_sdk.mail.port import Fingerprint, MailTransport, SentMessage
from tests.mail.worlds import ADDRESS, World, incoming, outgoing

HOUR = dt.timedelta(hours=1)
NOBODY = Fingerprint(frozenset({"nobody@candidate.example"}), "nothing", text_hash("nothing"))


@pytest.fixture(params=["local", "gmail", "outlook", "hostile"])
def world(request: pytest.FixtureRequest) -> World:
    found = request.getfixturevalue(f"{request.param}_world")
    assert isinstance(found, World)
    return found


@pytest.fixture
def transport(world: World) -> MailTransport:
    return world.transport()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def send(transport: MailTransport, message: OutgoingMessage, key: str) -> SentMessage:
    return transport.send_draft(transport.create_draft(message, send_key=key).provider_draft_id)


def fingerprint(message: OutgoingMessage, thread: str | None = None) -> Fingerprint:
    return Fingerprint(message.recipients(), message.subject, text_hash(message.text), thread)


def follow_up(
    first: SentMessage, message: OutgoingMessage, text: str = "Just checking in."
) -> OutgoingMessage:
    assert first.rfc_message_id is not None
    return replace(
        message,
        text=text,
        in_reply_to=first.rfc_message_id,
        references=(first.rfc_message_id,),
        provider_thread_id=first.provider_thread_id,
    )


def test_it_is_a_mail_transport_that_knows_its_address(transport: MailTransport) -> None:
    assert isinstance(transport, MailTransport)
    assert transport.address() == ADDRESS
    assert transport.provider in repr(type(transport)).lower()


def test_a_draft_is_found_by_its_key_and_nothing_is_sent(world: World, transport: MailTransport) -> None:
    start = transport.poll(None, since=now()).cursor
    draft = transport.create_draft(outgoing(), send_key="key-1")
    transport.create_draft(outgoing(), send_key="key-2")
    for any_transport in (transport, world.transport()):
        found = any_transport.find_draft("key-1")
        assert found is not None
        assert found.provider_draft_id == draft.provider_draft_id
        assert any_transport.draft_exists(draft.provider_draft_id)
        assert any_transport.find_draft("key-9") is None
        assert any_transport.find_draft("key") is None
        assert any_transport.find_sent(send_key="key-1", since=now() - HOUR, fingerprint=NOBODY) is None
    assert world.sent() == []
    assert transport.poll(start, since=now()).messages == []
    if draft.provider_thread_id is not None:
        assert transport.read_thread(draft.provider_thread_id) == []


def test_sending_consumes_the_draft_and_tells_the_ids_as_they_left(
    world: World, transport: MailTransport
) -> None:
    before = now()
    draft = transport.create_draft(outgoing(), send_key="key-1")
    # Looked up first: what was remembered of the draft mustn't stand for the sent message.
    assert transport.find_draft("key-1") is not None
    sent = transport.send_draft(draft.provider_draft_id)
    (raw,) = world.sent()
    witness = email.message_from_bytes(raw, policy=email.policy.default)
    assert message_ids(str(witness["Message-ID"])) == (sent.rfc_message_id,)
    assert witness[KEY_HEADER] == "key-1"
    assert witness["To"].addresses[0].addr_spec == "bo@candidate.example"
    assert text_hash(witness.get_content()) == text_hash(outgoing().text)
    assert sent.sent_at is not None
    assert before - dt.timedelta(seconds=2) < sent.sent_at < now() + dt.timedelta(seconds=2)
    for any_transport in (transport, world.transport()):
        assert not any_transport.draft_exists(draft.provider_draft_id)
        assert any_transport.find_draft("key-1") is None
        assert any_transport.read_sent(sent.provider_message_id).rfc_message_id == sent.rfc_message_id
        found = any_transport.find_sent(send_key="key-1", since=before, fingerprint=NOBODY)
        assert found is not None
        assert found.provider_message_id == sent.provider_message_id
        assert found.rfc_message_id == sent.rfc_message_id
        assert found.provider_thread_id == sent.provider_thread_id


def test_a_draft_is_sent_once(world: World, transport: MailTransport) -> None:
    draft = transport.create_draft(outgoing(), send_key="key-1")
    transport.send_draft(draft.provider_draft_id)
    for any_transport in (transport, world.transport()):
        with pytest.raises(MailNotFound):
            any_transport.send_draft(draft.provider_draft_id)
    assert len(world.sent()) == 1


def test_of_many_senders_of_one_draft_one_succeeds(world: World, transport: MailTransport) -> None:
    draft = transport.create_draft(outgoing(), send_key="key-1")

    def attempt(_: int) -> bool:
        try:
            transport.send_draft(draft.provider_draft_id)
        except MailNotFound:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(attempt, range(6)))
    assert sorted(outcomes) == [False] * 5 + [True]
    assert len(world.sent()) == 1


def test_threads_share_a_transport(world: World, transport: MailTransport) -> None:
    keys = [f"key-{n}" for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda k: send(transport, outgoing(subject=f"Subject {k}"), k), keys))
    assert len({s.provider_message_id for s in sent}) == len({s.rfc_message_id for s in sent}) == 8
    found = {str(email.message_from_bytes(raw)[KEY_HEADER]): raw for raw in world.sent()}
    assert sorted(found) == keys
    assert all(f"Subject: Subject {k}".encode() in raw for k, raw in found.items())


def test_deleting_a_draft(world: World, transport: MailTransport) -> None:
    draft = transport.create_draft(outgoing(), send_key="key-1")
    kept = transport.create_draft(outgoing(), send_key="key-2")
    transport.delete_draft(draft.provider_draft_id)
    transport.delete_draft(draft.provider_draft_id)
    assert transport.find_draft("key-1") is None
    assert transport.draft_exists(kept.provider_draft_id)
    with pytest.raises(MailNotFound):
        transport.send_draft(draft.provider_draft_id)
    transport.send_draft(kept.provider_draft_id)
    transport.delete_draft(kept.provider_draft_id)
    assert len(world.sent()) == 1


@pytest.mark.parametrize("name", ["", "x", "../x", ".hidden", "r-1/../../etc"])
def test_ids_of_nothing(transport: MailTransport, name: str) -> None:
    name = name or "0"
    assert not transport.draft_exists(name)
    transport.delete_draft(name)
    with pytest.raises(MailNotFound):
        transport.read_sent(name)
    with pytest.raises(MailNotFound):
        transport.send_draft(name)
    assert transport.read_thread(name) == []


@pytest.mark.parametrize(
    "message",
    [
        outgoing(subject="Hi\r\nBcc: evil@example.com"),
        outgoing(subject="=?utf-8?q?hidden?="),
        outgoing(to=()),
        outgoing(to=(Address("not an address"),)),
    ],
    ids=["header injection", "encoded word", "nobody", "no address"],
)
def test_a_message_that_cannot_be_built_is_refused(
    transport: MailTransport, message: OutgoingMessage
) -> None:
    with pytest.raises(MailRefused) as caught:
        transport.create_draft(message, send_key="key-1")
    assert caught.value.permanent
    assert transport.find_draft("key-1") is None


def test_hidden_recipients_reach_the_provider(world: World, transport: MailTransport) -> None:
    send(transport, outgoing(cc=(Address("cy@x.example"),), bcc=(Address("dee@x.example"),)), "key-1")
    (raw,) = world.sent()
    witness = email.message_from_bytes(raw, policy=email.policy.default)
    assert [a.addr_spec for a in witness["Bcc"].addresses] == ["dee@x.example"]
    assert [a.addr_spec for a in witness["Cc"].addresses] == ["cy@x.example"]


def test_words_in_other_scripts_arrive_whole(world: World, transport: MailTransport) -> None:
    message = outgoing(subject="Zoë — Führungsrolle 東京", text="Grüße aus Zürich 🎉\n")
    sent = send(transport, message, "key-1")
    assert sent.provider_thread_id is not None
    (read,) = transport.read_thread(sent.provider_thread_id)
    assert read.subject == message.subject
    assert read.text.strip() == message.text.strip()


def test_a_follow_up_and_the_reply_stay_in_the_thread(world: World, transport: MailTransport) -> None:
    first = send(transport, outgoing(), "key-1")
    send(transport, outgoing(subject="Something else"), "key-other")
    second = send(transport, follow_up(first, outgoing()), "key-2")
    assert second.provider_thread_id == first.provider_thread_id
    reply_id = world.deliver(incoming(in_reply_to=second.rfc_message_id))
    assert first.provider_thread_id is not None
    for any_transport in (transport, world.transport()):
        thread = any_transport.read_thread(first.provider_thread_id)
        assert {m.provider_message_id for m in thread} == {
            first.provider_message_id,
            second.provider_message_id,
            reply_id,
        }
        assert [m.received_at for m in thread] == sorted(m.received_at for m in thread)
        assert {m.provider_thread_id for m in thread} == {first.provider_thread_id}
        (answer,) = [m for m in thread if m.provider_message_id == reply_id]
        assert answer.sender is not None
        assert answer.sender.email == "bo@candidate.example"
        assert answer.in_reply_to == (second.rfc_message_id,)


def test_the_second_witness_finds_an_unmarked_message(world: World, transport: MailTransport) -> None:
    since = now() - dt.timedelta(seconds=1)
    message = outgoing(subject="Unmarked", date=now())
    sent_id = world.send_unmarked(message)
    mine = fingerprint(message)

    def look(wanted: Fingerprint, since: dt.datetime = since) -> str | None:
        found = transport.find_sent(send_key="key-1", since=since, fingerprint=wanted)
        return found.provider_message_id if found else None

    assert look(mine) == sent_id
    assert look(replace(mine, subject="Marked")) is None
    assert look(replace(mine, recipients=frozenset({"cy@candidate.example"}))) is None
    assert look(replace(mine, recipients=mine.recipients | {"cy@candidate.example"})) is None
    assert look(replace(mine, text_hash=text_hash("other words"))) is None
    assert look(replace(mine, provider_thread_id="0123456789")) is None
    assert look(mine, since=now() + HOUR) is None


def test_another_sends_marker_is_proof_against_the_second_witness(transport: MailTransport) -> None:
    since = now() - dt.timedelta(seconds=1)
    send(transport, outgoing(), "key-of-another-send")
    assert transport.find_sent(send_key="key-1", since=since, fingerprint=fingerprint(outgoing())) is None


def test_polling_tells_what_came_in(world: World, transport: MailTransport) -> None:
    started = transport.poll(None, since=now())
    assert started.messages == []
    assert not started.resynced
    sent = send(transport, outgoing(), "key-1")
    transport.create_draft(outgoing(), send_key="key-2")
    first = world.deliver(incoming(in_reply_to=sent.rfc_message_id, text="One"))
    polled = transport.poll(started.cursor, since=now() - HOUR)
    assert [m.provider_message_id for m in polled.messages] == [first]
    (message,) = polled.messages
    assert message.text.strip() == "One"
    assert message.in_reply_to == (sent.rfc_message_id,)
    assert message.provider_thread_id == sent.provider_thread_id
    assert not polled.resynced
    second = world.deliver(incoming(text="Two"))
    later = world.transport().poll(polled.cursor, since=now() - HOUR)
    assert later.messages[-1].provider_message_id == second
    assert {m.provider_message_id for m in later.messages} <= {first, second}
    # A reader that crashed before keeping the new cursor asks again with the old one.
    again = transport.poll(started.cursor, since=now() - HOUR)
    assert [m.provider_message_id for m in again.messages] == [first, second]


def test_a_first_poll_goes_back_to_since(world: World, transport: MailTransport) -> None:
    world.deliver(incoming(text="old", at=now() - 3 * HOUR))
    since = now()
    fresh = world.deliver(incoming(text="new"))
    polled = transport.poll(None, since=since)
    assert [m.provider_message_id for m in polled.messages] == [fresh]


def test_an_expired_cursor_means_a_bounded_resync(world: World, transport: MailTransport) -> None:
    world.deliver(incoming(text="long ago", at=now() - 3 * HOUR))
    cursor = transport.poll(None, since=now()).cursor
    since = now()
    missed = world.deliver(incoming(text="missed"))
    polled = transport.poll(world.expire(cursor), since=since)
    assert polled.resynced
    assert [m.provider_message_id for m in polled.messages] == [missed]
    after = world.deliver(incoming(text="after"))
    next_poll = transport.poll(polled.cursor, since=now() - HOUR)
    assert not next_poll.resynced
    assert next_poll.messages[-1].provider_message_id == after


def test_an_idle_poll_is_one_call(world: World, transport: MailTransport) -> None:
    cursor = transport.poll(None, since=now()).cursor
    before = world.calls_of_poll()
    polled = transport.poll(cursor, since=now())
    assert polled.messages == []
    if before is None:  # a folder: no provider to call
        return
    after_idle = world.calls_of_poll()
    assert after_idle is not None
    assert after_idle - before == 1
    for n in range(3):
        world.deliver(incoming(text=f"Number {n}"))
    assert len(transport.poll(polled.cursor, since=now()).messages) == 3
    after_news = world.calls_of_poll()
    assert after_news is not None
    assert after_news - after_idle <= 1 + 2 * 3


def test_a_closed_transport_leaves_the_mailbox_as_it_was(world: World, transport: MailTransport) -> None:
    draft = transport.create_draft(outgoing(), send_key="key-1")
    transport.close()
    transport.close()
    assert world.transport().draft_exists(draft.provider_draft_id)
