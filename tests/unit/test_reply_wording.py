from __future__ import annotations

import pytest

from outreach_sdk.domain.reply_kind import reply_kind

OTHER = "ben.ode@orbit.example"


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not_interested", "No"),
        ("not_interested", "Nein.\n\nAna Silva"),
        ("not_interested", "I already accepted another job, sorry!"),
        ("not_interested", "J'ai déjà trouvé un poste, bonne continuation."),
        ("not_interested", "Ya encontré trabajo, pero muchas felicidades por el proyecto."),
        ("not_interested", "Ik zit prima waar ik zit."),
        ("not_interested", "Уже нашла новую работу."),
        ("not_interested", "すでに決まりましたので、見送らせてください。"),
        ("not_now", "My options vest in June; glad to chat after that."),
        ("not_now", "Perhaps in the autumn?"),
        ("not_now", "Ich habe gerade erst angefangen."),
        ("not_now", "Acabo de cambiar de empresa."),
        ("not_now", "Har nyligen bytt jobb."),
        ("not_now", "Risentiamoci dopo le ferie."),
        ("interested", "Call me: +49 170 555"),
        ("interested", "Résumé attached."),
        ("interested", "Wednesday at 3 works for me."),
        ("interested", "Please send the details."),
        ("interested", "Thanks for asking. Yes!"),
        ("interested", "Happy to talk after work on Monday."),
        ("wrong_person", "You have reached the wrong Ben, I bake bread."),
        ("wrong_person", "Este correo era para otra persona."),
        ("wrong_person", "I am not the Ana you are looking for."),
        ("interested", "Wednesday after lunch works."),
        ("interested", "I can do tomorrow at four."),
        ("interested", "It would be great to talk."),
        ("interested", "Can we speak this evening?"),
        ("interested", "Ja gerne!"),
        ("interested", "Va bene, mi mandi pure i dettagli."),
        ("interested", "Jestem otwarty na rozmowę."),
        ("interested", "Sună bine, când vorbim?"),
        ("interested", "ぜひお願いいたします。"),
        ("not_now", "Hiring isn't a priority for me. Try me in February."),
        ("not_now", "Circle back once the summer is over."),
        ("not_now", "I'm locked into a project until May."),
        ("not_now", "Bin gerade in Elternzeit."),
        ("not_now", "Pas pour l'instant."),
        ("not_now", "Ahora no, gracias por preguntar."),
        ("not_now", "Återkom till hösten."),
        ("not_interested", "Sorry, no."),
        ("not_interested", "I'm good, thanks."),
        ("not_interested", "Zurich is too far for me."),
        ("not_interested", "I don't work with recruiters."),
        ("not_interested", "I'm happy with Orbital."),
        ("not_interested", "Leider nein."),
        ("not_interested", "Je ne cherche pas à bouger."),
        ("not_interested", "Nie szukam pracy."),
        ("wrong_person", "Das ist eine Verwechslung."),
        ("wrong_person", "Il y a erreur de personne."),
        ("interested", "Friday's good."),
        ("interested", "Lassen Sie uns gern telefonieren."),
        ("interested", "Me gustaría conocer los detalles."),
        ("interested", "Lijkt me leuk!"),
        ("interested", "Hör gärna av dig."),
        ("not_now", "Maybe in a few months."),
        ("not_now", "Vielleicht im Sommer, fragen Sie ruhig."),
        ("not_now", "Quizás el año que viene."),
        ("not_now", "Kanske till hösten."),
        ("not_interested", "Thanks, but no."),
        ("not_interested", "Das passt leider nicht zu mir."),
        ("not_interested", "Je décline."),
        ("not_interested", "Inte för mig."),
        ("interested", "Give me a ring tonight."),
        ("interested", "Da bin ich dabei."),
        ("interested", "Hablemos."),
        ("not_now", "Too busy until April."),
        ("not_now", "Fragen Sie mich im Herbst."),
        ("not_interested", "I have to turn it down."),
        ("not_interested", "Ich muss leider absagen."),
        ("not_interested", "Jeg takker nej."),
        ("interested", "Sehr gerne, wann passt es?"),
        ("interested", "Das interessiert mich."),
        ("not_now", "Not before October."),
        ("not_now", "Erst nach dem Sommer."),
        ("not_now", "Non prima di marzo."),
        ("not_interested", "Nee, ik blijf hier."),
        ("not_interested", "I read it twice, but no."),
        ("not_interested", "Dat is niks voor mij, ik pas voor deze keer."),
        ("wrong_person", "You want a different Ana."),
        ("unclear", "No worries."),
        ("unclear", "The office is too far from the station."),
        ("question", "Ποιος είναι ο μισθός;"),
        ("question", "Ποιος είναι ο μισθός\u037e"),
        # A semicolon asks nothing; a word inside another sentence decides nothing.
        ("unclear", "I read it; thanks"),
        ("unclear", "Please don't call me at work."),
        ("unclear", "Nobody had told me."),
        ("unclear", "Can't say, the wrong time zone is in the invite."),
    ],
)
def test_the_kind_of_a_reply_by_its_wording(kind: str, words: str) -> None:
    assert reply_kind(words).kind == kind


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("name", "email", "words"),
    [
        ("Ben Ode", OTHER, f"Not for me, but my colleague Ben Ode is looking: {OTHER}"),
        ("Ben Ode", OTHER, f"Nichts für mich, fragen Sie doch mal meinen Kollegen Ben Ode ({OTHER})."),
        ("Ben Ode", OTHER, f"Niets voor mij, maar probeer Ben Ode eens: {OTHER}"),
        ("Ben Ode", OTHER, f"Mon collègue Ben Ode serait intéressé, {OTHER}"),
        ("Ben Ode", OTHER, f"I'm not the right person. Ben Ode leads hiring, {OTHER}"),
        ("Ben Ode", OTHER, f"Ik niet, maar Ben Ode zoekt iets nieuws: {OTHER}"),
        ("Ben Ode", OTHER, f"Sprechen Sie doch mal mit Ben Ode ({OTHER})."),
        ("Ben Ode", "", "You are better off asking Ben Ode."),
        ("Ben Ode", "b.ode@orbit.example", "Pregunte a Ben Ode: b.ode@orbit.example"),
        ("Ben Ode", OTHER, f"My flatmate Ben Ode is on the market: Ben Ode <{OTHER}>"),
        ("Ben Ode", "", "I have moved on from coding. My friend Ben Ode would be perfect for it."),
        (
            "Иван Петров",
            "ivan@orbit.example",
            "Мне не подходит, но мой коллега Иван Петров ищет: ivan@orbit.example",
        ),
    ],
)
def test_a_colleague_with_a_name_is_a_referral(name: str, email: str, words: str) -> None:
    reply = reply_kind(words, known=["ana@home.example"])
    assert reply.kind == "referral"
    assert reply.referral is not None
    assert (reply.referral.name, reply.referral.email) == (name, email)


@pytest.mark.parametrize(
    "words",
    [
        "My colleague Ben told me about you. What is the budget?",
        "I asked my wife Ana, ana@home.example, and she agrees. Sounds good!",
    ],
)
def test_a_colleague_who_is_only_mentioned_is_none(words: str) -> None:
    assert reply_kind(words, known=["ana@home.example"]).kind != "referral"


@pytest.mark.rule(16)
def test_a_private_address_of_ones_own_is_no_referral() -> None:
    words = "Interested! My private one: Ben Ode <ben.ode@home.example>"
    assert reply_kind(words, known=[OTHER]).referral is None
