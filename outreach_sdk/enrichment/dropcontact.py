"""Dropcontact: a batch of one, asked about until it is ready. https://developer.dropcontact.com"""

from __future__ import annotations

from outreach_sdk.domain.payload import at, every, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer, Person
from outreach_sdk.errors import ProviderUnusable

__all__ = ["Dropcontact"]

VERDICTS = {
    "nominative": Verdict.VERIFIED,
    "catch_all": Verdict.CATCH_ALL,
    "generic": Verdict.ROLE,
    "invalid": Verdict.INVALID,
}
"""The first half of `qualification` (nominative@pro); the second says whose domain it is."""


class Dropcontact(Vendor):
    name = "dropcontact"
    title = "Dropcontact"
    base = "https://api.dropcontact.com"
    pace = 1.0  # 60 a minute
    fields = frozenset({"email"})

    def auth(self) -> dict[str, str]:
        return {"X-Access-Token": self._key()}

    def refine(self, reply: Reply) -> Reply:
        if reply.meaning == "ok" and at(reply.data, "error") is True:
            spent = "credit" in text(reply.data, "reason").lower()
            return Reply(reply.status, "spent" if spent else "unusable", reply.data, reply.headers)
        return reply

    def find(self, person: Person, field: str, reference: str) -> Answer:
        about = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "company": person.company,
            "website": person.domain,
            "linkedin": person.linkedin,
        }
        asked = {"data": [{k: v for k, v in about.items() if v}], "siren": False}
        request = text(self.call("POST", "/v1/enrich/all", json=asked).data, "request_id")
        if not request:
            raise ProviderUnusable("Dropcontact's answer can't be read.")
        return Answer(pending=request, wait=30.0)

    def fetch(self, request_id: str, field: str) -> Answer:
        data = self.call("GET", f"/v1/enrich/all/{request_id}").data
        if at(data, "success") is not True:
            return Answer(pending=request_id, wait=30.0)
        found = []
        for one in every(data, "data.0.email"):
            how, _, whose = text(one, "qualification").partition("@")
            kind = {"pro": "work", "perso": "personal"}.get(whose)
            if address := text(one, "email"):
                found.append(Point(address, VERDICTS.get(how, Verdict.UNKNOWN), kind))
        return Answer(tuple(found))
