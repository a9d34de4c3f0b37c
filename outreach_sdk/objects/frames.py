"""Rows to polars frames with columns and dtypes that don't depend on what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["frame"]


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
