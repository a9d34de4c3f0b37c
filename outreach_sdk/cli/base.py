"""The group that every command hangs on, and how values are printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

__all__ = ["JSON", "is_number", "outreach", "say"]

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def is_number(text: str) -> bool:
    """Whether it can be an id."""
    return text.isascii() and text.isdigit()


def say(value: Any, as_json: bool, plain: Callable[[Any], str] = str) -> None:
    if as_json:
        if hasattr(value, "iter_rows"):
            for row in value.iter_rows(named=True):
                click.echo(json.dumps(row, default=str, ensure_ascii=False))
            return
        click.echo(json.dumps(value, default=str, ensure_ascii=False))
        return
    if hasattr(value, "iter_rows"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*value.columns)
        for row in value.iter_rows():
            table.add_row(*[Text("" if v is None else str(v)) for v in row])
        Console().print(table)
        return
    click.echo(plain(value))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="outreach-sdk")
def outreach() -> None:
    """Outreach Sequences from the command line."""
