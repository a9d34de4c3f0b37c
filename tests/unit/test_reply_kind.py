from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.reply_kind import Referral, reply_kind


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("interested", "Sounds great, happy to chat next week. Does Tuesday work?"),
        ("interested", "Yes, I'd be interested. My number is +49 151 1234567"),
        ("interested", "Sure, call me on 07700 900123"),
        ("interested", "I'm not interested in Java roles, but I'd love to talk about the Go one"),
        ("interested", "Klingt spannend, gerne telefonieren wir."),
        ("interested", "Je suis intéressée, pouvons-nous en parler ?"),
        ("interested", "Me interesa, ¿cuándo hablamos?"),
        ("interested", "Sono molto interessato, quando ci sentiamo?"),
        ("interested", "Tenho interesse!"),
        ("interested", "Klinkt goed, ik ben geïnteresseerd"),
        ("interested", "Jestem zainteresowany, proszę o szczegóły"),
        ("interested", "Интересно, давайте созвонимся"),
        ("interested", "興味があります。詳しくお聞きしたいです。"),
        ("interested", "我很感兴趣，可以聊聊"),
        ("interested", "관심 있습니다"),
        ("interested", "Yes, gladly! When can we talk?"),
        ("interested", "Hi Ana,\n\nsure. Which company is it?"),
        ("interested", "When could you call me?"),
        ("interested", "Ja, gerne. Wann können wir telefonieren?"),
        ("interested", "Oui ! Quand pouvons-nous en parler ?"),
        ("interested", "Да, конечно"),
        ("question", "Yes, but what does it pay?"),
        ("question", "Is it sure to be remote?"),
        ("not_interested", "Ja, danke, aber kein Interesse"),
        ("not_interested", "Yes, I saw it. Not interested."),
        ("not_now", "Sure, but not right now"),
        ("not_now", "Thanks, but I'm not looking right now. Maybe in a few months."),
        ("not_now", "I just started a new job in January"),
        ("not_now", "Interested, but not at the moment; contact me again next year"),
        ("not_now", "Derzeit leider nicht auf der Suche, melden Sie sich gerne in ein paar Monaten"),
        ("not_now", "Je ne suis pas à l'écoute du marché pour le moment"),
        ("not_now", "Ahora mismo no busco cambio, más adelante quizás"),
        ("not_now", "Al momento non cerco, grazie"),
        ("not_now", "Пока не рассматриваю предложения"),
        ("not_now", "今は転職を考えていません"),
        ("not_now", "目前不考虑，以后再联系"),
        ("not_interested", "Not interested, thanks"),
        ("not_interested", "No thanks."),
        ("not_interested", "I'm very happy where I am"),
        ("not_interested", "I don't think I'd be interested"),
        ("not_interested", "This sounds interesting but it's not for me"),
        ("not_interested", "Kein Interesse, danke"),
        ("not_interested", "Merci mais je ne suis pas intéressé"),
        ("not_interested", "No me interesa, gracias"),
        ("not_interested", "Non sono interessato"),
        ("not_interested", "Não tenho interesse"),
        ("not_interested", "Geen interesse"),
        ("not_interested", "Nie jestem zainteresowany"),
        ("not_interested", "Мне это не интересно"),
        ("not_interested", "Jag är inte intresserad"),
        ("not_interested", "興味がありません"),
        ("not_interested", "不感兴趣"),
        ("not_interested", "관심 없습니다"),
        ("question", "What is the salary range?"),
        ("question", "Is this remote?"),
        ("question", "Wie hoch ist das Gehalt?"),
        ("question", "年収はいくらですか"),
        ("wrong_person", "I think you have the wrong person"),
        ("wrong_person", "Sie haben die falsche Person angeschrieben."),
        ("wrong_person", "Vous vous trompez de personne"),
        ("wrong_person", "Se ha equivocado de persona"),
        ("unsubscribe", "Please remove me from your list"),
        ("unsubscribe", "Not interested. Do not contact me again."),
        ("unclear", "ok"),
        ("unclear", "Thanks"),
        ("unclear", ""),
    ],
)
def test_the_kind_of_a_reply(kind: str, words: str) -> None:
    found = reply_kind(words)
    assert (found.kind, found.referral) == (kind, None)
    assert (found.confidence < 0.5) == (kind == "unclear")


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("name", "email", "words"),
    [
        (
            "Maria Lopez",
            "maria@x.example",
            "Not for me, but contact my colleague Maria Lopez <maria@x.example>",
        ),
        ("", "jobs@x.example", "Please write to jobs@x.example instead."),
        ("Tom Meyer", "", "Wrong person. Please contact Tom Meyer."),
        ("Schmidt", "schmidt@x.example", "Bitte wenden Sie sich an Frau Schmidt, schmidt@x.example"),
        (
            "Paul Durand",
            "p.durand@x.example",
            "Contactez plutôt mon collègue. Écrivez à Paul Durand (p.durand@x.example)",
        ),
        ("Ana de la Cruz", "", "No soy la persona indicada, hable con Ana de la Cruz"),
        ("Анной Ивановой", "anna@x.example", "Свяжитесь с Анной Ивановой, anna@x.example"),
    ],
)
def test_a_referral_gives_the_name_or_the_address(name: str, email: str, words: str) -> None:
    found = reply_kind(words, known=["ana@home.example", "rita@acme.example"])
    assert (found.kind, found.referral) == ("referral", Referral(name, email))


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "words",
    [
        "Please contact me at ana.private@home.example, I'd be interested",
        "Happy to talk, write to my private address ana2@home.example",
        "You can reach me on Monday, I'm interested",
        "Ask Ana@home.example, that's me. Interested!",
    ],
)
def test_their_own_address_is_no_referral(words: str) -> None:
    found = reply_kind(words, known=["ana@home.example"])
    assert (found.kind, found.referral) == ("interested", None)


@given(st.text(max_size=500))
def test_any_words_have_a_kind(words: str) -> None:
    found = reply_kind(words)
    assert 0 <= found.confidence <= 1
    assert found == reply_kind(words)
    assert (found.kind == "referral") == (found.referral is not None)


@pytest.mark.parametrize("piece", ["contact ", "not ", "interested ", "a@", "? ", "but ", "Ana ", "i'm not "])
def test_long_answers_cost_little(piece: str) -> None:
    began = time.perf_counter()
    reply_kind(piece * 200_000)
    assert time.perf_counter() - began < 1
