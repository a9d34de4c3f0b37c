"""Who has left for good, and who only seems to have."""

from __future__ import annotations

import time

import pytest

from outreach_sdk.domain.departure import says_left


def _left(text: str, name: str = "Lena Falk", address: str = "lena.falk@borealis.example") -> bool:
    return says_left(text, name=name, address=address)


@pytest.mark.parametrize(
    "text",
    [
        "Friday was my last day at Borealis.",
        "I no longer work for Borealis.",
        "I've left Borealis. Please write to info@borealis.example.",
        "My time with Borealis has come to an end.",
        "Lena Falk is no longer with our company.",
        "Ms Falk no longer works here.",
        "The person you wrote to doesn't work at Borealis anymore.",
        "I am no longer with Borealis.",
        "I'm no longer with Hexagon Foods as of May.",
        "Lena Falk is no longer with Borealis.",
        "Thank you for writing - Lena has left the company.",
        "Sorry to miss you! My last day was 29 May.",
        "I am out of the office permanently, as I no longer work at Borealis.",
        "Ich bin zum 31. Januar aus der Firma ausgeschieden.",
        "Seit dem 1. Februar arbeite ich nicht mehr bei Borealis.",
        "Frau Falk hat das Unternehmen verlassen.",
        "J'ai quitté la société fin janvier.",
        "Lena Falk ne travaille plus chez Borealis.",
        "Ya no formo parte de la empresa.",
        "He dejado de trabajar en Borealis.",
        "Non lavoro più in Borealis.",
        "Já não trabalho na Borealis.",
        "Ik ben niet langer werkzaam bij Borealis.",
        "Nie pracuję już w firmie Borealis.",
        "Nie jestem już pracownikiem Borealis.",
        "С января я больше не работаю в компании.",
        "Jag har slutat på Borealis.",
        "Jeg er fratrådt min stilling hos Borealis.",
        "En ole enää töissä Borealis Oy:ssä.",
        "V Borealis již nepracuji.",
        "Artık Borealis şirketinde çalışmıyorum.",
        "このたび退職いたしました。",
        "我已离职。",
    ],
)
def test_who_says_so_has_left(text: str) -> None:
    assert _left(text)


@pytest.mark.parametrize(
    "text",
    [
        "I am no longer part of the Zephyr project.",
        "I am no longer with the Zephyr team at Borealis.",
        "I was with Omar Haddad, who is no longer with Borealis.",
        "My last day before my holidays was Friday, I am on annual leave until 9 March.",
        "We are no longer at Harbour Lane.",
        "Our fax number is no longer in use.",
        "Please note that Omar Haddad has left Borealis.",
        "Lena Kraus is no longer with our company.",
        "I no longer work on Fridays.",
        "I've left Borealis's Oslo office for the week.",
        "If you are no longer with the company, delete this.",
        "I am out of the office until 9 March. I no longer work for the Borealis shop.",
        "I'll be back on 9 March. My colleague has left the company.",
        "Herr Haddad ist aus dem Unternehmen ausgeschieden, mein Anschluss bleibt.",
        "Ich bin telefonisch nicht mehr erreichbar.",
        "Omar Haddad a quitté notre société, je reprends ses dossiers.",
        "Omar Haddad ya no trabaja en la empresa.",
        "Non lavoro più il venerdì.",
        "鈴木は退職いたしました。",
        "本日は退社しました。",
        "Thank you for your message. We have received it.",
    ],
)
def test_who_comes_back_or_speaks_of_something_else_has_not(text: str) -> None:
    name = "高橋" if "鈴木" in text else "Lena Falk"
    assert not _left(text, name)


def test_a_role_speaks_of_the_one_it_names() -> None:
    text = "Jonas Lind has left Borealis Ltd. Please contact Eva."
    assert _left(text, "Borealis", "office@borealis.example")
    assert not _left(f"{text} I take over his projects.", "Borealis", "office@borealis.example")
    assert says_left(text, name="Mail Delivery System", address="mailer-daemon@x.example", of_recipient=True)


@pytest.mark.parametrize(
    "piece", ["is ", "ich ", "I was ", "no longer ", "bis 1 ", "a@", "Ab-", "hat x ", "\n"]
)
def test_long_texts_take_little_time(piece: str) -> None:
    start = time.perf_counter()
    _left(piece * 20_000)
    assert time.perf_counter() - start < 0.5
