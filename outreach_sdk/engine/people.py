"""Lists of people in whatever form they come, as rows ready to be staged. Every row keeps its number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outreach_sdk.domain import columns, sheet
from outreach_sdk.domain.contact import (
    clean_name,
    email_kind,
    normalise_email,
    normalise_linkedin,
    normalise_phone,
    split_full_name,
)
from outreach_sdk.domain.sequence import zone
from outreach_sdk.domain.template import normalise_field
from outreach_sdk.errors import ImportRefused, InvalidInput, UnknownTimezone

__all__ = ["STAGED", "Table", "open_table", "stage"]

STAGED = (
    "import_id", "row", "first_name", "last_name", "company", "title", "email", "email_kind", "linkedin",
    "phone", "timezone", "fields", "outcome", "reason",
)  # fmt: skip
"""Columns that `stage` fills, in order."""

MAX_BYTES = 2 * 1024**3


@dataclass(slots=True)
class Table:
    """Headers, the field each column feeds, and the rows after them (numbered from 1)."""

    headers: list[str]
    mapping: dict[str, str | None]
    extra: list[str]
    rows: Iterable[Seq[Any]]
    encoding: str | None = None
    delimiter: str | None = None
    skipped_lines: int = 0
    total: int | None = None


def open_table(people: Any, *, mapping: Mapping[str, str | None] | None = None) -> Table:
    """Read a path (.csv, .tsv, .txt), a polars or pandas frame, or dicts. ImportRefused where it can't be
    a list of people, saying why."""
    if isinstance(people, (str, Path)):
        return _from_file(Path(people), mapping)
    if hasattr(people, "to_dict") and hasattr(people, "iloc"):  # pandas
        headers = [str(c) for c in people.columns]
        rows = [[None if v != v else v for v in row] for row in people.itertuples(index=False)]
        return _mapped(headers, rows, mapping, total=len(rows))
    if hasattr(people, "iter_rows"):  # polars
        return _mapped([str(c) for c in people.columns], people.rows(), mapping, total=people.height)
    if isinstance(people, Mapping):
        people = [people]
    dicts = list(people)
    if not all(isinstance(d, Mapping) for d in dicts):
        raise ImportRefused(
            "people", type(people).__name__, "Give a file path, a polars or pandas frame, or a list of dicts."
        )
    headers = list(dict.fromkeys(str(k) for d in dicts for k in d))
    return _mapped(headers, [[d.get(h) for h in headers] for d in dicts], mapping, total=len(dicts))


def _from_file(path: Path, mapping: Mapping[str, str | None] | None) -> Table:
    if not path.is_file():
        raise ImportRefused("path", str(path), "There is no such file.")
    size = path.stat().st_size
    if size == 0:
        raise ImportRefused("path", str(path), "The file is empty.")
    if size > MAX_BYTES:
        raise ImportRefused("path", f"{path} ({size / 1024**3:.1f} GiB)", "Split it: 2 GiB at most at once.")
    with path.open("rb") as handle:
        head = handle.read(256 * 1024)
    fmt = sheet.sniff(head, total=size)

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as handle:
            while chunk := handle.read(1024 * 1024):
                yield chunk

    lines = iter(sheet.decode_table(chunks(), fmt))
    headers = [str(h) for h in next(lines, [])]
    table = _mapped(headers, lines, mapping)
    table.encoding, table.delimiter, table.skipped_lines = fmt.encoding, fmt.delimiter, fmt.skipped_lines
    return table


def _mapped(
    headers: list[str],
    rows: Iterable[Seq[Any]],
    mapping: Mapping[str, str | None] | None,
    *,
    total: int | None = None,
) -> Table:
    iterator = iter(rows)
    sample = [row for _, row in zip(range(50), iterator, strict=False)]

    def everything() -> Iterator[Seq[Any]]:
        yield from sample
        yield from iterator

    found = columns.map_columns(headers, [["" if v is None else str(v) for v in row] for row in sample])
    fields: dict[str, str | None] = dict(found.fields)
    for field, column in (mapping or {}).items():
        if field not in fields:
            raise ImportRefused("mapping", field, f"Use one of {', '.join(fields)}.")
        if column is not None and column not in headers:
            raise ImportRefused("mapping", column, f"The file's columns are {', '.join(headers)}.")
        fields = {k: (None if v == column and k != field else v) for k, v in fields.items()}
        fields[field] = column
    if not fields.get("email") and not fields.get("linkedin_url"):
        raise ImportRefused(
            "columns",
            headers,
            'No column holds e-mail addresses or LinkedIn URLs. Name it: mapping={"email": "<column>"}.',
        )
    used = {c for c in fields.values() if c}
    return Table(headers, fields, [h for h in headers if h not in used], everything(), total=total)


def stage(table: Table, import_id: int, *, after: int = 0) -> Iterator[tuple[Any, ...]]:
    """One tuple of STAGED for every row numbered above `after`; a row that can't be used bears its outcome
    and reason instead of being dropped."""
    at = {f: table.headers.index(c) for f, c in table.mapping.items() if c}
    extra = [(normalise_field(h), table.headers.index(h)) for h in table.extra if h.strip()]
    for number, row in enumerate(table.rows, 1):
        if number > after:
            yield _staged(row, number, import_id, at, extra)


def _staged(
    row: Seq[Any], number: int, import_id: int, at: dict[str, int], extra: list[tuple[str, int]]
) -> tuple[Any, ...]:
    width = len(row)

    def cell(field: str) -> str:
        index = at.get(field)
        if index is None or index >= width:
            return ""
        value = row[index]
        return value.strip() if isinstance(value, str) else "" if value is None else str(value).strip()

    first, last = cell("first_name"), cell("last_name")
    if not first and not last:
        full = cell("full_name")
        first, last = split_full_name(full) if full else ("", "")
    reasons: list[str] = []
    email, linkedin, phone = None, None, None
    raw_email, raw_linkedin, raw_phone = cell("email"), cell("linkedin_url"), cell("phone")
    if raw_email:
        try:
            email = normalise_email(raw_email)
        except InvalidInput as exc:
            reasons.append(f"bad_email: {exc}")
    if raw_linkedin:
        try:
            linkedin = normalise_linkedin(raw_linkedin)
        except InvalidInput as exc:
            reasons.append(f"bad_linkedin_url: {exc}")
    if raw_phone:
        try:
            phone = normalise_phone(raw_phone)
        except InvalidInput:
            phone = None
    fields = {
        n: str(row[i]).strip() for n, i in extra if i < width and row[i] is not None and str(row[i]).strip()
    }
    timezone = fields.get("timezone") or fields.get("time_zone")
    if timezone:
        try:
            zone(timezone)
        except UnknownTimezone:
            timezone = None
    outcome = None
    if email is None and (linkedin is None or raw_email):
        outcome = "rejected"
        if not any(str(v).strip() for v in row if v is not None):
            reasons = ["empty_row"]
        elif not reasons:
            reasons = ["no_email_and_no_linkedin_url"]
    return (
        import_id, number, clean_name(first) if first else "", clean_name(last) if last else "",
        cell("company"), cell("title"), email, email_kind(email) if email else "other", linkedin, phone,
        timezone, json.dumps(fields, ensure_ascii=False, sort_keys=True) if fields else "{}", outcome,
        "; ".join(reasons) or None,
    )  # fmt: skip
