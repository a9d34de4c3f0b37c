"""What a person wrote in a reply: without the quoted message and without the signature."""

from __future__ import annotations

import re

__all__ = ["typed_text", "visible_text"]

_MAX_TEXT = 40_000
_MAX_LINES = 2_000

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
_HEADER_LINE = re.compile(rf"[ \t>]*+[*_]{{0,2}}(?:({_FROM})|(?:{_NEXT}))[ \t]?[*_]{{0,2}}[:：]", re.I)
# Gmail in some languages once left out the verb: the date, the hour with its zone, a name.
_FORWARDED = re.compile(
    r"[ \t>*_]*+(?:begin forwarded message|début du message (?:réexpédié|transféré)|"
    r"anfang der weitergeleiteten nachricht|inizio messaggio inoltrato|inicio del mensaje reenviado)\s*:",
    re.I,
)
_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d (?:GMT|UTC)[+-]\d{1,2}:?\d\d \S[^\n]{0,80}$")
_ALL_QUOTED = re.compile(r"^[ \t]*>")
_RULE = re.compile(r"^[ \t]*+(?:[-_=*#~+—–]{2,}+|\u1427)[ \t]*+$")
_SIGNATURE = re.compile(r"^[ \t]*(?:--|—|__|-- \\?|[–—]{1,2})[ \t]*$")
_DEVICE = re.compile(
    r"^[ \t*_<(]*(?:sent from (?:my |the |a )?[\w .'’\[-]{2,60}|sent (?:via|with|using|by) [\w .'’-]{2,40}|"
    r"get \[?outlook for [\w \]]+|"
    r"get bluemail for \w+|yahoo mail ?: [\w ,.'’-]{3,60}|"
    r"[^\n]{0,40}\boutlook\b[^\n]{0,30}\baka\.ms/\w+[^\n]{0,30}|from my [\w .-]{3,30}$|someone from mobile$|"
    r"diese nachricht wurde von [^\n]{2,60} gesendet|verzonden (?:met|vanaf|vanuit|via) [\w .-]+|"
    r"從我的[^\n]{1,20}傳送|odesláno z [\w .-]+|iphone.umdan gönderildi|"
    r"von meinem [\w .-]+ gesendet|gesendet (?:von|mit)[^\n]{2,40}|"
    r"envoyé (?:de(?:puis)?|à partir de) mon [\w .-]+|enviado desde mi [\w .-]+|enviado do meu [\w .-]+|"
    r"inviato da(?:l mio)? [\w .-]+|verstuurd vanaf mijn [\w .-]+|wysłane z [\w .-]+|"
    r"отправлено (?:с|из)[^\n]{2,40}|"
    r"skickat från min [\w .-]+|sendt fra min [\w .-]+|lähetetty [\w .-]+|"
    r"iphoneから送信|从我的[^\n]{1,20}发送|"
    r"发自我的[^\n]{1,20}|나의 [^\n]{1,20}에서 보냄)\b[^\n]{0,120}$",
    re.I,
)
_SPACES = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad\u115f]")
# What needs no language: an address with a date and a time, and a colon or dashes at the end.
_DATED = re.compile(r"(?<!\d)(?:19|20|25)\d\d(?!\d)|\d{1,2}[./-]\d{1,2}[./-]\d\d(?!\d)")
_TIMED = re.compile(r"(?<!\d)\d{1,2}[:.]\d\d(?![\d.])")
_ANGLED = re.compile(r"<[^<>\s]+@[^<>\s]+>|[\w.+-]+@[\w-]+\.[\w.-]+")
_DASHED = re.compile(r"^[ \t>]*+-{3,}+[^\n@]{0,200}\d{4}[^\n@]{0,120}@[^\n]{0,160}?-{3,}[ \t]*$")
_TITLED_RULE = re.compile(r"^[ \t>]*+-{5,}+[ \t]*[^\W\d_][^\n@<>]{1,40}?-{5,}[ \t]*$")
_LABELLED = re.compile(r"^[ \t>]*+[*_]{0,2}[^\W\d_][^\n:：<>@]{0,24}[:：][*_]{0,2}[ \t]*\S")
_SENDER = re.compile(r"[:：][*_]{0,2}[ \t]*[^\n<>]{1,80}(?:<|\[mailto:)[^<>\s]+@[^<>\s]+[>\]]")
# Yahoo puts the first words of the quote behind its line.
_WROTE_INLINE = re.compile(
    rf"^[ \t*_]*+(?=[^\n]{{0,90}}\d:\d\d)[^\n<>]{{5,160}}<[^<>\s]+@[^<>\s]+>[ \t]*(?:{_WROTE})[ \t]?[:：][ \t]*\S",
    re.I,
)
_GLUED_DEVICE = re.compile(r"(?<=\S)Sent from my (?:Galaxy|iPhone|iPad|Samsung|Android|mobile)[\w ]{0,30}$")


def visible_text(text: str) -> str:
    """The words above, below and between the quotes; never the quoted message or the signature.

    A message that is nothing but a quote gives ''. Where an "On … wrote:" line stands first and nothing is
    marked as quoted, what follows is taken for the answer.
    """
    return _shown(text, below_leading=True)


def typed_text(text: str) -> str:
    """The same, surely typed by the sender: nothing from below an "On … wrote:" line with no marks."""
    return _shown(text, below_leading=False)


def _shown(text: str, *, below_leading: bool) -> str:
    body = _SPACES.sub("", text[:_MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " "))
    lines = _answer(body.split("\n")[:_MAX_LINES], below_leading=below_leading)
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
    if not dated and "@" not in first and not first.endswith("<"):
        return _bare_attribution(lines, start)
    if dated and _STAMPED.match(first):
        return 1
    timed = dated and re.search(r"\d:\d\d", first) is not None
    joined = ""
    blank = False
    for count, line in enumerate(lines[start : start + (8 if timed else 4)], 1):
        part = line.strip(" \t>*_")
        if not part and timed:
            blank = True  # some clients put each piece of it in a paragraph of its own
            continue
        joined = f"{joined} {part}".strip()
        if not part or len(joined) > 400 or (count > 4 and not blank):
            break
        if not joined.endswith((":", "：")):
            continue
        addressed = _ADDRESSED.search(joined) is not None
        if _WROTE_ENDS.search(joined[-250:]) and (addressed or not blank):
            return count
        if dated and addressed and joined.endswith(">:"):
            return count
        if addressed and re.match(r"\d{4}-\d\d-\d\d", first):
            return count
    below = lines[start + 1] if start + 1 < len(lines) else ""
    below = below or (lines[start + 2] if start + 2 < len(lines) else "")
    return 1 if timed and _ALL_QUOTED.match(below) else _bare_attribution(lines, start)


def _bare_attribution(lines: list[str], start: int) -> int:
    """The same in any language: up to three lines with an address, a date, a time and a colon at their end,
    and the quote or nothing below."""
    parts: list[str] = []
    for count, line in enumerate(lines[start : start + 3], 1):
        parts.append(line.strip(" \t>*_"))
        joined = " ".join(parts)
        if not parts[-1] or len(joined) > 300:
            return 0
        if joined.endswith((":", "：")):
            if not _dated_and_addressed(joined) or _dated_and_addressed(" ".join(parts[1:])):
                return 0
            following = next((x for x in lines[start + count : start + count + 4] if x.strip()), ">")
            return count if _ALL_QUOTED.match(following) else 0
    return 0


def _dated_and_addressed(words: str) -> bool:
    return all(pattern.search(words) for pattern in (_ANGLED, _DATED, _TIMED))


def _is_header_block(lines: list[str], start: int) -> bool:
    """Whether a quoted message's headers begin here: From and one more, or three of them with From; in any
    language three labels in a row, the first with a name and its address."""
    if start >= len(lines):
        return False
    block = lines[start : start + 3]
    if _SENDER.search(block[0]) and len(block) == 3 and all(map(_LABELLED.match, block)):
        return True
    first = _HEADER_LINE.match(lines[start])
    if first is None:
        return False
    names = {first[0].strip(" \t>*_:：").lower()}
    sender = first[1] is not None
    gap = 0
    for line in lines[start + 1 : start + 8]:
        found = _HEADER_LINE.match(line)
        if found is None:
            gap += 1
            if gap > 1:
                break
            continue
        gap = 0
        names.add(found[0].strip(" \t>*_:：").lower())
        if first[1] is not None:
            return len(names) > 1
        sender = sender or found[1] is not None
        if sender and len(names) >= 3:
            return True
    return False


def _answer(lines: list[str], *, below_leading: bool) -> list[str]:
    """Without the quoted message. Below an attribution with `>` lines an answer may stand: it is kept."""
    kept: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if _DIVIDER.match(line) or _FORWARDED.match(line) or _is_header_block(lines, number):
            break
        if _DASHED.match(line) or _WROTE_INLINE.match(line):
            break
        if _TITLED_RULE.match(line) and _is_header_block(lines, number + 1):
            break
        length = _attribution(lines, number)
        if not length:
            kept.append(line)
            number += 1
            continue
        marked = _ALL_QUOTED.match(line) is not None
        number += length
        following = next((x for x in lines[number:] if x.strip()), "")
        if not marked and not _ALL_QUOTED.match(following):
            if below_leading and not any(x.strip() for x in kept):
                continue
            break
    return kept


def _unsigned(lines: list[str]) -> list[str]:
    while lines and (not lines[-1].strip() or _DEVICE.match(lines[-1])):
        lines = lines[:-1]
    if lines:
        lines = [*lines[:-1], _GLUED_DEVICE.sub("", lines[-1])]
    for number, line in enumerate(lines):
        if _SIGNATURE.match(line) and any(x.strip() for x in lines[:number]):
            return lines[:number]
        if _DEVICE.match(line):
            rest = [x for x in lines[number + 1 :] if x.strip()]
            return lines[:number] if len(rest) <= 6 else lines[:number] + lines[number + 1 :]
    return lines
