"""Files of people that aren't text: Excel, Parquet, JSON Lines."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain import sheet
from outreach_sdk.errors import ImportRefused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["READERS"]

_LOOK_AT = 50
"""Rows of a sheet in which its header is looked for."""


def _excel(data: bytes) -> pl.DataFrame:
    """The first sheet that holds anything, every cell as text, without the lines above its header."""
    import polars as pl

    try:
        sheets = pl.read_excel(
            io.BytesIO(data), sheet_id=0, has_header=False, infer_schema_length=0, raise_if_empty=False
        )
    except Exception as exc:  # what the reader raises is no part of its interface
        raise ImportRefused("file", "the workbook", f"It can't be read ({type(exc).__name__}).") from exc
    for table in sheets.values():
        rows = [[(v or "").strip() for v in row] for row in table.head(_LOOK_AT).rows()]
        if any(any(row) for row in rows):
            break
    else:
        raise ImportRefused("file", "the workbook", "It holds no rows.")
    at = sheet.header_row(rows)
    names = [name or f"column {n}" for n, name in enumerate(rows[at], 1)]
    unique = [name if name not in names[:n] else f"{name} ({n + 1})" for n, name in enumerate(names)]
    body = table[at + 1 :]
    # A day is a day: Excel knows none without a time.
    body = body.with_columns(pl.all().cast(pl.String).str.strip_suffix(" 00:00:00"))
    body.columns = unique
    return body.filter(~pl.all_horizontal(pl.all().fill_null("").str.strip_chars() == ""))


def _parquet(data: bytes) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise ImportRefused(
            "file", "the Parquet file", f"It can't be read: {str(exc).splitlines()[0]}"
        ) from exc


def _json_lines(data: bytes) -> list[dict[str, Any]]:
    """An object a line; a file that is one list of objects will do too."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ImportRefused("file", "the JSON file", "It isn't UTF-8, which JSON has to be.") from exc
    if text.lstrip().startswith("["):
        found = _parsed(text, "the list")
        lines = found if isinstance(found, list) else []
    else:
        lines = [_parsed(line, f"line {n}") for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    for n, line in enumerate(lines, 1):
        if not isinstance(line, dict):
            raise ImportRefused("file", f"entry {n}", 'Each has to be an object like {"Email": …}.')
    return [{k: _flat(v) for k, v in line.items()} for line in lines]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ImportRefused("file", where, f"It isn't JSON: {exc}.") from exc


def _flat(value: Any) -> Any:
    """A list of texts as one; what is nested deeper as JSON."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


READERS: dict[str, Callable[[bytes], Any]] = {
    ".xlsx": _excel,
    ".xls": _excel,
    ".xlsm": _excel,
    ".ods": _excel,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_lines,
}
