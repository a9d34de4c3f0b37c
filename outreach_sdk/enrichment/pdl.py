"""People Data Labs. https://docs.peopledatalabs.com/docs/reference-person-enrichment-api"""

from __future__ import annotations

from outreach_sdk.domain.payload import every, text, texts
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["PeopleDataLabs"]
MEANS = {404: "miss"}


class PeopleDataLabs(Vendor):
    name = "pdl"
    title = "People Data Labs"
    base = "https://api.peopledatalabs.com"
    pace = 0.6  # 100 a minute
    fields = frozenset({"email", "phone"})
    statuses = MEANS

    def auth(self) -> dict[str, str]:
        return {"X-Api-Key": self._key()}

    def find(self, person: Person, field: str, reference: str) -> Answer:
        # Without what is required it answers 404 and charges nothing.
        asked = {"min_likelihood": "6", "required": "emails" if field == "email" else "mobile_phone"}
        if person.linkedin:
            asked["profile"] = person.linkedin
        if person.named:
            asked |= {"first_name": person.first_name, "last_name": person.last_name}
            asked["company"] = person.domain or person.company
        reply = self.call("GET", "/v5/person/enrich", params=asked)
        if reply.meaning == "miss":
            return Answer()
        return Answer(self._emails(reply.data) if field == "email" else self._phones(reply.data))

    def _emails(self, data: object) -> tuple[Point, ...]:
        # A plan without contact details gives `true` in place of an address, which counts as none.
        found = [Point(text(data, "data.work_email"), kind="work")]
        found += [Point(a, kind="personal") for a in texts(data, "data.personal_emails")]
        for one in every(data, "data.emails"):
            kind = "personal" if text(one, "type") == "personal" else "work"
            # A former employer's address reaches nobody.
            if text(one, "type") in ("current_professional", "personal"):
                found.append(Point(text(one, "address"), kind=kind))
        return tuple(
            p for n, p in enumerate(found) if p.value and p.value not in [q.value for q in found[:n]]
        )

    def _phones(self, data: object) -> tuple[Point, ...]:
        mobile = text(data, "data.mobile_phone")
        others = [Point(n) for n in texts(data, "data.phone_numbers") if n != mobile]
        return ((Point(mobile, Verdict.VERIFIED, "personal"),) if mobile else ()) + tuple(others)
