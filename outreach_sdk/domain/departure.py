"""Whether an automatic answer says that its owner has left for good. It ends a journey and marks an address, so
somebody must say it of himself, or a text of the mailbox's owner; who is back on a day has not left."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import cast

__all__ = ["comes_back", "says_left"]

_MAX_WORDS = 6_000

_COMES_BACK = re.compile(
    r"\b(?:out|away|off|on leave|absent|unavailable|abwesend|urlaub|nicht im büro|en congés?|vacaciones|fuera|ferie|"
    r"férias|afwezig|urlopi?e?|semester)\b[^.\n]{0,30}\b(?:until|till|through|bis|jusqu\w*|hasta|fino|até|tot|do|till)\b|"
    r"\b(?:back|return(?:ing)?|zurück|de retour|vuelvo|regreso|rientro|torno|volto|regresso|terug|wracam|tillbaka|tilbage|"
    r"tilbake|вернусь|takaisin) (?:(?:to work|in the office|at my desk|im büro|au bureau|op kantoor) )?(?:on|by|from|after|"
    r"next|in|am|ab|le|el|il|em|op|den|\d)|\b(?:will be back|i['’]?m back|(?:i|will) return)\b|"
    r"\bbis (?:zum )?\d[^\n]{0,30}\b(?:im urlaub|abwesend|nicht|in elternzeit)|out of (?:the |my )?office|"
    r"on (?:annual |parental |maternity |paternity |sick |medical )?(?:leave|vacation|holidays?)\b|im urlaub|en congés?\b|"
    r"en vacances|de vacaciones|in ferie\b|de férias|met vakantie|na urlopie|в отпуске|på semester|休暇|休假|휴가",
    re.I,
)
_COMPANY = (
    r"\b(?:compan(?:y|ies)|firm|organi[sz]ation|business|employer|staff|workforce|here|us|unternehmens?|firma|firmy|firmie|"
    r"firmě|firme|haus(?:es)?|betrieb|arbeitgeber|entreprise|société|compagnie|maison|nous|empresa|compañía|organizaci[oó]n|"
    r"plantilla|aquí|azienda|società|ditta|qui|companhia|colaboradores|aqui|bedrijf|organisatie|hier|uns|unsere[mrs]?|"
    r"företaget|virksomheden|firmaet|selskapet|bedriften|yritykse\w+|společnost\w*|zde|tutaj|şirket\w*)\b|компани|"
    r"организаци|фирм|здесь|会社|弊社|当社|公司|회사|당사|"
    r"\b(?:ltd|inc|llc|plc|corp|gmbh|ag|se|sa|sas|sarl|s\.?r\.?l|s\.?p\.?a|b\.?v|n\.?v|ab|a/s|oyj?|s\.?r\.?o|sp\. z)\b"
)
_EMPLOYER = re.compile(_COMPANY, re.I)
# What somebody may stop working at, or leave, and still be there.
_OTHER = re.compile(
    r"\b(?:project\w*|projekt\w*|proyecto|progetto|projet|projeto|offices?|büro|bureau|team\w*|équipe|equipo|squadra|equipe|"
    r"desk|department|abteilung|branch|board|committee|vorstand|floor|street|road|fax|phone|telefon\w*|shifts?|weekends?|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days|on (?:mon|tues|wednes|thurs|fri)day|(?:mon|diens|donners|frei)tags|"
    r"full[- ]time|part[- ]time|hours|remote(?:ly)?|today|for (?:the|a) \w+|heute|pour (?:la|le) (?:journée|week\w*)|"
    r"if you|wenn sie|si (?:vous|usted))\b|(?:firm|company|organi[sz]ation|business)['’]s|"
    r"проект|本日|今日|プロジェクト|项目|프로젝트",
    re.I,
)


_FOR_GOOD = re.compile(r"\bout of (?:the |my )?office (?:permanently|for good)\b", re.I)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`sure`: the words are of employment by themselves; else the employer must be named. `mine`: said in the
    first person."""

    pattern: re.Pattern[str]
    mine: bool
    sure: bool


def _rules() -> tuple[_Rule, ...]:
    told = cast(
        tuple[tuple[bool, bool, str], ...],
        (
            # (first person, sure, words)
            (True, True, r"\bI(?: am|['’]m) no longer (?:an )?employe[ed]\w*"),
            (True, True, r"\bI(?: have|['’]ve)?(?: now| recently)? retired\b"),
            (True, True, r"\bI(?: have|['’]ve)? resigned\b"),
            (
                True,
                False,
                r"\bI no longer work|\bI(?: am|['’]m) no longer (?:working|with|at|part of|a member of)",
            ),
            (True, True, r"\bI(?: am|['’]m) no longer with (?-i:[A-ZÄÖÅÉ])"),
            (True, False, r"\bI (?:do not|don['’]t) work\b[^.\n]{0,60}\bany ?(?:more|longer)"),
            (True, False, r"\bI(?: have|['’]ve)?(?: now| recently)? (?:left|departed)\b"),
            (True, False, r"\bI(?: have|['’]ve)?(?: now| recently)? moved on from\b"),
            (True, False, r"\bwas my last (?:working )?day\b"),
            (True, True, r"\bmy last (?:working )?day (?:(?:at|with)\b[^.\n]{0,60} )?was\b"),
            (
                True,
                False,
                r"\bmy (?:time|employment|tenure) (?:at|with)\b[^.\n]{0,60}\b(?:ended|come to an end|came to an end)",
            ),
            (False, True, r"\b(?:is|was) no longer (?:an )?employe[ed]\w*|\bhas retired\b"),
            (False, True, r"\bis no longer with (?-i:[A-ZÄÖÅÉ])"),
            (False, False, r"\bno longer works\b|\bis no longer (?:working|with|at|part of|a member of)\b"),
            (
                False,
                False,
                r"\b(?:does not|doesn['’]t) work\b[^.\n]{0,60}\bany ?(?:more|longer)|\bhas (?:now |recently )?left\b",
            ),
            (
                True,
                True,
                r"\bich\b[^\n]{0,60}\bausgeschieden|\b(?:ich bin|bin ich) (?:nun |jetzt )?im ruhestand",
            ),
            (
                True,
                True,
                r"\b(?:bin ich|ich bin)\b[^\n]{0,60}\bnicht (?:mehr|länger)\b[^\n]{0,40}\b(?:tätig|beschäftigt|angestellt)",
            ),
            (
                True,
                False,
                r"\b(?:ich (?:bin|arbeite)|(?:bin|arbeite) ich)\b[^\n]{0,60}\bnicht (?:mehr|länger)\b",
            ),
            (
                True,
                False,
                r"\b(?:ich habe|habe ich)\b[^\n]{0,60}\bverlassen|\bmein letzter (?:arbeits)?tag\b[^\n]{0,40}\bwar\b",
            ),
            (False, True, r"\bist\b[^\n]{0,60}\bausgeschieden|\bist (?:nun |jetzt )?im ruhestand"),
            (
                False,
                True,
                r"\bist\b[^\n]{0,60}\bnicht (?:mehr|länger)\b[^\n]{0,40}\b(?:tätig|beschäftigt|angestellt)",
            ),
            (
                False,
                False,
                r"\b(?:ist|arbeitet)\b[^\n]{0,60}\bnicht (?:mehr|länger)\b|\bhat\b[^\n]{0,60}\bverlassen",
            ),
            (
                True,
                True,
                r"\bje ne suis plus (?:employé|salarié|en poste)|\bje suis (?:désormais )?(?:à la retraite|retraité)",
            ),
            (True, False, r"\bje ne (?:travaille|fais) plus\b|\bj['’]ai quitté\b"),
            (False, True, r"\bn['’]est plus (?:employé|salarié|en poste)"),
            (False, False, r"\bne (?:travaille|fait) plus\b|\ba quitté\b"),
            (True, True, r"\b(?:dejé|he dejado) de (?:trabajar|laborar)|\bme he jubilado"),
            (True, False, r"\bya no (?:trabajo|laboro|formo parte|pertenezco)\b|\bhe dejado\b"),
            (False, True, r"\b(?:dejó|ha dejado) de (?:trabajar|laborar)"),
            (False, False, r"\bya no (?:trabaja|labora|forma parte|pertenece)\b|\bha dejado\b"),
            (True, True, r"\bsono (?:ora )?in pensione"),
            (True, False, r"\bnon (?:lavoro|faccio) più\b|\bho lasciato\b"),
            (False, False, r"\bnon (?:lavora|fa) più\b|\bha lasciato\b"),
            (
                True,
                False,
                r"\bnão (?:trabalho|faço) mais\b|\bjá não (?:trabalho|faço parte)\b|\bdeixei a empresa|\bsaí da empresa",
            ),
            (
                False,
                False,
                r"\bnão (?:trabalha|faz) mais\b|\bjá não (?:trabalha|faz parte)\b|\bdeixou a empresa|\bsaiu da empresa",
            ),
            (
                True,
                True,
                r"\b(?:ben ik|ik ben)\b[^\n]{0,50}\bniet (?:meer|langer) (?:werkzaam|in dienst)|\bik ben met pensioen",
            ),
            (
                True,
                False,
                r"\b(?:ik werk|werk ik)\b[^\n]{0,50}\bniet (?:meer|langer)\b|\bik heb\b[^\n]{0,50}\bverlaten",
            ),
            (False, True, r"\bis\b[^\n]{0,50}\bniet (?:meer|langer) (?:werkzaam|in dienst)"),
            (False, False, r"\bwerkt\b[^\n]{0,50}\bniet (?:meer|langer)\b|\bheeft\b[^\n]{0,50}\bverlaten"),
            (True, False, r"\bnie pracuję (?:już|dłużej)\b|\bjuż nie pracuję\b"),
            (False, False, r"\bnie pracuje (?:już|dłużej)\b|\bjuż nie pracuje\b"),
            (True, True, r"\bnie jestem już (?:pracowni\w+|zatrudnion\w)"),
            (False, True, r"\bnie jest już pracownikiem"),
            (True, False, r"\b(?:больше|уже) не работаю\b|\b(?:більше|вже) не працюю\b"),
            (True, True, r"\bя уволил(?:ся|ась)"),
            (False, False, r"\b(?:больше|уже) не работает\b|\b(?:більше|вже) не працює\b"),
            (False, True, r"\bуволил(?:ся|ась)"),
            (True, False, r"\bjag har slutat\b|\bjag (?:jobbar|arbetar) inte längre\b"),
            (False, False, r"\bhar slutat\b|\b(?:jobbar|arbetar) inte längre\b"),
            (True, True, r"\bjeg (?:er|har) fratrådt"),
            (
                True,
                False,
                r"\bjeg (?:arbejder|arbeider|jobber) ikke l[eæ]ng[e]?re\b|\bjeg (?:jobber|arbeider) ikke lenger\b",
            ),
            (False, True, r"\b(?:er|har) fratrådt"),
            (False, False, r"\b(?:arbejder|arbeider|jobber) ikke (?:l[eæ]ngere|lenger)\b"),
            (True, False, r"\ben ole enää (?:töissä|palveluksessa)|\ben työskentele enää"),
            (False, False, r"\bei ole enää (?:töissä|palveluksessa)|\bei työskentele enää"),
            (True, False, r"\b(?:již|už) nepracuj(?:i|em)\b|\bnepracuj(?:i|em) (?:již|už)\b"),
            (False, False, r"\b(?:již|už) nepracuje\b|\bnepracuje (?:již|už)\b"),
            (True, False, r"\bartık\b[^\n]{0,60}\bçalışm(?:ıyorum|amaktayım)"),
            (False, False, r"\bartık\b[^\n]{0,60}\bçalışm(?:ıyor|amaktadır)\b"),
            (True, False, r"\bnu mai lucrez\b|\bmár nem dolgozom\b|\bδεν εργάζομαι πλέον"),
            (False, False, r"\bnu mai lucrează\b|\bmár nem dolgozik\b|\bδεν εργάζεται πλέον"),
            (True, True, r"(?:我|本人)[^。\n]{0,20}(?:离职|離職)"),
            (False, True, r"(?:离职|離職)|退職(?:いた|し|と)|退社(?:いた|し|と)|퇴사(?:하|했)"),
        ),
    )
    return tuple(_Rule(re.compile(words, re.I), mine, sure) for mine, sure, words in told)


_RULES = _rules()
_ANY = re.compile("|".join(rule.pattern.pattern for rule in _RULES), re.I)
_NOBODY_ELSE = re.compile(
    r"\b(?:the|this) (?:person|employee|recipient|user|individual)\b|\b(?:die|diese) person\b|\bder empfänger\b|"
    r"\b(?:cette|la) personne\b|\ble destinataire\b|\b(?:esta|la) persona\b|\beste empleado\b|\bquesta persona\b|"
    r"\besta pessoa\b|\bdeze (?:persoon|medewerker)\b|\bта особа\b|\bэт(?:от|а) сотрудни\w{1,4}|\bta osoba\b",
    re.I,
)
_SPOKEN = re.compile(
    r"\b(?:i|i['’]m|my|me|ich|mein\w{0,2}|je|j['’]\w{1,20}|mon|ma|mes|yo|mis?|io|mio|mia|eu|meus?|minha|ik|mijn|ja|"
    r"mój|moje|я|мой|моя|мои|jag|min|mitt|jeg|mit)\b",
    re.I,
)
_TITLES = {
    "herr", "herrn", "frau", "mr", "mrs", "ms", "dr", "prof", "mme", "mlle", "m", "sr", "sra", "pan", "pani", "sig",
    "dhr", "mevr", "please", "bitte", "note", "as", "of", "the",
}  # fmt: skip
_SENTENCES = re.compile(r"(?<!\d)[.!?]\s+|\n\s*\n|[。！？；;]")
_NAME = re.compile(r"[^\W\d_][\w'’-]{0,40}")
_JAPANESE_SUBJECT = re.compile(r"([^\s、。，]{1,10}?)(?:は|が|는|은|이|가)")


def _plain(word: str) -> str:
    apart = unicodedata.normalize("NFKD", word.lower().replace("ø", "o").replace("ł", "l").replace("ß", "ss"))
    return "".join(c for c in apart if not unicodedata.combining(c))


def comes_back(words: str) -> bool:
    """Whether somebody is only away for a while."""
    return _COMES_BACK.search(words[:_MAX_WORDS]) is not None


def says_left(words: str, *, name: str, address: str, of_recipient: bool = False) -> bool:
    """Whether `words`, an automatic answer signed `name` <`address`>, say that its owner is gone for good.
    `of_recipient`: they are a server's, which speaks of nobody but whom it didn't deliver to."""
    words = re.sub(r"\S{1,100}@\S{1,200}|https?://\S{1,300}", "@", words[:_MAX_WORDS])
    words = _FOR_GOOD.sub("gone", words)
    if _COMES_BACK.search(words) is not None:
        return False
    words = re.sub(r"(?<!\n)\n(?!\n)", " ", words)
    if _ANY.search(words) is None:
        return False
    for sentence in _SENTENCES.split(words):
        if _OTHER.search(sentence) is not None:
            continue
        for rule in _RULES:
            found = rule.pattern.search(sentence)
            if found is None or not (rule.sure or _names_employer(sentence, address)):
                continue
            if rule.mine or of_recipient or _is_owner(sentence[: found.start()], words, name, address):
                return True
    return False


_PLACED = re.compile(
    r"\b(?:at|for|by|bei|für|chez|en|in|na|da|w|på|hos|ve|v) (?:der |die |la |el |the |firmě |firmie )?"
    r"[«\"„“]?[A-ZÄÖÅ]"
)


def _names_employer(sentence: str, address: str) -> bool:
    """Whether a company is named: as one, by its form, or by the domain of the address."""
    if _EMPLOYER.search(sentence) is not None or _PLACED.search(sentence) is not None:
        return True
    labels = [x for x in address.rpartition("@")[2].lower().split(".")[:-1] if len(x) > 2]
    said = _plain(sentence)
    return any(label in said for label in labels)


def _is_owner(before: str, words: str, name: str, address: str) -> bool:
    """Whether the sentence speaks of the mailbox's owner: by name, as "this person", or, where the name is only
    a role's or a given name and nobody says "I", as the one person a text is about."""
    if _NOBODY_ELSE.search(before) is not None:
        return True
    if not before.isascii() and re.search(r"[\u3040-\u9fff\uac00-\ud7af]", before):
        subject = _JAPANESE_SUBJECT.search(before)
        if subject is None or subject[1] in ("私", "저", "제"):
            return True
        own = name.replace(" ", "")  # in Latin letters it can't be compared
        return own.isascii() or own[:1] == subject[1][:1]
    segment = re.split(r"[,:–—]|\s-\s|\b(?:that|dass|que|che|że|что|att|dat)\b", before)[-1]
    told = [x for x in _NAME.findall(segment) if x[:1].isupper() and x.lower() not in _TITLES]
    owner = {_plain(x) for x in _NAME.findall(name)}
    local = {_plain(x) for x in re.findall(r"[^\W\d_]{2,40}", address.partition("@")[0])}
    same = sum(_plain(x) in owner or _plain(x) in local for x in told)
    if told and same >= min(2, len(told), max(1, len(owner))):
        return True
    return 1 <= len(told) <= 3 and len(owner) == 1 and _SPOKEN.search(words) is None
