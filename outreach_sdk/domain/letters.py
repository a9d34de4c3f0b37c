"""Which legacy encoding a text is in, by the letters that names of people really use."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from functools import lru_cache

__all__ = ["CODECS", "cost"]

# In the order preferred when nothing speaks for one of them.
CODECS = (
    "cp1252", "cp1251", "cp932", "cp1250", "gb18030", "cp949", "big5", "iso8859-2", "cp1253", "iso8859-7", "cp1254",
    "cp1255", "cp1256", "cp1257", "koi8-r", "euc_jp", "mac_roman", "cp850", "cp866", "cp852", "cp437", "iso8859-15",
)  # fmt: skip

# Letters beyond ASCII, and how much a file must gain by being in that language too.
_LANGUAGES: tuple[tuple[str, float], ...] = (
    ("àâæçéèêëîïôœùûüÿ", 1), ("äöüßé", 1), ("áéíóúüñç", 1), ("áàâãçéêíóôúü\ue000", 1), ("àèéìíîòóù", 1),
    ("àçéèíïóòúü", 1.2), ("åäöéü", 1), ("åæøéöüô", 1), ("áäéëïóöüèíú", 1.1), ("áðéíóúýæö\ue001", 1.5),
    ("äöüõšž\ue000", 1.5), ("ąćęłńóśźż", 1), ("áčďéěíňóřšťúůýž", 1), ("áäčďéíĺľňóôŕšťúýž", 1.2), ("áéíóöőúüű", 1),
    ("ăâîșțşţ", 1), ("čćđšž", 1), ("ëç", 1.3), ("āčēģīķļņšūž", 1.2), ("ąčęėįšųūž", 1.2), ("çğıöşüâî\ue002", 1),
    ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", 1), ("абвгдежзийклмнопрстуфхцчшщьюяіїєґ", 1.1),
    ("абвгдежзиклмнопрстуфхцчшђјљњћџѓќѕ", 1.2), ("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ", 1),
    ("אבגדהוזחטיךכלםמןנסעףפץצקרשת", 1), ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگ", 1),
)  # fmt: skip
_COMMON = {
    "cyrillic": "оеаинтсрвлкмд",
    "greek": "αοιετσνηυρςκπλμ",
    "hebrew": "יוהלאמרתנבש",
    "arabic": "اليمنترحدعبسه",
}
# First bytes under which the usual characters of these encodings are.
_USUAL = {
    "gb18030": ((0xB0, 0xD7),),
    "big5": ((0xA4, 0xC6),),
    "cp949": ((0xB0, 0xC8),),
    "euc_jp": ((0xA4, 0xA5), (0xB0, 0xCF)),
    "cp932": ((0x82, 0x83), (0x88, 0x97)),
}
_WORD = re.compile(r"(?:[A-Za-z'-]|[^\x00-\x7f\s])*[^\x00-\x7f\s](?:[A-Za-z'-]|[^\x00-\x7f\s])*")
_EDGES = "“”‘’„‚«»…–—·•°ºª®™©€'-、。・"
_OPENING = "“‘„‚«"
_JOINTS = str.maketrans("", "", "'-’–—·")
_MISFIT = 4.0
_STRANGER = 2.5
_WORDS = 1500


def cost(text: str, codec: str) -> tuple[float, float]:
    """(how little the words of `text`, read as `codec`, look like anybody's names; what one more language is
    reckoned at). Each distinct word counts once."""
    words = list(dict.fromkeys(_WORD.findall(text)))[:_WORDS]
    unit = 1 + 0.04 * len(words)
    total = 0.0
    letters: Counter[frozenset[str]] = Counter()
    for word in words:
        bare = word.strip(_EDGES)
        total += 0.3 * sum(1 for c in word if c in _EDGES and ord(c) > 127)
        if word[-1] in _OPENING and word[0] not in _EDGES:
            total += _MISFIT
        if bare.isascii():
            continue
        odd, used = _word(bare.translate(_JOINTS), codec)
        total += odd
        if used:
            letters[used] += 1
    # Few languages that explain much: one at a time, the one that explains most of what is left.
    while letters:
        gain, best = max(
            (
                sum(_STRANGER * n for used, n in letters.items() if used <= language) - unit * price,
                -at,
            )
            for at, (language, price) in enumerate(_languages())
        )
        if gain <= 0:
            break
        total += unit * _languages()[-best][1]
        for used in [u for u in letters if u <= _languages()[-best][0]]:
            del letters[used]
    return total + _STRANGER * letters.total(), unit


@lru_cache(maxsize=1)
def _languages() -> list[tuple[frozenset[str], float]]:
    return [(frozenset(alphabet), price) for alphabet, price in _LANGUAGES]


def _word(word: str, codec: str) -> tuple[float, frozenset[str]]:
    """(how odd the word is whatever its language, the letters that a language must have)."""
    scripts = {_script(c) for c in word}
    if "sign" in scripts:
        return _MISFIT, frozenset()
    if "east" in scripts:
        if re.search("[a-z]", word) or scripts - {"east", "latin"}:
            return _MISFIT, frozenset()
        return _far_east(word, codec), frozenset()
    if len(scripts) > 1 or _mixed_case(word):
        return _MISFIT, frozenset()
    # ð never begins a word, þ hardly ever ends one or stands before a consonant; õ is Portuguese before e only.
    lower = word.replace("İ", "\ue002").lower()
    lower = re.sub("õ(?=e)", "\ue000", lower)
    lower = re.sub("(?:^þ|þ(?=ó))", "\ue001", lower)
    used = frozenset(c for c in lower if ord(c) > 127)
    script = scripts.pop()
    odd = 0.0
    if script in _COMMON:
        common = sum(1 for c in lower if unicodedata.normalize("NFD", c)[0] in _COMMON[script]) / len(lower)
        odd = 2 * max(0.0, 0.6 - common) + (1.5 if word[0].islower() else 0.0)
    return odd, used


def _mixed_case(word: str) -> bool:
    """A capital beyond ASCII within a word of small letters, or one of ASCII right after a letter beyond it."""
    if word == word.upper():
        return False
    return any(
        (ord(c) > 127 or (ord(before) > 127 and before.islower())) and c.isupper()
        for before, c in itertools.pairwise(word)
    )


def _far_east(word: str, codec: str) -> float:
    usual = _USUAL.get(codec)
    if usual is None:
        return _MISFIT
    rare = 0
    for c in word:
        lead = c.encode(codec, "replace")[0]
        rare += lead > 127 and not any(low <= lead <= high for low, high in usual)
    return 2.5 * rare / len(word)


@lru_cache(maxsize=4096)
def _script(c: str) -> str:
    point = ord(c)
    if 0xFF61 <= point <= 0xFF9F:  # half-width kana: what Western letters become in Japanese encodings
        return "sign"
    if point >= 0x2E80 and (unicodedata.category(c)[0] in "LM" or c in "々〆ー　（）"):
        return "east" if point < 0xE000 or 0xF900 <= point < 0xFB00 or point >= 0xFF00 else "sign"
    if unicodedata.category(c)[0] not in "LM" or c in "ªºµƒˆ˜":
        return "sign"
    for limit, name in (
        (0x300, "latin"),
        (0x370, "sign"),
        (0x400, "greek"),
        (0x530, "cyrillic"),
        (0x600, "hebrew"),
    ):
        if point < limit:
            return name
    return "arabic" if point < 0x780 else "sign" if point < 0x1E00 or point > 0x2000 else "latin"
