"""What the engine sees of whoever judges replies, writes passages and reads headers.

An adapter is given its key (a callable) and base URL. It never reads settings or the database, and raises only
errors of the `AiError` family, whose text holds neither the key nor what people wrote.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from outreach_sdk.domain.reply_kind import Kind

__all__ = ["HeaderReader", "Judgement", "PassageWriter", "ReplyJudge", "Written"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`confidence` runs from 0 to 1; `model` is what answered, `version` the question's; `answer` is the model's
    own, as it came; `cost` in millionths of a dollar, None where nobody
    can say."""

    kind: Kind
    confidence: float
    referral_name: str = ""
    referral_email: str = ""
    model: str = ""
    version: str = ""
    answer: str = ""
    tokens: int = 0
    cost: int | None = 0


@runtime_checkable
class ReplyJudge(Protocol):
    """Says of what kind a reply is. Safe to use from several threads."""

    @property
    def identity(self) -> str:
        """The same for the same key, place and model; gives none of them away."""
        ...

    def most(self, text: str, step: str) -> int:
        """What one call with these can cost at most, in millionths of a dollar."""
        ...

    def judge(self, text: str, step: str, *, known: Collection[str] = ()) -> Judgement:
        """One call, no retries. `text` is what the person wrote, without quotes and signature, `step` what the
        e-mail it answers says: nothing else leaves the machine. `known` addresses are nobody new to be referred
        to. AiUnusable, AiUnavailable, AiDenied."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """A passage as it may be sent; `cost` in millionths of a dollar, None where nobody can say."""

    text: str
    model: str = ""
    tokens: int = 0
    cost: int | None = 0


@runtime_checkable
class PassageWriter(Protocol):
    """Writes a passage of an e-mail. Safe to use from several threads."""

    @property
    def identity(self) -> str:
        """The same for the same key, place and model; gives none of them away."""
        ...

    def most_for(self, prompt: str) -> int:
        """What one call with it can cost at most, in millionths of a dollar."""
        ...

    def write(self, prompt: str) -> Written:
        """One call, no retries. Nothing but `prompt` leaves the machine. AiUnusable, AiUnavailable, AiDenied."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class HeaderReader(Protocol):
    """Says which column of a spreadsheet holds what. Safe to use from several threads."""

    @property
    def identity(self) -> str:
        """The same for the same key, place and model; gives none of them away."""
        ...

    def most_for_headers(self, question: str) -> int:
        """What one call with it can cost at most, in millionths of a dollar."""
        ...

    def read_headers(self, question: str) -> Written:
        """The model's own words, unchecked. One call, no retries; nothing but `question` leaves the machine. AiUnusable,
        AiUnavailable, AiDenied."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
