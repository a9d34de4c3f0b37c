"""The one way datetimes and JSON are kept, on both databases."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import peewee as pw

from outreach_sdk.errors import NaiveDatetime

__all__ = ["JsonField", "UtcField", "from_us", "storable", "to_us"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US = dt.timedelta(microseconds=1)
# A year from either end, for the time zones.
_FIRST, _LAST = (
    (dt.datetime(year, 1, 1, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1) for year in (2, 9999)
)


def to_us(moment: dt.datetime) -> int:
    """Microseconds since 1970 UTC: sorts, adds and compares the same on SQLite and PostgreSQL."""
    if moment.tzinfo is None:
        raise NaiveDatetime("datetime", moment, "Give it a time zone.")
    return (moment - _EPOCH) // _US


def from_us(value: int) -> dt.datetime:
    """The aware UTC datetime that `to_us` stored; a number that no calendar has is the last (or first) it has, so that
    one odd row can be read among others."""
    return _EPOCH + dt.timedelta(microseconds=min(max(value, _FIRST), _LAST))


def storable(value: object) -> bool:
    """Whether the databases can hold it at all; what they can't hold is found in none."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


if TYPE_CHECKING:
    _DatetimeBase = pw.Field[dt.datetime]
    _JsonBase = pw.Field[Any]
else:
    _DatetimeBase = pw.BigIntegerField
    _JsonBase = pw.TextField


class UtcField(_DatetimeBase):
    """An aware UTC datetime, stored as BIGINT microseconds."""

    field_type = "BIGINT"

    def db_value(self, value: dt.datetime | int | None) -> int | None:
        return value if value is None or isinstance(value, int) else to_us(value)

    def python_value(self, value: int | None) -> dt.datetime | None:
        return None if value is None else from_us(value)


class JsonField(_JsonBase):
    """A JSON value, stored as text."""

    field_type = "TEXT"

    def db_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def python_value(self, value: str | None) -> Any:
        return None if value is None else json.loads(value)
