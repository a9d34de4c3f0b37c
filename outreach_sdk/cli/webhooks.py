"""Commands about webhook deliveries."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from outreach_sdk.cli.base import JSON, outreach, say


@outreach.group()
def webhooks() -> None:
    """Deliveries of the webhook service: list, replay, waiting; subscribe."""


def _admin() -> None:
    from outreach_sdk.errors import NotFound
    from outreach_sdk.objects.session import current

    if current().user["role"] != "admin":
        raise NotFound("Deliveries are for admins: ask yours.")


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Any:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*[Text("" if row[c] is None else str(row[c])) for c in columns])
    with (console := Console()).capture() as shown:
        console.print(table)
    return shown.get().rstrip()


@webhooks.command("list")
@click.option(
    "--state",
    type=click.Choice(["received", "done", "ignored", "lookup", "dead"]),
    default=None,
    help="Those in this state; dead ones wait for a person.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@JSON
def webhooks_list(state: str | None, limit: int, as_json: bool) -> None:
    """Deliveries, newest first, and what became of each."""
    from outreach_sdk.webhooks import listed

    _admin()
    columns = ("id", "received_at", "source", "state", "tries", "outcome")
    rows = [{c: row[c] for c in columns} for row in listed(state, limit=limit)]
    say(rows, as_json, lambda found: _table(found, columns) if found else "There is none.")


@webhooks.command("waiting")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@JSON
def webhooks_waiting(limit: int, as_json: bool) -> None:
    """Bookings that wait for a candidate with their address."""
    from outreach_sdk.webhooks import waiting

    _admin()
    columns = ("created_at", "source", "kind", "status", "starts_at", "title", "address")
    rows = [{c: row[c] for c in columns} for row in waiting(limit=limit)]
    say(rows, as_json, lambda found: _table(found, columns) if found else "None waits.")


@webhooks.command("replay")
@click.argument("deliveries", type=int, nargs=-1)
@click.option("--dead", is_flag=True, help="All that wait for a person.")
@click.option("--dry-run", is_flag=True, help="Say what it would do, and change nothing.")
@JSON
def webhooks_replay(deliveries: tuple[int, ...], dead: bool, dry_run: bool, as_json: bool) -> None:
    """Act on deliveries again, by their numbers. What one stopped before isn't stopped twice."""
    from outreach_sdk.webhooks import explain, listed, replay

    _admin()
    if bool(deliveries) == dead:
        raise click.UsageError("Give the numbers of deliveries, or --dead.")
    numbers = [row["id"] for row in reversed(listed("dead", limit=10_000))] if dead else list(deliveries)
    done = []
    for number in numbers:
        end = explain(number) if dry_run else replay(number)
        done.append({"id": number, "dry_run": dry_run, **asdict(end)})
    say(
        done,
        as_json,
        lambda ends: (
            "\n".join(f"{e['id']}: {e['state']}. {e['outcome']}" for e in ends) or "None waits for a person."
        ),
    )
    if any(e["state"] == "dead" for e in done):
        sys.exit(1)


@webhooks.command("subscribe")
@click.argument("source", type=click.Choice(["calendly", "lever", "ashby", "workable", "smartrecruiters"]))
@JSON
def webhooks_subscribe(source: str, as_json: bool) -> None:
    """Have a system send its webhooks to OUTREACH_PUBLIC_URL, or make what it disabled again."""
    from outreach_sdk.objects.workspace import connect

    made = connect().subscribe_webhooks(source)
    say(
        made,
        as_json,
        lambda found: "\n".join(
            f"{h['id']} tells {h['target']}{' of ' if h['about'] else ''}{h['about']}" for h in found
        ),
    )
