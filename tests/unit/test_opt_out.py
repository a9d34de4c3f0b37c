from __future__ import annotations

import time

import pytest

from outreach_sdk.domain.classify import asks_to_stop


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "words",
    [
        "I'd rather not hear from your agency. Please take my address off your books.",
        "Could you erase my details from your CRM?",
        "Not interested, and please do not email me any more.",
        "Hi Rita, thanks but I do not want to be contacted by recruiters. Remove me from all mailings.",
        "I withdraw my consent to the processing of my data.",
        "Under Article 17 GDPR I want you to erase everything you hold.",
        "Bitte streichen Sie mich aus Ihrer Liste.",
        "Ich widerspreche der Verarbeitung meiner Daten.",
        "Schreibt mir bitte nicht mehr.",
        "Bitte meine Adresse aus dem Verteiler löschen.",
        "Merci de supprimer mon adresse de votre fichier.",
        "Je ne souhaite plus être contacté.",
        "Ne m'écrivez plus.",
        "Cessez de me relancer.",
        "Por favor borren mis datos.",
        "No quiero recibir más correos.",
        "No me vuelvan a escribir.",
        "Eliminate il mio indirizzo per favore.",
        "Basta scrivermi!",
        "Non voglio più ricevere messaggi.",
        "Por favor apaguem os meus dados.",
        "Não me escreva mais, por favor.",
        "Verwijder mij uit jullie bestand.",
        "Mail mij niet meer.",
        "Ik wil geen berichten meer ontvangen.",
        "Proszę o usunięcie mojego adresu.",
        "Proszę nie wysyłać do mnie więcej wiadomości.",
        "Przestańcie do mnie pisać.",
        "Verilerimi silin lütfen.",
        "Bana mail atmayın.",
        "Artık e-posta almak istemiyorum.",
        "Перестаньте мне писать!",
        "Уберите мой адрес из вашей базы.",
        "Не хочу получать ваши письма.",
        "Прошу удалить мои персональные данные.",
        "Видаліть мої дані.",
        "请删除我的信息。",
        "不要再联系我。",
        "别再给我写信了",
        "私の個人情報を削除してください。",
        "今後の連絡は控えてください。",
        "リストから外してください。",
        "제 이메일 주소를 삭제해 주세요.",
        "연락하지 마세요.",
        "Radera mina uppgifter.",
        "Slet venligst mine oplysninger.",
        "Sluta skriva till mig.",
        "Lopettakaa viestien lähettäminen.",
        "Vymažte moje údaje.",
        "Nechci dostávat další e-maily.",
        "Încetați, nu îmi mai scrieți.",
        "Ne írjanak többet.",
        "Μην μου ξαναστείλετε.",
        "לא מעוניין, אל תשלחו לי עוד.",
        "احذفوا بياناتي من فضلكم",
        "Đừng gửi email cho tôi nữa.",
        "Thanks\nplease remove me\nBob",
        "Pls stop",
        "Take us off.",
        "Tragen Sie mich bitte aus.",
        "Älkää lähettäkö viestejä enää.",
        "I have reported this e-mail as spam.",
    ],
)
def test_who_asks_to_be_left_alone_is_heard_in_any_language(words: str) -> None:
    assert asks_to_stop(words)


@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "words",
    [
        "Please remove me from the interview loop for Thursday, I am ill.",
        "Take me off the cc, Tom has it from here.",
        "I deleted my old profile; here is my new one.",
        "I will delete my data from the test task afterwards.",
        "Don't write me off just yet!",
        "You never contact me about Rust roles, so this is nice.",
        "Please do not send me the contract yet, I want to talk first.",
        "Stop me if you have heard this before, but what is the salary?",
        "Don't contact me by phone, e-mail is fine.",
        "I don't want to receive an offer before I have met the team.",
        "I run the e-mail team and help people to unsubscribe. Tell me more.",
        "Bitte schreiben Sie mir nicht an die Firmenadresse, sondern an ana@privat.example.",
        "Ich habe keine Nachrichten mehr von Ihnen bekommen. Ist die Stelle noch offen?",
        "Ich möchte mein Team nicht mehr verlassen.",
        "Nehmen Sie mich bitte mit in die Runde auf.",
        "Je n'ai plus reçu de mails de votre part, pouvez-vous renvoyer ?",
        "Retirez-moi de cette conversation, merci.",
        "Je ne veux plus travailler à Paris.",
        "No quiero recibir una oferta sin hablar antes.",
        "Ya no me escriben mis antiguos jefes. Cuénteme más.",
        "Non mi interessa più lavorare a Roma, ma Milano sì.",
        "Não quero mais trabalhar em bancos. Conte-me mais.",
        "Ik wil niet meer in Amsterdam werken.",
        "Nie piszę teraz kodu, ale chętnie porozmawiam.",
        "Пишите мне на личную почту.",
        "Больше не работаю в Яндексе, расскажите подробнее.",
        "不要着急，下周聊。",
        "返信は不要です。ありがとうございます。",
        "お電話でのご連絡は不要です、メールでお願いします。",
        "연락 주세요.",
        "Kontakta mig gärna.",
        "Slet ikke dårligt! Fortæl mere.",
        "Ještě mi pište.",
        "I can't get no more information from the site, send me the job?",
        "Drop me a line next week.",
        "Lose the buzzwords and I am in.",
        "No more questions.",
        "Keep me on the list.",
        "Could you stop sending me Java roles and send Rust ones instead?",
        "Я больше не пишу на Java.",
        "Ik schrijf niet meer zelf code.",
        "Please stop mailing me there, write to ana@private.example instead.",
        "Could you take me off your list for Zurich but keep me for Berlin?",
        "Take my number: 0170 555.",
        "Please stop by.",
        "I'd like to be removed from the Berlin search, Munich only.",
        "Sure, please take me through the process.",
        "Please add me to the list.",
        "If you are still looking by then, do not contact me before March.",
        "Is this spam?",
        "I no longer receive mail at my work address, use ana@new.example.",
        "Sure, Monday.\n\nAna\nHalden Ltd\n\nTo stop our newsletter, please unsubscribe here: https://halden.example/u",
        "Gerne!\n\nAna\n\nKeine weiteren Nachrichten? Klicken Sie hier: https://halden.example/ab",
        "Yes!\n\nThis message is confidential. If you have received it in error, delete it and do not contact us about it.",
        "My job is to make 'please unsubscribe' a joy. Send me the details.",
    ],
)
def test_who_speaks_of_something_else_has_not_asked_for_it(words: str) -> None:
    assert not asks_to_stop(words)


@pytest.mark.parametrize(
    "piece", ["please remove ", "a ", "mich ", "my ", "ne plus ", "stop the ", "今後", "\n", " "]
)
def test_long_texts_are_looked_through_in_little_time(piece: str) -> None:
    start = time.perf_counter()
    asks_to_stop(piece * (10_000 // len(piece)))
    assert time.perf_counter() - start < 1.0
