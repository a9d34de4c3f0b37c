"""What a person wrote in a reply: without the quoted message and without the signature."""

from __future__ import annotations

import re

__all__ = ["visible_text"]

_MAX_TEXT = 100_000

_WROTE = (
    r"wrote|writes|written|said|schrieb|schrieben|a écrit|écrit|escribió|escribio|escreveu|ha scritto|scrive|"
    r"schreef|geschreven|napisał(?:\(a\)|a)?|skrev|kirjoitti|написал(?:\(а\)|а)?|пишет|"
    r"написав|napsal\(a\)|napsal|írta|yazdı|a scris|έγραψε|כתב|كتب|写道|寫道|のメール|さんは書きました|작성"
)
# "On Mon, 2 Mar 2026 at 09:00, Rita <r@x> wrote:", on up to three lines
_WROTE_ENDS = re.compile(rf"(?:\b(?:{_WROTE})|写道|寫道|님이 작성)[^\n]{{0,80}}[:：][ \t*_>]*$", re.I)
_OPENS = re.compile(
    r"(?:(?:on|am|le|el|em|il|op|w dniu|dnia|den|в|a|dne|po|στις|at|mon|tue|wed|thu|fri|sat|"
    r"sun|lun|mar|mer|jeu|"
    r"ven|sam|dim|mo|di|mi|do|fr|sa|so|пн|вт|ср|чт|пт|сб|вс|pe|ke|ti|pá|st|út|čt)\b|在|20\d\d|\d{1,2}[./-])",
    re.I,
)
_ADDRESSED = re.compile(r"<[^<>\s]+@[^<>\s]+>|\S+@\S+\.\S+|\[mailto:", re.I)


_DIVIDER = re.compile(
    r"^[ \t>]*(?:[-_=*]{2,}[ \t]*)(?:original message|original appointment|reply message|forwarded message|"
    r"ursprüngliche nachricht|originalnachricht|weitergeleitete nachricht|message d'origine|message original|"
    r"message transféré|mensaje original|mensaje reenviado|mensagem original|mensagem encaminhada|"
    r"messaggio originale|messaggio inoltrato|oorspronkelijk bericht|doorgestuurd bericht|"
    r"oryginalna wiadomość|wiadomość oryginalna|исходное сообщение|пересылаемое сообщение|"
    r"ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti|původní zpráva|"
    r"eredeti üzenet|orijinal mesaj|原始邮件|原始郵件|元のメッセージ|원본 메시지|message history)[^\n]*$",
    re.I | re.M,
)
_FROM = (
    r"from|von|de|da|van|od|от|från|fra|lähettäjä|feladó|kimden|发件人|寄件者|差出人|보낸 사람|מאת|من|"
    r"expéditeur|"
    r"afzender"
)
_NEXT = (
    r"sent|date|to|subject|cc|reply-to|gesendet|datum|an|betreff|envoyé|objet|à|date|"
    r"enviado(?: el| em)?|para|asunto|"
    r"assunto|inviato|data|oggetto|a|verzonden|aan|onderwerp|wysłano|do|temat|отправлено|дата|"
    r"кому|тема|skickat|till|"
    r"ämne|sendt|til|emne|lähetetty|aihe|elküldve|címzett|tárgy|gönderildi|konu|kime|"
    r"发送时间|收件人|主题|日期|"
    r"寄件日期|收件者|主旨|送信日時|宛先|件名|보낸 날짜|받는 사람|제목"
)
_HEADERS = re.compile(
    rf"^[ \t>]*[*_]{{0,2}}(?:{_FROM})[ \t]?[*_]{{0,2}}[:：][^\n]*\n(?:[ \t>]*\n|[ \t]+[^\n]+\n)?"
    rf"[ \t>]*[*_]{{0,2}}(?:{_NEXT})[ \t]?[*_]{{0,2}}[:：]",
    re.I | re.M,
)
_ALL_QUOTED = re.compile(r"^[ \t]*>")
_RULE = re.compile(r"^[ \t]*(?:_{5,}|-{10,}|={5,}|\*{5,})[ \t]*$")
_SIGNATURE = re.compile(r"^[ \t]*(?:--|—|__|-- \\?|[–—]{1,2})[ \t]*$")
_DEVICE = re.compile(
    r"^[ \t*_]*(?:sent from (?:my |the |a )?[\w .'’-]{2,40}|sent (?:via|with|using) [\w .'’-]{2,40}|"
    r"get outlook for [\w ]+|von meinem [\w .-]+ gesendet|gesendet (?:von|mit)[^\n]{2,40}|"
    r"envoyé (?:de(?:puis)?|à partir de) mon [\w .-]+|enviado desde mi [\w .-]+|enviado do meu [\w .-]+|"
    r"inviato da(?:l mio)? [\w .-]+|verstuurd vanaf mijn [\w .-]+|wysłane z [\w .-]+|"
    r"отправлено (?:с|из)[^\n]{2,40}|"
    r"skickat från min [\w .-]+|sendt fra min [\w .-]+|lähetetty [\w .-]+|"
    r"iphoneから送信|从我的[^\n]{1,20}发送|"
    r"发自我的[^\n]{1,20}|나의 [^\n]{1,20}에서 보냄)\b[^\n]{0,60}$",
    re.I,
)
_SPACES = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad\u115f]")


def visible_text(text: str) -> str:
    """The words above, below and between the quotes; never the quoted message or the signature.

    A message that is nothing but a quote gives ''.
    """
    body = _SPACES.sub("", text[:_MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " "))
    lines = _cut(body).split("\n")
    kept = [line for line in lines if not _ALL_QUOTED.match(line)]
    while kept and not kept[-1].strip():
        kept.pop()
    kept = _unsigned(kept)
    while kept and (not kept[-1].strip() or _RULE.match(kept[-1])):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept)).strip()


def _attribution(lines: list[str], start: int) -> int:
    """How many lines from `start` on are an "On … wrote:" line; 0 for none."""
    first = lines[start].strip(" \t>*_")
    if not first or len(first) > 300:
        return 0
    dated = _OPENS.match(first) is not None and any(c.isdigit() for c in first)
    named = _ADDRESSED.search(first) is not None or first.endswith("<")
    if not dated and not named:
        return 0
    joined = ""
    for count, line in enumerate(lines[start : start + 4], 1):
        part = line.strip(" \t>*_")
        joined = f"{joined} {part}".strip()
        if not part or len(joined) > 400:
            break
        if _WROTE_ENDS.search(joined) or (dated and _ADDRESSED.search(joined) and joined.endswith(">:")):
            return count
        if _ADDRESSED.search(joined) and re.match(r"\d{4}-\d\d-\d\d", first) and re.search(r">?[:：]$", part):
            return count
    below = lines[start + 1] if start + 1 < len(lines) else ""
    below = below or (lines[start + 2] if start + 2 < len(lines) else "")
    return 1 if dated and re.search(r"\d:\d\d", first) and _ALL_QUOTED.match(below) else 0


def _cut(body: str) -> str:
    """Without the quoted message. Below an attribution with `>` lines an answer may stand: it is kept."""
    body = _cut_headers(body)
    lines = body.split("\n")
    kept: list[str] = []
    number = 0
    while number < len(lines):
        length = _attribution(lines, number)
        if not length:
            kept.append(lines[number])
            number += 1
            continue
        marked = _ALL_QUOTED.match(lines[number]) is not None
        number += length
        following = next((line for line in lines[number:] if line.strip()), "")
        if not marked and not _ALL_QUOTED.match(following):
            break
    return "\n".join(kept)


def _cut_headers(body: str) -> str:
    ends = [found.start() for found in (_DIVIDER.search(body), _HEADERS.search(body)) if found is not None]
    return body[: min(ends)] if ends else body


def _unsigned(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if _SIGNATURE.match(line) and (any(x.strip() for x in lines[:number])):
            return lines[:number]
        if _DEVICE.match(line):
            rest = [x for x in lines[number + 1 :] if x.strip()]
            return lines[:number] if len(rest) <= 6 else lines[:number] + lines[number + 1 :]
    return lines
