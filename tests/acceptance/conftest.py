"""An installation on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import House


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    made = House(tmp_path / "home", database_url)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[House]:
    """One on SQLite in a home of its own."""
    (tmp_path / "home").mkdir()
    house = House(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'db.sqlite'}")
    yield house
    house.close()
