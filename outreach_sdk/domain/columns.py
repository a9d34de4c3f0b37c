"""Which spreadsheet column holds which field, by rules alone.

A header is folded (case, accents, punctuation, camelCase) and looked up; sample values confirm or refuse it.
An e-mail or phone header may hold known words only, since any other word makes it somebody else's address or
something about the address.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from rapidfuzz.distance import OSA

from outreach_sdk.domain import header_words as words

__all__ = ["FIELDS", "Mapping", "fits", "is_address", "map_columns", "somebody_elses"]

FIELDS = ("first_name", "last_name", "full_name", "email", "linkedin_url", "phone", "company", "title")


@dataclass(frozen=True, slots=True)
class Mapping:
    """`fields`: field -> header or None. `columns`: the same by position, for headers that repeat.
    `extra`: the other headers. `more_emails`: positions of further columns with the person's addresses."""

    fields: dict[str, str | None]
    extra: list[str]
    columns: dict[str, int | None] = field(default_factory=dict)
    more_emails: tuple[int, ...] = ()


# --- folding --------------------------------------------------------------------------------------------

_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    text = _CAMEL.sub(" ", text).casefold().replace("ł", "l").replace("ø", "o").replace("ı", "i")
    text = unicodedata.normalize("NFD", text)
    if not _CJK.search(unicodedata.normalize("NFC", text)):
        text = "".join(c for c in text if not unicodedata.combining(c))
    text = unicodedata.normalize("NFC", text)
    text = " ".join(re.sub(r"[\W_]+", " ", text).split())
    text = re.sub(r"\blinked in\b", "linkedin", text)
    return re.sub(r"\be (?=mail|posta?\b|メール|post)", "e", text)


def _folded(values: Iterable[str]) -> frozenset[str]:
    return frozenset(_fold(value) for value in values)


_EMAIL, _PHONE, _MOBILE = _folded(words.EMAIL), _folded(words.PHONE), _folded(words.MOBILE)
_NOISE, _ELSE = _folded(words.NOISE), _folded(words.SOMEBODY_ELSE)
_EMAIL_BESIDE = {_fold(k): v for k, v in words.EMAIL_BESIDE.items()}
_PHONE_BESIDE = {_fold(k): v for k, v in words.PHONE_BESIDE.items()}
_AMBIGUOUS = {_fold(k): v for k, v in words.AMBIGUOUS.items()}
_PHRASES: dict[str, tuple[str, int]] = {}
for _name, _levels in words.PHRASES.items():
    for _score, _list in _levels.items():
        for _words in _list:
            _PHRASES.setdefault(_fold(_words), (_name, _score))
            _PHRASES.setdefault(
                " ".join(t for t in _fold(_words).split() if t not in _NOISE), (_name, _score)
            )
_PHRASES.pop("", None)

_SEGMENTS = re.compile(
    "|".join(
        sorted(
            (
                re.escape(w)
                for w in {*_EMAIL, *_PHONE, *_MOBILE, *_NOISE, *_EMAIL_BESIDE, *_PHONE_BESIDE}
                if _CJK.search(w)
            ),
            key=len,
            reverse=True,
        )
    )
)


def _slip(written: str, meant: str) -> bool:
    """One letter missing, doubled or swapped with its neighbour; never one for another (`list`, `last`)."""
    if OSA.distance(written, meant, score_cutoff=1) != 1:
        return False
    return len(written) != len(meant) or sorted(written) == sorted(meant)


def _known_token(token: str, known: Iterable[str]) -> str:
    if len(token) < 5 or token in _NOISE:
        return token
    return next((word for word in sorted(known) if len(word) >= 5 and _slip(token, word)), token)


@dataclass(frozen=True, slots=True)
class _Header:
    raw: str
    key: str
    """Folded, without words like `candidate`."""
    tokens: tuple[str, ...]


@lru_cache(maxsize=4096)
def _header(raw: str) -> _Header:
    folded = _fold(raw)
    tokens = (
        _SEGMENTS.sub(lambda m: f" {m.group()} ", folded).split() if _CJK.search(folded) else folded.split()
    )
    plain = [t for t in folded.split() if t not in _NOISE]
    key = " ".join(t for i, t in enumerate(plain) if i == 0 or t != plain[i - 1])
    if _CJK.search(folded):
        key = folded if folded in _PHRASES else folded.replace(" ", "")
        for noise in sorted((n for n in _NOISE if _CJK.search(n)), key=len, reverse=True):
            if key not in _PHRASES:
                key = key.replace(noise, "").removeprefix("の") or key
    return _Header(raw, key or folded, tuple(tokens))


# --- what a header says ---------------------------------------------------------------------------------


def _beside(
    tokens: Sequence[str], heads: frozenset[str], beside: dict[str, int], plus: frozenset[str] = frozenset()
) -> int | None:
    score, found = 10, False
    for token in tokens:
        if token not in heads and token not in beside and token not in plus and token not in _NOISE:
            token = _known_token(token, heads | plus)
        if token in heads or token in plus:
            found = True
            score += 3 if token in plus else 0
        elif token in beside:
            score += beside[token]
        elif token not in _NOISE:
            return None
    return score if found else None


def _phrase(header: _Header) -> tuple[str, int] | None:
    found = _PHRASES.get(header.key) or _PHRASES.get(_fold(header.raw))
    if found is None and "(" in header.raw and not _ELSE & set(header.tokens):
        found = _PHRASES.get(_fold(re.sub(r"\([^()]*\)", " ", header.raw)))
    if found is None and len(header.key) >= 5 and header.key not in _AMBIGUOUS:
        meant = next((p for p in _PHRASES if len(p) >= 5 and _slip(header.key, p)), None)
        if meant is not None:
            name, score = _PHRASES[meant]
            found = name, score - 2
    return found


# --- what values say ------------------------------------------------------------------------------------

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_PROFILE = re.compile(
    r"linkedin\.(?:com|cn)/+(?:mwlite/|comm/)?(?:in|pub|sales|talent|recruiter|profile)/", re.I
)
_LEGAL = re.compile(
    r"(?:\b(?:gmbh|inc|llc|ltd|plc|corp|corporation|company|co|kg|ag|se|s\.?a\.?s?|s\.?r\.?l|s\.?l|s\.?p\.?a|"
    r"b\.?v|n\.?v|oy|ab|as|aps|kft|sp\.? z o\.?o|group|holding|technologies|university|bank)\.?\s*$)"
    r"|^(?:ооо|оао|зао|пао)\b|株式会社|有限公司|㈱|주식회사",
    re.I,
)
_JOB = re.compile(
    r"\b(?:engineer|developer|manager|director|head of|lead|analyst|consultant|designer|architect|officer|"
    r"recruiter|sales|marketing|scientist|specialist|assistant|ceo|cto|cfo|vp|president|founder|leiter(?:in)?|"
    r"entwickler(?:in)?|ingenieur|ingénieur|responsable|directeur|directora?|gerente|ingeniero)\b",
    re.I,
)
_PERSON = re.compile(r"[^\W\d_][^\W\d_.'’-]*\.?(?:[ -]+[^\W\d_][^\W\d_'’]*\.?){1,4}")
_MEANINGLESS = re.compile(
    r"(?:(?:col|column|field|spalte|feld|colonne|columna|colonna|campo|coluna|kolom|kolumna|unnamed|var|f|c|x|v|"
    r"列|項目|столбец|поле)? ?\d*|[a-z])"
)


def is_address(value: str) -> bool:
    """Whether a cell is one e-mail address, as no header is."""
    return _ADDRESS.fullmatch(value.strip()) is not None


def _is_phone(value: str) -> bool:
    digits = sum(c.isdigit() for c in value)
    return (
        6 <= digits <= 20
        and sum(c.isalpha() for c in value) <= 4
        and not re.search(r"\d{4}-\d\d-\d\d", value)
    )


def _is_text(value: str) -> bool:
    return "@" not in value and "://" not in value and any(c.isalpha() for c in value)


def _is_title(value: str) -> bool:
    tokens = re.sub(r"\W+", " ", value).lower().split()
    return _is_text(value) and not all(t in words.HONORIFICS for t in tokens)


_FITS: dict[str, Callable[[str], bool]] = {
    "email": lambda v: _ADDRESS.search(v) is not None,
    "linkedin_url": lambda v: _PROFILE.search(v) is not None or re.match(r"/?(?:in|pub)/\S+$", v) is not None,
    "phone": _is_phone,
    "first_name": _is_text,
    "last_name": _is_text,
    "full_name": _is_text,
    "company": lambda v: "@" not in v and "://" not in v,
    "title": _is_title,
}


def _share(values: Sequence[str], fits: Callable[[str], bool]) -> float:
    return sum(1 for v in values if fits(v)) / len(values) if values else 0.0


def fits(name: str, cells: Sequence[str]) -> bool:
    """Whether most of a column's values can be what the field holds; no values contradict nothing."""
    return not cells or _share([c[:400] for c in cells], _FITS[name]) >= 0.5


def somebody_elses(header: str) -> bool:
    """Whether a header speaks of another person than the row's: a manager, a recruiter, an assistant."""
    return bool(_ELSE & set(_header(header[:200]).tokens))


# --- the whole row --------------------------------------------------------------------------------------


def map_columns(headers: list[str], sample_rows: list[list[str]]) -> Mapping:
    """Match `headers` to FIELDS, each column used once; `sample_rows` (a few dozen are enough) confirm.

    A column whose values contradict its header is left as extra; so is every e-mail column that isn't
    plainly the person's own.
    """
    parsed = [_header(h[:200] if isinstance(h, str) else "") for h in headers]
    values = [
        [cell for row in sample_rows if i < len(row) and (cell := (row[i] or "")[:400].strip())]
        for i in range(len(headers))
    ]
    scores: dict[str, dict[int, float]] = defaultdict(dict)
    sampled = any(values)

    def offer(name: str, column: int, score: float) -> None:
        cells = values[column]
        if cells and _share(cells, _FITS[name]) < 0.5:
            return
        scores[name][column] = max(score - (3 if sampled and not cells else 0), scores[name].get(column, -99))

    for i, header in enumerate(parsed):
        for name, score in _said(header):
            offer(name, i, score)
    _names(parsed, values, scores, offer)
    _by_value(parsed, values, scores, offer)
    return _choose(headers, scores)


def _said(header: _Header) -> list[tuple[str, float]]:
    if (email := _beside(header.tokens, _EMAIL, _EMAIL_BESIDE)) is not None:
        return [("email", email)]
    if (phone := _beside(header.tokens, _PHONE, _PHONE_BESIDE, _MOBILE)) is not None:
        return [("phone", phone)]
    if "linkedin" in header.tokens:
        rest = {t for t in header.tokens if t not in _NOISE} - {"linkedin"}
        if rest <= words.LINKEDIN_BESIDE:
            return [("linkedin_url", 10 - 0.5 * len(rest & {"id", "handle", "username", "2"}))]
    found = _phrase(header)
    if found is None or header.key in _AMBIGUOUS:
        return []
    return [found]


_Offer = Callable[[str, int, float], None]
_Scores = dict[str, dict[int, float]]


def _names(parsed: list[_Header], values: list[list[str]], scores: _Scores, offer: _Offer) -> None:
    """`Nom` beside `Prénom` is the last name, `Nombre` beside `Apellidos` the first, alone the whole."""
    for i, header in enumerate(parsed):
        part = _AMBIGUOUS.get(header.key)
        if part is None:
            continue
        if header.key == _fold("名字") and scores["last_name"]:  # given name in Chinese, surname in Japanese
            part = "first_name"
        other = "last_name" if part == "first_name" else "first_name"
        several = _share(values[i], lambda v: len(v.split()) > 1) > 0.5
        english = header.key == "name"
        if scores[other] and not scores[part] and not (english and several):
            offer(part, i, 8)
        else:
            offer("full_name", i, 9)


def _by_value(parsed: list[_Header], values: list[list[str]], scores: _Scores, offer: _Offer) -> None:
    taken = {column for columns in scores.values() for column in columns}
    keys = {header.key for header in parsed}
    for i, header in enumerate(parsed):
        if i in taken:
            continue
        cells, vague = values[i], _MEANINGLESS.fullmatch(header.key) is not None
        elsewhere = bool(_ELSE & set(header.tokens))
        if not elsewhere and cells and _share(cells, _FITS["linkedin_url"]) > 0.5:
            offer("linkedin_url", i, 6)
        elif header.key == "url" and not cells and "connected on" in keys:
            offer("linkedin_url", i, 4)
        elif not cells:
            continue
        elif (
            (vague or set(header.tokens) <= {*_NOISE, "info", "details"})
            and not scores["email"]
            and _share(cells, _FITS["email"]) > 0.8
        ):
            offer("email", i, 3)
        elif vague:
            for name, fits in _SHAPES.items():
                if not scores[name] and _share(cells, fits) > 0.5:
                    offer(name, i, 2)
                    break


_SHAPES: dict[str, Callable[[str], bool]] = {
    "phone": _is_phone,
    "company": lambda v: _LEGAL.search(v) is not None,
    "title": lambda v: _JOB.search(v) is not None,
    "full_name": lambda v: _PERSON.fullmatch(v) is not None and v == v.strip() and v[:1].isupper(),
}


def _choose(headers: list[str], scores: _Scores) -> Mapping:
    columns: dict[str, int | None] = dict.fromkeys(FIELDS)
    used: set[int] = set()
    ranked = sorted(
        ((score, -i, name) for name, found in scores.items() for i, score in found.items()), reverse=True
    )
    for _, negative, name in ranked:
        if columns[name] is None and -negative not in used:
            columns[name] = -negative
            used.add(-negative)
    return Mapping(
        fields={name: None if i is None else headers[i] for name, i in columns.items()},
        extra=[h for i, h in enumerate(headers) if i not in used],
        columns=columns,
        more_emails=tuple(i for i in sorted(scores["email"]) if i not in used),
    )
