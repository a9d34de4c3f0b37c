"""`outreach …`, thin over the objects. Exit status: 0, 1 (it failed, said on stderr in one sentence),
2 (wrong usage)."""

from __future__ import annotations

import io
import sys

import click

from outreach_sdk.cli import engine as _engine
from outreach_sdk.cli import enrichment as _enrichment
from outreach_sdk.cli import keys as _keys
from outreach_sdk.cli import people as _people
from outreach_sdk.cli import webhooks as _webhooks
from outreach_sdk.cli.base import outreach
from outreach_sdk.errors import OutreachError

__all__ = ["main"]

COMMANDS = (_engine, _enrichment, _keys, _people, _webhooks)
"""Importing them hangs their commands on the group."""


def main() -> None:
    """The entry point: every OutreachError, and what the system refuses, becomes one sentence on stderr and exit
    status 1."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter shows a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        outreach(standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(1)
    except click.ClickException as exc:
        exc.show()
        sys.exit(2)
    except OutreachError as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        click.echo(f"{where}{exc.strerror or exc}. Give another place, or make room there.", err=True)
        sys.exit(1)
