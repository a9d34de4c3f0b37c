"""ZeroBounce: verifies. https://www.zerobounce.net/docs/email-validation-api-quickstart"""

from __future__ import annotations

from outreach_sdk.domain.payload import text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer
from outreach_sdk.errors import ProviderUnusable

__all__ = ["ZeroBounce"]

VERDICTS = {
    "valid": Verdict.VERIFIED,
    "catch-all": Verdict.CATCH_ALL,
    "invalid": Verdict.INVALID,
    "spamtrap": Verdict.INVALID,
    "abuse": Verdict.INVALID,
    "do_not_mail": Verdict.INVALID,
    "unknown": Verdict.UNKNOWN,
}
ROLES = ("role_based", "role_based_catch_all")


class ZeroBounce(Vendor):
    name = "zerobounce"
    title = "ZeroBounce"
    base = "https://api.zerobounce.net"
    pace = 0.01

    def refine(self, reply: Reply) -> Reply:
        # 200 with an error, one text for a wrong key and an empty account.
        if reply.meaning == "ok" and text(reply.data, "error"):
            return Reply(reply.status, "denied", reply.data, reply.headers)
        return reply

    def check(self, address: str) -> Answer:
        asked = {"api_key": self._key(), "email": address, "ip_address": ""}
        data = self.call("GET", "/v2/validate", params=asked).data
        status, more = text(data, "status"), text(data, "sub_status")
        if not status and text(data, "message"):  # greylisted: it wants to be called again
            return Answer(pending=address, wait=60.0)
        if status not in VERDICTS:
            raise ProviderUnusable("ZeroBounce's answer can't be read.")
        return Answer((Point(address, Verdict.ROLE if more in ROLES else VERDICTS[status]),))
