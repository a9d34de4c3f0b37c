"""Apollo: e-mails. Numbers it gives to an unsigned callback alone, so it isn't asked for them.
https://docs.apollo.io/reference/people-enrichment"""

from __future__ import annotations

from outreach_sdk.domain.payload import every, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["Apollo"]

VERDICTS = {"verified": Verdict.VERIFIED, "unavailable": Verdict.INVALID, "bounced": Verdict.INVALID}


class Apollo(Vendor):
    name = "apollo"
    title = "Apollo"
    base = "https://api.apollo.io"
    pace = 0.3
    fields = frozenset({"email"})

    def auth(self) -> dict[str, str]:
        return {"x-api-key": self._key()}

    def refine(self, reply: Reply) -> Reply:
        if text(reply.data, "error_code") == "INSUFFICIENT_CREDITS":
            return Reply(reply.status, "spent", reply.data, reply.headers)
        return reply

    def find(self, person: Person, field: str, reference: str) -> Answer:
        asked = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "organization_name": person.company,
            "domain": person.domain,
            "linkedin_url": person.linkedin,
        }
        reply = self.call("POST", "/api/v1/people/match", json={k: v for k, v in asked.items() if v})
        found = []
        address = text(reply.data, "person.email")
        # What it hasn't unlocked stands there as email_not_unlocked@domain.com.
        if address and not address.startswith("email_not_unlocked"):
            verdict = VERDICTS.get(text(reply.data, "person.email_status"), Verdict.UNKNOWN)
            found.append(Point(address, verdict))
        for other in every(reply.data, "person.personal_emails"):
            if isinstance(other, str):
                found.append(Point(other, kind="personal"))
        return Answer(tuple(found))
