"""Reading Outlook: what a poll tells and how it goes on, conversations, and Graph's words into ours."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import responses

from outreach_sdk.domain.message import parse_incoming
from outreach_sdk.errors import (
    MailAuthError,
    MailError,
    MailNotFound,
    MailOutcomeUnknown,
    MailRateLimited,
    MailRefused,
    MailTemporary,
)
from outreach_sdk.mail.outlook import client, graph
from outreach_sdk.mail.outlook.client import OutlookTransport
from outreach_sdk.mail.outlook.parse import Cursor, error_from, mime_from, moment, stamp
from tests.mail.fault_proxy import Fault
from tests.mail.worlds import OutlookWorld, incoming, outgoing

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def outlook(outlook_world: OutlookWorld) -> OutlookTransport:
    return outlook_world.transport()


def told(outlook: OutlookTransport, cursor: str) -> tuple[list[str], str]:
    polled = outlook.poll(cursor, since=now())
    assert not polled.resynced
    return [m.provider_message_id for m in polled.messages], polled.cursor


def test_everything_that_came_is_told_wherever_a_rule_put_it(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    arrived = {
        outlook_world.emulator.deliver(incoming(text=folder), folder=folder)
        for folder in ("inbox", "junkemail", "archive", "deleteditems")
    }
    outlook_world.emulator.deliver(incoming(text="own"), folder="sentitems")
    outlook.create_draft(outgoing(), send_key="key-1")
    ids, cursor = told(outlook, cursor)
    assert set(ids) == arrived
    assert told(outlook, cursor)[0] == []


def test_what_shows_up_late_is_told_and_nothing_twice(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    start = now()
    cursor = outlook.poll(None, since=start - 60 * MINUTE).cursor
    first = outlook_world.deliver(incoming(text="first", at=start))
    ids, cursor = told(outlook, cursor)
    assert ids == [first]
    late = outlook_world.deliver(incoming(text="late", at=start - 10 * MINUTE))
    ids, cursor = told(outlook_world.transport(), cursor)
    assert ids == [late]
    assert told(outlook, cursor)[0] == []


def test_what_shows_up_in_the_inbox_long_after_it_was_received_is_told_within_the_hour(
    outlook_world: OutlookWorld, outlook: OutlookTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "PAGE", 2)
    for n in range(5):
        outlook_world.deliver(incoming(text=f"old {n}", at=now() - (n + 1) * 60 * MINUTE))
    first = outlook.poll(None, since=now())
    assert first.messages == []
    cursor = first.cursor
    usual = outlook_world.deliver(incoming(text="usual"))
    ids, cursor = told(outlook, cursor)
    assert ids == [usual]
    released = {
        outlook_world.deliver(incoming(text=f"from quarantine {n}", at=now() - 5 * 60 * MINUTE))
        for n in range(3)
    }
    ids, cursor = told(outlook, cursor)
    assert ids == [], "its time is long past"
    asked = outlook_world.proxy.count("GET", "/delta")
    monkeypatch.setattr(client, "EVERY", dt.timedelta(0))
    ids, cursor = told(outlook, cursor)
    assert set(ids) == released, "and nothing that was told before"
    assert outlook_world.proxy.count("GET", "/delta") > asked
    assert told(outlook, cursor)[0] == []


def test_a_round_of_changes_that_graph_has_forgotten_begins_anew(
    outlook_world: OutlookWorld, outlook: OutlookTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    ancient = outlook_world.deliver(incoming(text="ancient", at=now() - 60 * 60 * MINUTE))
    late = outlook_world.deliver(incoming(text="late", at=now() - 5 * 60 * MINUTE))
    outlook_world.proxy.forgets_rounds = True
    monkeypatch.setattr(client, "EVERY", dt.timedelta(0))
    ids, cursor = told(outlook, cursor)
    assert ids == [late]
    assert ancient not in ids, "bounded: a day before the last round"
    outlook_world.proxy.forgets_rounds = False
    assert told(outlook, cursor)[0] == []


def test_an_idle_mailbox_costs_one_call_a_poll(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    before = outlook_world.proxy.count("GET", "/v1.0/")
    for _ in range(3):
        ids, cursor = told(outlook, cursor)
        assert ids == []
    assert outlook_world.proxy.count("GET", "/v1.0/") - before == 3


def test_a_message_from_the_future_hides_none_that_follow(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    future = outlook_world.deliver(incoming(text="future", at=now() + 600 * MINUTE))
    ids, cursor = told(outlook, cursor)
    assert ids == [future]
    after = outlook_world.deliver(incoming(text="after"))
    ids, cursor = told(outlook, cursor)
    assert ids == [after]


def test_the_cursor_stays_small_as_time_goes_by(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    start = now() - 600 * MINUTE
    cursor = outlook.poll(None, since=start).cursor
    for hours in range(9, -1, -1):
        outlook_world.deliver(incoming(text=str(hours), at=now() - hours * 60 * MINUTE))
        ids, cursor = told(outlook, cursor)
        assert len(ids) == 1
    known = Cursor.decode(cursor)
    assert known is not None
    assert len(known.told) == 1
    assert now() - known.start < 20 * MINUTE


def test_many_arrivals_and_long_conversations_are_paged(
    outlook_world: OutlookWorld, outlook: OutlookTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "PAGE", 2)
    cursor = outlook.poll(None, since=now()).cursor
    sent = outlook.send_draft(outlook.create_draft(outgoing(), send_key="key-1").provider_draft_id)
    arrived = [
        outlook_world.deliver(incoming(text=str(n), in_reply_to=sent.rfc_message_id)) for n in range(5)
    ]
    assert set(told(outlook, cursor)[0]) == set(arrived)
    assert sent.provider_thread_id is not None
    assert len(outlook.read_thread(sent.provider_thread_id)) == 6


@responses.activate
def test_the_token_goes_to_no_other_server(outlook_world: OutlookWorld) -> None:
    import requests

    base = "https://graph.example/v1.0/me"
    responses.get(f"{base}/mailFolders/sentitems", json={"id": "sent"})
    responses.get(
        f"{base}/messages", json={"value": [], "@odata.nextLink": "https://evil.example/v1.0/me/messages"}
    )
    outlook = OutlookTransport(
        "ada@agency.example",
        lambda refused: "t",
        session=requests.Session(),
        endpoint="https://graph.example",
    )
    with pytest.raises(MailTemporary, match="another server"):
        outlook.poll(None, since=now())
    assert all("evil" not in str(call.request.url) for call in responses.calls)


def test_a_message_exchange_cannot_convert_is_read_another_way(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    broken = outlook_world.deliver(incoming(text="Yes, gladly."))
    fine = outlook_world.deliver(incoming(text="Two"))
    outlook_world.proxy.add(
        Fault(
            "answer",
            path=rf"{broken}/\$value",
            count=None,
            status=500,
            reason="ErrorMimeContentConversionFailed",
        )
    )
    polled = outlook.poll(cursor, since=now())
    assert [m.provider_message_id for m in polled.messages] == [broken, fine]
    message = polled.messages[0]
    assert message.sender is not None
    assert message.sender.email == "bo@candidate.example"
    assert (message.subject, message.text.strip()) == ("Re: A role at Acme", "Yes, gladly.")


def test_a_message_deleted_between_listing_and_reading_is_left_out(
    outlook_world: OutlookWorld, outlook: OutlookTransport
) -> None:
    cursor = outlook.poll(None, since=now()).cursor
    gone, kept = (outlook_world.deliver(incoming(text=text)) for text in ("gone", "kept"))
    outlook_world.proxy.add(
        Fault("answer", path=rf"{gone}/", count=None, status=404, reason="ErrorItemNotFound")
    )
    assert told(outlook, cursor)[0] == [kept]


@pytest.mark.parametrize(
    "cursor", ["", "1", "{}", "null", '{"v":1,"from":"soon","sent":"s","told":[]}', "[1]"]
)
def test_a_cursor_of_another_kind_means_a_bounded_resync(
    outlook_world: OutlookWorld, outlook: OutlookTransport, cursor: str
) -> None:
    outlook_world.deliver(incoming(text="long ago", at=now() - 300 * MINUTE))
    since = now()
    missed = outlook_world.deliver(incoming(text="missed"))
    polled = outlook.poll(cursor, since=since)
    assert polled.resynced
    assert [m.provider_message_id for m in polled.messages] == [missed]


def test_json_becomes_a_message_with_the_headers_that_classify_it() -> None:
    resource = {
        "subject": "Undeliverable: A role",
        "from": {"emailAddress": {"name": "Microsoft Outlook", "address": "postmaster@agency.example"}},
        "toRecipients": [{"emailAddress": {"name": "Ada", "address": "ada@agency.example"}}],
        "ccRecipients": None,
        "internetMessageId": "<ndr@agency.example>",
        "internetMessageHeaders": [
            {"name": "Auto-Submitted", "value": "auto-replied"},
            {"name": "In-Reply-To", "value": "<ours@agency.example>\r\nBcc: evil@example.com"},
            {"name": "Content-Type", "value": "multipart/report"},
            {"name": "Bad Name", "value": "x"},
        ],
        "body": {"contentType": "html", "content": "<p>Grüße, it <b>failed</b></p>"},
    }
    read = parse_incoming(
        mime_from(resource), provider_message_id="m", provider_thread_id=None, received_at=NOW
    )
    assert read.header("Auto-Submitted") == "auto-replied"
    assert read.header("Bcc") is None
    assert read.header("Bad Name") is None
    assert read.in_reply_to == ("<ours@agency.example>",)
    assert read.rfc_message_id == "<ndr@agency.example>"
    assert (read.subject, read.text) == ("Undeliverable: A role", "Grüße, it failed")
    assert read.sender is not None
    assert read.sender.email == "postmaster@agency.example"


def test_times_are_graphs() -> None:
    assert stamp(dt.datetime(2026, 5, 4, 14, 0, 1, 999999, dt.timezone(dt.timedelta(hours=2)))) == (
        "2026-05-04T12:00:01Z"
    )
    assert moment("2026-05-04T12:00:00.1234567Z") == NOW + dt.timedelta(microseconds=123456)
    assert moment("2026-05-04T12:00:00Z") == NOW
    assert moment(None) is moment("soon") is None


def body(code: str, message: str = "") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "reading", "sending"),
    [
        (400, "ErrorInvalidRecipients", MailRefused, MailRefused),
        (400, "ErrorInvalidIdMalformed", MailNotFound, MailNotFound),
        (401, "InvalidAuthenticationToken", MailAuthError, MailAuthError),
        (403, "ErrorAccessDenied", MailAuthError, MailAuthError),
        (403, "ErrorSendAsDenied", MailRefused, MailRefused),
        (404, "ErrorItemNotFound", MailNotFound, MailNotFound),
        (404, "MailboxNotEnabledForRESTAPI", MailAuthError, MailAuthError),
        (408, "", MailTemporary, MailOutcomeUnknown),
        (409, "ErrorIrresolvableConflict", MailTemporary, MailOutcomeUnknown),
        (413, "", MailRefused, MailRefused),
        (418, "", MailRefused, MailRefused),
        (429, "ApplicationThrottled", MailRateLimited, MailRateLimited),
        (500, "ErrorInternalServerError", MailTemporary, MailOutcomeUnknown),
        (503, "ServiceUnavailable", MailTemporary, MailOutcomeUnknown),
        (504, "UnknownError", MailTemporary, MailOutcomeUnknown),
        (302, "", MailTemporary, MailOutcomeUnknown),
    ],
)
def test_the_error_table(status: int, code: str, reading: type[MailError], sending: type[MailError]) -> None:
    assert type(error_from(status, {}, body(code), now=NOW)) is reading
    assert type(error_from(status, {}, body(code), sending=True, now=NOW)) is sending


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"error": null}', b'{"error": {"code": 3}}', b"\xff"]
)
def test_bodies_that_are_not_errors(content: bytes) -> None:
    assert type(error_from(503, {}, content, sending=True, now=NOW)) is MailOutcomeUnknown
    assert type(error_from(429, {}, content, now=NOW)) is MailRateLimited
    assert type(error_from(403, {}, content, now=NOW)) is MailTemporary
    assert type(error_from(403, {}, content, sending=True, now=NOW)) is MailOutcomeUnknown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"retry-after": "Mon, 04 May 2026 12:05:00 GMT"}, 300),
        ({"retry-after": "Mon, 04 May 2026 11:00:00 GMT"}, 1),
        ({"retry-after": "soon"}, 60),
        ({}, 60),
    ],
)
def test_the_time_to_wait(headers: dict[str, str], seconds: float) -> None:
    error = error_from(429, headers, body("ApplicationThrottled"), now=NOW)
    assert error.retry_after == seconds
    assert not error.permanent


def test_a_days_allowance_frees_itself_slowly() -> None:
    assert error_from(403, {}, body("ErrorExceededMessageLimit"), now=NOW).retry_after == 3600
    assert error_from(503, {"Retry-After": "9"}, b"", now=NOW).retry_after == 9
