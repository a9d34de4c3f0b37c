"""What servers say, and whose fault it is: one line a habit, none of them out of a corpus."""

from __future__ import annotations

import datetime as dt

import pytest

from outreach_sdk.domain.classify import Verdict, classify
from outreach_sdk.domain.message import parse_incoming

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def _verdict(raw: str) -> Verdict:
    message = parse_incoming(raw.encode(), provider_message_id="p", provider_thread_id=None, received_at=NOON)
    return classify(message, now=NOON.date())


def _report(said: str, status: str = "5.0.0") -> str:
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.acme.example>
To: rita@acme.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.acme.example

Final-Recipient: rfc822; ana@home.example
Action: failed
Status: {status}
Diagnostic-Code: smtp; {said}

--b--
"""


def _notice(said: str) -> str:
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.acme.example>
To: rita@acme.example
Subject: Mail delivery failed
Content-Type: text/plain; charset=utf-8

Your message could not be delivered to

  <ana@home.example>

{said}
"""


NOBODY_THERE = [
    # qmail's and qpsmtpd's lists
    "553 sorry, ana@home.example is in badrcptto",
    "550 ana@home.example isn't in our validrcptto",
    "550 vdeliver: invalid or unknown virtual user",
    # RFC 5321 3.4
    "551 User not local; please try <ana@new.example>",
    "551 ana@home.example has been replaced by ana@new.example",
    "551 this mailbox is deactivated",
    "550 not our user",
    # gone for good
    "550 This account has been deleted",
    "550 The mailbox ana@home.example has been permanently removed",
    "550 Mailbox closed",
    "550 User ana@home.example has been removed",
    "550 Ana has left the company",
    "550 She is no longer an employee",
    # said of the address
    "550 Invalid address",
    "550 Address invalid",
    "550 Recipient unknown",
    "550 Illegal user",
    "550 Bad mailbox",
    "550 This address no longer accepts mail",
    "550 Mailbox unavailable or access denied",
    "The recipient 'ana' is unknown",
    "550 BAD_RECIPIENT",
    "554 Rcpt <ana@home.example> does not exist",
    "550 Mailbox not present in directory",
    "550 ana is not an active account at this host",
    "550 recipient is not local",
    "550 No mail box found for this name",
    "550 There is no one at this address",
    "554 The destination addresses were unknown",
    "550 Nieznany użytkownik",
    # no way there
    "550 Host not found",
    "550 home.example: no DNS entry",
    "550 No MX or A records for home.example",
    "550 Recipient domain must exist",
    "unrouteable mail domain home.example",
    "550 User not a member of domain: <ana@home.example>",
]


@pytest.mark.rule(18)
@pytest.mark.parametrize("said", NOBODY_THERE)
def test_nobody_is_there(said: str) -> None:
    for raw in (_report(said), _notice(said)):
        verdict = _verdict(raw)
        assert (verdict.kind, verdict.hard, verdict.dead) == ("bounce", True, ("ana@home.example",))


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    "said",
    [
        "The address to which you wrote, ana@home.example, did not exactly match an Acme e-mail address.",
        "It didn't match any known user of ours.",
        "Routing: could not find a gateway for ana@home.example",
    ],
)
def test_a_directory_or_a_table_of_routes_knows_nobody(said: str) -> None:
    verdict = _verdict(_notice(said))
    assert (verdict.kind, verdict.hard) == ("bounce", True)


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    "said",
    [
        # the sender's fault
        "550 Domain of sender address rita@acme.example does not exist",
        "550 The sending domain could not be found",
        "550 Return path domain does not exist",
        "550 The sender's domain does not exist",
        "550 Your domain does not have an MX record; no MX record found",
        "550 5.1.8 Invalid email address rita@acme.example",
        "504 Helo command rejected: Host not found",
        "450 Client host rejected: host not found",
        "535 Invalid user or password",
        # a time that passes
        "421 host not found in DNS, please try again later",
        "450 User unknown in our cache, try later",
        "Name service error for name=home.example type=MX: Host not found, try again",
        "450 4.1.1 <ana@home.example>: Recipient address rejected: unverified address: in progress",
        "connect to mx.home.example[192.0.2.7]:25: No route to host",
        "550 5.1.1 Mailbox is currently suspended, please contact its owner",
        # of the message, not of the mailbox
        "554 The mailbox is full. Your message was deleted.",
        "550 Message to this user was removed by our filter",
    ],
)
def test_the_address_is_not_at_fault(said: str) -> None:
    for raw in (_report(said), _notice(said)):
        verdict = _verdict(raw)
        assert verdict.hard is False
        assert verdict.dead == ()


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    "said",
    [
        "Delivery has been postponed due to a full mailbox.",
        "We will continue to try to deliver your message over the next few days.",
    ],
)
def test_a_server_that_goes_on_trying_has_not_given_up(said: str) -> None:
    verdict = _verdict(_notice(said))
    assert (verdict.kind, verdict.hard) == ("delivery_notice", False)


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    ("status", "said", "hard"),
    [
        ("4.2.0", "450 4.2.0 Action not taken: mailbox unavailable", False),
        ("5.0.0", "550 Action not taken: mailbox unavailable", True),
        ("5.2.1", "550 5.2.1 The account that you tried to reach has been closed", True),
        ("5.2.1", "550 5.2.1 The mailbox you are trying to reach is deleted.", True),
        ("5.2.1", "550 5.2.1 The account that you tried to reach is over its limit: exceeded", False),
        ("5.0.0", "550 Mailbox not found or access denied", True),
        ("5.0.0", "550 Access denied", False),
        ("5.0.0", "550 User unknown. Policy: ana@home.example", True),
        ("5.7.1", "550 5.7.1 Policy: recipient unknown to this list of senders", False),
    ],
)
def test_what_decides_between_two_causes(status: str, said: str, hard: bool) -> None:
    verdict = _verdict(_report(said, status))
    assert (verdict.kind, verdict.hard) == ("bounce", hard)


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("rfc822; o'hara@home.example", "o'hara@home.example"),
        ("rfc822; <D'Arcy@home.example>", "d'arcy@home.example"),
        (r"utf-8; s\x{F8}ren@home.example", "søren@home.example"),
        (r"utf-8; \x{E9}va@home.example", "éva@home.example"),
        ("utf-8; øystein@home.example", "øystein@home.example"),
        (r"rfc822; s\x{F8}ren@home.example", r"s\x{f8}ren@home.example"),
        (r"utf-8; a\x{FFFFFF}b@home.example", r"a\x{ffffff}b@home.example"),
        (r"utf-8; a\x{D800}b@home.example", r"a\x{d800}b@home.example"),
    ],
)
def test_recipients_with_other_letters_are_themselves(field: str, address: str) -> None:
    raw = _report("550 5.1.1 No such user").replace("rfc822; ana@home.example", field)
    verdict = _verdict(raw)
    assert (verdict.recipients, verdict.dead) == ((address,), (address,))


@pytest.mark.rule(18)
def test_quotes_about_an_address_are_none_of_it() -> None:
    said = "550 No such user 'o'hara@home.example'"
    raw = _notice(said).replace("  <ana@home.example>\n\n", "").replace("delivered to", "delivered:")
    assert _verdict(raw).recipients == ("o'hara@home.example",)


@pytest.mark.rule(18)
def test_a_subject_that_says_delayed_outweighs_a_witness() -> None:
    raw = _notice("The addresses to which it has not yet been delivered: Delay reason: 452 4.2.2 over quota")
    raw = raw.replace("Subject: Mail delivery failed", "Subject: Warning: message 1KO9CD delayed 24 hours")
    assert _verdict(raw).kind == "delivery_notice"
    assert _verdict(raw + "This is a permanent error.\n").kind == "bounce"


@pytest.mark.rule(18)
def test_fields_that_a_gateway_prints_into_its_notice_name_who_failed() -> None:
    printed = (
        "Your message\n From: Rita <rita@acme.example>\n To: <ana@home.example>\n\nwasn't delivered.\n\n"
        "Delivery status:\nFinal-Recipient: rfc822; ana@home.example\nAction: failed\nStatus: 5.9.8\n"
    )
    raw = _notice(printed).replace("  <ana@home.example>\n\n", "").replace("delivered to", "delivered:")
    assert _verdict(raw).recipients == ("ana@home.example",)


@pytest.mark.rule(18)
def test_the_null_address_is_a_mail_systems() -> None:
    raw = (
        "Return-Path: <>\nFrom: <>\nTo: rita@acme.example\nAuto-Submitted: auto-replied\n\n"
        "You wrote to ana@home.example. That is not a valid user here.\n"
    )
    verdict = _verdict(raw)
    assert (verdict.kind, verdict.hard, verdict.dead) == ("bounce", True, ("ana@home.example",))


def test_a_calendar_without_a_sender_is_no_bounce() -> None:
    raw = (
        "Return-Path: <ana@home.example>\nMIME-Version: 1.0\nContent-Type: text/calendar; method=CANCEL\n\n"
        "BEGIN:VCALENDAR\nPRODID:-//Acme//Calendar 4.1.3//EN\nMETHOD:CANCEL\nATTENDEE:mailto:ana@home.example\n"
        "END:VCALENDAR\n"
    )
    assert _verdict(raw).kind == "human"
