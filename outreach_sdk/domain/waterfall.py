"""Which provider is asked next for a field of a person, when that ends, and what it costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from enum import StrEnum

from outreach_sdk.domain.contact import email_kind, normalise_email, normalise_phone
from outreach_sdk.domain.freemail import ROLE_LOCALS
from outreach_sdk.errors import InvalidInput

__all__ = [
    "COST",
    "EMAIL_ORDER",
    "FIELDS",
    "PHONE_ORDER",
    "VERIFIERS",
    "Accept",
    "Ask",
    "Done",
    "Point",
    "Verdict",
    "Verify",
    "most",
    "next_move",
    "usable",
]

FIELDS = ("email", "phone")
COST: Mapping[str, int] = {"email": 3, "phone": 10}

EMAIL_ORDER = (
    "hunter", "prospeo", "dropcontact", "pdl", "apollo", "contactout", "rocketreach", "lusha", "fullenrich",
)  # fmt: skip
PHONE_ORDER = ("pdl", "lusha", "contactout", "rocketreach", "prospeo", "fullenrich")
VERIFIERS = ("zerobounce", "neverbounce", "hunter")


class Verdict(StrEnum):
    """How sure an address or number is. `catch_all`: its domain takes anything, so nobody can say. `role`: it is
    nobody's in person."""

    VERIFIED = "verified"
    CATCH_ALL = "catch_all"
    UNKNOWN = "unknown"
    ROLE = "role"
    INVALID = "invalid"


_SURE = (Verdict.VERIFIED, Verdict.CATCH_ALL, Verdict.UNKNOWN, Verdict.ROLE, Verdict.INVALID)


@dataclass(frozen=True, slots=True)
class Point:
    """One address or number as a provider gives it."""

    value: str
    verdict: Verdict = Verdict.UNKNOWN
    kind: str | None = None  # work | personal | other


@dataclass(frozen=True, slots=True)
class Ask:
    """Have this provider look for the person."""

    provider: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Have this verifier say whether the address, found by `found_by`, is good."""

    provider: str
    point: Point
    found_by: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Found and verified; nobody else is asked."""

    point: Point
    found_by: str


@dataclass(frozen=True, slots=True)
class Done:
    """Everybody was asked. `best`: what was found but nobody vouches for, which costs nothing and isn't used."""

    best: Point | None = None
    found_by: str | None = None


def usable(field: str, point: Point) -> Point:
    """The point as it is compared and kept: normalised, with its kind, its verdict never better than what the value
    itself permits. Addresses of roles are `role`, numbers that can't be dialled `invalid`."""
    try:
        if field == "email":
            value = normalise_email(point.value)
            kind = point.kind or email_kind(value)
            if value.partition("@")[0].partition("+")[0] in ROLE_LOCALS:
                return Point(value, Verdict.ROLE, "other")
            return Point(value, point.verdict, kind)
        value = normalise_phone(point.value)
    except InvalidInput:
        return Point(point.value[:200], Verdict.INVALID, point.kind)
    import phonenumbers  # here: its tables are large

    # A number of the right length may still be one that no country gives out.
    good = phonenumbers.is_valid_number(phonenumbers.parse(value))
    return Point(value, point.verdict if good else Verdict.INVALID, point.kind or "other")


def next_move(
    field: str,
    order: Seq[str],
    verifiers: Seq[str],
    answers: Mapping[str, Seq[Point]],
    checks: Mapping[str, Mapping[str, Verdict]],
    *,
    refused: Collection[str] = (),
) -> Ask | Verify | Accept | Done:
    """What comes next. `order`: whom to ask, in this order; `answers`: what each said that has answered (nothing, for
    those who know nobody or can't be asked); `checks`: by address, what each verifier said; `refused`: values
    that can't be the person's (somebody else's, known to bounce).

    The first verified hit ends it. An address nobody vouches for goes to the verifiers before the next provider is
    asked; where they can't tell (catch-all), later providers are, and it is what remains if none finds better."""
    best: tuple[Point, str] | None = None
    for provider in order:
        if provider not in answers:
            return Ask(provider)
        for point in sorted(answers[provider], key=lambda p: _SURE.index(p.verdict)):
            if point.value in refused or point.verdict in (Verdict.INVALID, Verdict.ROLE):
                continue
            if point.verdict is Verdict.VERIFIED:
                return Accept(point, provider)
            if field != "email":
                best = best or (point, provider)
                continue
            said = checks.get(point.value, {})
            if Verdict.VERIFIED in said.values():
                return Accept(Point(point.value, Verdict.VERIFIED, point.kind), provider)
            if Verdict.INVALID in said.values() or Verdict.ROLE in said.values():
                continue
            if Verdict.CATCH_ALL not in said.values() and (
                open_one := next((v for v in verifiers if v not in said), None)
            ):
                return Verify(open_one, point, provider)
            if best is None:
                known = Verdict.CATCH_ALL if Verdict.CATCH_ALL in said.values() else point.verdict
                best = Point(point.value, known, point.kind), provider
    return Done(*best) if best else Done()


def most(fields: Seq[str], missing: Mapping[str, int]) -> int:
    """What a run can cost at most: `missing` people by field."""
    return sum(COST[field] * missing.get(field, 0) for field in fields)
