from __future__ import annotations

import datetime as dt
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outreach_sdk.domain.classify import Verdict, classify, visible_text
from outreach_sdk.domain.message import parse_incoming
from outreach_sdk.domain.return_date import find_return_date

TODAY = dt.date(2026, 3, 2)
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def _judge(raw: bytes) -> Verdict:
    message = parse_incoming(raw, provider_message_id="p", provider_thread_id=None, received_at=NOON)
    return classify(message, now=TODAY)


def _mail(
    text: str, subject: str = "Re: Backend role", sender: str = "Ana <ana@home.example>", **headers: str
) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "rita@acme.example", subject
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes()


def _report(
    action: str, status: str, said: str, prose: str = "Your message could not be delivered."
) -> bytes:
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.acme.example>
To: rita@acme.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

{prose}

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.acme.example

Final-Recipient: rfc822; Ana@home.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--b
Content-Type: message/rfc822

From: rita@acme.example
To: ana@home.example
Subject: Backend role

Hi Ana, I was out of the office. Please unsubscribe me.
--b--
""".encode()


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    ("status", "said", "hard"),
    [
        ("5.1.1", "550 5.1.1 <ana@home.example>: Recipient address rejected: User unknown", True),
        ("5.0.0", "550 No such user here", True),
        ("5.1.2", "550 Host unknown", True),
        ("5.4.4", "Host or domain name not found", True),
        ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        ("5.2.2", "552 5.2.2 Mailbox full", False),
        ("5.7.1", "554 5.7.1 Message rejected as spam by content policy", False),
        ("5.1.1", "550 5.1.1 Client host blocked using a blocklist", False),
        ("5.1.8", "501 5.1.8 Sender address rejected", False),
        ("5.3.4", "552 5.3.4 Message size exceeds fixed limit", False),
        ("4.4.7", "delivery time expired", False),
        ("5.0.0", "554 Transaction failed", False),
    ],
)
def test_bounces_are_hard_only_when_the_address_is_at_fault(status: str, said: str, hard: bool) -> None:
    verdict = _judge(_report("failed", status, said))
    assert (verdict.kind, verdict.hard) == ("bounce", hard)
    assert verdict.recipients == ("ana@home.example",)
    assert verdict.status == status
    assert not verdict.opt_out


@pytest.mark.rule(18)
@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed"])
def test_a_delay_or_a_receipt_is_no_bounce(action: str) -> None:
    verdict = _judge(_report(action, "4.4.1" if action == "delayed" else "2.0.0", "still trying"))
    assert verdict.kind == "delivery_notice"
    assert verdict.hard is (False if action == "delayed" else None)


@pytest.mark.rule(18)
def test_bounces_in_prose() -> None:
    text = "This message was created automatically by mail delivery software.\n\n  ana@home.example\n    550 user unknown\n"
    verdict = _judge(
        _mail(
            text,
            "Mail delivery failed: returning message to sender",
            "Mail Delivery System <mailer-daemon@mx.example>",
        )
    )
    assert (verdict.kind, verdict.hard, verdict.recipients) == ("bounce", True, ("ana@home.example",))


def test_a_person_who_passes_a_bounce_on_is_a_person() -> None:
    text = "Look, your mail came back:\n\nUndelivered Mail Returned to Sender\n550 user unknown <ana@old.example>"
    assert _judge(_mail(text, "Fwd: Undelivered Mail Returned to Sender")).kind == "human"
    assert _judge(_mail(text, "Delivery failed?", In_Reply_To="<one@acme.example>")).kind == "human"
    forwarded = _report("failed", "5.1.1", "550 User unknown").replace(
        b"Mail Delivery System <MAILER-DAEMON@mx.acme.example>", b"Ana <ana@home.example>"
    )
    forwarded = forwarded.replace(b"Auto-Submitted: auto-replied\n", b"").replace(b"Return-Path: <>\n", b"")
    assert _judge(forwarded.replace(b"Subject: Undelivered", b"Subject: FW: Undelivered", 1)).kind == "human"


@pytest.mark.rule(18)
@pytest.mark.parametrize(
    ("actions", "kind", "final"),
    [
        (["failed"], "bounce", True),
        (["Failed (mailbox full)"], "bounce", True),
        (["delayed"], "delivery_notice", False),
        (["failed", "delayed"], "bounce", False),
        (["failed", "relayed"], "bounce", False),
        ([""], "bounce", False),
    ],
)
@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers", None])
def test_a_report_is_final_when_every_recipient_failed_and_names_what_it_returns(
    actions: list[str], kind: str, final: bool, returned: str | None
) -> None:
    groups = "\n".join(
        f"Final-Recipient: rfc822; a{n}@home.example\n{f'Action: {action}' if action else 'X: 1'}\nStatus: 4.2.2\n"
        for n, action in enumerate(actions)
    )
    back = f"Content-Type: {returned}\n\nMessage-ID:\n <one@acme.example>\nReferences: <zero@acme.example>\n\n--b"
    raw = f"""\
From: MAILER-DAEMON@home.example
Subject: Undelivered
In-Reply-To: <{"two" if returned else "one"}@acme.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

The mailbox is full.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; home.example

{groups}
--b
{back if returned else "--"}--
"""
    verdict = _judge(raw.encode())
    assert (verdict.kind, verdict.hard, verdict.final) == (kind, False, final)
    if kind == "bounce":
        assert verdict.message_ids == ("<one@acme.example>",)


def test_complaints() -> None:
    raw = b"""\
From: <feedback@isp.example>
Subject: FW: Backend role
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is a spam report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Rcpt-To: <Ana@home.example>

--b
Content-Type: message/rfc822

To: ana@home.example

Hi
--b--
"""
    verdict = _judge(raw)
    assert (verdict.kind, verdict.recipients) == ("complaint", ("ana@home.example",))


@pytest.mark.failure(
    "auto-replies counted as replies, in other languages; `Auto-Submitted: no` taken for one"
)
@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("subject", "text", "headers"),
    [
        ("Role", "Back on 9 March 2026.", {"Auto_Submitted": "auto-replied"}),
        ("Automatic reply: Role", "I return on Monday, March 9th.", {}),
        ("Automatische Antwort: Role", "Ich bin bis zum 9. März nicht im Büro.", {}),
        ("Réponse automatique : Role", "Je suis absent jusqu'au 8 mars 2026 inclus.", {}),
        ("Respuesta automática: Role", "Estaré fuera de la oficina hasta el 9 de marzo.", {}),
        ("Risposta automatica: Role", "Sono in ferie fino al 09/03/2026.", {}),
        ("Automatisch antwoord: Role", "Ik ben afwezig tot en met 8 maart.", {}),
        ("Автоматический ответ: Role", "Я в отпуске до 9 марта 2026 года.", {}),
        ("自動応答: Role", "3月9日まで休暇をいただいております。", {}),
        ("Out of office", "I am out of the office. I will be back 2026-03-09.", {}),
        ("Re: Role", "I am on annual leave until 09.03.2026.", {"Return_Path": "<>"}),
        ("Re: Role", "Back on 9 March", {"Precedence": "auto_reply"}),
        ("Re: Role", "Away until 9/3", {"X_Autoreply": "yes"}),
    ],
)
def test_out_of_office_and_its_return_date(subject: str, text: str, headers: dict[str, str]) -> None:
    verdict = _judge(_mail(text, subject, **headers))
    assert (verdict.kind, verdict.return_date) == ("auto_reply", dt.date(2026, 3, 9))
    assert not verdict.left_company


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    "text",
    [
        "Ana no longer works at Home Ltd. Please write to hr@home.example.",
        "Ana has left the company on 9 March 2026.",
        "Frau Silva ist nicht mehr für uns tätig.",
        "Ana Silva ne fait plus partie de l'entreprise.",
        "Ana ya no trabaja en esta empresa.",
        "Ana non lavora più qui.",
        "Эта сотрудница больше не работает в компании.",
    ],
)
def test_gone_for_good(text: str) -> None:
    verdict = _judge(_mail(text, "Automatic reply: Role", Auto_Submitted="auto-replied"))
    assert (verdict.kind, verdict.left_company, verdict.return_date) == ("auto_reply", True, None)


@pytest.mark.failure(
    "auto-replies counted as replies, in other languages; `Auto-Submitted: no` taken for one"
)
@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("subject", "text", "headers"),
    [
        ("Re: Role", "I'm out of office until Monday 9 March, but yes, let's talk!", {}),
        (
            "Re: Role",
            "Yes!\n\nOn Mon, 2 Mar 2026 at 9:00, Rita <rita@acme.example> wrote:\n> I was out of the office",
            {},
        ),
        ("Re: Automatic reply: Role", "Sorry I missed this. Happy to talk.", {}),
        ("Role", "Fine by me", {"Auto_Submitted": "no"}),
        ("Accepted: Intro call", "Ana has accepted.", {"Auto_Submitted": "auto-generated"}),
        ("Re: Role", "Sure", {"X_Auto_Response_Suppress": "All", "Precedence": "bulk"}),
        ("Re: Role", "Sure", {"X_MS_Exchange_Inbox_Rules_Loop": "ana@home.example"}),
        ("Vacation", "We run a vacation start-up, is that relevant?", {}),
        ("Ben is out of the office.", "I will be out of the office too, starting Monday. Call me today?", {}),
        ("Re: Role", "Your mail was waitlisted by my filter, but I'm reading it now.", {}),
        ("Thank you", "I will reply as soon as I can.", {"Return_Path": "<>"}),
        ("Thank you", "I will reply as soon as I can.", {"Precedence": "bulk"}),
        ("", "", {}),
    ],
)
def test_no_person_is_taken_for_a_machine(subject: str, text: str, headers: dict[str, str]) -> None:
    verdict = _judge(_mail(text, subject, **headers))
    assert (verdict.kind, verdict.opt_out) == ("human", False)


@pytest.mark.parametrize(
    ("subject", "text", "sender", "headers"),
    [
        ("Re: Role", "Your message has been waitlisted.", "noreply@guard.example", {}),
        (
            "Thank you",
            "I will reply as soon as I can.",
            "ana@home.example",
            {"Return_Path": "<>", "Precedence": "bulk"},
        ),
        (
            "Ana Diaz is out of the office.",
            "I will be out of the office starting 03/02/2026 and will not return until\n03/09/2026.",
            "ana@home.example",
            {},
        ),
        ("Autoodpowiedź: Role", "Dziękuję.", "ana@home.example", {"X_Auto_Response_Suppress": "All"}),
    ],
)
def test_older_machines(subject: str, text: str, sender: str, headers: dict[str, str]) -> None:
    assert _judge(_mail(text, subject, sender, **headers)).kind == "auto_reply"


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "text",
    [
        "Unsubscribe",
        "STOP",
        "Please remove me from your list.",
        "Not interested. Do not contact me again.",
        "I'd like to opt out, thanks",
        "stop emailing me",
        "Bitte nehmen Sie mich aus Ihrem Verteiler.",
        "Merci de me désinscrire",
        "Por favor, dame de baja",
        "Cancellatemi dalla lista",
        "Прошу больше не присылайте мне писем",
        "配信を停止してください",
        "No thanks, please unsubscribe me\n\nOn Mon, 2 Mar 2026 at 9:00, Rita <rita@acme.example> wrote:\n> Hi",
    ],
)
def test_words_that_ask_to_stop(text: str) -> None:
    verdict = _judge(_mail(text))
    assert (verdict.kind, verdict.opt_out) == ("human", True)


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "text",
    [
        "Thanks, I'd love to talk.\n\nOn Mon, 2 Mar 2026 at 9:00, Rita <rita@acme.example> wrote:\n> Unsubscribe",
        "Sounds good.\n\n-- \nAna\nTo unsubscribe me from nothing at all, please unsubscribe",
        "I built the unsubscribe flow at my last job.",
        "Please don't contact me at work, my mobile is better.",
        "I don't want to unsubscribe, tell me more",
        "Please remove me from consideration for this one.",
        "отпишусь завтра",
        "don't send me an invite yet",
    ],
)
def test_words_that_only_look_like_it(text: str) -> None:
    assert not _judge(_mail(text)).opt_out


def test_an_unsubscribe_mail_by_subject() -> None:
    assert _judge(_mail("", "unsubscribe")).opt_out


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("Yes\n\nOn Mon, 2 Mar 2026 at 09:00, Rita R <r@acme.example> wrote:\n> Hi\n> there", "Yes"),
        ("Yes\n\nOn Mon, 2 Mar 2026 at 09:00, Rita R\n<r@acme.example>\nwrote:\n\nHi there", "Yes"),
        ("Ja\n\nAm 02.03.2026 um 09:00 schrieb Rita <r@acme.example>:\n> Hallo", "Ja"),
        ("Oui\n\nLe lun. 2 mars 2026 à 09:00, Rita <r@acme.example> a écrit :\n> Bonjour", "Oui"),
        ("Sí\n\nEl 2 mar 2026, a las 9:00, Rita <r@acme.example> escribió:\n> Hola", "Sí"),
        ("Yes\n\n-----Original Message-----\nFrom: Rita\nHi", "Yes"),
        ("Yes\n\nFrom: Rita <r@acme.example>\nSent: Monday\nTo: Ana\nSubject: Role\n\nHi", "Yes"),
        ("Ja\n\nVon: Rita <r@acme.example>\nGesendet: Montag\nAn: Ana\nBetreff: Rolle\n\nHallo", "Ja"),
        ("Yes\n\nAna\n-- \nAna Silva\n+49 30 1234567", "Yes\n\nAna"),
        ("Yes\n\nSent from my iPhone", "Yes"),
        ("> Tuesday?\nNo\n> Friday?\nYes", "No\nYes"),
        ("On Mon, 2 Mar 2026, Rita <r@acme.example> wrote:\n> Friday?\n\nYes, Friday.", "Yes, Friday."),
        ("I wrote: call me at 5", "I wrote: call me at 5"),
        ("> only a quote", ""),
    ],
)
def test_what_was_typed(text: str, visible: str) -> None:
    assert visible_text(text) == visible


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("from 2 March to 9 March, back 10 March", (3, 10)),
        ("vom 02.03. bis 13.03. abwesend, ab dem 16.03. wieder da", (3, 16)),
        ("back on Monday", (3, 9)),
        ("until 09/03/2026", (3, 9)),
        ("returning 03/20/2026", (3, 20)),
        ("until September 2026", (9, 1)),
        ("since 1 February", None),
        ("until 31/02/2026", None),
        ("back 1 May 2031", None),
        ("available 24/7 with version 2.5", None),
    ],
)
def test_return_dates(text: str, day: tuple[int, int] | None) -> None:
    assert find_return_date(text, TODAY) == (dt.date(2026, *day) if day else None)


@given(st.text(max_size=200))
def test_a_return_date_is_never_absurd(text: str) -> None:
    found = find_return_date("back on " + text, TODAY)
    assert found is None or TODAY <= found <= TODAY + dt.timedelta(days=400)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_judged(raw: bytes) -> None:
    assert _judge(raw).kind in ("bounce", "complaint", "auto_reply", "delivery_notice", "human")


@settings(max_examples=60)
@given(
    st.sampled_from([b"From: \n", b"Content-Type: multipart/report; report-type=delivery-status\n", b""]),
    st.binary(max_size=200),
)
def test_malformed_reports_are_judged_too(head: bytes, rest: bytes) -> None:
    whole = _report("failed", "5.1.1", "550 User unknown")
    assert _judge(head + whole.replace(b"Action", rest)).kind
    assert _judge(whole[: len(rest) * 5]).kind


@given(st.text(max_size=300))
def test_visible_text_is_stable(text: str) -> None:
    once = visible_text(text)
    assert isinstance(once, str)
    assert len(once) <= len(text)


def test_a_notice_that_says_nothing_else_is_a_machines_whoever_signs_it() -> None:
    words = "****\nVotre message n'a pas pu etre remis a\nbo@acme.example\n****\n"
    words += "Your message could not be delivered to\nbo@acme.example\n"
    judged = _judge(_mail(words, subject="RE: Your role : non remis", sender="relay@acme.example"))
    assert (judged.kind, judged.recipients) == ("bounce", ("bo@acme.example",))


@pytest.mark.parametrize(
    "words",
    [
        "Your message could not be delivered to\nbo@acme.example\nTry bo@home.example, that one works.",
        "Hi, your message could not be delivered to bo@acme.example. I am his colleague. Call me?",
        "bo@home.example",
        "Thanks!\nbo@home.example",
        "Your message could not be delivered to",
    ],
)
def test_who_writes_about_a_failed_delivery_is_a_person(words: str) -> None:
    assert _judge(_mail(words, subject="RE: Your role : non remis")).kind == "human"


def test_a_list_server_is_no_person() -> None:
    text = "Duplicated Message-ID in <neko@acme.example>.\n\nOriginal mail as follows:\n"
    judged = _judge(_mail(text, subject="Loop Alert: Duplicated Message-ID", X_MLServer="fml [fml 4.0.3]"))
    assert judged.kind == "bounce"
    assert not judged.hard
