"""A frame that shows itself as a card in a notebook, and is a frame in every other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["with_card"]


def with_card(table: pl.DataFrame, card: str) -> pl.DataFrame:
    """`table`, whose HTML is `card`. What is made of it (filtered, joined) is a plain frame again."""
    import polars as pl

    class Shown(pl.DataFrame):
        def _repr_html_(self, *, _from_series: bool = False) -> str:
            return card if self.shape == table.shape else super()._repr_html_(_from_series=_from_series)

    return Shown(table)
