"""How a file of people is written: its encoding, its delimiter, and the lines before its header."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import charset_normalizer

from outreach_sdk.domain import header_words, letters
from outreach_sdk.domain.columns import map_columns
from outreach_sdk.errors import ImportRefused

__all__ = ["SheetFormat", "check_quotes", "decode_table", "sniff", "survey"]

_DELIMITERS = (",", ";", "\t", "|")
_LOOK_AT = 128 * 1024
_LINE = 16 * 1024**2
_REST = "cp1252"
# Too alike in few letters for statistics.
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "mac_roman")
_GUESSABLE = (
    *_LATIN,
    "cp1251",
    "cp932",
    "gb18030",
    "cp949",
    "big5",
    "cp1253",
    "cp1255",
    "cp1256",
    "koi8-r",
    "euc_jp",
    "cp866",
)
_END = "\x00end"
_LINE_END = re.compile("\r\n|\r|\n")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class SheetFormat:
    """`encoding` is a Python codec, `rest` the one of lines that aren't in it; `skipped_lines` counts physical
    lines before the header. `guessed`: nothing but the look of its letters speaks for the encoding."""

    encoding: str
    delimiter: str
    skipped_lines: int
    rest: str | None = None
    guessed: bool = False

    @property
    def notice(self) -> str | None:
        """What whoever gave the file should know about its encoding."""
        if self.rest is not None:
            return (
                f"Lines of the file that aren't UTF-8 were read as {self.rest}: check accented names in them."
            )
        if self.guessed:
            return f"The file isn't UTF-8 and was read as {self.encoding}: check accented names, or save it as UTF-8."
        return None


def sniff(head: bytes, *, total: int | None = None) -> SheetFormat:
    """Read a file's format off its first bytes (64 KiB are plenty). `total` is the whole file's size, so
    that a character cut in two at the end of `head` isn't taken for another encoding."""
    _refuse_others(head)
    cut = total is None or total > len(head)
    looked = head[:_LOOK_AT]
    encoding = _marked(looked)
    if encoding is None and _decodes(looked, "utf-8", cut=cut or len(head) > _LOOK_AT):
        encoding = "utf-8"
    told = (encoding, None, False) if encoding else _by_lines(looked, _byte_lines([looked]))
    return _with_layout(looked, told, total=total)


def survey(parts: Callable[[], Iterable[bytes]], size: int) -> SheetFormat:
    """A file's format, its encoding by every line of it: those that aren't ASCII may come late."""
    head = next(iter(parts()), b"")[: 2 * _LOOK_AT]
    fmt = sniff(head, total=size)
    unicode = fmt.encoding in ("utf-8", "utf-8-sig")
    if (not unicode and not fmt.guessed and fmt.rest is None) or (unicode and _all_utf8(parts())):
        return fmt
    if fmt.encoding == "utf-8-sig":
        return replace(fmt, rest=_REST)
    told = _by_lines(head[:_LOOK_AT], _byte_lines(parts()))
    return _with_layout(head[:_LOOK_AT], told, total=size)


def _refuse_others(head: bytes) -> None:
    if not head.strip():
        raise ImportRefused("file", "", "The file is empty.")
    for magic, what in (
        (b"PK\x03\x04", "an Excel file"),
        (b"\xd0\xcf\x11\xe0", "an old Excel file"),
        (b"%PDF", "a PDF"),
    ):
        if head.startswith(magic):
            raise ImportRefused("file", what, "Save it as CSV.")


def _with_layout(head: bytes, told: tuple[str, str | None, bool], *, total: int | None) -> SheetFormat:
    encoding, rest, guessed = told
    delimiter, skipped = _layout(_decoded(head, encoding), cut=total is not None and total > len(head))
    return SheetFormat(encoding, delimiter, skipped, rest, guessed)


# --- encoding -------------------------------------------------------------------------------------------


def _decodes(data: bytes, encoding: str, *, cut: bool) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(data, not cut)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _decoded(data: bytes, encoding: str) -> str:
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data)
    return text.removeprefix("\ufeff")


def _marked(head: bytes) -> str | None:
    """The encoding where bytes say it that no other has."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    sample = head[:4096]
    nuls = sample.count(0)
    if nuls > len(sample) // 8:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        return "utf-16-be" if even > odd else "utf-16-le"
    if nuls == 0 and re.search(rb"\x1b\$[@B]", head):
        return "iso2022_jp"
    return None


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 of a script without Latin letters has NULs only at its delimiters and line ends."""
    for name in ("utf-16-le", "utf-16-be"):
        if any(end in head for end in ("\r\n".encode(name), ",".encode(name), "\t".encode(name))):
            text = _decoded(head[: len(head) // 2 * 2], name)
            readable = sum(c.isalnum() or c.isspace() or c in ",;.@-\"'/:()" for c in text)
            if text and "\x00" not in text and readable > 0.9 * len(text) and "\n" in text:
                return name
    return None


def _all_utf8(parts: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        for part in parts:
            decoder.decode(part)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _byte_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file with their ends, whichever ends they have."""
    rest = b""
    for part in parts:
        lines = (rest + part).splitlines(keepends=True)
        # A return at the end may be half of a line end.
        rest = lines.pop() if lines else b""
        if len(rest) > _LINE:
            raise ImportRefused(
                "file", f"a line of over {_LINE >> 20} MiB", "Save it as CSV, one row a line."
            )
        yield from lines
    if rest:
        yield from rest.splitlines(keepends=True)


def _by_lines(head: bytes, lines: Iterable[bytes]) -> tuple[str, str | None, bool]:
    """(encoding, that of the lines that aren't in it, whether it is a guess) of what isn't UTF-8 throughout: UTF-8
    all the same where most lines beyond ASCII are, else a legacy encoding."""
    wide = _unmarked_utf16(head)
    if wide is not None:
        return wide, None, False
    good = bad = kept = 0
    sample: list[bytes] = []
    for line in lines:
        if line.isascii():
            continue
        if _decodes(line, "utf-8", cut=False):
            good += 1
        else:
            bad += 1
        if kept < _LOOK_AT:
            sample.append(line)
            kept += len(line)
    if good and good >= bad:
        return "utf-8", _REST, True
    return _legacy(head, b"".join(sample)), None, True


def _legacy(head: bytes, sample: bytes) -> str:
    """The codec under which the words look most like names and headers that are known."""
    guess = _guess(sample)
    best: tuple[float, int, str] | None = None
    for rank, name in enumerate(letters.CODECS):
        cost, unit = letters.cost(_decoded(sample, name), name)
        readable = _decodes(head, name, cut=True)
        known = 3.0 * _known_headers(_decoded(head, name)) if readable else 0.0
        bonus = 2.0 if name == guess and name not in _LATIN else 0.0
        score = unit * (known + bonus - 0.02 * rank - (0.4 if rank else 0.0)) - cost
        if best is None or (score, -rank) > best[:2]:
            best = (score, -rank, name)
    return best[2] if best is not None else "cp1252"


def _known_headers(text: str) -> float:
    """How many headers that aren't ASCII are known; more for those known with their very accents, which
    `map_columns` is blind to."""
    delimiter, skipped = _layout(text, cut=True)
    header = next((row for line, row in _rows(text, delimiter, limit=skipped + 3) if line > skipped), [])
    if all(cell.isascii() for cell in header):
        return 0.0
    known = [
        cell for cell in map_columns(header, []).fields.values() if cell is not None and not cell.isascii()
    ]
    return len(known) + 0.5 * sum(1 for cell in known if set(cell.casefold().split()) & _accented())


@lru_cache(maxsize=1)
def _accented() -> frozenset[str]:
    phrases = (p for levels in header_words.PHRASES.values() for phrases in levels.values() for p in phrases)
    return frozenset(word for phrase in phrases for word in phrase.casefold().split() if not word.isascii())


def _guess(sample: bytes) -> str | None:
    found = charset_normalizer.from_bytes(sample[:16384], cp_isolation=list(_GUESSABLE)).best()
    return codecs.lookup(found.encoding).name if found is not None else None


# --- layout ---------------------------------------------------------------------------------------------


def _rows(text: str, delimiter: str, *, limit: int = 200) -> Iterator[tuple[int, list[str]]]:
    """(number of the physical line it ends on, cells), as far as it can be read."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for count, row in enumerate(reader):
            if count >= limit:
                return
            yield reader.line_num, [cell.strip().strip("\ufeff\x00") for cell in row]
    except csv.Error:
        return


def _layout(text: str, *, cut: bool) -> tuple[str, int]:
    told = re.match(r"\s*\"?sep=(.)\"?\s*(?:\r\n|\r|\n)", text, re.I)
    if told is not None:
        return told.group(1), 1
    lines = text[: 64 * 1024]
    if (cut or len(text) > len(lines)) and "\n" in lines:
        lines = lines[: lines.rindex("\n") + 1]
    best: tuple[float, str, int] = (-1.0, ",", 0)
    for delimiter in _DELIMITERS:
        score, skipped = _header_line(list(_rows(lines, delimiter)))
        if score > best[0]:
            best = (score, delimiter, skipped)
    return best[1], best[2]


def header_row(rows: list[list[str]]) -> int:
    """Which of these first rows of a sheet names its columns: those before it are a preamble."""
    return _header_line(list(enumerate(rows, 1)))[1]


def _header_line(rows: list[tuple[int, list[str]]]) -> tuple[float, int]:
    """(how much this looks like a table, physical lines before its header)."""
    filled = [(line, row) for line, row in rows if any(row)]
    if not filled:
        return 0.0, 0
    widths = [len(row) for _, row in filled]
    usual = max(set(widths), key=lambda w: (widths.count(w) * min(w, 8), w))
    previous, first, skipped = 0, filled[0][1], 0
    starts: dict[int, int] = {}
    for line, _ in rows:
        starts[line] = previous
        previous = line
    for line, row in filled[:40]:
        named = sum(1 for cell in row if cell)
        wide = len(row) >= max(2, 0.6 * usual) and named >= max(2, 0.4 * len(row))
        if wide or _known(row) >= 2:
            first, skipped = row, starts[line]
            break
    else:
        skipped = starts[filled[0][0]]
    even = sum(1 for w in widths if w == len(first)) / len(widths)
    columns = len(first)
    if columns < 2:
        return 0.1, skipped
    return 3.0 * _known(first) + min(columns, 12) * (0.3 + 0.7 * even), skipped


def _known(row: list[str]) -> int:
    """How many of our fields these headers name."""
    return sum(1 for v in map_columns(row, []).fields.values() if v is not None)


# --- reading --------------------------------------------------------------------------------------------


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def decode_table(data: bytes | Iterable[bytes], fmt: SheetFormat) -> Iterator[list[str]]:
    """The header row, then every row that holds anything, as they stand: cells may be missing or too many.

    `data` is the whole file or its pieces; memory stays bounded by the longest row. Raises ImportRefused
    for a quotation mark that is never closed, or only after it has swallowed other rows.
    """
    lines = _lines([data] if isinstance(data, bytes) else data, fmt)
    for _ in range(fmt.skipped_lines):
        if next(lines, None) is None:
            return
    # After the last line comes one that no file holds: in a quoted cell only where that was never closed.
    marked = itertools.chain((line.replace("\x00", "") for line in lines), (_END,))
    csv.field_size_limit(max(csv.field_size_limit(), _LINE))  # a whole CV in a cell
    reader = csv.reader(marked, delimiter=fmt.delimiter)
    ended, width, first = 0, 0, True
    try:
        for row in reader:
            if reader.line_num - ended > 1:
                _check_quotes(row, width, fmt, fmt.skipped_lines + ended + 1)
            ended = reader.line_num
            if first:
                row = [cell.removeprefix("\ufeff") if at == 0 else cell for at, cell in enumerate(row)]
                first, width = False, len(row)
            if row == [_END]:
                return
            if any(cell.strip() for cell in row):
                width = width or len(row)
                yield row
    except csv.Error as exc:
        if "field limit" in str(exc):
            raise ImportRefused(
                "file",
                f"line {fmt.skipped_lines + ended + 1}",
                f"The row that begins there holds a cell of over {_LINE >> 20} MiB: shorten it, or close the quotation "
                "mark left open in it.",
            ) from exc
        raise ImportRefused(
            "file",
            f"line {fmt.skipped_lines + ended + 1}",
            f"The row that begins there can't be read ({exc}): close the quotation mark left open in it, or write it twice.",
        ) from exc


def _lines(parts: Iterable[bytes], fmt: SheetFormat) -> Iterator[str]:
    if fmt.rest is not None:
        for line in _byte_lines(parts):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                yield line.decode(fmt.rest, "replace")
        return
    raw = io.BufferedReader(_Chunks(parts), 1 << 16)
    yield from io.TextIOWrapper(raw, encoding=fmt.encoding, errors="replace", newline="")


def _check_quotes(row: list[str], width: int, fmt: SheetFormat, line: int) -> None:
    """Refuse a row of several lines that began on `line` where a stray quotation mark made one of several."""
    for cell in row:
        if cell.endswith(_END):
            raise ImportRefused(
                "file",
                f"line {line}",
                "A quotation mark opens there and is never closed, so that the rest of the file would be one cell: "
                "remove it, or write it twice inside a quoted cell.",
            )
        inside = _LINE_END.split(cell)
        rows = sum(1 for text in inside[1:] if _is_row(text, width, fmt.delimiter))
        stops = not inside[-1] or inside[-1].rstrip(" ").endswith(fmt.delimiter)
        swallowed = rows >= 2 or (rows == 1 and stops)
        # Where every cell is quoted, the next row's first quotation mark closes the one left open.
        if swallowed or (
            len(inside) > 1 and len(row) >= 2 * width - 1 > 1 and any(map(_names_somebody, row[width:]))
        ):
            raise ImportRefused(
                "file",
                f"line {line}",
                f"The quoted cell that begins there holds {max(rows, 1)} lines that look like rows: remove its stray "
                "quotation mark, or write it twice inside a quoted cell.",
            )
        line += len(inside) - 1


def _is_row(text: str, width: int, delimiter: str) -> bool:
    return text.count(delimiter) == width - 1 and _names_somebody(text)


def _names_somebody(text: str) -> bool:
    return "@" in text or "linkedin.com/" in text.lower()


def check_quotes(parts: Callable[[], Iterable[bytes]], fmt: SheetFormat) -> None:
    """Go over a whole file before any of it is used; ImportRefused where a stray quotation mark would swallow
    rows. Where it has no quotation mark, that is all that is looked for."""
    if any(b'"' in part for part in parts()):
        for _ in decode_table(parts(), fmt):
            pass
