"""Hunter: finds by name and domain, and verifies. https://hunter.io/api-documentation/v2"""

from __future__ import annotations

from outreach_sdk.domain.payload import at, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["Hunter"]

VERDICTS = {
    "valid": Verdict.VERIFIED,
    "accept_all": Verdict.CATCH_ALL,
    "invalid": Verdict.INVALID,
    "disposable": Verdict.INVALID,
}
# Its 403 is the rate and its 429 the plan's quota; 451: the person asked not to be found.
MEANS = {403: "busy", 429: "spent", 451: "miss", 404: "miss"}


class Hunter(Vendor):
    name = "hunter"
    title = "Hunter"
    base = "https://api.hunter.io"
    pace = 0.125  # 500 a minute
    fields = frozenset({"email"})
    statuses = MEANS

    def auth(self) -> dict[str, str]:
        return {"X-API-KEY": self._key()}

    def find(self, person: Person, field: str, reference: str) -> Answer:
        asked = {"max_duration": "10"}
        if person.named:
            asked |= {"domain": person.domain} if person.domain else {"company": person.company}
            asked |= {"first_name": person.first_name, "last_name": person.last_name}
        else:
            asked["linkedin_handle"] = person.linkedin.rstrip("/").rpartition("/")[2]
        data = self.call("GET", "/v2/email-finder", params=asked).data
        address = text(data, "data.email")
        verdict = VERDICTS.get(text(data, "data.verification.status"), Verdict.UNKNOWN)
        if verdict is Verdict.VERIFIED and at(data, "data.accept_all") is True:
            verdict = Verdict.CATCH_ALL
        return Answer((Point(address, verdict),) if address else ())

    def check(self, address: str) -> Answer:
        reply = self.call("GET", "/v2/email-verifier", params={"email": address})
        if reply.status == 202:  # still running; asking again isn't charged again
            return Answer(pending=address, wait=5.0)
        verdict = VERDICTS.get(text(reply.data, "data.status"), Verdict.UNKNOWN)
        return Answer((Point(address, verdict),))
