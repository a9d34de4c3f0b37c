"""NeverBounce: verifies. https://developers.neverbounce.com/reference/single-check"""

from __future__ import annotations

from outreach_sdk.domain.payload import text, texts
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer
from outreach_sdk.errors import ProviderUnusable

__all__ = ["NeverBounce"]

VERDICTS = {
    "valid": Verdict.VERIFIED,
    "catchall": Verdict.CATCH_ALL,
    "invalid": Verdict.INVALID,
    "disposable": Verdict.INVALID,
    "unknown": Verdict.UNKNOWN,
}
FAILURES = {
    "auth_failure": "denied",
    "bad_referrer": "denied",
    "temp_unavail": "down",
    "throttle_triggered": "busy",
    "general_failure": "unusable",
}
"""All of them come with HTTP 200."""


class NeverBounce(Vendor):
    name = "neverbounce"
    title = "NeverBounce"
    base = "https://api.neverbounce.com"
    pace = 0.1

    def refine(self, reply: Reply) -> Reply:
        meaning = FAILURES.get(text(reply.data, "status")) if reply.meaning == "ok" else None
        if meaning == "unusable" and "credit" in text(reply.data, "message").lower():
            meaning = "spent"
        return Reply(reply.status, meaning, reply.data, reply.headers) if meaning else reply

    def check(self, address: str) -> Answer:
        # In the body, so that the key is in no address.
        reply = self.call("POST", "/v4/single/check", data={"key": self._key(), "email": address})
        result = text(reply.data, "result")
        if result not in VERDICTS:
            raise ProviderUnusable("NeverBounce's answer can't be read.")
        role = "role_account" in texts(reply.data, "flags")
        return Answer((Point(address, Verdict.ROLE if role else VERDICTS[result]),))
