"""Automatic answers about the address itself: which say that it is given up, and of which one."""

from __future__ import annotations

import time

import pytest

from outreach_sdk.domain.closed_address import closed_address
from tests.unit.test_classify import _judge, _mail

OWN = "lena.falk@borealis.example"


@pytest.mark.parametrize(
    "text",
    [
        "This address is no longer in use.",
        "Please note that this mailbox was closed in May. Write to office@borealis.example.",
        "Hello! The inbox no longer exists, and nobody reads what arrives here.",
        "This e-mail account has been permanently deactivated.",
        "You have reached my old address, which is no longer active.",
        "The address lena.falk@borealis.example does not exist any more.",
        "lena.falk@borealis.example has been retired.",
        "We have closed this mailbox.",
        "You wrote to an address that is no longer in use.",
        "Unter dieser Adresse bin ich nicht mehr erreichbar.",
        "Diese Adresse wird nicht länger verwendet.",
        "Das E-Mail-Postfach wurde zum 1. Mai geschlossen.",
        "Cette boîte mail a été définitivement fermée.",
        "L'adresse lena.falk@borealis.example n'existe plus.",
        "Esta cuenta de correo fue eliminada.",
        "Este buzón ya no está disponible.",
        "Se informa que esta cuenta ha sido desactivada.",
        "Si comunica che questo indirizzo non è più attivo.",
        "Questo indirizzo e-mail è stato disattivato.",
        "Este endereço de e-mail já não existe.",
        "Deze mailbox is opgeheven.",
        "Ta skrzynka została zamknięta.",
        "Denna e-postadress används inte längre.",
        "Denne e-postadressen er ikke lenger i bruk.",
        "Tämä sähköpostiosoite ei ole enää käytössä.",
        "Tato adresa již není aktivní.",
        "Этот почтовый ящик закрыт.",
        "このアドレスは廃止いたしました。",
        "此邮箱已停用。",
        "이 메일 주소는 더 이상 사용되지 않습니다.",
    ],
)
def test_an_address_that_is_given_up(text: str) -> None:
    assert closed_address(text, OWN) == OWN


@pytest.mark.parametrize(
    "text",
    [
        "Our old address lena@oldborealis.example is no longer in use, this one is.",
        "Our former address info@borealis.example is no longer in use. We answer within two days.",
        "The order form is no longer in use.",
        "If this address is no longer in use, tell us.",
        "This mailbox will be closed on 31 May.",
        "This mailbox isn't read over Easter.",
        "Your account has been closed at your request.",
        "Diese Adresse wird zum 31. Mai geschlossen.",
        "Wenn diese Adresse nicht mehr gültig ist, schreiben Sie uns.",
        "Cette adresse n'est plus lue.",
        "Si esta dirección ya no está en uso, avísenos.",
        "Om denna adress inte längre är aktiv, hör av dig.",
        "Thank you for your message.",
    ],
)
def test_an_address_that_is_not(text: str) -> None:
    assert closed_address(text, OWN) is None


def test_an_alias_may_be_named_by_the_primary_address_of_its_mailbox() -> None:
    text = "The mailbox l.falk@borealis.example has been closed."
    assert closed_address(text, OWN) == "l.falk@borealis.example"
    assert closed_address(text, "postmaster@borealis.example") == "l.falk@borealis.example"
    assert closed_address(text, "desk@hexagon.example") is None


def test_an_address_that_takes_no_answers_speaks_of_itself() -> None:
    assert closed_address("This mailbox is no longer active.", "no-reply@borealis.example") is None


@pytest.mark.rule(18)
def test_it_is_no_delivery_where_a_machine_says_it_and_an_answer_where_a_person_does() -> None:
    text = "This address is no longer in use."
    verdict = _judge(_mail(text, "Re: Role", Auto_Submitted="auto-replied"))
    assert (verdict.kind, verdict.hard, verdict.recipients) == ("bounce", True, ("ana@home.example",))
    assert verdict.reason == "this address is no longer in use, says its automatic reply"
    assert _judge(_mail(text, "Re: Role")).kind == "human"


def test_who_is_away_or_has_left_says_that_first() -> None:
    away = _judge(
        _mail("I am on leave until 30 March. This inbox is no longer in use.", Auto_Submitted="auto-replied")
    )
    assert away.kind == "auto_reply"
    text = "I have left our company. This inbox is no longer in use."
    left = _judge(_mail(text, Auto_Submitted="auto-replied"))
    assert (left.kind, left.left_company) == ("auto_reply", True)


@pytest.mark.parametrize(
    "piece", ["this address ", "a@", f"{OWN} ", "diese Adresse ist ", "\ue000 ", "x", "\n"]
)
def test_long_texts_take_little_time(piece: str) -> None:
    start = time.perf_counter()
    closed_address(piece * 20_000, OWN)
    assert time.perf_counter() - start < 0.5
