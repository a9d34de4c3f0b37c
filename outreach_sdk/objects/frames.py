"""Rows to polars frames with columns and dtypes that don't depend on what is in them."""

from __future__ import annotations

import csv
import io
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.sheet import decode_table, survey
from outreach_sdk.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

__all__ = ["frame", "read_back", "written"]


def frame(rows: list[dict[str, Any]], **columns: str) -> pl.DataFrame:
    """A frame with exactly `columns` (name -> "str" | "int" | "float" | "bool" | "time"), in that order.
    Times are Datetime("us", "UTC")."""
    import polars as pl

    kinds = {
        "str": pl.String(),
        "int": pl.Int64(),
        "float": pl.Float64(),
        "bool": pl.Boolean(),
        "time": pl.Datetime("us", "UTC"),
    }
    schema = {name: kinds[kind] for name, kind in columns.items()}

    def cast(value: Any, kind: str) -> Any:
        if value is None:
            return None
        return bool(value) if kind == "bool" else str(value) if kind == "str" else value

    data = {name: [cast(r.get(name), kind) for r in rows] for name, kind in columns.items()}
    return pl.DataFrame(data, schema=schema)


def written(table: pl.DataFrame, where: Path) -> Path:
    """Write a frame as .csv, .parquet, .xlsx or .jsonl: whole, or not at all. InvalidInput for another ending, and
    for where it can't be written."""
    import polars as pl

    if where.suffix not in (".csv", ".parquet", ".xlsx", ".jsonl"):
        raise InvalidInput("path", where.suffix or str(where), "End it in .csv, .parquet, .xlsx or .jsonl.")
    if where.is_dir():
        raise InvalidInput("path", str(where), "It is a folder: give a file in it.")
    if not where.parent.is_dir():
        raise InvalidInput("path", str(where), f"The folder {where.parent} doesn't exist: make it first.")
    half = where.with_name(f".{where.stem}-{secrets.token_hex(4)}{where.suffix}")
    try:
        _write(table, half)
        half.replace(where)
    except (OSError, pl.exceptions.ComputeError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or str(exc).replace(str(half), str(where))
        raise InvalidInput(
            "path", str(where), f"It can't be written there ({why}): make room, or choose another place."
        ) from exc
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)
    return where


def _write(table: pl.DataFrame, where: Path) -> None:
    import polars as pl
    from xlsxwriter import Workbook  # type: ignore[import-untyped]

    if where.suffix in (".csv", ".xlsx"):
        # What a spreadsheet would run: https://owasp.org/www-community/attacks/CSV_Injection
        table = table.with_columns(
            pl.when(pl.col(c).str.contains(r"^[=+\-@\t\r]"))
            .then("'" + pl.col(c))
            .otherwise(pl.col(c))
            .alias(c)
            for c, kind in table.schema.items()
            if kind == pl.String
        )
    match where.suffix:
        case ".csv":
            table.write_csv(where)
        case ".parquet":
            table.write_parquet(where)
        case ".jsonl":
            table.write_ndjson(where)
        case _:  # .xlsx, which knows no time zones
            times = pl.selectors.temporal()
            whole = io.BytesIO()
            # In memory, for on a full disk its files of its own break off in the middle, and stay.
            options = {"in_memory": True, "nan_inf_to_errors": True, "strings_to_formulas": False}
            with Workbook(whole, options | {"default_date_format": "yyyy-mm-dd;@"}) as book:
                table.with_columns(times.dt.replace_time_zone(None)).write_excel(book)
            where.write_bytes(whole.getvalue())


def read_back(where: Path) -> pl.DataFrame:
    """The text columns of a file that `written` made, as they were, whoever edited it. InvalidInput."""
    import polars as pl

    if not where.is_file():
        raise InvalidInput("path", str(where), "There is no such file.")
    try:
        match where.suffix:
            case ".csv":
                table = _sheet(where)
            case ".parquet":
                table = pl.read_parquet(where)
            case ".jsonl":
                table = pl.read_ndjson(where, infer_schema_length=None)
            case ".xlsx":
                table = pl.read_excel(where, infer_schema_length=0)
            case other:
                raise InvalidInput("path", other or str(where), "End it in .csv, .parquet, .xlsx or .jsonl.")
    except (pl.exceptions.PolarsError, csv.Error, OSError, ValueError, ImportError) as exc:
        if isinstance(exc, InvalidInput):
            raise
        raise InvalidInput("path", str(where), f"It can't be read: {exc}") from exc
    if where.suffix in (".csv", ".xlsx"):
        texts = [c for c, kind in table.schema.items() if kind == pl.String]
        table = table.with_columns(pl.col(texts).str.replace(r"^'([=+\-@\t\r])", "${1}"))
    return table


def _sheet(where: Path) -> pl.DataFrame:
    """A CSV in whatever encoding and delimiter a spreadsheet saved it, each cell as text."""
    import polars as pl

    data = where.read_bytes()
    rows = decode_table(data, survey(lambda: [data], len(data)))
    headers = next(rows, [])
    found = [dict(zip(headers, row, strict=False)) for row in rows]
    return pl.DataFrame(found, schema=dict.fromkeys(headers, pl.String), orient="row")
