"""What an incoming message is: a person's answer, an automatic one, or a mail server speaking.

In doubt it is a person: taking a human for a machine would go on writing to somebody who has answered.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from outreach_sdk.domain.acknowledge import acknowledges
from outreach_sdk.domain.autoreply import left_company, machine_evidence, return_date
from outreach_sdk.domain.bounces import read_report
from outreach_sdk.domain.message import IncomingMessage
from outreach_sdk.domain.visible import typed_text, visible_text

__all__ = ["Kind", "Verdict", "asks", "asks_to_stop", "classify", "visible_text"]

Kind = Literal["bounce", "complaint", "auto_reply", "delivery_notice", "human"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`hard` and `status` (RFC 3463) speak of a report, `recipients` are the addresses it is about,
    `dead` those of them whose address is at fault,
    `final` and `message_ids` say that a server has given up, and on which message;
    `return_date`, `left_company` and `acknowledged` (that a message came in) are of an automatic reply,
    `opt_out` of a person's words. `reason` is a phrase for people; `evidence` names what decided."""

    kind: Kind
    hard: bool | None = None
    recipients: tuple[str, ...] = ()
    status: str | None = None
    reason: str = ""
    return_date: dt.date | None = None
    left_company: bool = False
    opt_out: bool = False
    evidence: str = ""
    final: bool = False
    message_ids: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    acknowledged: bool = False


_STOP = re.compile(
    r"\b(?:remove|delete|drop|strike|take) (?:me|us|my (?:e-?mail|address|name|details|data|"
    r"contact\w*))\b(?! from "
    r"(?:consideration|the (?:process|running|pool)))[^.\n]{0,40}\b(?:off|from|list|database|mailing|system)|"
    r"(?:please|pls|kindly) remove me\b(?! from)|\bunsubscribe (?:me|us|my)|please unsubscribe|"
    r"\b(?:want|like|wish|need|choose|prefer) to (?:opt[- ]?out|unsubscribe|be removed)|\bopt me out|"
    r"(?:stop|quit|cease) (?:e-?mailing|contacting|writing|messaging|spamming|reaching out|mailing|"
    r"sending (?:me|us|these|emails|mails))|(?:do not|don['’]?t|never) (?:e-?mail|contact|message|"
    r"spam) (?:me|us)\b"
    r"(?! (?:at|on|before|until|via|by|during|through|there|here|this|after|with|tomorrow|today|next))|"
    r"(?:do not|don['’]?t|never) (?:send|write)(?: to)? (?:me|us) (?:any|again|more|further|these|"
    r"such|e-?mails)|"
    r"no (?:more|further) (?:e-?mails|messages|contact|mails)\b|leave me alone|"
    r"(?:nehmen|streichen|löschen|entfernen|tragen) sie (?:mich|meine (?:daten|adresse|e-?mail))|"
    r"aus (?:ihre[mr]|dem) "
    r"(?:verteiler|datenbank)|bitte (?:abmelden|austragen)|keine (?:weiteren )?(?:e-?)?mails mehr|"
    r"keine weiteren "
    r"(?:e-?mails|nachrichten)|nicht mehr (?:kontaktieren|anschreiben)|kontaktieren sie mich nicht|"
    r"désinscri(?:re|vez|ption)|désabonne[rz]|ne (?:me|m['’]) ?(?:plus )?(?:contacte[rz]|écri(?:re|"
    r"vez)) plus|"
    r"ne plus (?:me |m['’])(?:contacter|écrire|envoyer)|(?:me retirer|retirez[- ]moi) de|"
    r"d(?:ar(?:me)?|ame|[eé]n?me) de baja|no me (?:contacte|escriba|envíe|envie|mande)\w* más|"
    r"cancella(?:temi|mi)|cancellare la mia iscrizione|disiscriv\w+|rimuov(?:imi|etemi)|non (?:contattate?mi|"
    r"scrive(?:te|r)mi) più|descadastr\w+|remov(?:a|am)[- ]me|"
    r"cancelar (?:a )?(?:minha )?(?:inscrição|subscrição)|"
    r"não (?:me )?(?:contacte|contate|escreva|envie)\w* mais|uitschrijven|schrijf mij uit|afmelden|"
    r"geen (?:e-?)?mails meer|verwijder mij|wypisz mnie|wypisać|usuń mnie|o usunięcie (?:mnie|moich)|"
    r"nie (?:pisz|kontaktuj)\w* (?:się )?(?:ze mną )?więcej|отписаться|отпишите меня|удалите меня|"
    r"sluta (?:att )?(?:kontakta|maila|mejla|skriva)|ta bort mig|kontakta mig inte|slet mig (?:fra|venligst)|"
    r"(?:stop|slutt) (?:venligst )?med at (?:skrive|kontakte)|kontakt mig ikke|fjern meg (?:fra)?|"
    r"ikke kontakt meg|poista(?:kaa)? minut|älä(?:kää)? (?:ota|lähetä)[^.\n]{0,30}enää|odhlaste mě|"
    r"(?:už )?(?:mi|mě) (?:prosím )?ne(?:pište|kontaktujte)|nepište mi|beni (?:\w+ ){0,2}listeden (?:çıkar|sil)\w*|"
    r"bana (?:bir daha )?(?:yazma|e-?posta gönderme)\w*|iratkoz(?:tass|zon) le|ne írj(?:on|anak) (?:nekem )?többet|"
    r"dezabona(?:ți|re|ti)|nu mă mai contact\w*|διαγράψτε με|הסירו אותי|להסיר אותי|"
    r"أزلني من|إلغاء اشتراكي|"
    r"больше не (?:пишите|присылайте|беспокойте)|не пишите мне|avregistrera|avmeld meg|afmeld mig|"
    r"配信(?:を)?停止|配信不要|登録(?:を)?解除|連絡しないで|退订|取消订阅|取消訂閱|不要再(?:联系|聯絡|發|"
    r"发)|수신거부|연락하지 마",
    re.I,
)
_BARE_STOP = re.compile(
    r"(?:please |bitte |por favor |merci de )?(?:unsubscribe|stop|remove|abmelden|désabonner|"
    r"desuscribir|baja|cancellami|"
    r"descadastrar|отписаться|afmelden|uitschrijven|wypisz|optout|opt out)(?: me| please| bitte|"
    r" thanks| thank you)?\W*",
    re.I,
)
_NOT_STOP = re.compile(
    r"(?:don['’]?t|do not|didn['’]?t|did not|not|never|nicht|kein\w*|pas|no quiero|non) (?:want |"
    r"wish |mean |need |going |"
    r"voglio |möchte )?(?:you )?(?:to )?$|\b(?:if|whether|how|would you|before you|why did you|"
    r"you can|wenn|falls|si)\b"
    r"[^.\n,]{0,25}$",
    re.I,
)


def asks_to_stop(words: str) -> bool:
    """Whether what a person wrote (quotes and signature taken out before) asks to be left alone."""
    words = words[:10_000]
    lines = [line.strip() for line in words.split("\n") if line.strip()]
    if len(words) <= 160 and any(_BARE_STOP.fullmatch(line) for line in lines):
        return True
    return any(
        _NOT_STOP.search(words[max(0, f.start() - 45) : f.start()]) is None for f in _STOP.finditer(words)
    )


def asks(text: str, subject: str) -> bool:
    """Whether a person's message (quotes and all) asks to be left alone."""
    bare = len(visible_text(text)) <= 160 and _BARE_STOP.fullmatch(subject.strip()) is not None
    return bare or asks_to_stop(typed_text(text))


def classify(message: IncomingMessage, *, now: dt.date) -> Verdict:
    """Judge one incoming message. `now` stands in where the message has no believable date of its own."""
    report = read_report(message.raw) if message.raw else None
    if report is not None:
        return Verdict(
            report.kind,
            hard=report.hard,
            recipients=report.recipients,
            status=report.status,
            reason=report.reason,
            left_company=report.kind == "bounce"
            and bool(report.hard)
            and left_company(message, of_recipient=True),
            evidence=report.evidence,
            final=report.final,
            message_ids=report.message_ids,
            dead=report.dead,
        )
    words = visible_text(message.text)
    evidence = machine_evidence(message, words)
    if evidence is not None:
        gone = left_company(message, words)
        back = None if gone else return_date(message, now, words)
        reason = "left the company" if gone else f"away until {back}" if back else "automatic reply"
        return Verdict(
            "auto_reply",
            reason=reason,
            return_date=back,
            left_company=gone,
            evidence=evidence,
            acknowledged=not gone and back is None and acknowledges(message.subject, words),
        )
    subject = message.subject.strip()
    stop = asks(message.text, subject)
    return Verdict(
        "human", reason="asks to stop" if stop else "a reply", opt_out=stop, evidence="no sign of a machine"
    )
