"""Webhook subscriptions as a vendor has them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Hook"]


@dataclass(frozen=True, slots=True)
class Hook:
    """`active` False: nothing is told any more; `why` says what is known of it."""

    external_id: str
    target: str
    active: bool = True
    why: str = ""
