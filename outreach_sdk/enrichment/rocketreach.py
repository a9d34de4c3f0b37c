"""RocketReach: a lookup that may go on for a while, asked about until it is complete. https://docs.rocketreach.co"""

from __future__ import annotations

from typing import Any

from outreach_sdk.domain.payload import at, every, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Vendor
from outreach_sdk.enrichment.port import Answer, Person

__all__ = ["RocketReach"]

VERDICTS = {"valid": Verdict.VERIFIED, "invalid": Verdict.INVALID, "accept_all": Verdict.CATCH_ALL}
GOING_ON = ("progress", "searching", "queued", "waiting")
KINDS = {"professional": "work", "personal": "personal", "mobile": "personal"}
MEANS = {404: "miss"}


class RocketReach(Vendor):
    name = "rocketreach"
    title = "RocketReach"
    base = "https://api.rocketreach.co"
    pace = 0.5
    fields = frozenset({"email", "phone"})
    statuses = MEANS

    def auth(self) -> dict[str, str]:
        return {"Api-Key": self._key()}

    def cannot(self, person: Person, field: str) -> str | None:
        if person.linkedin or (person.named and person.company):
            return None
        return "It needs a LinkedIn URL, or a name and an employer."

    def find(self, person: Person, field: str, reference: str) -> Answer:
        asked = (
            {"linkedin_url": person.linkedin}
            if person.linkedin
            else {"name": f"{person.first_name} {person.last_name}", "current_employer": person.company}
        )
        reply = self.call("GET", "/api/v2/person/lookup", params=asked)
        return Answer() if reply.meaning == "miss" else self._answer(reply.data, field)

    def fetch(self, request_id: str, field: str) -> Answer:
        reply = self.call("GET", "/api/v2/person/checkStatus", params={"ids": request_id})
        if reply.meaning == "miss":
            return Answer()
        return self._answer(next(iter(every(reply.data, "list")), reply.data), field)

    def _answer(self, data: Any, field: str) -> Answer:
        if text(data, "status") in GOING_ON:
            return Answer(pending=text(data, "id"), wait=10.0)
        if field == "email":
            return Answer(
                tuple(
                    Point(
                        text(one, "email"),
                        VERDICTS.get(text(one, "smtp_valid"), Verdict.UNKNOWN),
                        KINDS.get(text(one, "type")),
                    )
                    for one in every(data, "emails")
                    if text(one, "email")
                )
            )
        numbers = [one for one in every(data, "phones") if text(one, "number")]
        return Answer(
            tuple(
                Point(
                    text(one, "number"),
                    Verdict.VERIFIED if at(one, "recommended") is True else Verdict.UNKNOWN,
                    KINDS.get(text(one, "type"), "other"),
                )
                for one in numbers
            )
        )
