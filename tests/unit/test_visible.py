from __future__ import annotations

import datetime as dt
import time
from email.message import EmailMessage

import pytest

from outreach_sdk.domain.message import parse_incoming, reply_to_text
from outreach_sdk.domain.visible import visible_text

RITA = "Rita Sol <rita@acme.example>"


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        (f"Já.\n\nÞann mán., 2. mar. 2026 kl. 09:00 skrifaði {RITA}:\n\n> Hæ", "Já."),
        (f"Bai.\n\n2026-03-02 09:00 {RITA} erabiltzaileak idatzi du:\n> Kaixo", "Bai."),
        (
            "Ndiyo.\n\nMnamo Jumatatu, 2 Machi 2026 saa 09:00 Rita Sol\n<rita@acme.example> aliandika:\n>Habari",
            "Ndiyo.",
        ),
        (f"Taip.\n\n2026-03-02 09:00, {RITA} rašė:", "Taip."),
        (
            f"Jah.\n\nSaatja: {RITA}\nSaadetud: 2. märts 2026 9:00\nAdressaat: Ana\nTeema: Roll\n\nTere",
            "Jah.",
        ),
        (f"Da.\n\n*Šalje:* {RITA}\n*Poslano:* 2. ožujka 2026. 9:00\n*Prima:* Ana\n\nBok", "Da."),
        (f"Yes.\n\n---- On Mon, 02 Mar 2026 09:00:00 +0100 {RITA} wrote ----\n\nHi Ana", "Yes."),
        (
            "Call me\n\nOn Mon, 2 Mar 2026 at 9:00, Rita Sol<rita@acme.example> wrote: Hi Ana,\n\nNew role.",
            "Call me",
        ),
        (
            "Hívjon.\n\n---------- Eredeti e-mail ----------\nFeladó: "
            + RITA
            + "\nCímzett: Ana\nDátum: ma\n\nHi",
            "Hívjon.",
        ),
        ("Sim.\n\nObter o Outlook para Android<https://aka.ms/AAb9ysg>", "Sim."),
        ("Fine by meSent from my Galaxy", "Fine by me"),
        # What only resembles it stays.
        (f"Two times suit me:\n\nMon 2 March 2026 10:00\nThu 5 March 2026 11:00\n\nWrite to {RITA}", None),
        ("My details:\n\nPhone: +49 170 555\nE-mail: ana@home.example\nCity: Berlin\n\nTalk soon!", None),
        ("We met on 2.3.2026 at 09:00, see ana@home.example:\n\nthe plan stands", None),
        ("Some of my work:\n----- Projects -----\nA shop and a bank.", None),
        ("I have Outlook for work, Gmail at home.", None),
    ],
)
def test_quotes_are_known_by_their_form_in_any_language(text: str, visible: str | None) -> None:
    assert visible_text(text) == (text if visible is None else visible)


def _read(html: str, plain: str | None = None) -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ana <ana@home.example>", RITA, "Re: Role"
    if plain is None:
        message.set_content(html, subtype="html")
    else:
        message.set_content(plain)
        message.add_alternative(html, subtype="html")
    noon = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
    parsed = parse_incoming(
        message.as_bytes(), provider_message_id="p", provider_thread_id=None, received_at=noon
    )
    return visible_text(parsed.text)


ATTR = "Sunt scríobh Rita Sol &lt;rita@acme.example&gt;"


@pytest.mark.parametrize(
    ("html", "visible"),
    [
        (
            f"<p>Yes.</p><blockquote type='cite'><p>{ATTR}</p><p>Not for you? Say stop.</p></blockquote>",
            "Yes.",
        ),
        (
            f'<div>Yes.</div><div class="gmail_quote gmail_quote_container"><div class="gmail_attr">{ATTR}</div>'
            '<blockquote class="gmail_quote">Hi Ana</blockquote></div>',
            "Yes.",
        ),
        (f'<div>Yes.</div><div class="gmail_quote">{ATTR}<div>Hi Ana</div></div>', "Yes."),
        (
            f'<div>Yes.</div><div id="ydp1" class="ydp1 yahoo_quoted"><div>{ATTR}</div><div>Hi</div></div>',
            "Yes.",
        ),
        (f'<div>Yes.</div><div id="x_divRplyFwdMsg"><b>Ó:</b> {ATTR}</div><div>Hi Ana</div>', "Yes."),
        (f'<div>Yes.</div><div id="appendonsend"></div><hr><div>{ATTR}</div><div>Hi Ana</div>', "Yes."),
        (
            f'<p>Yes.</p><div class="moz-cite-prefix">{ATTR}</div><blockquote type="cite"><p>Hi</p></blockquote>',
            "Yes.",
        ),
        # Answers below and between the quotes stay.
        (
            f'<div class="gmail_quote"><div class="gmail_attr">{ATTR}</div><blockquote class="gmail_quote">Monday?'
            '</blockquote><div>No.</div><blockquote class="gmail_quote">Friday?</blockquote><div>Yes.</div></div>',
            "No.\n\nYes.",
        ),
        ('<blockquote type="cite">Friday?</blockquote><p>Friday it is.</p>', "Friday it is."),
        (
            "<div>Yes<div><blockquote type=cite>Hi <div>Ana</blockquote></div>and Friday</div>",
            "Yes\n\nand Friday",
        ),
        # Nothing else is there: it is shown.
        ('<blockquote type="cite">Friday suits me.</blockquote>', "Friday suits me."),
        ('<div class="gmail_quote">Friday suits me.</div>', "Friday suits me."),
    ],
)
def test_what_a_mail_program_marks_as_quoted_is_not_typed(html: str, visible: str) -> None:
    assert _read(html) == visible


def test_plain_text_is_read_first_unless_it_is_empty() -> None:
    assert _read("<p>From HTML</p>", "From plain") == "From plain"
    assert _read("<p>From HTML</p>", " \n") == "From HTML"


@pytest.mark.parametrize(
    "piece", ["<div>", "</div>", "<blockquote type=cite>", "<div class=gmail_quote>", "<div ", "<"]
)
def test_no_markup_takes_long(piece: str) -> None:
    start = time.perf_counter()
    reply_to_text(piece * (400_000 // len(piece)))
    visible_text(f"2 Mar 2026 09:00 {piece}<a@b.example>\n" * 2_000)
    assert time.perf_counter() - start < 5.0
