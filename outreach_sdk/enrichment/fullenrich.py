"""FullEnrich: a batch of one, with a signed callback that says when to ask for it. https://docs.fullenrich.com"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outreach_sdk.domain.events import EnrichmentReady, Event, Received
from outreach_sdk.domain.payload import at, every, parse_object, text
from outreach_sdk.domain.waterfall import Point, Verdict
from outreach_sdk.enrichment.calls import Reply, Vendor
from outreach_sdk.enrichment.port import Answer, Person
from outreach_sdk.errors import ProviderUnusable

__all__ = ["FullEnrich", "read"]

VERDICTS = {
    "DELIVERABLE": Verdict.VERIFIED,
    "CATCH_ALL": Verdict.CATCH_ALL,
    "INVALID": Verdict.INVALID,
}
"""HIGH_PROBABILITY isn't a verification."""
WANTED = {"email": ["contact.work_emails", "contact.personal_emails"], "phone": ["contact.phones"]}
WAITS: Mapping[bool, float] = {True: 60.0, False: 20.0}
"""Seconds until it is asked about: longer where a callback will say."""


class FullEnrich(Vendor):
    name = "fullenrich"
    title = "FullEnrich"
    base = "https://app.fullenrich.com"
    pace = 1.0  # 60 a minute
    fields = frozenset({"email", "phone"})

    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}"}

    def refine(self, reply: Reply) -> Reply:
        if reply.status == 400 and "in_progress" in text(reply.data, "code") + text(reply.data, "error"):
            return Reply(reply.status, "pending", reply.data, reply.headers)
        return reply

    def find(self, person: Person, field: str, reference: str) -> Answer:
        about: dict[str, Any] = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "company_name": person.company,
            "domain": person.domain,
            "linkedin_url": person.linkedin,
        }
        one = {k: v for k, v in about.items() if v}
        one |= {"enrich_fields": WANTED[field], "custom": {"reference": reference}}
        asked: dict[str, Any] = {"name": "outreach", "data": [one]}
        if self._callback_url:
            asked["webhook_url"] = self._callback_url
        request = text(self.call("POST", "/api/v2/contact/enrich/bulk", json=asked).data, "enrichment_id")
        if not request:
            raise ProviderUnusable("FullEnrich's answer can't be read.")
        return Answer(pending=request, wait=WAITS[bool(self._callback_url)])

    def fetch(self, request_id: str, field: str) -> Answer:
        reply = self.call("GET", f"/api/v2/contact/enrich/bulk/{request_id}")
        if reply.meaning == "pending" or text(reply.data, "status") in ("IN_PROGRESS", "CREATED"):
            return Answer(pending=request_id, wait=WAITS[False])
        info = at(reply.data, "data.0.contact_info") or at(reply.data, "data.0.contact")
        if field == "phone":
            numbers = [text(one, "number") for one in every(info, "phones")]
            return Answer(tuple(Point(n, Verdict.VERIFIED, "personal") for n in numbers if n))
        found = []
        for where, kind in (("work_emails", "work"), ("personal_emails", "personal"), ("emails", None)):
            for one in every(info, where):
                verdict = VERDICTS.get(text(one, "status"), Verdict.UNKNOWN)
                found.append(Point(text(one, "email"), verdict, kind))
        return Answer(tuple(p for p in found if p.value))


def read(received: Received) -> list[Event]:
    """A callback: which request is ready. What it found is asked for, as without a callback."""
    data = parse_object(received.body)
    request = text(data, "enrichment_id") or text(data, "id")
    return [EnrichmentReady("fullenrich", request)] if request else []
