"""ContactOut: by LinkedIn profile alone. https://api.contactout.com"""

from __future__ import annotations

from outreach_sdk.domain.payload import at, texts
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["ContactOut"]
MEANS = {403: "spent", 404: "miss"}


class ContactOut(Vendor):
    name = "contactout"
    title = "ContactOut"
    base = "https://api.contactout.com"
    pace = 1.0  # 60 a minute
    fields = frozenset({"email", "phone"})
    statuses = MEANS

    def auth(self) -> dict[str, str]:
        return {"token": self._key(), "authorization": "basic"}

    def cannot(self, person: Person, field: str) -> str | None:
        return None if person.linkedin else "It needs a LinkedIn URL."

    def find(self, person: Person, field: str, reference: str) -> Answer:
        asked = {
            "profile": person.linkedin,
            "include_phone": "true" if field == "phone" else "false",
            "email_type": "personal,work" if field == "email" else "none",
        }
        reply = self.call("GET", "/v1/people/linkedin", params=asked)
        if reply.meaning == "miss":
            return Answer()
        if field == "phone":
            return Answer(
                tuple(Point(n, Verdict.VERIFIED, "personal") for n in texts(reply.data, "profile.phone"))
            )
        said = at(reply.data, "profile.work_email_status")
        statuses = said if isinstance(said, dict) else {}
        found = [
            Point(a, Verdict.VERIFIED if statuses.get(a) == "Verified" else Verdict.UNKNOWN, "work")
            for a in texts(reply.data, "profile.work_email")
        ]
        found += [Point(a, kind="personal") for a in texts(reply.data, "profile.personal_email")]
        return Answer(tuple(found))
