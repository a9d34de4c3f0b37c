"""The reference says what the code says."""

from __future__ import annotations

import outreach_sdk
from tests.reference import PLACE, text


def test_the_reference_is_up_to_date() -> None:
    assert PLACE.read_text(encoding="utf-8") == text(), "run `make reference`"


def test_every_public_name_says_what_it_is() -> None:
    lines = [line for line in text().splitlines() if line.startswith("- **") and line.endswith("**: ")]
    assert lines == []
    assert all(f"## {name}" in text() or f"outreach.{name}(" in text() for name in outreach_sdk.__all__)
