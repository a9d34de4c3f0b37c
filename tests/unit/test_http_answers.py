"""What a vendor's answer says of when to ask again."""

from __future__ import annotations

import datetime as dt

import pytest

from outreach_sdk.domain.http_answers import retry_after

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
MONTH = 30 * 86_400


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("Mon, 02 Mar 2026 12:01:00 GMT", 60),
        ("9" * 19, MONTH),
        ("9" * 400, MONTH),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MONTH),
        ("Mon, 02 Mar 1026 12:01:00 GMT", 1),
        ("²", None),
        ("soon", None),
    ],
)
def test_a_wait_that_cannot_be_meant_is_bounded(said: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": said}, NOW) == seconds
