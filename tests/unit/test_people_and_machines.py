"""Messages of people that look like a mail system's, and the other way round."""

from __future__ import annotations

import datetime as dt
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from outreach_sdk.domain.classify import Verdict, classify
from outreach_sdk.domain.message import parse_incoming

TODAY = dt.date(2026, 3, 2)
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
OURS = "<first@acme.example>"


def judge(message: Message) -> Verdict:
    found = parse_incoming(
        message.as_bytes(), provider_message_id="p", provider_thread_id=None, received_at=NOON
    )
    return classify(found, now=TODAY)


def mail(
    text: str,
    subject: str = "Re: Backend role",
    sender: str = "Lena Falk <lena@falk.example>",
    **headers: str,
) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "rita@acme.example", subject
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def _part(kind: str, fields: str) -> MIMEBase:
    part = MIMEBase("message", kind)
    part.set_payload([message_from_bytes(fields.encode())])
    return part


def report(kind: str, fields: str, sender: str) -> MIMEMultipart:
    """A report as RFC 6522 builds it."""
    whole = MIMEMultipart("report", report_type=kind)
    whole["From"], whole["To"], whole["Subject"] = sender, "rita@acme.example", "A report"
    whole.attach(MIMEText("What happened to your message."))
    whole.attach(_part(kind, fields))
    returned = mail("Hello Lena", "Backend role", "rita@acme.example")
    returned["Message-ID"] = OURS
    whole.attach(MIMEMessage(returned))
    return whole


FAILED = "Final-Recipient: rfc822; lena@old.example\nAction: failed\nStatus: 5.1.1\n"
ABUSE = "Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: lena@falk.example\n"


@pytest.mark.parametrize(
    ("kind", "fields", "judged"),
    [("delivery-status", FAILED, "bounce"), ("feedback-report", ABUSE, "complaint")],
)
def test_a_report_somebody_attaches_is_a_persons(kind: str, fields: str, judged: str) -> None:
    inner = report(kind, fields, "postmaster@old.example")
    assert judge(inner).kind == judged
    for attached in (MIMEMessage(inner), _part(kind, fields)):
        outer = MIMEMultipart("mixed")
        outer["From"], outer["Subject"] = "Lena Falk <lena@falk.example>", "About my old address"
        outer.attach(MIMEText("This came back from my old address. Yes, tell me more."))
        outer.attach(attached)
        assert judge(outer).kind == "human"
        if kind == "delivery-status":
            outer.replace_header("From", "Mail Delivery System <mailer-daemon@old.example>")
            assert judge(outer).kind == "bounce"  # some gateways wrap what other systems say


@pytest.mark.parametrize(
    ("kind", "judged"),
    [
        ("abuse", "complaint"),
        ("fraud", "complaint"),
        ("virus", "complaint"),
        ("opt-out", "complaint"),
        ("opt-out-list", "complaint"),
        ("not-spam", "delivery_notice"),
        ("auth-failure", "delivery_notice"),
    ],
)
def test_not_every_feedback_report_complains(kind: str, judged: str) -> None:
    verdict = judge(report("feedback-report", ABUSE.replace("abuse", kind), "fbl@isp.example"))
    assert (verdict.kind, verdict.hard) == (judged, None)
    assert verdict.recipients == ("lena@falk.example",)


@pytest.mark.parametrize(
    "sender",
    [
        "Olga Brandt (Alpine Delivery Service) <olga@alpine.example>",
        "Mail Administrator Tarek <tarek@host.example>",
        "Postmaster Lu Chen <lu@chen.example>",
        "Lu Chen <postmaster@chen.example>",
        "postmaster@chen.example",
        "Sam Bounce <bounce.sam@agency.example>",
        "Cleo Daemon <daemon.cleo@home.example>",
        "Bounce Studio / Sam <sam@bounce-studio.example>",
    ],
)
@pytest.mark.parametrize("answers", [True, False])
def test_who_is_only_called_like_a_server_is_a_person(sender: str, answers: bool) -> None:
    words = "My mailbox was full and I'm unavailable today. Write to me at private@else.example, please."
    headers = {"In_Reply_To": OURS, "Return_Path": "<x@else.example>"} if answers else {}
    assert judge(mail(words, sender=sender, **headers)).kind == "human"


_PASTED = """\
This message was created automatically by mail delivery software.
A message that you sent could not be delivered. This is a permanent error.

  rita@acme.example
    550 No such user
"""


@pytest.mark.parametrize("above", [True, False])
def test_a_pasted_bounce_is_a_persons(above: bool) -> None:
    own = "That is what I got, so this is from my other address. I'd like to hear more."
    text = f"{own}\n\n{_PASTED}" if above else f"{_PASTED}\n{own}"
    subject = "Mail delivery failed: returning message to sender"
    assert judge(mail(text, subject)).kind == "human"
    machine = judge(mail(_PASTED, subject, "Mail Delivery System <mailer-daemon@mx.example>"))
    assert (machine.kind, machine.hard) == ("bounce", True)


def test_a_notice_takes_two_signs() -> None:
    words = "<lena@old.example>: no such user here.\n\nMessage-ID: <first@acme.example>"
    assert judge(mail("Hello", "Your message", "postmaster@old.example")).kind == "human"
    assert judge(mail(words, "Undelivered mail", "postmaster@old.example")).kind == "bounce"
    assert judge(mail(words, "Your message", "postmaster@old.example", Return_Path="<>")).kind == "bounce"


def test_headers_in_plain_utf_8_are_read() -> None:
    raw = """\
Return-Path: <>
From: 邮件系统 <postmaster@mail.example>
To: rita@acme.example
Subject: 系统退信
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

您给 lena@falk.example 的邮件没有送到，对方邮箱已满。
""".encode()
    found = parse_incoming(raw, provider_message_id="p", provider_thread_id=None, received_at=NOON)
    assert found.subject == "系统退信"
    assert found.sender is not None
    assert found.sender.name == "邮件系统"
    verdict = classify(found, now=TODAY)
    assert (verdict.kind, verdict.hard, verdict.recipients) == ("bounce", False, ("lena@falk.example",))


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("OOO this week", "I'm OOO this week, can we speak on the 9th?"),
        ("Ferien", "Ich bin im Urlaub, aber das klingt gut."),
        ("On vacation, yet curious", "I am on vacation and have time to talk."),
        ("En vacances mais disponible", "Je suis en vacances, appelez-moi."),
        ("休暇中ですが", "休暇中ですが、お話ししたいです。"),
        ("Auto reply team lead", "Does the auto reply team sit in Berlin?"),
        ("Auto: test driver", "Cars are what I know best."),
        ("Automatic response?", "Automatic response? I typed this myself."),
        (
            "Automatic reply: Backend role",
            "Back at my desk. Tell me more!\n\nOn Mon, 2 Mar 2026, Rita <rita@acme.example> wrote:\n> Hello Lena",
        ),
    ],
)
def test_a_subject_of_absence_alone_is_no_machines(subject: str, text: str) -> None:
    assert judge(mail(text, subject, In_Reply_To=OURS)).kind == "human"


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Auto_Response_Suppress": "All", "Precedence": "bulk"},
        {"X_Autoreply": "0"},
        {"X_Autorespond": "off"},
        {"Return_Path": "<>"},
        {"From": "Lena <noreply-lena@falk.example>"},
        {"From": "Lena <no-reply_at_jobs_4f@relay.example>"},
    ],
)
def test_a_header_that_says_nothing_of_the_message(headers: dict[str, str]) -> None:
    sender = headers.pop("From", "Lena Falk <lena@falk.example>")
    words = "Gladly. I'm currently travelling, so a call is best."
    assert judge(mail(words, sender=sender, In_Reply_To=OURS, **headers)).kind == "human"


@pytest.mark.parametrize("method", ["REPLY", "REQUEST", "COUNTER"])
@pytest.mark.parametrize("subject", ["Zaakceptowano", "Ehkä: puhelu", "承諾: 面談", "Invitation"])
@pytest.mark.parametrize("as_parameter", [True, False])
def test_what_a_calendar_sends_is_its_owners(method: str, subject: str, as_parameter: bool) -> None:
    message = mail("A call", subject, Auto_Submitted="auto-generated")
    kind = {"params": {"method": method}} if as_parameter else {}
    message.add_alternative(
        f"BEGIN:VCALENDAR\r\nMETHOD:{method}\r\nEND:VCALENDAR\r\n", subtype="calendar", **kind
    )
    assert judge(message).kind == "human"


def test_a_calendar_attached_with_a_message_is_not_its_senders() -> None:
    inner = mail("A call", "Invitation")
    inner.add_alternative("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n", subtype="calendar")
    outer = mail("I am on leave.", "Automatic reply: Invitation")
    outer.add_attachment(inner)
    assert judge(outer).kind == "auto_reply"


@pytest.mark.parametrize(
    ("subject", "text", "headers"),
    [
        (f"{name}: Backend role", "…", {})
        for name in (
            "Автоматичен отговор",
            "Аутоматски одговор",
            "Samodejni odgovor",
            "Automatinis atsakymas",
            "Automātiska atbilde",
            "Automaatvastus",
            "Resposta automàtica",
            "Sjálfvirkt svar",
        )
    ]
    + [
        ("[Auto-Reply] Backend role", "We got it.", {}),
        ("Ich bin im Urlaub: Backend role", "Ich bin im Urlaub.", {"Precedence": "bulk"}),
        ("Nicht im Büro: Backend role", "Nicht im Büro.", {"X_Auto_Response_Suppress": "All"}),
        ("Absent Re: Backend role", "Je suis absente.", {}),
        ("Afwezig: Backend role", "Ik ben afwezig.", {"In_Reply_To": OURS}),
        ("Case 77123: Backend role", "This is an automated message.", {"Precedence": "bulk"}),
        ("Re: Backend role", "I am out of the office.", {"Precedence": "junk"}),
        ("Auto: we have it", "Thanks, somebody will answer.", {"X_Auto_Response_Suppress": "All"}),
    ],
)
def test_machines_in_many_languages(subject: str, text: str, headers: dict[str, str]) -> None:
    assert judge(mail(text, subject, **headers)).kind == "auto_reply"
