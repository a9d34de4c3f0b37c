"""Where the next poll of a Gmail mailbox begins, and what is still to be read before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from outreach_sdk.mail.batch import Failing

__all__ = ["Cursor"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """`history_id` is what history is listed from once nothing is `left` of a listing of what came before, oldest first.
    `failing` was listed, but couldn't be read."""

    history_id: str
    left: tuple[str, ...] = ()
    failing: Mapping[str, Failing] = field(default_factory=dict)

    def encode(self) -> str:
        if not self.left and not self.failing:
            return self.history_id
        failing = {name: f.encode() for name, f in self.failing.items()}
        return json.dumps({"h": self.history_id, "left": self.left, "failing": failing})

    @classmethod
    def decode(cls, text: str) -> Cursor | None:
        """None for what isn't one of ours, as another provider's."""
        if text.isascii() and text.isdigit():
            return cls(text)
        try:
            inner = json.loads(text)
            failing = {str(name): Failing.decode(value) for name, value in inner["failing"].items()}
            return cls(str(inner["h"]), tuple(map(str, inner["left"])), failing)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
