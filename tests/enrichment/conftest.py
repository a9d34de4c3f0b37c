"""The providers' server, and installations that ask it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outreach_sdk import Candidate, Enrichment
from outreach_sdk.engine.context import utc_now
from tests.enrichment.vendors import World, serving
from tests.harness import House


@pytest.fixture
def world() -> Iterator[World]:
    with serving() as found:
        yield found


Open = Callable[..., House]


class Clock:
    """Now, and later when told so."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()

    def __call__(self) -> dt.datetime:
        return utc_now() + self.ahead

    def forward(self, **by: float) -> None:
        self.ahead += dt.timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(world: World, clock: Clock, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    houses: list[House] = []

    def build(*vendors: str, url: str | None = None) -> House:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        house = House(
            home, url or f"sqlite:///{home / 'outreach.db'}", world.env(*vendors) if vendors else {}
        )
        house.engine.now = clock
        houses.append(house)
        return house

    yield build
    for house in houses:
        house.close()


def person(n: int = 1, **more: Any) -> Candidate:
    return Candidate.create(
        first_name=f"P{n}", last_name="Li", linkedin_url=f"https://linkedin.com/in/pat-{n}-li", **more
    )


def outcomes(run: Enrichment) -> list[Any]:
    return run.results["outcome"].to_list()


def summed(house: House) -> int:
    return int(house.engine.store.value("SELECT COALESCE(SUM(amount), 0) FROM credit_ledger"))
