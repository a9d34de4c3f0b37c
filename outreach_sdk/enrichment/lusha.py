"""Lusha, version 2. https://docs.lusha.com"""

from __future__ import annotations

from outreach_sdk.domain.payload import at, every, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["Lusha"]

SURE = ("A+", "A")
KINDS = {"work": "work", "private": "personal", "mobile": "personal", "direct": "work", "phone": "work"}
# 451: the person lives where they may not be shown (GDPR).
MEANS = {404: "miss", 451: "miss"}


class Lusha(Vendor):
    name = "lusha"
    title = "Lusha"
    base = "https://api.lusha.com"
    pace = 0.04  # 25 a second
    fields = frozenset({"email", "phone"})
    statuses = MEANS

    def auth(self) -> dict[str, str]:
        return {"api_key": self._key()}

    def find(self, person: Person, field: str, reference: str) -> Answer:
        asked = {"linkedinUrl": person.linkedin} if person.linkedin else {}
        if person.named:
            asked |= {"firstName": person.first_name, "lastName": person.last_name}
            asked |= {"companyDomain": person.domain} if person.domain else {"companyName": person.company}
        asked |= {"revealEmails": "true"} if field == "email" else {"revealPhones": "true"}
        reply = self.call("GET", "/v2/person", params=asked)
        # Beside a 404 a miss is an `error` inside the contact.
        if reply.meaning == "miss" or at(reply.data, "contact.error"):
            return Answer()
        data = at(reply.data, "contact.data")
        found = []
        if field == "email":
            for one in every(data, "emailAddresses"):
                sure = text(one, "emailConfidence") in SURE
                kind = KINDS.get(text(one, "emailType").lower())
                verdict = Verdict.VERIFIED if sure else Verdict.UNKNOWN
                found.append(Point(text(one, "email"), verdict, kind))
        else:
            for one in every(data, "phoneNumbers"):
                if at(one, "doNotCall") is not True:
                    kind = KINDS.get(text(one, "phoneType").lower(), "other")
                    found.append(Point(text(one, "number"), Verdict.VERIFIED, kind))
        return Answer(tuple(p for p in found if p.value))
