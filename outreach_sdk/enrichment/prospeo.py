"""Prospeo. https://prospeo.io/api-docs/enrich-person"""

from __future__ import annotations

from typing import Any

from outreach_sdk.domain.payload import at, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["Prospeo"]

ERRORS = {
    "NO_MATCH": "miss",
    "NO_RESULT": "miss",
    "INSUFFICIENT_CREDITS": "spent",
    "INVALID_API_KEY": "denied",
}
"""Its 400s say by `error_code` what they are."""


class Prospeo(Vendor):
    name = "prospeo"
    title = "Prospeo"
    base = "https://api.prospeo.io"
    pace = 0.2
    fields = frozenset({"email", "phone"})

    def auth(self) -> dict[str, str]:
        return {"X-KEY": self._key()}

    def refine(self, reply: Reply) -> Reply:
        meaning = ERRORS.get(text(reply.data, "error_code"))
        return Reply(reply.status, meaning, reply.data, reply.headers) if meaning else reply

    def find(self, person: Person, field: str, reference: str) -> Answer:
        about: dict[str, str] = {}
        if person.linkedin:
            about["linkedin_url"] = person.linkedin
        if person.named:
            about |= {"first_name": person.first_name, "last_name": person.last_name}
            about |= {"company_website": person.domain} if person.domain else {"company_name": person.company}
        asked: dict[str, Any] = {"only_verified_email": field == "email", "data": about}
        if field == "phone":
            asked |= {"enrich_mobile": True, "only_verified_mobile": True}
        reply = self.call("POST", "/enrich-person", json=asked)
        if reply.meaning == "miss":
            return Answer()
        where = "person.email" if field == "email" else "person.mobile"
        if at(reply.data, f"{where}.revealed") is False:
            return Answer()
        value = text(reply.data, f"{where}.{'email' if field == 'email' else 'mobile'}")
        sure = text(reply.data, f"{where}.status").upper() == "VERIFIED"
        kind = None if field == "email" else "personal"
        point = Point(value, Verdict.VERIFIED if sure else Verdict.UNKNOWN, kind)
        return Answer((point,) if value else ())
