"""E-mail addresses, LinkedIn profiles, phone numbers and names in their one comparable form."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from typing import Literal

from outreach_sdk.domain.freemail import ROLE_LOCALS, is_free
from outreach_sdk.errors import InvalidInput

__all__ = [
    "canonical",
    "clean_name",
    "email_kind",
    "normalise_email",
    "normalise_linkedin",
    "normalise_phone",
    "plain_email",
    "split_emails",
    "split_full_name",
]

EmailKind = Literal["work", "personal", "other"]

_MAX_CELL = 1000  # what is longer is no contact detail, and would only cost time

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd]"
)

_CONTROL_INSIDE = re.compile(r"[\w@.<>+-][\x00-\x08\x0e-\x1f\x7f-\x9f]+[\w@.<>+-]")


def _tidy(value: str) -> str:
    """Compatible characters made plain (full-width @, no-break space), invisible ones taken out."""
    # Twice: taking a character out can bring two together that compose.
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", value))
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).split())


# --- e-mail ---------------------------------------------------------------------------------------------

_LOCAL = r"[a-z0-9_](?:[a-z0-9!#$%&'*+/=?^_`{|}~-]|\.(?=[^.@]))*"
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
_PLAIN = re.compile(rf"\s*({_LOCAL}@{_DOMAIN})\s*", re.I | re.ASCII)
_BRACKETED = re.compile(r"<\s*(?:mailto:)?([^<>\s]+@[^<>\s]+?)\s*>", re.I)
_CANDIDATE = re.compile(r"(?:\"[^\"@]+\"|[^\s<>()\[\],;:\"|]+)@[^\s<>()\[\],;:\"|@]+")
_AT = re.compile(r"\s*[\[({]\s*at\s*[\])}]\s*", re.I)
_DOT = re.compile(r"\s*[\[({]\s*dot\s*[\])}]\s*", re.I)
_PIECES = re.compile(r"[;|]|\s/\s|,(?=\s*[^\s,@]+@)")
_LABELS = re.compile(r"\b(?:e-?mail|mail|address|work|home|private|hyperlink|and|or)\b", re.I)
_EDGE = " \t'\"`’‘“”.,;:!?*)(]["
_EMAIL_REMEDY = "Give one e-mail address like ana@example.com."


def normalise_email(value: str) -> str:
    """The address in `value` as it is compared: lower case, ASCII domain, without display name, `mailto:`,
    brackets or stray punctuation. Raises InvalidInput for none, for several, or for one that can't be."""
    match = _PLAIN.fullmatch(value) if isinstance(value, str) and len(value) <= 400 else None
    if match is not None:
        found = match.group(1).lower()
        if len(found) <= 254 and found.index("@") <= 64 and "xn--" not in found:
            return found
    return _odd_email(value)


def _odd_email(value: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_CELL:
        raise InvalidInput("e-mail", value, _EMAIL_REMEDY)
    if _CONTROL_INSIDE.search(value):  # a damaged cell: without it, it may be somebody else's address
        raise InvalidInput("e-mail", value, f"Take out the control character. {_EMAIL_REMEDY}")
    found = _candidates(value)
    if not found:
        raise InvalidInput("e-mail", value, _EMAIL_REMEDY)
    addresses = {_checked(one, value) for one in found}
    if len(addresses) > 1:
        raise InvalidInput("e-mail", value, "It holds several addresses: keep one.")
    return addresses.pop()


def _candidates(value: str, *, lenient: bool = False) -> list[str]:
    """The address-like parts of a cell; none when one of its pieces can't be understood, unless `lenient`."""
    text = urllib.parse.unquote(value) if "%" in value and "mailto:" in value.lower() else value
    text = _DOT.sub(".", _AT.sub("@", _tidy(text)))
    text = re.sub(r"\bmailto:(?://)?", " ", text, flags=re.I)
    text = re.sub(r"(@[^\s?]+)\?\S*", r"\1", text)  # mailto:ana@example.com?subject=…
    found: list[str] = []
    for piece in _PIECES.split(text):
        bracketed = _BRACKETED.findall(piece)
        plain = _CANDIDATE.findall(piece)
        # Other words beside the address: `ana silva@example.com` is a slip, not silva@example.com.
        beside = "" if bracketed else re.sub(r"\([^()@]*\)", " ", _CANDIDATE.sub(" ", piece))
        if re.search(r"\w", _LABELS.sub(" ", beside)):
            if not lenient:
                return []
            continue
        found += bracketed or plain
    return found


def _checked(candidate: str, value: str) -> str:
    import email_validator  # here: with its tables it is large, and whoever only sends never needs it

    text = candidate.lstrip(_EDGE) if not candidate.startswith('"') else candidate
    local, _, domain = text.rpartition("@")
    domain = domain.strip(_EDGE + "/>-").lower()
    try:
        if not domain.isascii() or "xn--" in domain:
            domain = email_validator.validate_email(
                f"a@{domain}", check_deliverability=False, test_environment=True
            ).ascii_domain
            if not isinstance(domain, str):
                raise InvalidInput("e-mail", value, _EMAIL_REMEDY)
        address = f"{local}@{domain.lower()}"
        if _PLAIN.fullmatch(address) and len(address) <= 254 and len(local) <= 64:
            return address.lower()
        checked = email_validator.validate_email(
            address, check_deliverability=False, test_environment=True, allow_quoted_local=False
        )
    except (email_validator.EmailNotValidError, UnicodeError) as exc:
        raise InvalidInput("e-mail", value, f"{_EMAIL_REMEDY} {str(exc).rstrip('.')}.") from exc
    if len(checked.local_part) > 64:
        raise InvalidInput("e-mail", value, "The part before the @ is too long.")
    return f"{checked.local_part.lower()}@{checked.ascii_domain or checked.domain}"


def plain_email(address: str) -> str:
    """An address that a message bears, as it is stored and compared; in lower case where it can't be normalised."""
    local, _, domain = address.strip().rpartition("@")
    quoted = _QUOTED_LOCAL.fullmatch(local)  # RFC 5321: the quotes are no part of it
    text = f"{local if quoted is None else quoted.group(1)}@{domain}"
    try:
        return normalise_email(text)
    except InvalidInput:
        return address.strip().lower()


_QUOTED_LOCAL = re.compile(r'"([\w!#$%&\'*+/=?^`{|}~-]+(?:\.[\w!#$%&\'*+/=?^`{|}~-]+)*)"')


def canonical(address: str) -> str:
    """The form that all spellings of a mailbox share, of an address in lower case: without what follows a plus
    (`bo+jobs@x.example` reaches whoever has `bo@x.example`), and at Google, which knows two names of its domain and
    no dots, `boli@gmail.com`. To compare with; nothing is sent there."""
    local, _, domain = address.rpartition("@")
    local = local.partition("+")[0] or local
    if domain not in _GOOGLE:
        return f"{local}@{domain}"
    return f"{local.replace('.', '') or local}@{_GOOGLE[0]}"


_GOOGLE = ("gmail.com", "googlemail.com")
"""https://support.google.com/mail/answer/7436150: dots don't matter there."""


def split_emails(value: str) -> tuple[str, ...]:
    """Every valid address in a cell such as `ana@example.com; ana@home.example`, in order, each once."""
    found: dict[str, None] = {}
    for one in _candidates(value[:_MAX_CELL], lenient=True):
        try:
            found[_checked(one, value)] = None
        except InvalidInput:
            continue
    return tuple(found)


def email_kind(address: str, company_domain: str | None = None) -> EmailKind:
    """`personal` at a free-mail provider, `other` for role and student addresses, else `work`.

    With `company_domain`, an address elsewhere than at that company (or below it) is `other`.
    """
    local, _, domain = address.strip().lower().rpartition("@")
    labels = domain.split(".")
    if local.partition("+")[0] in ROLE_LOCALS:
        return "other"
    if is_free(domain):
        return "personal"
    if any(label in ("alumni", "alum", "student", "students", "stud") for label in labels[:-1]):
        return "other"
    if company_domain:
        company = company_domain.strip().lower().rpartition("@")[2]
        company = re.sub(r"^(?:https?://)?(?:www\.)?", "", company).split("/")[0]
        return "work" if domain == company or domain.endswith("." + company) else "other"
    return "work"


# --- LinkedIn -------------------------------------------------------------------------------------------

_LINKEDIN_FAST = re.compile(
    r"\s*(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/in/([a-z0-9-]{2,100})/?\s*", re.I | re.ASCII
)
_LINKEDIN = re.compile(r"(?<![\w.-])(?:[\w-]+\.)*linkedin\.(?:com|cn)(?::\d+)?/+([^\s<>\"?#&]*)", re.I)
_BARE_PATH = re.compile(r"/?((?:in|pub)/[^\s<>\"]+)", re.I)
_LINKEDIN_REMEDY = "Give a public profile address like linkedin.com/in/ana-silva."
_NO_SLUG = {
    "sales": "A Sales Navigator link names no public profile.",
    "talent": "A Recruiter link names no public profile.",
    "recruiter": "A Recruiter link names no public profile.",
    "cap": "A Recruiter link names no public profile.",
    "profile": "An old profile/view link names no public profile.",
    "company": "That is a company's page.",
    "school": "That is a school's page.",
}


def normalise_linkedin(url: str) -> str:
    """`linkedin.com/in/<slug>` for any of the forms a public profile link takes; raises InvalidInput
    for links without a public slug (Sales Navigator, Recruiter, companies, lnkd.in)."""
    fast = _LINKEDIN_FAST.fullmatch(url) if isinstance(url, str) and len(url) <= 400 else None
    if fast is not None:
        return "linkedin.com/in/" + _slug(fast.group(1), url)
    if not isinstance(url, str) or len(url) > _MAX_CELL:
        raise InvalidInput("LinkedIn URL", url, _LINKEDIN_REMEDY)
    text = url
    for _ in range(3):  # a link may have been escaped again on its way through another one
        text = urllib.parse.unquote(text)
    text = _tidy(text)
    paths: list[str] = _LINKEDIN.findall(text)
    if not paths and (bare := _BARE_PATH.fullmatch(text)) is not None:
        paths = [bare.group(1)]
    why = ""
    for path in paths:
        parts = [part for part in re.split(r"[?#&]", path)[0].split("/") if part]
        while parts and parts[0].lower() in ("mwlite", "comm", "m"):
            parts = parts[1:]
        kind = parts[0].lower() if parts else ""
        if kind == "in" and len(parts) > 1:
            return "linkedin.com/in/" + _slug(parts[1], url)
        if kind == "pub" and len(parts) > 1 and parts[1].lower() != "dir":
            return "linkedin.com/in/" + _slug(_from_pub(parts[1:]), url)
        why = why or _NO_SLUG.get(kind, "")
    raise InvalidInput("LinkedIn URL", url, f"{why} {_LINKEDIN_REMEDY}".strip())


def _from_pub(parts: list[str]) -> str:
    # /pub/ana-silva/1a/2b3/c4 became /in/ana-silva-0c42b31a: the groups backwards, all but the first
    # filled up to three digits.
    if len(parts) >= 4 and all(re.fullmatch(r"[0-9a-z]{1,3}", p, re.I) for p in parts[1:4]):
        return f"{parts[0]}-{parts[3]:0>3}{parts[2]:0>3}{parts[1]}"
    return parts[0]


def _slug(value: str, url: str) -> str:
    # Punctuation left and right of a slug belong to the sentence around it.
    text = re.sub(r"^[^\w-]+|[^\w-]+$", "", _tidy(value))
    if text[:4] == "ACoA" or text[:4] == "ACwA":
        return text  # a member id standing in for the slug; its case matters
    text = _tidy(text.lower())
    if not re.fullmatch(r"[\w.·'’~-]{2,200}", text) or not re.search(r"\w", text) or "/" in text:
        raise InvalidInput("LinkedIn URL", url, _LINKEDIN_REMEDY)
    return text


# --- phone ----------------------------------------------------------------------------------------------


def normalise_phone(value: str, region: str | None = None) -> str:
    """E.164 without extension. `region` (ISO 3166, `DE`) is needed for numbers without a country code."""
    import phonenumbers  # here, as email_validator above

    text = _tidy(value[:250]) if isinstance(value, str) else ""
    text = re.sub(r"^(?:=\s*\"|'|\")|\"$|^(?:tel|phone|mobile|callto):\s*", "", text, flags=re.I).strip()
    text = re.sub(r"\.0+$", "", text)  # a spreadsheet took it for a number
    if re.fullmatch(r"[\d.,]+e\+?\d+", text, re.I):
        raise InvalidInput("phone", value, "The spreadsheet rounded it: format the column as text.")
    if text.startswith("00") and region not in ("US", "CA"):
        text = "+" + text[2:]
    try:
        number = phonenumbers.parse(text, region.upper() if region else None)
    except phonenumbers.NumberParseException as exc:
        remedy = "Give it with its country code, like +49 30 1234567."
        raise InvalidInput("phone", value, remedy) from exc
    if not phonenumbers.is_possible_number(number):
        raise InvalidInput("phone", value, "It has too few or too many digits.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# --- names ----------------------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PREFIXES = _set(
    "mr mrs ms miss mx dr doctor prof professor sir dame lord lady rev fr herr frau hr fru herrn monsieur "
    "madame mme mlle me maître sr sra srta don doña dott dottssa dottoressa sig sigra signor signora ing "
    "dipl mag med phil lic dra eng engr arq pan pani dhr mevr ir drs capt col gen lt sgt maj hon"
)
_SUFFIXES = _set(
    "jr sr ii iii iv phd dphil md mba msc bsc ma ba meng beng mphil llm llb jd esq cpa cfa acca pmp cissp "
    "phr sphr shrmcp shrmscp rn dds dmd dvm do pe cfp csm cspo pharmd edd ms bs mpa mph ceng frics"
)
_DEGREE_PREFIXES = re.compile(
    r"(?:dipl|dr|prof|mag|m|b)\.?-(?:ing|inf|kfm|kffr|psych|phys|math|biol|chem)\.?", re.I
)
_PARTICLES = _set(
    "van von der den de del della di da do dos das du la le los las ten ter zu zur zum af av al el bin ibn "
    "ben st saint y"
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


_PLAIN_NAME = re.compile(r"[A-Za-z0-9]+(?:[ '-][A-Za-z0-9]+)*", re.ASCII)


def clean_name(value: str) -> str:
    """A name without pictures, invisible characters, wrapping quotes and double spaces; its case is kept."""
    if len(value) <= 100 and _PLAIN_NAME.fullmatch(value):
        return value
    text = _tidy(
        "".join(
            c for c in _tidy(value[:500]) if unicodedata.category(c) not in ("So", "Sk", "Cs", "Co", "Cn")
        )
    )
    previous = None
    while previous != text:
        previous = text
        text = text.strip(' \t"“”„«»*|,;:~_').strip()
    return text


def _bare(token: str) -> str:
    return re.sub(r"[^\w]", "", token).lower()


def split_full_name(value: str) -> tuple[str, str]:
    """(first, last) of a whole name. Titles, degrees, pronouns and middle initials go; particles stay with
    the last name; `Last, First` is turned round. A single word is a first name; ('', '') for nothing."""
    text = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\|.*$", " ", clean_name(value))
    text = re.sub(r"\s+[-–—]\s+.*$", "", text)
    parts = [p for p in (part.strip() for part in text.split(",")) if p]
    parts = parts[:1] + [p for p in parts[1:] if not all(_bare(t) in _SUFFIXES | {""} for t in p.split())]
    if len(parts) > 1:
        last, first = _words(parts[0]), _words(parts[1])
        if first and last:
            particles: list[str] = []
            while len(first) > 1 and first[-1].lower() in _PARTICLES:  # "Beethoven, Ludwig van"
                particles.insert(0, first.pop())
            return " ".join(_no_initials(first)), " ".join([*particles, *last])
    words = _words(parts[0]) if parts else []
    if len(words) < 2:
        return (words[0] if words else "", "")
    if len(words) == 2 and all(_CJK.search(w) for w in words):
        return words[1], words[0]
    count = 1
    while count < len(words) - 1 and re.fullmatch(r"\w\.?", words[count - 1]) and _is_initial(words[count]):
        count += 1
    rest = words[count:]
    while len(rest) > 1 and _is_initial(rest[0]) and rest[0].lower() not in _PARTICLES:
        rest = rest[1:]
    return " ".join(words[:count]), " ".join(rest)


def _is_initial(word: str) -> bool:
    return re.fullmatch(r"[^\W\d_]\.?", word) is not None and not _CJK.search(word)


def _no_initials(words: list[str]) -> list[str]:
    return words[:1] + [w for w in words[1:] if not _is_initial(w)]


def _words(text: str) -> list[str]:
    words = text.split()
    while len(words) > 1 and (
        _DEGREE_PREFIXES.fullmatch(words[0]) or (_bare(words[0]) in _PREFIXES and not words[0].isupper())
    ):
        words = words[1:]
    while len(words) > 2 and _bare(words[-1]) in _SUFFIXES and (words[-1].isupper() or _cased(words[-1])):
        words = words[:-1]
    return words


def _cased(word: str) -> bool:
    """`PhD`, `Jr.`, `M.D.`, but not a surname that reads like a degree (`Ma`, `Do`)."""
    return "." in word or sum(c.isupper() for c in word) > 1 or word.lower() in ("jr", "sr", "esq")
