"""An office: a house with a mailbox of either provider, and its owner's calendar on loopback."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outreach_sdk.engine import calendars
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from tests.calendars.diary import Diary
from tests.harness import ADDRESS, House

BO = "p0@candidate0.example"
DI = "p1@candidate1.example"
NOW = dt.datetime.now(dt.UTC)
SOON = (NOW + dt.timedelta(days=3)).replace(microsecond=0)


class Office:
    """A house with a mailbox of either provider, and its owner's calendar."""

    def __init__(self, house: House, box: Mailbox, diary: Diary) -> None:
        self.house, self.box, self.diary = house, box, diary
        self.store = house.engine.store

    def enrolled(self, count: int = 2) -> Sequence:
        seq = self.house.two_steps(self.house.trusted(self.box), delay=172_800)
        seq.activate()
        seq.enroll(self.house.people(count))
        return seq

    def read(self) -> dict[str, int]:
        """As after the interval."""
        self.store.write("UPDATE calendars SET next_at = ? WHERE next_at IS NOT NULL", NOW)
        return calendars.drain(self.house.engine)


@pytest.fixture(params=["gmail on sqlite", "outlook on postgresql"])
def office(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Office]:
    provider, _, database = request.param.partition(" on ")
    url = f"sqlite:///{tmp_path / 'outreach.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    diary = Diary(ADDRESS)
    env = {
        "OUTREACH_GOOGLE_CALENDAR_ENDPOINT": f"{diary.url}/calendar/v3",
        "OUTREACH_GOOGLE_TOKEN_URI": f"{diary.url}/token",
        "OUTREACH_GRAPH_ENDPOINT": diary.url,
        "OUTREACH_SEND_TIMEOUT": "5",
    }
    house = House(tmp_path / "home", url, env)
    tokens = {"refresh_token": "r", "client_id": "c", "client_secret": "s"}
    if provider == "outlook":
        tokens |= {"access_token": "token", "expires_at": time.time() + 3600}  # type: ignore[dict-item]
    box = Mailbox._save(house.session, provider, ADDRESS, "Ada", {}, tokens)
    yield Office(house, box, diary)
    house.close()
    diary.close()
