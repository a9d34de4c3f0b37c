"""Gmail on a bad day: what each fault becomes, how often a request is made, and what is left behind."""

from __future__ import annotations

import datetime as dt
import json
import traceback

import pytest

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
from outreach_sdk.mail.gmail import client as gmail_client
from outreach_sdk.mail.gmail.client import GmailTransport
from outreach_sdk.mail.gmail.parse import decode_raw, error_from
from outreach_sdk.mail.gmail.tokens import access_tokens
from outreach_sdk.mail.port import Fingerprint
from tests.mail.fault_proxy import CREATE, HISTORY, SEND, Fault, rate_limited
from tests.mail.worlds import GmailWorld, incoming, outgoing

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
NOBODY = Fingerprint(frozenset(), "", text_hash(""))


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def gmail(gmail_world: GmailWorld) -> GmailTransport:
    return gmail_world.transport()


def test_the_message_id_is_read_back_after_gmail_replaced_it(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    mine = "<mine@agency.example>"
    draft = gmail.create_draft(outgoing(rfc_message_id=mine), send_key="key-1")
    sent = gmail.send_draft(draft.provider_draft_id)
    assert sent.rfc_message_id is not None
    assert sent.rfc_message_id.endswith("@mail.gmail.com>")
    assert mine.encode() not in gmail_world.sent()[0].partition(b"\r\nMessage-ID:")[2]
    found = gmail.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY)
    assert found is not None
    assert found.rfc_message_id == sent.rfc_message_id


@pytest.mark.failure("client retries a send after a read time-out")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", path=SEND),
        Fault("answer-after", path=SEND, status=500),
        Fault("answer-after", path=SEND, status=503, reason="backendError"),
        Fault("stall-after", path=SEND, seconds=3),
    ],
    ids=["answer lost", "500", "503", "stall"],
)
def test_a_send_accepted_but_not_answered_is_unknown_and_found_by_its_key(
    gmail_world: GmailWorld, fault: Fault
) -> None:
    gmail = gmail_world.transport(timeout=0.5 if fault.kind == "stall-after" else 10)
    started = now()
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.proxy.add(fault)
    with pytest.raises(MailOutcomeUnknown) as caught:
        gmail.send_draft(draft.provider_draft_id)
    assert not caught.value.permanent
    assert not gmail.draft_exists(draft.provider_draft_id)
    found = gmail.find_sent(send_key="key-1", since=started, fingerprint=NOBODY)
    assert found is not None
    assert len(gmail_world.sent()) == 1
    assert gmail_world.proxy.count("POST", SEND) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", path=SEND, status=500),
        Fault("answer", path=SEND, status=502, reason=""),
        Fault("reset", path=SEND),
    ],
    ids=["500", "502", "reset"],
)
def test_a_send_that_failed_before_acceptance_is_unknown_and_leaves_the_draft(
    gmail_world: GmailWorld, gmail: GmailTransport, fault: Fault
) -> None:
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.proxy.add(fault)
    with pytest.raises(MailOutcomeUnknown):
        gmail.send_draft(draft.provider_draft_id)
    assert gmail_world.proxy.count("POST", SEND) == 1
    assert gmail_world.sent() == []
    assert gmail.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is None
    gmail.send_draft(draft.provider_draft_id)
    assert len(gmail_world.sent()) == 1


def test_a_rate_limit_is_a_definite_not_now(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.proxy.add(rate_limited(retry_after=7))
    with pytest.raises(MailRateLimited) as caught:
        gmail.send_draft(draft.provider_draft_id)
    assert caught.value.retry_after == 7
    assert not caught.value.permanent
    assert gmail_world.proxy.count("POST", SEND) == 1
    assert gmail.draft_exists(draft.provider_draft_id)
    gmail.send_draft(draft.provider_draft_id)


def test_a_400_is_a_refusal_only_while_the_draft_stands(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    kept = gmail.create_draft(outgoing(), send_key="key-1").provider_draft_id
    refusal = Fault("answer", path=SEND, count=2, status=400, reason="invalidArgument", message="Invalid To")
    gmail_world.proxy.add(refusal)
    with pytest.raises(MailRefused, match="Invalid To") as caught:
        gmail.send_draft(kept)
    assert caught.value.permanent
    gmail.delete_draft(kept)
    with pytest.raises(MailNotFound):
        gmail.send_draft(kept)


def test_a_400_with_no_way_to_look_is_unknown(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.proxy.add(
        Fault("answer", path=SEND, status=400, reason="failedPrecondition"),
        Fault("answer", method="GET", path=r"/drafts/", count=None, status=500),
    )
    with pytest.raises(MailOutcomeUnknown):
        gmail.send_draft(draft.provider_draft_id)


def test_a_failed_reading_after_an_accepted_send_is_still_a_send(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.proxy.add(Fault("answer", method="GET", path=r"/messages/", count=None, status=500))
    sent = gmail.send_draft(draft.provider_draft_id)
    assert sent.rfc_message_id is None
    gmail_world.proxy.clear()
    read = gmail.read_sent(sent.provider_message_id)
    assert read.rfc_message_id is not None
    assert read.rfc_message_id.endswith("@mail.gmail.com>")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", method="POST", path=CREATE),
        Fault("answer-after", method="POST", path=CREATE, status=500),
        Fault("stall-after", method="POST", path=CREATE, seconds=3),
    ],
    ids=["lost", "500", "stall"],
)
def test_a_draft_whose_answer_was_lost_is_found_and_not_made_twice(
    gmail_world: GmailWorld, fault: Fault
) -> None:
    gmail = gmail_world.transport(timeout=0.5 if fault.kind == "stall-after" else 10)
    gmail.address()
    gmail_world.proxy.add(fault)
    with pytest.raises(MailTemporary):
        gmail.create_draft(outgoing(), send_key="key-1")
    found = gmail.find_draft("key-1")
    assert found is not None
    assert gmail_world.emulator.draft_ids() == [found.provider_draft_id]
    assert gmail_world.proxy.count("POST", CREATE) == 1


@pytest.mark.parametrize("kind", ["answer", "lost", "reset"])
def test_reads_are_repeated_a_bounded_number_of_times(
    gmail_world: GmailWorld, gmail: GmailTransport, kind: str
) -> None:
    cursor = gmail.poll(None, since=now()).cursor
    gmail_world.proxy.clear()
    gmail_world.proxy.add(Fault(kind, method="GET", path=HISTORY, count=2))  # type: ignore[arg-type]
    assert gmail.poll(cursor, since=now()).messages == []
    assert gmail_world.proxy.count("GET", HISTORY) == 3
    gmail_world.proxy.add(Fault(kind, method="GET", path=HISTORY, count=None))  # type: ignore[arg-type]
    with pytest.raises(MailTemporary):
        gmail.poll(cursor, since=now())
    assert gmail_world.proxy.count("GET", HISTORY) == 6


def test_a_read_that_stalls_ends_at_the_time_out(gmail_world: GmailWorld) -> None:
    gmail = gmail_world.transport(timeout=0.2)
    gmail_world.proxy.add(Fault("stall", method="GET", path=HISTORY, count=None, seconds=5))
    with pytest.raises(MailTemporary, match="TimeoutError"):
        gmail.poll("1", since=now())


def test_a_rate_limited_read_is_not_repeated(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    gmail_world.proxy.add(rate_limited(HISTORY, retry_after=None))
    with pytest.raises(MailRateLimited) as caught:
        gmail.poll("1", since=now())
    assert caught.value.retry_after == 60
    assert gmail_world.proxy.count("GET", HISTORY) == 1


def test_after_a_stall_nobody_gets_anothers_answer(gmail_world: GmailWorld) -> None:
    gmail = gmail_world.transport(timeout=0.5)
    gmail.address()
    arrived = gmail_world.deliver(incoming())
    gmail_world.proxy.add(Fault("stall-after", method="POST", path=CREATE, seconds=0.7))
    with pytest.raises(MailTemporary):
        gmail.create_draft(outgoing(), send_key="key-1")
    # The draft's answer is still on its way when this asks.
    assert [m.provider_message_id for m in gmail.poll("1", since=now()).messages] == [arrived]


def test_the_thread_is_asked_for_by_its_id(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    first = gmail.create_draft(outgoing(), send_key="key-1")
    sent = gmail.send_draft(first.provider_draft_id)
    second = gmail.create_draft(outgoing(provider_thread_id=sent.provider_thread_id), send_key="key-2")
    assert second.provider_thread_id == sent.provider_thread_id


def test_a_revoked_grant_is_an_auth_error_before_anything_is_sent(gmail_world: GmailWorld) -> None:
    gmail = gmail_world.transport()
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    gmail_world.emulator.revoke()
    other = gmail_world.transport()
    for call in (
        lambda: other.poll(None, since=now()),
        lambda: other.send_draft(draft.provider_draft_id),
        lambda: other.create_draft(outgoing(), send_key="key-2"),
    ):
        with pytest.raises(MailAuthError) as caught:
            call()
        assert caught.value.permanent
    assert gmail_world.proxy.count("POST", SEND) == 0
    assert gmail_world.sent() == []


def test_an_access_token_the_server_forgot_is_renewed(gmail_world: GmailWorld) -> None:
    credentials = gmail_world.emulator.credentials(gmail_world.proxy.base_url)
    credentials.token = "google_forgotten"
    gmail = GmailTransport("ada@agency.example", lambda: credentials, endpoint=gmail_world.proxy.base_url)
    draft = gmail.create_draft(outgoing(), send_key="key-1")
    assert gmail_world.proxy.count("POST", "/oauth2/token") == 1
    gmail.send_draft(draft.provider_draft_id)
    gmail.close()
    assert len(gmail_world.sent()) == len({*gmail_world.sent()}) == 1


def test_a_token_server_that_is_down_means_not_sent(gmail_world: GmailWorld) -> None:
    draft = gmail_world.transport().create_draft(outgoing(), send_key="key-1")
    fresh = gmail_world.transport()
    gmail_world.proxy.add(Fault("answer", path="/oauth2/token", count=None, status=503))
    with pytest.raises(MailRateLimited):
        fresh.send_draft(draft.provider_draft_id)
    assert gmail_world.proxy.count("POST", SEND) == 0


@pytest.mark.rule(12)
@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, ""), (403, ""), (404, ""), (407, ""), (502, ""), (503, ""), (400, "temporarily_unavailable")],
)
def test_a_gateway_s_answer_to_a_renewal_is_no_dead_grant(
    gmail_world: GmailWorld, status: int, reason: str
) -> None:
    page = "" if reason else "<html>Bad gateway</html>"
    gmail_world.proxy.add(
        Fault("answer", path="/oauth2/token", count=None, status=status, reason=reason, page=page)
    )
    emulator = gmail_world.emulator
    tokens = {
        "refresh_token": emulator.refresh_token,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    calendar = access_tokens(tokens, f"{gmail_world.proxy.base_url}/oauth2/token", 5.0)
    transport = gmail_world.transport()
    for call in (lambda: transport.poll("1", since=now()), lambda: calendar(None)):
        with pytest.raises(MailTemporary) as caught:
            call()
        assert not caught.value.permanent
    gmail_world.proxy.clear()
    transport.address()
    assert calendar(None)


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "unauthorized_client"])
def test_what_google_says_of_a_grant_itself_is_final(gmail_world: GmailWorld, error: str) -> None:
    gmail_world.proxy.add(Fault("answer", path="/oauth2/token", status=400, reason=error))
    with pytest.raises(MailAuthError):
        gmail_world.transport().address()


@pytest.mark.rule(12)
def test_a_refusal_without_gmails_own_words_passes(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    cursor = gmail.poll(None, since=now()).cursor
    arrived = gmail_world.deliver(incoming())
    for status in (403, 407):
        gmail_world.proxy.add(
            Fault("answer", path=HISTORY, count=3, status=status, page="<html>Blocked</html>")
        )
        with pytest.raises(MailTemporary):
            gmail.poll(cursor, since=now())
    assert [m.provider_message_id for m in gmail.poll(cursor, since=now()).messages] == [arrived]


def test_no_secret_in_any_text(gmail_world: GmailWorld, gmail: GmailTransport) -> None:
    emulator = gmail_world.emulator
    credentials = emulator.credentials(gmail_world.proxy.base_url)
    loud = GmailTransport(
        "ada@agency.example", credentials, endpoint=gmail_world.proxy.base_url, retry_delay=0
    )
    loud.address()
    secrets = [emulator.refresh_token, emulator.client_secret, str(credentials.token)]
    texts = [repr(loud), repr(gmail), repr(emulator)]
    gmail_world.proxy.add(
        Fault("answer", path=HISTORY, status=403, reason="forbidden", message=f"bad bearer {secrets[2]}"),
        Fault("lost", path=CREATE),
    )
    emulator.revoke()
    for transport in (loud, gmail):
        with pytest.raises(MailError) as polling:
            transport.poll("1", since=now())
        with pytest.raises(MailError) as drafting:
            transport.create_draft(outgoing(), send_key="key-1")
        texts += ["".join(traceback.format_exception(e.value)) for e in (polling, drafting)]
    loud.close()
    for text in texts:
        assert not any(secret in text for secret in secrets)


def test_polling_leaves_out_sent_and_drafts_and_tells_spam(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    since = now()
    cursor = gmail.poll(None, since=since).cursor
    spam = gmail_world.emulator.deliver(incoming(text="spam"), labels=("SPAM",))
    gmail_world.emulator.deliver(incoming(text="own"), labels=("SENT", "INBOX"))
    gmail_world.emulator.deliver(incoming(text="draft"), labels=("DRAFT",))
    for polled in (gmail.poll(cursor, since=since), gmail.poll(None, since=since)):
        assert [m.provider_message_id for m in polled.messages] == [spam]


def test_many_arrivals_and_long_sent_lists_are_paged(
    gmail_world: GmailWorld, gmail: GmailTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gmail_client, "PAGE", 2)
    since = now()
    cursor = gmail.poll(None, since=since).cursor
    arrived = [gmail_world.deliver(incoming(text=str(n))) for n in range(5)]
    assert {m.provider_message_id for m in gmail.poll(cursor, since=since).messages} == set(arrived)
    assert {m.provider_message_id for m in gmail.poll(None, since=since).messages} == set(arrived)
    for n in range(5):
        gmail.send_draft(gmail.create_draft(outgoing(), send_key=f"key-{n}").provider_draft_id)
    for n in range(5):
        found = gmail.find_sent(send_key=f"key-{n}", since=since, fingerprint=NOBODY)
        assert found is not None


def test_sent_messages_older_than_since_are_not_all_read(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    for hours in range(1, 6):
        old = incoming(text=str(hours), at=now() - dt.timedelta(hours=hours))
        gmail_world.emulator.deliver(old, labels=("SENT",))
    gmail_world.proxy.clear()
    assert gmail.find_sent(send_key="key-1", since=now(), fingerprint=NOBODY) is None
    assert gmail_world.proxy.count("GET", r"/messages/") == 1


@pytest.mark.rule(14)
def test_a_look_at_sent_passes_over_one_that_cant_be_read_and_finds_nothing_out_if_it_may_be_that_one(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    since = now()
    ids = [
        gmail.send_draft(
            gmail.create_draft(outgoing(), send_key=f"key-{n}").provider_draft_id
        ).provider_message_id
        for n in range(6)
    ]
    other = gmail_world.transport()
    one = Fault("answer", method="GET", path=rf"/messages/{ids[2]}(?![\w-])", status=500, count=None)
    gmail_world.proxy.add(one)
    assert other.find_sent(send_key="key-0", since=since, fingerprint=NOBODY) is not None
    for key in ("key-2", "key-9"):
        with pytest.raises(MailTemporary):
            other.find_sent(send_key=key, since=since, fingerprint=NOBODY)
    gmail_world.proxy.clear()
    gmail_world.proxy.add(Fault("answer", method="GET", path=r"/messages/", status=500, count=None))
    with pytest.raises(MailTemporary):
        gmail_world.transport().find_sent(send_key="key-0", since=since, fingerprint=NOBODY)
    assert gmail_world.proxy.count("GET", r"/messages/") <= 5 * 4, (
        "not one after the other through all of Sent"
    )


def test_a_message_deleted_between_listing_and_reading_is_left_out(
    gmail_world: GmailWorld, gmail: GmailTransport
) -> None:
    cursor = gmail.poll(None, since=now()).cursor
    gone = gmail_world.deliver(incoming(text="gone"))
    kept = gmail_world.deliver(incoming(text="kept"))
    gmail_world.emulator.call("DELETE", f"messages/{gone}")
    assert [m.provider_message_id for m in gmail.poll(cursor, since=now()).messages] == [kept]


def _body(status: int, reason: str, message: str = "") -> bytes:
    return json.dumps(
        {"error": {"code": status, "message": message, "errors": [{"reason": reason}]}}
    ).encode()


@pytest.mark.parametrize(
    ("status", "reason", "reading", "sending"),
    [
        (400, "invalidArgument", MailRefused, MailRefused),
        (400, "failedPrecondition", MailAuthError, MailRefused),
        (401, "authError", MailAuthError, MailAuthError),
        (403, "insufficientPermissions", MailAuthError, MailAuthError),
        (403, "domainPolicy", MailAuthError, MailAuthError),
        (403, "userRateLimitExceeded", MailRateLimited, MailRateLimited),
        (403, "rateLimitExceeded", MailRateLimited, MailRateLimited),
        (403, "dailyLimitExceeded", MailRateLimited, MailRateLimited),
        (404, "notFound", MailNotFound, MailNotFound),
        (408, "", MailTemporary, MailOutcomeUnknown),
        (413, "uploadTooLarge", MailRefused, MailRefused),
        (418, "", MailRefused, MailRefused),
        (429, "rateLimitExceeded", MailRateLimited, MailRateLimited),
        (500, "backendError", MailTemporary, MailOutcomeUnknown),
        (503, "", MailTemporary, MailOutcomeUnknown),
        (302, "", MailTemporary, MailOutcomeUnknown),
    ],
)
def test_the_error_table(
    status: int, reason: str, reading: type[MailError], sending: type[MailError]
) -> None:
    assert type(error_from(status, {}, _body(status, reason), now=NOW)) is reading
    assert type(error_from(status, {}, _body(status, reason), sending=True, now=NOW)) is sending


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": null}', b'{"error": {"errors": [3]}}', b"\xff"]
)
def test_bodies_that_are_not_errors(body: bytes) -> None:
    assert type(error_from(503, {}, body, sending=True, now=NOW)) is MailOutcomeUnknown
    assert type(error_from(429, {}, body, now=NOW)) is MailRateLimited
    assert type(error_from(403, {}, body, now=NOW)) is MailTemporary
    assert type(error_from(403, {}, body, sending=True, now=NOW)) is MailOutcomeUnknown


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "120"}, "", 120),
        ({"retry-after": "Mon, 04 May 2026 12:05:00 GMT"}, "", 300),
        ({}, "User-rate limit exceeded.  Retry after 2026-05-04T12:15:00.000Z", 900),
        ({}, "Retry after 2026-05-04T11:00:00Z", 1),
        ({}, "Retry after lunch", 60),
        ({"retry-after": "soon"}, "", 60),
        ({}, "", 60),
    ],
)
def test_the_time_to_wait(headers: dict[str, str], message: str, seconds: float) -> None:
    error = error_from(429, headers, _body(429, "rateLimitExceeded", message), now=NOW)
    assert error.retry_after == seconds
    assert not error.permanent


def test_a_days_allowance_frees_itself_slowly() -> None:
    assert error_from(403, {}, _body(403, "dailyLimitExceeded"), now=NOW).retry_after == 3600


def test_raw_bodies_with_and_without_padding() -> None:
    assert decode_raw("aGk_IQ") == decode_raw("aGk_IQ==") == b"hi?!"
    with pytest.raises(MailTemporary):
        decode_raw("a")
