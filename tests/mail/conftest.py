"""One world of each kind (tests/mail/worlds.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mail.emulator import google_emulator
from tests.mail.fault_proxy import fault_proxy
from tests.mail.graph_emulator import graph_emulator
from tests.mail.graph_proxy import graph_proxy
from tests.mail.hostile import Faults, HostileProvider
from tests.mail.worlds import ADDRESS, GmailWorld, HostileWorld, LocalWorld, OutlookWorld


@pytest.fixture
def gmail_world() -> Iterator[GmailWorld]:
    with google_emulator(ADDRESS) as emulator, fault_proxy(emulator.base_url) as proxy:
        world = GmailWorld(emulator, proxy)
        yield world
        world.close()


@pytest.fixture
def outlook_world() -> Iterator[OutlookWorld]:
    with graph_emulator(ADDRESS) as emulator, graph_proxy(emulator.base_url) as proxy:
        world = OutlookWorld(emulator, proxy)
        yield world
        assert proxy.without_immutable_ids == []
        world.close()


@pytest.fixture
def local_world(tmp_path: Path) -> LocalWorld:
    return LocalWorld(tmp_path / "maildir")


@pytest.fixture
def hostile_world(tmp_path: Path) -> Iterator[HostileWorld]:
    provider = HostileProvider(tmp_path / "hostile.sqlite", faults=Faults.none())
    yield HostileWorld(provider)
    provider.close()
