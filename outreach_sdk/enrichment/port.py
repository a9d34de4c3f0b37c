"""What the engine sees of whoever finds addresses and numbers, or says whether they are good.

An adapter is given its key (a callable) and base URL. It never reads settings or the database, and raises only
errors of the `ProviderError` family, whose text holds neither the key nor whom was asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from outreach_sdk.domain.waterfall import Point

__all__ = ["Answer", "Enrichers", "Finder", "Person", "Provider", "Verifier"]


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to look for. `linkedin` is a whole address; `domain` the employer's, without www."""

    first_name: str = ""
    last_name: str = ""
    company: str = ""
    domain: str = ""
    linkedin: str = ""

    @property
    def named(self) -> bool:
        """Whether a name and an employer are known: what most need where there is no profile."""
        return bool(self.first_name and self.last_name and (self.company or self.domain))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of the person: no points, it is a miss. With `pending`, the request's id, it isn't known yet:
    ask again with it after `wait` seconds."""

    points: tuple[Point, ...] = field(default=())
    pending: str | None = None
    wait: float = 0.0


class Provider(Protocol):
    """Safe to use from several threads. `pace`: seconds between two calls that its limits ask for."""

    @property
    def name(self) -> str: ...

    @property
    def pace(self) -> float: ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Finder(Provider, Protocol):
    """Looks for people."""

    @property
    def fields(self) -> frozenset[str]: ...

    def cannot(self, person: Person, field: str) -> str | None:
        """What it lacks to look for this person, as a sentence; None where it can."""
        ...

    def find(self, person: Person, field: str, reference: str) -> Answer:
        """One question, no retries. `reference` comes back with a callback, where the provider has one."""
        ...

    def fetch(self, request_id: str, field: str) -> Answer:
        """What became of a pending request."""
        ...


class Verifier(Provider, Protocol):
    """Says whether addresses are good."""

    def check(self, address: str) -> Answer:
        """One point with the address and its verdict; or pending: `check` again after a while."""
        ...


@dataclass(frozen=True, slots=True)
class Enrichers:
    """Those that are set up, by name."""

    finders: Mapping[str, Finder] = field(default_factory=dict)
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
