"""Outlook on a bad day: sends and drafts. What each fault becomes, how often a request is made, what is left."""

from __future__ import annotations

import datetime as dt
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from outreach_sdk.domain.message import text_hash
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.outlook.client import OutlookTransport
from outreach_sdk.mail.port import Fingerprint
from tests.mail.fault_proxy import Fault
from tests.mail.graph_proxy import CREATE, POLL, SEND, throttled
from tests.mail.worlds import OutlookWorld, incoming, outgoing

NOBODY = Fingerprint(frozenset(), "", text_hash(""))


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def outlook(outlook_world: OutlookWorld) -> OutlookTransport:
    return outlook_world.transport()


# -- sending ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", path=SEND),
        Fault("answer-after", path=SEND, status=500, reason="ErrorInternalServerError"),
        Fault("answer-after", path=SEND, status=504, reason="UnknownError"),
        Fault("answer-after", path=SEND, status=409, reason="ErrorIrresolvableConflict"),
        Fault("stall-after", path=SEND, seconds=3),
    ],
    ids=["answer lost", "500", "504", "409", "stall"],
)
def test_a_send_accepted_but_not_answered_is_unknown_and_found_by_its_key(
    outlook_world: OutlookWorld, fault: Fault
) -> None:
    outlook = outlook_world.transport(timeout=0.5 if fault.kind == "stall-after" else 10)
    started = now()
    draft = outlook.create_draft(outgoing(), send_key="key-1")
    outlook_world.proxy.add(fault)
    with pytest.raises(MailOutcomeUnknown) as caught:
        outlook.send_draft(draft.provider_draft_id)
    assert not caught.value.permanent
    assert not outlook.draft_exists(draft.provider_draft_id)
    found = outlook.find_sent(send_key="key-1", since=started, fingerprint=NOBODY)
    assert found is not None
    assert found.provider_message_id == draft.provider_message_id
    assert len(outlook_world.sent()) == 1
    assert outlook_world.proxy.count("POST", SEND) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", path=SEND, status=500),
        Fault("answer", path=SEND, status=503),
        Fault("reset", path=SEND),
    ],
    ids=["500", "503", "reset"],
)
def test_a_send_that_failed_before_acceptance_is_unknown_and_leaves_the_draft(
    outlook_world: OutlookWorld, outlook: OutlookTransport, fault: Fault
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1")
    outlook_world.proxy.add(fault)
    with pytest.raises(MailOutcomeUnknown):
        outlook.send_draft(draft.provider_draft_id)
    assert outlook_world.proxy.count("POST", SEND) == 1
    assert outlook_world.sent() == []
    assert outlook.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is None
    outlook.send_draft(draft.provider_draft_id)
    assert len(outlook_world.sent()) == 1


@pytest.mark.parametrize(("retry_after", "low", "high"), [("7", 7, 7), (None, 60, 60), ("date", 80, 90)])
def test_a_rate_limit_is_a_definite_not_now(
    outlook_world: OutlookWorld, outlook: OutlookTransport, retry_after: str | None, low: float, high: float
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1")
    if retry_after == "date":
        retry_after = (now() + dt.timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    outlook_world.proxy.add(throttled(retry_after=retry_after))
    with pytest.raises(MailRateLimited) as caught:
        outlook.send_draft(draft.provider_draft_id)
    assert caught.value.retry_after is not None
    assert low <= caught.value.retry_after <= high
    assert outlook_world.proxy.count("POST", SEND) == 1
    outlook.send_draft(draft.provider_draft_id)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "ErrorSendAsDenied", MailRefused),
        (400, "ErrorInvalidRecipients", MailRefused),
        (413, "ErrorMessageSizeExceeded", MailRefused),
        (403, "ErrorAccessDenied", MailAuthError),
        (401, "InvalidAuthenticationToken", MailAuthError),
        (403, "ErrorExceededMessageLimit", MailRateLimited),
    ],
)
def test_a_definite_no_leaves_the_draft(
    outlook_world: OutlookWorld, outlook: OutlookTransport, status: int, code: str, expected: type[MailError]
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook_world.proxy.add(Fault("answer", path=SEND, status=status, reason=code))
    with pytest.raises(expected, match=code):
        outlook.send_draft(draft)
    assert outlook_world.sent() == []
    assert outlook.draft_exists(draft)
    assert outlook_world.proxy.count("POST", SEND) == 1


@pytest.mark.parametrize(
    "answer", [(404, "ErrorItemNotFound"), (400, "ErrorInvalidRequest"), (403, "ErrorItemNotFound")]
)
def test_whatever_a_second_send_is_answered_it_is_not_found(
    outlook_world: OutlookWorld, outlook: OutlookTransport, answer: tuple[int, str]
) -> None:
    outlook_world.proxy.second_send = answer
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    meeting = threading.Barrier(2, timeout=10)
    ask = outlook._graph.send

    def together(path: str) -> None:
        meeting.wait()  # both have seen the draft standing
        ask(path)

    outlook._graph.send = together  # type: ignore[method-assign]

    def attempt(_: int) -> str:
        try:
            outlook.send_draft(draft)
        except MailNotFound:
            return "not found"
        return "sent"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == ["not found", "sent"]
    assert outlook_world.proxy.count("POST", SEND) == 2
    assert len(outlook_world.sent()) == 1


def test_what_was_sent_is_not_even_asked_for_again(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook.send_draft(draft)
    with pytest.raises(MailNotFound):
        outlook_world.transport().send_draft(draft)
    assert outlook_world.proxy.count("POST", SEND) == 1


def test_a_refusal_with_no_way_to_look_is_unknown(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    ask = outlook._graph.send

    def then_blind(path: str) -> None:
        outlook_world.proxy.add(Fault("answer", method="GET", path=r"/messages/", count=None, status=500))
        ask(path)

    outlook._graph.send = then_blind  # type: ignore[method-assign]
    outlook_world.proxy.add(Fault("answer", path=SEND, status=400, reason="ErrorInvalidRequest"))
    with pytest.raises(MailOutcomeUnknown):
        outlook.send_draft(draft)


@pytest.mark.parametrize("status", [500, 429])
def test_a_look_that_fails_means_not_sent(
    outlook_world: OutlookWorld, outlook: OutlookTransport, status: int
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook_world.proxy.add(Fault("answer", method="GET", path=r"/messages/", count=None, status=status))
    with pytest.raises(MailRateLimited):
        outlook.send_draft(draft)
    assert outlook_world.proxy.count("POST", SEND) == 0


def test_a_token_that_cannot_be_had_means_not_sent(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    for error, seen in ((MailTemporary("down"), MailRateLimited), (MailAuthError("dead"), MailAuthError)):

        def token(refused: str | None, error: MailError = error) -> str:
            raise error

        broken = OutlookTransport(
            "ada@agency.example", token, session=requests.Session(), endpoint=outlook_world.proxy.base_url
        )
        with pytest.raises(seen):
            broken.send_draft(draft)
    assert outlook_world.proxy.count("POST", SEND) == 0


def test_a_failed_reading_after_an_accepted_send_is_still_a_send(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    ask = outlook._graph.send

    def then_blind(path: str) -> None:
        ask(path)
        outlook_world.proxy.add(Fault("answer", method="GET", path="/messages", count=None, status=500))

    outlook._graph.send = then_blind  # type: ignore[method-assign]
    sent = outlook.send_draft(draft)
    outlook_world.proxy.clear()
    read = outlook.read_sent(sent.provider_message_id)
    assert (sent.rfc_message_id, sent.provider_thread_id) == (read.rfc_message_id, read.provider_thread_id)


def test_a_copy_that_takes_its_time_is_sent_all_the_same(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    outlook_world.proxy.sends_leave_slowly = True
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    sent = outlook.send_draft(draft)
    assert sent.provider_thread_id is not None
    assert outlook_world.proxy.count("POST", SEND) == 1
    with pytest.raises(MailNotFound):
        outlook.read_sent(sent.provider_message_id)
    outlook_world.proxy.leave()
    assert outlook.read_sent(sent.provider_message_id).rfc_message_id == sent.rfc_message_id


def test_a_message_on_its_way_is_no_draft_any_more(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    outlook_world.proxy.sends_leave_slowly = True
    started = now()
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook_world.proxy.add(Fault("lost", path=SEND))
    with pytest.raises(MailOutcomeUnknown):
        outlook.send_draft(draft)
    assert not outlook.draft_exists(draft)
    assert outlook.find_draft("key-1") is None
    assert outlook.find_sent(send_key="key-1", since=started, fingerprint=NOBODY) is None
    outlook.delete_draft(draft)
    with pytest.raises(MailNotFound):
        outlook.send_draft(draft)
    assert outlook_world.proxy.count("POST|DELETE", r"/messages/") == 1
    outlook_world.proxy.leave()
    assert outlook.find_sent(send_key="key-1", since=started, fingerprint=NOBODY) is not None


def test_a_draft_its_owner_threw_away_is_not_sent(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook.delete_draft(draft)
    assert [m["microsoft_id"] for m in outlook_world.emulator.records("deleteditems")] == [draft]
    fresh = outlook_world.transport()
    assert not fresh.draft_exists(draft)
    assert fresh.find_draft("key-1") is None
    with pytest.raises(MailNotFound):
        fresh.send_draft(draft)
    assert outlook_world.proxy.count("POST", SEND) == 0


def test_a_sent_message_is_never_removed(outlook_world: OutlookWorld, outlook: OutlookTransport) -> None:
    draft = outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id
    outlook.delete_draft(outlook.send_draft(draft).provider_message_id)
    assert outlook_world.proxy.count("DELETE") == 0
    assert len(outlook_world.sent()) == 1


# -- requests --------------------------------------------------------------------------------------
def test_four_requests_at_a_time_and_no_more(outlook_world: OutlookWorld, outlook: OutlookTransport) -> None:
    outlook_world.proxy.add(Fault("stall", path="/v1.0/me", count=None, seconds=0.2))
    with ThreadPoolExecutor(12) as pool:
        assert len(list(pool.map(lambda _: outlook.address(), range(12)))) == 12
    assert outlook_world.proxy.most_at_once == 4


@pytest.mark.parametrize("kind", ["answer", "lost", "reset"])
def test_reads_are_repeated_a_bounded_number_of_times(
    outlook_world: OutlookWorld, outlook: OutlookTransport, kind: str
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    outlook_world.proxy.clear()
    outlook_world.proxy.add(Fault(kind, method="GET", path=POLL, count=2))  # type: ignore[arg-type]
    assert outlook.poll(cursor, since=now()).messages == []
    assert outlook_world.proxy.count("GET", POLL) == 3
    outlook_world.proxy.add(Fault(kind, method="GET", path=POLL, count=None))  # type: ignore[arg-type]
    with pytest.raises(MailTemporary):
        outlook.poll(cursor, since=now())
    assert outlook_world.proxy.count("GET", POLL) == 6


def test_a_rate_limited_read_is_not_repeated(outlook_world: OutlookWorld, outlook: OutlookTransport) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    outlook_world.proxy.clear()
    outlook_world.proxy.add(throttled(POLL, retry_after="33"))
    with pytest.raises(MailRateLimited) as caught:
        outlook.poll(cursor, since=now())
    assert caught.value.retry_after == 33
    assert outlook_world.proxy.count("GET", POLL) == 1


def test_no_secret_in_any_text(outlook_world: OutlookWorld) -> None:
    secret = "eyJ0eXAiOiJKV1QiLCJub25jZSI6InNlY3JldCJ9.eyJhdWQi.c2lnbmF0dXJl"
    loud = OutlookTransport(
        "ada@agency.example",
        lambda refused: secret,
        session=requests.Session(),
        endpoint=outlook_world.proxy.base_url,
        retry_delay=0,
    )
    outlook_world.proxy.add(
        Fault("answer", path="/me", status=403, reason="ErrorAccessDenied", message=f"token {secret} is bad"),
        Fault("answer", path=POLL, status=403, reason="ErrorAccessDenied", message=f"Bearer {secret}"),
        Fault("lost", path=CREATE),
    )
    texts = [repr(loud)]
    for call in (loud.address, lambda: loud.create_draft(outgoing(), send_key="key-1")):
        with pytest.raises(MailError) as caught:
            call()
        texts.append("".join(traceback.format_exception(caught.value)))
    loud.close()
    assert not any(secret in text or "c2lnbmF0dXJl" in text for text in texts)


def test_the_witness_can_see_a_second_e_mail(outlook_world: OutlookWorld, outlook: OutlookTransport) -> None:
    for key in ("key-1", "key-2"):
        outlook.send_draft(outlook.create_draft(outgoing(), send_key=key).provider_draft_id)
    assert len(outlook_world.sent()) == 2
    outlook_world.deliver(incoming())
    assert len(outlook_world.sent()) == 2
