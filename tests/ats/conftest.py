"""A house connected to applicant tracking systems on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_sdk.ats import bullhorn, greenhouse_api, recruitee_api, teamtailor_api
from outreach_sdk.engine import deliveries, looking, polling, polls
from tests.ats.more_vendors import PAGE
from tests.ats.vendors import Vendors
from tests.harness import House
from tests.service.senders import ENV


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendors]:
    for vendor in (greenhouse_api, bullhorn, recruitee_api, teamtailor_api):
        monkeypatch.setattr(vendor, "PAGE", PAGE)
    made = Vendors()
    yield made
    made.close()


@pytest.fixture
def connect(tmp_path: Path, vendors: Vendors) -> Iterator[object]:
    """Makes houses with keys for the systems named."""
    made: list[House] = []

    def open_house(url: str, *names: str, **more: str) -> House:
        house = House(tmp_path / f"home{len(made)}", url, {**ENV, **vendors.env(*names), **more})
        made.append(house)
        polls.ensure(house.engine)
        return house

    yield open_house
    for house in made:
        for name in house.engine.connected:
            account = house.engine.asker(name)
            getattr(account, "_session", None) or account._api.close()
            if name == "bullhorn":
                account.close()
        house.close()


def poll(house: House) -> int:
    """As after the interval: ask, act on what came, ask about what told too little."""
    house.engine.store.write("UPDATE ats_polls SET next_at = 0")
    new = polling.drain(house.engine)
    deliveries.drain(house.engine)
    looking.drain(house.engine)
    return new
