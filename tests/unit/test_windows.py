"""Hours, weekdays and holidays: always inside, never earlier, never twice another answer."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outreach_sdk.domain.schedule import next_due
from outreach_sdk.domain.sequence import NextBusinessDay
from outreach_sdk.domain.windows import DaysOff, SendingWindow, days_off, opening, placed, share
from outreach_sdk.errors import InvalidInput

ZONES = st.sampled_from(
    ["Europe/Madrid", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
).map(ZoneInfo)
FIRST, LAST = dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1)  # noqa: DTZ001 - hypothesis wants them naive
MOMENTS = st.datetimes(FIRST, LAST, timezones=st.just(dt.UTC))
CLOCKS = st.times().map(lambda t: t.replace(second=0, microsecond=0).isoformat("minutes"))
DAYS = st.sampled_from(["mon-fri", "mon,wed,fri", "sat-mon", "sun", "mon-sun"])


@settings(deadline=None)
@given(CLOCKS, CLOCKS, DAYS, MOMENTS, ZONES, st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_placed_moment_lies_inside_and_never_before(
    start: str, end: str, days: str, due: dt.datetime, tz: ZoneInfo, at: float, holidays: bool
) -> None:
    assume(start < end)
    window = SendingWindow(start, end, days)
    off = days_off("ES", ["2026-05-05"]) if holidays else DaysOff()
    found = placed(window, due, tz, off, at)
    assert found >= due
    begins, ends = opening(window, found, tz, off)
    assume(begins < ends)  # a window that the change to summer time swallows whole
    assert begins <= found < ends
    local = found.astimezone(tz)
    assert local.weekday() in window.weekdays
    assert local.date() not in off
    assert placed(window, found, tz, off, at) == found, "looking again moves nothing"
    if begins <= due:
        assert found == due


def test_what_gathers_overnight_is_spread_over_the_day() -> None:
    window, tz = SendingWindow("09:00", "17:00"), ZoneInfo("Europe/Madrid")
    friday_night = dt.datetime(2026, 3, 6, 22, 0, tzinfo=tz)
    times = sorted(placed(window, friday_night, tz, DaysOff(), share(n, 7)) for n in range(1, 401))
    assert times[0] >= dt.datetime(2026, 3, 9, 9, 0, tzinfo=tz)
    assert times[-1] < dt.datetime(2026, 3, 9, 17, 0, tzinfo=tz)
    by_hour = [sum(t.astimezone(tz).hour == h for t in times) for h in range(9, 17)]
    assert min(by_hour) > 30, by_hour


@pytest.mark.rule(6)
def test_holidays_and_ones_own_dates_move_the_next_business_day() -> None:
    off = days_off("ES", ["2026-12-24"])
    due = next_due(
        NextBusinessDay("09:00"),
        anchor=dt.datetime(2026, 12, 23, 12, 0, tzinfo=dt.UTC),
        now=dt.datetime(2026, 12, 23, 12, 0, tzinfo=dt.UTC),
        sequence_zone="Europe/Madrid",
        closed=off,
    )
    assert due == dt.datetime(2026, 12, 28, 9, 0, tzinfo=ZoneInfo("Europe/Madrid"))  # 24 own, 25 Christmas
    assert dt.date(2026, 1, 6) in days_off("DE-BY")
    assert dt.date(2026, 1, 6) not in days_off("DE")


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({"start": "17:00", "end": "09:00"}, "end"),
        ({"start": "nine"}, "start"),
        ({"end": "17:00+01:00"}, "end"),
        ({"days": "funday"}, "days"),
        ({"days": ""}, "days"),
    ],
)
def test_windows_that_never_open_are_refused_by_name(window: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        SendingWindow(**window)


def test_unknown_countries_and_dates_are_refused() -> None:
    with pytest.raises(InvalidInput, match="DE-BY"):
        days_off("XX")
    with pytest.raises(InvalidInput, match="2026-12-24"):
        days_off(None, ["24.12.2026"])
