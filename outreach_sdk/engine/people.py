"""Lists of people in whatever form they come, as frames of text. Every row keeps its number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain import columns, sheet
from outreach_sdk.engine import files
from outreach_sdk.engine.confined import check_path
from outreach_sdk.engine.headers import Mapper
from outreach_sdk.engine.staging import as_text, merge_field_columns, plain, prepare
from outreach_sdk.errors import ImportRefused

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "CHUNK",
    "Table",
    "check_file",
    "file_parts",
    "framed",
    "open_parts",
    "open_table",
    "open_text",
    "plain_rows",
    "records",
]

CHUNK = 25_000
"""Rows a transaction."""
PART = 1024 * 1024
MAX_BYTES = 2 * 1024**3
_SAMPLE = 50


@dataclass(slots=True)
class Table:
    """Headers, the field each column feeds, and the rows after them (numbered from 1) as frames of at most
    CHUNK rows with text columns "0", "1", … in the order of the headers. To be read once."""

    headers: list[str]
    mapping: dict[str, str | None]
    extra: list[str]
    frames: Iterator[pl.DataFrame]
    encoding: str | None = None
    delimiter: str | None = None
    skipped_lines: int = 0
    total: int | None = None
    notice: str | None = None

    def prepared(self, *, after: int = 0) -> Iterator[pl.DataFrame]:
        """The rows numbered above `after` as `staging.prepare` makes them."""
        at = {f: self.headers.index(c) for f, c in self.mapping.items() if c}
        extra = merge_field_columns(self.headers, self.extra)
        number = 1
        for frame in self.frames:
            done = max(0, min(after - number + 1, frame.height))
            if done < frame.height:
                yield prepare(frame[done:], at, extra, first_row=number + done)
            number += frame.height


def open_table(
    people: Any,
    *,
    mapping: Mapping[str, str | None] | None = None,
    mapper: Mapper | None = None,
    anybody: bool = True,
) -> Table:
    """Read a path (CSV and the like, .xlsx, .xls, .ods, .parquet, .jsonl, .json), a polars or pandas frame, or
    dicts. `mapper` looks at what the rules make of the headers; without `anybody` a table that nobody could be found by
    is shown all the same. ImportRefused where it can't be a list of people, saying why."""
    how = _How(mapping, mapper, anybody)
    people = framed(people)
    if isinstance(people, (str, Path)):
        path = Path(people)
        return _open_parts(lambda: file_parts(path), check_file(path), path.name, how)
    if hasattr(people, "iter_rows"):  # polars
        headers = [str(c) for c in people.columns]
        sample = people.head(_SAMPLE).rows()
        return _mapped(headers, sample, _polars_frames(people), how, total=people.height)
    if _of_pandas(people):
        headers = [str(c) for c in people.columns]
        return _of_rows(headers, people.itertuples(index=False, name=None), how, total=len(people))
    if isinstance(people, Mapping):
        people = [people]
    dicts = list(people) if isinstance(people, Iterable) else [people]
    if not all(isinstance(d, Mapping) for d in dicts):
        raise ImportRefused(
            "people", type(people).__name__, "Give a file path, a polars or pandas frame, or a list of dicts."
        )
    headers = list(dict.fromkeys(str(k) for d in dicts for k in d))
    rows = ([d.get(h) for h in headers] for d in dicts)
    return _of_rows(headers, rows, how, total=len(dicts))


def framed(people: Any) -> Any:
    """A column of a frame (polars or pandas) that has a name, as a frame of its own; anything else as it is."""
    column = hasattr(people, "to_frame") and not hasattr(people, "columns")
    return people.to_frame() if column and isinstance(people.name, str) and people.name else people


def records(people: Any) -> list[dict[str, Any]] | None:
    """The rows of a polars or pandas frame as dicts of plain values; None where it is no frame."""
    if hasattr(people, "iter_rows"):
        rows = people.iter_rows(named=True)
    elif _of_pandas(people):
        rows = people.to_dict("records")
    else:
        return None
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def _of_pandas(people: Any) -> bool:
    return hasattr(people, "to_dict") and hasattr(people, "iloc") and hasattr(people, "columns")


def plain_rows(path: Path) -> list[dict[str, str]]:
    """A small text file as dicts by its own headers, whatever they are. ImportRefused where it can't be read."""
    size = check_file(path)
    fmt = sheet.survey(lambda: file_parts(path), size)
    lines = iter(sheet.decode_table(file_parts(path), fmt))
    headers = next(lines, [])
    return [dict(zip(headers, line, strict=False)) for line in lines]


def check_file(path: Path) -> int:
    """The file's size in bytes; ImportRefused where it isn't there, is empty or too large."""
    if not check_path(path).is_file():
        raise ImportRefused("path", str(path), "There is no such file.")
    size = path.stat().st_size
    if size == 0:
        raise ImportRefused("path", str(path), "The file is empty.")
    if size > MAX_BYTES:
        raise ImportRefused("path", f"{path} ({size / 1024**3:.1f} GiB)", "Split it: 2 GiB at most at once.")
    return size


def file_parts(path: Path) -> Iterator[bytes]:
    """The file, PART bytes at a time."""
    with check_path(path).open("rb") as handle:
        while part := handle.read(PART):
            yield part


def open_parts(
    parts: Callable[[], Iterable[bytes]],
    size: int,
    *,
    name: str,
    mapping: Mapping[str, str | None] | None = None,
) -> Table:
    """Read a file given in parts, by what its name ends in; whatever isn't known is text."""
    return _open_parts(parts, size, name, _How(mapping))


def open_text(
    parts: Callable[[], Iterable[bytes]], size: int, *, mapping: Mapping[str, str | None] | None = None
) -> Table:
    """Read a text file given in parts (called again each time it is gone over)."""
    return _open_text(parts, size, _How(mapping))


@dataclass(frozen=True, slots=True)
class _How:
    """How headers become fields: `open_table`'s arguments."""

    mapping: Mapping[str, str | None] | None = None
    mapper: Mapper | None = None
    anybody: bool = True


def _open_parts(parts: Callable[[], Iterable[bytes]], size: int, name: str, how: _How) -> Table:
    ending = Path(name).suffix.lower()
    if ending not in files.READERS:
        return _open_text(parts, size, how)
    found = files.READERS[ending](b"".join(parts()))
    return open_table(found, mapping=how.mapping, mapper=how.mapper, anybody=how.anybody)


def _open_text(parts: Callable[[], Iterable[bytes]], size: int, how: _How) -> Table:
    fmt = sheet.survey(parts, size)
    sheet.check_quotes(parts, fmt)
    lines = iter(sheet.decode_table(parts(), fmt))
    headers = [str(h) for h in next(lines, [])]
    table = _of_rows(headers, lines, how)
    table.notice = fmt.notice
    table.encoding, table.delimiter, table.skipped_lines = fmt.encoding, fmt.delimiter, fmt.skipped_lines
    return table


def _of_rows(
    headers: list[str],
    rows: Iterable[Seq[Any]],
    how: _How,
    *,
    total: int | None = None,
) -> Table:
    iterator = iter(rows)
    sample = list(itertools.islice(iterator, _SAMPLE))
    frames = _frames(itertools.chain(sample, iterator), len(headers))
    return _mapped(headers, sample, frames, how, total=total)


def _frames(rows: Iterable[Seq[Any]], width: int) -> Iterator[pl.DataFrame]:
    """Rows as frames of text; short rows end in nulls, cells beyond the header are nobody's."""
    import polars as pl

    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, CHUNK)):
        even = [row if len(row) == width else [*row, *[None] * width][:width] for row in batch]
        yield pl.DataFrame([_text_column(i, column) for i, column in enumerate(zip(*even, strict=True))])


def _text_column(index: int, cells: Iterable[Any]) -> pl.Series:
    import polars as pl

    texts = [v if type(v) is str else as_text(v) for v in cells]
    try:
        return pl.Series(str(index), texts, dtype=pl.String)
    except UnicodeEncodeError:  # half a surrogate pair, from a file cut in the middle of a picture
        whole = [None if v is None else v.encode("utf-8", "replace").decode() for v in texts]
        return pl.Series(str(index), whole, dtype=pl.String)


def _polars_frames(people: pl.DataFrame) -> Iterator[pl.DataFrame]:
    import polars as pl

    for start in range(0, people.height, CHUNK):
        part = people[start : start + CHUNK]
        yield pl.DataFrame(
            [
                column.alias(str(i)) if column.dtype == pl.String else _text_column(i, column.to_list())
                for i, column in enumerate(part.get_columns())
            ]
        )


def _mapped(
    headers: list[str],
    sample: Iterable[Seq[Any]],
    frames: Iterator[pl.DataFrame],
    how: _How,
    *,
    total: int | None = None,
) -> Table:
    cells = [[as_text(v) or "" for v in row] for row in sample]
    found = columns.map_columns(headers, cells)
    if (
        how.mapper is not None and not how.mapping
    ):  # who corrects a mapping has seen what was made of the rest
        found = how.mapper(headers, cells, found)
    fields: dict[str, str | None] = dict(found.fields)
    for field, column in (how.mapping or {}).items():
        if field not in fields:
            raise ImportRefused("mapping", field, f"Use one of {', '.join(fields)}.")
        if column is not None and column not in headers:
            raise ImportRefused("mapping", column, f"The file's columns are {', '.join(headers)}.")
        fields = {k: (None if v == column and k != field else v) for k, v in fields.items()}
        fields[field] = column
    if how.anybody and not headers:
        raise ImportRefused(
            "people", "no rows", "Give at least one person, with an address or a LinkedIn URL."
        )
    person = next((h for h in headers if columns.is_address(h)), None)
    if how.anybody and person is not None:
        raise ImportRefused(
            "columns",
            person,
            "The row that should name the columns is a person's: write a line like First Name, Last Name, Email above it.",
        )
    if how.anybody and not fields.get("email") and not fields.get("linkedin_url"):
        raise ImportRefused(
            "columns",
            headers,
            'No column holds e-mail addresses or LinkedIn URLs. Name it: mapping={"email": "<column>"}.',
        )
    used = {c for c in fields.values() if c}
    if found.more_emails and fields["email"] is not None and fields["email"] == found.fields["email"]:
        frames = _filled(frames, headers.index(fields["email"]), found.more_emails)
    return Table(headers, fields, [h for h in headers if h not in used], frames, total=total)


def _filled(frames: Iterator[pl.DataFrame], at: int, more: tuple[int, ...]) -> Iterator[pl.DataFrame]:
    """The address of rows that have none in its column is the first that a further column of theirs holds."""
    import polars as pl

    for part in frames:
        cells = [pl.col(str(n)) for n in (at, *more)]
        yield part.with_columns(
            pl.coalesce(pl.when(cell.str.strip_chars() != "").then(cell) for cell in cells).alias(str(at))
        )
