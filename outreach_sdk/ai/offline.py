"""Judges replies by the rules alone: free, at once, and there when nobody else is."""

from __future__ import annotations

from collections.abc import Collection

from outreach_sdk.ai.port import Judgement

__all__ = ["OfflineJudge"]


class OfflineJudge:
    """`domain.reply_kind` behind the port. Never fails and never waits."""

    identity = "rules"

    def most(self, text: str, step: str) -> int:
        return 0

    def judge(self, text: str, step: str, *, known: Collection[str] = ()) -> Judgement:
        from outreach_sdk.domain.reply_kind import reply_kind  # whoever only sends judges nothing

        found = reply_kind(text, known=known)
        who = found.referral
        return Judgement(
            found.kind,
            found.confidence,
            who.name if who else "",
            who.email if who else "",
            model="rules",
            answer=found.because,
        )

    def close(self) -> None:
        """Nothing is open."""
