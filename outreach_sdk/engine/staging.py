"""Rows of a list of people made ready for the database, a column at a time.

Whatever is plainly right (nearly every cell of nearly every file) is recognised by a pattern in one pass over
the column; only the rest goes through the rules of `domain.contact`, each distinct value once. Both ways give
the same answer, which a property test holds them to.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import (
    clean_name,
    email_kind,
    normalise_email,
    normalise_linkedin,
    normalise_phone,
    split_emails,
    split_full_name,
)
from outreach_sdk.domain.freemail import ROLE_LOCALS
from outreach_sdk.domain.places import zone_of_phone, zone_of_place
from outreach_sdk.domain.sequence import zone
from outreach_sdk.domain.template import normalise_field
from outreach_sdk.errors import InvalidInput, UnknownTimezone

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CANDIDATE", "as_text", "merge_field_columns", "plain", "prepare"]

CANDIDATE = ("first_name", "last_name", "company", "title", "linkedin", "phone", "timezone", "fields")
"""Columns of a prepared frame that describe the candidate."""

_EXACT = 2**53
"""Whole numbers below this are what a float holds."""
_LOCAL = r"[A-Za-z0-9_][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]*(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
_PLAIN_EMAIL = rf"^{_LOCAL}@{_DOMAIN}$"
_PLAIN_NAME = r"^[A-Za-z0-9]+(?:[ '-][A-Za-z0-9]+)*$"
_PLAIN_PROFILE = (
    r"^(?:[Hh][Tt][Tt][Pp][Ss]?://)?(?:[A-Za-z]{2,3}\.)?linkedin\.com/in/([A-Za-z0-9-]{2,100})/?$"
)
_GARBLED = (
    "encoding: letters of this row are lost (\ufffd). Write them again, or save the file anew as UTF-8."
)
_UNSTORABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"  # PostgreSQL takes no NUL; nobody's company has the others


def prepare(
    table: pl.DataFrame, at: dict[str, int], extra: list[tuple[str, int]], *, first_row: int
) -> pl.DataFrame:
    """`table` (text columns "0", "1", … in the order of the headers; a missing cell is null) as a frame of
    row (numbered from `first_row`), email, email_kind, outcome ("rejected" or null), reason and CANDIDATE.
    `at` says which column feeds which field, `extra` which become merge fields. A row that can't be used
    bears its outcome and reason instead of being dropped."""
    import polars as pl

    # An export puts an apostrophe before what a spreadsheet would run.
    table = table.with_columns(pl.all().str.replace(r"^'([=+\-@\t\r])", "${1}"))

    def cell(field: str) -> pl.Series:
        index = at.get(field)
        if index is None:
            return _all("", table.height)
        return table[str(index)].fill_null("").str.strip_chars()

    first, last = _names(cell("first_name"), cell("last_name"), cell("full_name"))
    (raw_email, several), raw_profile = _first_of_several(cell("email")), cell("linkedin_url")
    email, bad_email = _emails(raw_email)
    linkedin, bad_profile = _profiles(raw_profile)
    undone = pl.repeat(False, table.height, eager=True)
    phone, bad_phone = _by_hand(cell("phone"), undone, normalise_phone, "bad_phone")
    table, bad_fields = _without_garbled(table, extra)
    fields, columns = _merge_fields(table, extra)
    timezone, bad_zone = _timezones(columns, phone)
    frame = pl.DataFrame(
        {
            "row": pl.int_range(first_row, first_row + table.height, dtype=pl.Int64, eager=True),
            "email": email,
            "email_kind": _kinds(email),
            "first_name": first,
            "last_name": last,
            "company": cell("company").str.replace_all(_UNSTORABLE, "").str.strip_chars(),
            "title": cell("title").str.replace_all(_UNSTORABLE, "").str.strip_chars(),
            "linkedin": linkedin,
            "phone": phone,
            "timezone": timezone,
            "fields": fields,
        }
    )
    useless = email.is_null() & (linkedin.is_null() | (raw_email != ""))
    outcome = _all(None, table.height)
    reason = _reasons(bad_email, several, bad_profile, bad_phone, bad_zone, bad_fields)
    if useless.any():
        empty = table.select(
            pl.all_horizontal(pl.all().is_null() | (pl.all().str.strip_chars() == ""))
        ).to_series()
        nothing = _all("no_email_and_no_linkedin_url", table.height)
        reason = reason.zip_with(~useless | reason.is_not_null(), nothing)
        reason = reason.zip_with(~(useless & empty), _all("empty_row", table.height))
        outcome = outcome.zip_with(~useless, _all("rejected", table.height))
    garbled = _garbled(table, list(at.values()))
    if garbled.any():
        whole = ~garbled
        reason = reason.zip_with(whole, _all(_GARBLED, table.height))
        outcome = outcome.zip_with(whole, _all("rejected", table.height))
    return frame.with_columns(outcome.alias("outcome"), reason.alias("reason"))


def _garbled(table: pl.DataFrame, columns: list[int]) -> pl.Series:
    """Which rows hold letters in these columns that no encoding gave back."""
    import polars as pl

    if not columns:
        return pl.repeat(False, table.height, eager=True)
    found = pl.any_horizontal(pl.col(*{str(c) for c in columns}).str.contains("\ufffd", literal=True))
    return table.select(found).to_series().fill_null(False)


def _without_garbled(table: pl.DataFrame, extra: list[tuple[str, int]]) -> tuple[pl.DataFrame, pl.Series]:
    """The table with what can't be read taken out of the merge fields, so that no e-mail shows it and one that needs it
    says that it is missing; and which fields that were."""

    told = _all(None, table.height)
    for name, index in extra:
        lost = _garbled(table, [index])
        if not lost.any():
            continue
        none = _all(None, table.height)
        table = table.with_columns(table[str(index)].zip_with(~lost, none).alias(str(index)))
        why = _all(f"encoding: letters of {name!r} are lost, so it was left out", table.height)
        told = _reasons(told, why.zip_with(lost, none))
    return table, told


def _all(value: str | None, count: int) -> pl.Series:
    import polars as pl

    return pl.repeat(value, count, dtype=pl.String, eager=True)


def _by_hand(
    values: pl.Series, done: pl.Series, rule: Callable[[str], str], label: str = ""
) -> tuple[pl.Series, pl.Series]:
    """Values not `done` put through `rule`, each distinct one once: (what it says, or null where it refuses or
    there is nothing; why it refused, after `label`). Where `done`, the value stays."""
    import polars as pl

    result = values.zip_with(values != "", _all(None, len(values)))
    why = _all(None, len(values))
    left = values.filter(~done & (values != "")).unique().to_list()
    if not left:
        return result, why
    answers: list[str | None] = []
    refusals: list[str | None] = []
    for value in left:
        try:
            answers.append(rule(value))
            refusals.append(None)
        except InvalidInput as exc:
            answers.append(None)
            refusals.append(f"{label}: {exc}")
    by_hand = values.replace_strict(left, answers, default=None, return_dtype=pl.String)
    why = values.replace_strict(left, refusals, default=None, return_dtype=pl.String)
    return result.zip_with(done, by_hand), why.zip_with(~done, _all(None, len(values)))


def _emails(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    plain = (
        raw.str.contains(_PLAIN_EMAIL)
        & (raw.str.len_chars() <= 254)
        & ~raw.str.contains("(?i-u:xn--)")
        & ~raw.str.contains("^[^@]{65}")
    )
    return _by_hand(raw.zip_with(~plain, raw.str.to_lowercase()), plain, normalise_email, "bad_email")


def _first_of_several(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Cells with several addresses have the first, as the lists of applicant tracking systems mean it; and which have."""
    import polars as pl

    crowded = raw.filter(raw.str.count_matches("@", literal=True) > 1).unique().to_list()
    known = {cell: found for cell in crowded if len(found := split_emails(cell)) > 1}
    told = {cell: f"of {len(found)} addresses the first was taken" for cell, found in known.items()}
    if not known:
        return raw, _all(None, len(raw))
    first = raw.replace({cell: found[0] for cell, found in known.items()})
    return first, raw.replace_strict(told, default=None, return_dtype=pl.String)


def _kinds(email: pl.Series) -> pl.Series:
    import polars as pl

    domain = email.str.extract("@(.*)$")
    known = domain.drop_nulls().unique().to_list()
    kinds = [email_kind(f"someone@{d}") for d in known]
    by_domain = (
        domain.replace_strict(known, kinds, default="other", return_dtype=pl.String).fill_null("other")
        if known
        else _all("other", len(email))
    )
    role = email.str.extract(r"^([^@+]*)").is_in(list(ROLE_LOCALS)).fill_null(True)
    return by_domain.zip_with(~role, _all("other", len(email)))


def _profiles(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    slug = raw.str.extract(_PLAIN_PROFILE)
    # A slug that stands for a member id keeps its case; one with a hyphen at its edge is tidied by the rules.
    plain = slug.is_not_null() & ~slug.str.contains("^A[Cc][oOwW]A|^-|-$").fill_null(True)
    short = "linkedin.com/in/" + slug.str.to_lowercase()
    return _by_hand(raw.zip_with(~plain, short.fill_null("")), plain, normalise_linkedin, "bad_linkedin_url")


def _names(first: pl.Series, last: pl.Series, full: pl.Series) -> tuple[pl.Series, pl.Series]:
    import polars as pl

    whole = (first == "") & (last == "") & (full != "")
    if whole.any():
        values = full.filter(whole).unique().to_list()
        halves = [split_full_name(v) for v in values]
        text = pl.String
        first = first.zip_with(
            ~whole, full.replace_strict(values, [h[0] for h in halves], default="", return_dtype=text)
        )
        last = last.zip_with(
            ~whole, full.replace_strict(values, [h[1] for h in halves], default="", return_dtype=text)
        )
    return _clean(first), _clean(last)


def _clean(names: pl.Series) -> pl.Series:
    plain = names.str.contains(_PLAIN_NAME) & (names.str.len_chars() <= 100)
    return _by_hand(names, plain, clean_name)[0].fill_null("")


def _merge_fields(
    table: pl.DataFrame, extra: list[tuple[str, int]]
) -> tuple[pl.Series, dict[str, pl.Series]]:
    """The JSON object of the merge fields, and each of them."""
    import polars as pl

    none = _all(None, table.height)
    if not extra:
        return _all("{}", table.height), {}
    columns: dict[str, pl.Series] = {}
    for name, index in extra:
        value = table[str(index)].str.replace_all(_UNSTORABLE, "").str.strip_chars()
        # Two columns of one name: the right one counts where it says anything.
        earlier = columns.get(name)
        value = value.zip_with(value.fill_null("") != "", none if earlier is None else earlier)
        columns[name] = value
    members = []
    for name in sorted(columns):
        value = columns[name]
        escaped = value.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        # Only tab and the line ends are left of the characters JSON wants escaped.
        for character, shown in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            escaped = escaped.str.replace_all(character, shown, literal=True)
        members.append((json.dumps(name, ensure_ascii=False) + ': "' + escaped + '"').alias(name))
    inside = pl.select(pl.concat_str(members, separator=", ", ignore_nulls=True)).to_series()
    return "{" + inside + "}", columns


def _timezones(columns: dict[str, pl.Series], phone: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The time zone of each: the one given, else the one of the place, else the one of the phone number; and what
    is wrong with the one given."""
    zones, why = _all(None, len(phone)), _all(None, len(phone))
    for name in ("timezone", "time_zone"):
        if name in columns:
            given = columns[name].fill_null("")
            _, wrong = _by_hand(given, zones.is_not_null(), _zone, "bad_timezone")
            zones = _filled(zones, columns[name], _known_zone)
            why = why.zip_with(why.is_not_null(), wrong)
    why = why.zip_with(zones.is_null(), _all(None, len(phone)))
    if "location" in columns:
        zones = _filled(zones, columns["location"], zone_of_place)
    places = [columns[n] for n in ("city", "region", "state", "country") if n in columns]
    if places:
        import polars as pl

        together = pl.select(pl.concat_str(places, separator=", ", ignore_nulls=True)).to_series()
        zones = _filled(zones, together, zone_of_place)
    return _filled(zones, phone, zone_of_phone), why


def _filled(known: pl.Series, values: pl.Series, rule: Callable[[str], str | None]) -> pl.Series:
    """`known`, and where it says nothing what `rule` makes of `values`, each distinct one once."""
    import polars as pl

    wanted = values.filter(known.is_null() & values.is_not_null()).unique().to_list()
    found = {v: zone_name for v in wanted if (zone_name := rule(v)) is not None}
    if not found:
        return known
    answers = values.replace_strict(list(found), list(found.values()), default=None, return_dtype=pl.String)
    return known.zip_with(known.is_not_null(), answers)


def _zone(name: str) -> str:
    zone(name)
    return name


def _known_zone(name: str) -> str | None:
    try:
        return _zone(name)
    except UnknownTimezone:
        return None


def _reasons(*whys: pl.Series) -> pl.Series:
    import polars as pl

    joined = pl.select(pl.concat_str(list(whys), separator="; ", ignore_nulls=True)).to_series()
    return joined.zip_with(joined != "", _all(None, len(joined)))


def merge_field_columns(headers: list[str], extra: list[str]) -> list[tuple[str, int]]:
    """(merge field, column) of the columns that are nobody's field."""
    named = [(normalise_field(h), headers.index(h)) for h in extra]
    return [(name, index) for name, index in named if name]


def plain(value: Any) -> Any:
    """A cell as it was meant: None for all that says nothing (not a number, pandas' NA and NaT), a whole number where a
    column of fractions holds one, bytes as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        number = float(value)
        if math.isnan(number):
            return None
        return int(number) if number.is_integer() and abs(number) < _EXACT else value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")  # what is lost in it is found as in a file
    try:
        nothing = bool(value != value)
    except (TypeError, ValueError):  # NA says neither yes nor no, an array several times
        nothing = type(value).__name__ == "NAType"
    return None if nothing else value


def as_text(value: Any) -> str | None:
    """A cell as text; null for nothing."""
    found = plain(value)
    return None if found is None else str(found)
