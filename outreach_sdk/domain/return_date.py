"""The day on which somebody says they are back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

__all__ = ["find_return_date"]

_MONTHS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "january jan januar jän jänner janvier janv enero ene gennaio gen janeiro januari sty "
        "stycznia январь января янв tammikuuta leden ledna január ocak ינואר يناير "
        "ledna ianuarie ιανουαρίου ιανουάριο січня januára มกราคม януари januárja",
        "february feb februar februari février fevrier févr febrero febbraio fevereiro fev luty "
        "lutego lut февраль февраля фев helmikuuta února február şubat פברואר فبراير "
        "února februarie φεβρουαρίου φεβρουάριο лютого februára กุมภาพันธ์ февруари",
        "march mar märz maerz mrz mars marzo março maart mrt marzec marca март марта maaliskuuta "
        "března marts mart מרץ március مارس márc "
        "března martie μαρτίου μάρτιο березня marca มีนาคม maret",
        "april apr avril avr abril abr aprile kwiecień kwietnia kwi апрель апреля апр huhtikuuta "
        "dubna április nisan אפריל أبريل "
        "dubna aprilie απριλίου απρίλιο квітня apríla เมษายน април",
        "may mai mayo maggio mag maio mei maj maja май мая toukokuuta května május mayıs מאי مايو "
        "května μαΐου μαίου μάιο травня mája พฤษภาคม май",
        "june jun juni juin junio giugno giu junho czerwiec czerwca cze июнь июня июн kesäkuuta "
        "června június haziran יוני يونيو "
        "června iunie ιουνίου ιούνιο червня júna มิถุนายน юни",
        "july jul juli juillet juil julio luglio lug julho lipiec lipca lip июль июля июл heinäkuuta "
        "července július temmuz יולי يوليو "
        "července iulie ιουλίου ιούλιο липня júla กรกฎาคม юли",
        "august aug août aout agosto ago augustus sierpień sierpnia sie август августа авг elokuuta "
        "srpna augusztus ağustos אוגוסט أغسطس augusti "
        "srpna αυγούστου αύγουστο серпня augusta สิงหาคม agustus",
        "september sep sept septembre septiembre settembre set setembro wrzesień września wrz "
        "сентябрь сентября сен syyskuuta září szeptember eylül ספטמבר سبتمبر "
        "septembrie σεπτεμβρίου σεπτέμβριο вересня septembra กันยายน септември",
        "october oct oktober okt octobre octubre ottobre ott outubro out październik października "
        "paź октябрь октября окт lokakuuta října október ekim אוקטובר أكتوبر "
        "octombrie οκτωβρίου οκτώβριο жовтня októbra ตุลาคม октомври",
        "november nov novembre noviembre novembro listopad listopada lis ноябрь ноября ноя "
        "marraskuuta listopadu kasım נובמבר نوفمبر "
        "listopadu noiembrie νοεμβρίου νοέμβριο листопада novembra พฤศจิกายน ноември",
        "december dec dezember dez décembre déc diciembre dic dicembre dezembro grudzień grudnia gru "
        "декабрь декабря дек joulukuuta prosince aralık דצמבר ديسمبر desember "
        "prosinec decembrie δεκεμβρίου δεκέμβριο грудня decembra ธันวาคม декември",
    ),
    1,
):
    for _word in _names.split():
        _MONTHS.setdefault(_word, _number)

_DAYS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "monday montag lundi lunes lunedì segunda segunda-feira maandag poniedziałek "
        "poniedziałku понедельник "
        "понедельника måndag mandag maanantai 月曜日 月曜 星期一 周一 월요일",
        "tuesday dienstag mardi martes martedì terça terça-feira dinsdag wtorek wtorku вторник "
        "вторника tisdag "
        "tirsdag tiistai 火曜日 星期二 周二 화요일",
        "wednesday mittwoch mercredi miércoles mercoledì quarta quarta-feira woensdag środa "
        "środy среда среды "
        "onsdag keskiviikko 水曜日 星期三 周三 수요일",
        "thursday donnerstag jeudi jueves giovedì quinta quinta-feira donderdag czwartek czwartku четверг "
        "четверга torsdag torstai 木曜日 星期四 周四 목요일",
        "friday freitag vendredi viernes venerdì sexta sexta-feira vrijdag piątek piątku "
        "пятница пятницы fredag "
        "perjantai 金曜日 星期五 周五 금요일",
        "saturday samstag sonnabend samedi sábado sabato zaterdag sobota soboty суббота lördag lørdag 土曜日",
        "sunday sonntag dimanche domingo domenica zondag niedziela niedzieli воскресенье "
        "söndag søndag 日曜日",
    )
):
    for _word in _names.split():
        _DAYS[_word] = _number

_M = "|".join(sorted(map(re.escape, _MONTHS), key=len, reverse=True))
_D = "|".join(sorted(map(re.escape, _DAYS), key=len, reverse=True))
_ISO = re.compile(r"(?<!\d)(20\d\d)[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_CJK = re.compile(r"(?:(20\d\d)\s*[年년]\s*)?(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日号號일]")
_NUMBERS = re.compile(r"(?<![\d./-])(\d{1,2})([./-])(\d{1,2})(?:\2(20\d\d|\d\d)|(?<=\d)\.)?(?![\d/-])")
_SPACED = re.compile(r"(?<![\d.])(\d{1,2})\.\s(\d{1,2})\.(?:\s?(20\d\d))?(?!\d)")
_ORDINAL = r"(?:st|nd|rd|th|er|ère|º|°|ª|e|:e)?"
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}}){_ORDINAL}(?:[.,]?\s*(?:of |de |d['’]|ב)?|-)({_M})(?!\w)\.?,?"
    rf"(?:[\s-]*(?:de |del )?([12]\d\d\d))?",
    re.I,
)
_MONTH_DAY = re.compile(
    rf"\b({_M})\.?\s+(?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s*([12]\d\d\d))?", re.I
)
# "November 24-30" and "23.11.-30.11.2026": the last day counts.
_MONTH_RANGE = re.compile(
    rf"\b({_M})\.?\s+\d{{1,2}}{_ORDINAL}\s*(?:[-–—]|to|until|through|thru)\s*(\d{{1,2}})"
    rf"{_ORDINAL}(?![\d:])(?:,?\s*([12]\d\d\d))?",
    re.I,
)
_NUMBER_RANGE = re.compile(
    r"(?<![\d./-])\d{1,2}([./])\d{1,2}(?:\1(?:20\d\d|\d\d))?\.?\s?[-–—]\s?(\d{1,2})\1(\d{1,2})(?:\1(20\d\d|\d\d))?(?![\d/-])"
)
_VIETNAMESE = re.compile(r"(?<!\d)(\d{1,2})\s+tháng\s+(\d{1,2})(?:[\s,]+(?:năm\s+)?(20\d\d))?", re.I)
_MONTH_YEAR = re.compile(rf"(?<![\d.] )(?<!\d)\b({_M})\.?,?\s+(?:de |del )?([12]\d\d\d)\b", re.I)
_END_OF = re.compile(
    rf"\b(?:(?:the )?end of|ende|fin(?: de)?|finales de|fine(?: di)?|final de|einde?(?: van)?|końca|конца|slutet av|"
    rf"slutningen av|konce)\s+({_M})(?!\w)(?:\s+(?:de |del )?([12]\d\d\d))?",
    re.I,
)
# "Monday 7": the day that is both.
_WEEKDAY_NTH = re.compile(
    rf"\b({_D}),?\s+(?:(?:the|den|der|dem|le|el|il|o|dia|día)\s+)?(\d{{1,2}})(?:st|nd|rd|th|er|º|°|ª|\.)?"
    rf"(?![\d:/-]|\.\d|\s*(?:h|am|pm|uhr|o['’]clock)\b)",
    re.I,
)
_THE_NTH = re.compile(r"\bthe (\d{1,2})(?:st|nd|rd|th)\b", re.I)
_TOMORROW = re.compile(
    r"\b(?:tomorrow|(?<!guten )morgen(?!s)|demain|mañana|domani|amanhã|jutro|завтра|imorgen|imorgon|zítra|zajtra|yarın|"
    r"huomenna|holnap|mâine|αύριο)\b|明日|明天|내일|พรุ่งนี้",
    re.I,
)
_WEEKDAY = re.compile(rf"(?:\b|(?<=[\u3040-\u9fff]))({_D})(?:\b|(?=[\u3040-\u9fff\uac00-\ud7af]))", re.I)
_RETURNING = re.compile(
    r"return|back|again|resum|reachable from|available from|zurück|wieder|ab dem|de retour|reprend|"
    r"retour|rentr|"
    r"regres|vuelv|volver|de vuelta|reincorpor|torn|rientr|rientro|volto|retorn|terug|wracam|powr|"
    r"ponownie|верн|"
    r"буду (?:снова|на)|возвращ|вернусь|tillbaka|tilbage|tilbake|åter|palaan|zpět|vissza|dön|回|返|戻|"
    r"出社|復帰|복귀|חוזר|vrátí|vráti|späť|revin|întor|înapoi|επιστρ|πίσω|поверн|กลับ|върна|trở lại|quay lại|kembali|"
    r"\bweer\b",
    re.I,
)
_UNTIL = re.compile(
    r"until|till?\b|through|thru|to\b|up to|bis|einschließlich|jusqu|au\b|hasta|fino|al\b|até|ate\b|ao\b|tot|"
    r"t/m|t\.e\.m|do\b|по\b|до\b|till\b|til\b|saakka|asti|kadar|până|pana\b|μέχρι|έως|ถึง|đến|sampai|hingga|まで|至|到|까지|עד|حتى|[-–—]\s*$",
    re.I,
)
_AFTER_RETURNING = re.compile(
    r"^[^.!?\n。]{0,40}?(?:zurück|wieder|back\b|return|terug|tillbaka|tilbage|tilbake|返回|回来|回來|回到|"
    r"出社|戻|復帰|복귀|"
    r"retour|вернусь|döneceğ|weer\b|opět|opäť)",
    re.I,
)
_SINCE = re.compile(
    r"(?:from|since|starting|vom|von|seit|ab|du|depuis|del|desde|dal|de|van|vanaf|od|с|från|fra)\s*$", re.I
)


# The day that is named is itself a day away.
_INCLUSIVE_BEFORE = re.compile(
    r"\b(?:through|thru|up to and including|t/m|t\.e\.m\.?|tot en met|einschließlich|einschl\.|inklusive|"
    r"til og med|till och med|t\.?o\.?m\.?|fino a tutto)\s[^.!?\n]{0,18}$",
    re.I,
)
_INCLUSIVE_AFTER = re.compile(
    r"^\W{0,4}(?:(?:ambos|both|beide)\s+)?(?:inclus\w*|einschließlich|inkl|incl\b|included|compres[oi]\b|"
    r"inclu[ií]d[oa]s?|włącznie|включительно|включно|vrátane|včetně|inkluderat|inclusief)",
    re.I,
)
# Two numbers with a point are a day only behind such a word; what stands behind the others is none.
_UP_TO = re.compile(
    r"\b(?:bis|bis zum|ab|am|do|od|until|till?|from|on|au|le|hasta el|el|fino al|dal|il|até|tot|tot en met|op|vanaf|den|до|"
    r"по|с)\s$",
    re.I,
)
_NUMBERED = re.compile(
    r"\b(?:ext(?:ension)?|ref(?:erence)?|tel|phone|fax|room|ticket|case|nr|no|durchwahl|dw|zimmer|poste)\W{0,3}$|#$",
    re.I,
)
# Days of other things than the sender's absence.
_EVENT = re.compile(
    r"\b(?:webinar\w*|conference|summit|workshop|event|fair|meetup|seminar\w*|launch|konferenz|messe|veranstaltung|"
    r"conférence|salon|congreso|feria|evento|fiera|conferenza|conferência|beurs|вебинар\w*|конференци\w+)\b",
    re.I,
)
_OFF = re.compile(
    r"\b(?:switched off|shut down|deactivated|disabled|closed down|expires?|discontinued|abgeschaltet|deaktiviert|"
    r"désactivée?|supprimée?|desactivad[oa]|dará de baja|disattivat[oa]|desativad[oa]|afgesloten|wyłączon[ya]|"
    r"отключ[её]н\w*)\b",
    re.I,
)
_OTHERS = re.compile(
    r"\b(?:he|she|colleagues?|mr|mrs|ms|herr|frau|kolleg\w+|collègue|compañer\w+|collega|colega|successor|assistant)\b",
    re.I,
)
_SELF = re.compile(r"\b(?:i|i['’]m|i['’]ll|my return|ich|je|j['’]|yo|io|eu|ik|jag|jeg|ja|я)\b", re.I)
_REPLIES = re.compile(
    r"repl|answer|respond|antwort|melde|répon|respond|rispond|antwoord|odpow|ответ|svara|svare", re.I
)


def find_return_date(text: str, today: dt.date) -> dt.date | None:
    """The stated day of return, or else the first day after a last day that is away ("through", "inclus"),
    or else the last day that is named, at most 400 days after `today`, never before it.

    Dates without a year are the next such day within half a year; `09/03` is read the way that lies nearer.
    A month alone (`September 2026`) means its first day. Days of events, of colleagues and of addresses that
    are given up are none.
    """
    best: tuple[int, dt.date] | None = None
    body = text[:4000]
    for start, end, day in _dates(body, today):
        if not today <= day <= today + dt.timedelta(days=400):
            continue
        before, after = body[max(0, start - 90) : start], body[end : end + 60]
        clause = re.split(r"[!?\n。;]|\.\s", before)[-1]
        returning = _RETURNING.search(clause[-45:]) is not None
        until = _UNTIL.search(clause[-28:]) is not None
        if (
            _OFF.search(clause) is not None
            or _NUMBERED.search(before) is not None
            or (_EVENT.search(clause) is not None and not (returning or until))
        ):
            continue
        others = _OTHERS.search(clause)
        if others is not None and _SELF.search(clause[others.end() :]) is None:
            continue
        if returning or _AFTER_RETURNING.search(after):
            weight = 3
        elif until:
            weight = 2
        elif _SINCE.search(clause[-28:]):
            weight = 0
        else:
            weight = 1
        if weight < 3 and (_INCLUSIVE_BEFORE.search(clause) or _INCLUSIVE_AFTER.search(after)):
            day, weight = day + dt.timedelta(days=1), 2
        if best is None or (weight, day) > best:
            best = (weight, day)
    return best[1] if best is not None else None


def _dates(text: str, today: dt.date) -> Iterator[tuple[int, int, dt.date]]:
    taken: list[tuple[int, int]] = []

    def free(found: re.Match[str]) -> bool:
        return not any(a < found.end() and found.start() < b for a, b in taken)

    def offer(found: re.Match[str], *days: dt.date | None) -> Iterator[tuple[int, int, dt.date]]:
        ahead = [d for d in days if d is not None and d >= today]
        if ahead:
            yield found.start(), found.end(), min(ahead)
        if any(days):
            taken.append((found.start(), found.end()))

    for found in _ISO.finditer(text):
        year, one, two = (int(g) for g in found.groups())
        yield from offer(found, _day(year, one, two))
    for found in _NUMBER_RANGE.finditer(text):
        if free(found):
            one, two, year_text = int(found.group(2)), int(found.group(3)), found.group(4)
            other = _near(today, year_text, one, two) if found.group(1) == "/" else None
            yield from offer(found, _near(today, year_text, two, one), other)
    for found in _CJK.finditer(text):
        if free(found):
            yield from offer(found, _near(today, found.group(1), int(found.group(2)), int(found.group(3))))
    for pattern in (_SPACED, _VIETNAMESE):
        for found in pattern.finditer(text):
            if free(found):
                yield from offer(
                    found, _near(today, found.group(3), int(found.group(2)), int(found.group(1)))
                )
    for pattern, month, day in ((_MONTH_RANGE, 1, 2), (_DAY_MONTH, 2, 1), (_MONTH_DAY, 1, 2)):
        for found in pattern.finditer(text):
            if free(found):
                number = _MONTHS[found.group(month).lower()]
                yield from offer(found, _near(today, found.group(3), number, int(found.group(day))))
    for found in _END_OF.finditer(text):
        if free(found):
            last = _near(today, found.group(2), _MONTHS[found.group(1).lower()], 28)
            yield from offer(found, last and (last + dt.timedelta(days=4)).replace(day=1))
    for found in _MONTH_YEAR.finditer(text):
        if free(found):
            yield from offer(found, _day(int(found.group(2)), _MONTHS[found.group(1).lower()], 1))
    for found in _NUMBERS.finditer(text):
        if free(found) and found.group() != "24/7" and (found.group(4) or found.group(2) != "-"):
            one, two, year_text = int(found.group(1)), int(found.group(3)), found.group(4)
            bare = year_text is None and found.group(2) == "." and not found.group().endswith(".")
            if bare and _UP_TO.search(text[max(0, found.start() - 12) : found.start()]) is None:
                continue  # 2.5 is a number
            first = _near(today, year_text, two, one)
            second = _near(today, year_text, one, two) if found.group(2) != "." else None
            yield from offer(found, first, second)
    for found in _WEEKDAY_NTH.finditer(text):
        if free(found):
            quarter = (today + dt.timedelta(days=n) for n in range(92))
            weekday, number = _DAYS[found.group(1).lower()], int(found.group(2))
            yield from offer(
                found, next((d for d in quarter if (d.weekday(), d.day) == (weekday, number)), None)
            )
    if taken:
        return
    for found in _WEEKDAY.finditer(text):
        ahead = (_DAYS[found.group(1).lower()] - today.weekday() - 1) % 7 + 1
        yield found.start(), found.end(), today + dt.timedelta(days=ahead)
    for found in _THE_NTH.finditer(text):
        number = int(found.group(1))
        months = (
            _day(today.year + (today.month + n - 1) // 12, (today.month + n - 1) % 12 + 1, number)
            for n in range(3)
        )
        coming = next((d for d in months if d is not None and d >= today), None)
        if coming is not None:
            yield found.start(), found.end(), coming
    for found in _TOMORROW.finditer(text):
        clause = re.split(r"[.!?\n,;]", text[max(0, found.start() - 60) : found.start()])[-1]
        if (
            _RETURNING.search(clause)
            or _REPLIES.search(clause)
            or _AFTER_RETURNING.search(text[found.end() :][:60])
        ):
            yield found.start(), found.end(), today + dt.timedelta(days=1)


def _day(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except (ValueError, OverflowError):
        return None


def _near(today: dt.date, year: str | None, month: int, day: int) -> dt.date | None:
    if year is not None:
        if int(year) > 2400:
            year = str(int(year) - 543)  # the Thai calendar
        return _day(int(year) if len(year) == 4 else 2000 + int(year), month, day)
    for guess in (today.year, today.year + 1):
        found = _day(guess, month, day)
        if found is not None and found >= today:
            return found if found <= today + dt.timedelta(days=183) else None
    return None
