"""Commands about finding addresses and numbers, and the credits for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from outreach_sdk.cli.base import JSON, is_number, outreach, say


@outreach.command()
@click.argument("who", nargs=-1, required=True)
@click.option("--field", "fields", multiple=True, type=click.Choice(["email", "phone"]), help="What to find.")
@click.option("--max-credits", type=click.IntRange(0), help="Spend no more than this.")
@click.option("--estimate", is_flag=True, help="Only say what it can cost at most.")
@click.option("--no-wait", is_flag=True, help="Leave it to the workers.")
@JSON
def enrich(
    who: tuple[str, ...],
    fields: tuple[str, ...],
    max_credits: int | None,
    estimate: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Find missing addresses and numbers of a sequence's people (its name), or of people (addresses or ids)."""
    from outreach_sdk.objects.enrichment import Enrichment

    people, wanted = _whom(who), fields or ("email",)
    if estimate:
        say(
            {"credits": Enrichment.estimate(people, wanted)},
            as_json,
            lambda d: f"{d['credits']} credits at most.",
        )
        return
    run = Enrichment.run(people, wanted, max_credits=max_credits, wait=not no_wait)
    if as_json:
        say({"id": run.id, "status": run.status, "cost": run.cost, "notice": run.notice}, True)
        return
    click.echo(repr(run))
    say(run.results, False)


def _whom(who: tuple[str, ...]) -> Any:
    from outreach_sdk.objects.sequence import Sequence

    if all("@" in one or is_number(one) for one in who):
        return [int(one) if is_number(one) else one for one in who]
    if len(who) > 1:
        raise click.UsageError("Name one sequence, or people by address or id.")
    return Sequence.get(who[0])


@outreach.command()
@click.option("--top-up", type=click.IntRange(1), help="Add so many credits, which never expire.")
@click.option("--reference", help="The purchase they are from: told twice, it counts once.")
@click.option("--ledger", is_flag=True, help="Every change.")
@click.option("--providers", is_flag=True, help="Who is asked, and how they are.")
@JSON
def credits(top_up: int | None, reference: str | None, ledger: bool, providers: bool, as_json: bool) -> None:
    """What is left of the month's allowance and of top-ups."""
    from outreach_sdk.objects.enrichment import Enrichment

    if reference is not None and top_up is None:
        raise click.UsageError("--reference goes with --top-up.")
    if ledger or providers:
        say(Enrichment.ledger() if ledger else Enrichment.providers(), as_json)
        return
    left = Enrichment.credits() if top_up is None else Enrichment.top_up(top_up, reference)
    say(
        dataclasses.asdict(left),
        as_json,
        lambda d: (
            f"{d['balance']} credits: {d['allowance']} of this month's {d['monthly']} until "
            f"{d['renews_at']:%d %b %Y}, {d['top_ups']} topped up."
        ),
    )
