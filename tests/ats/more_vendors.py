"""The half of the vendors on loopback that tell of people by candidate: Workable, SmartRecruiters, Teamtailor, Recruitee
and Bullhorn; and what all vendors show."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
PAGE = 2


def good(data: Any, status: int = 200) -> Answer:
    return status, {}, json.dumps(data).encode()


def iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ms(moment: dt.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def moment(given: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(given) if given else None


@dataclass
class Candidate:
    """Somebody with one application, `a<number>`, and perhaps an interview."""

    number: int
    email: str
    state: str = "in_process"  # in_process | rejected | hired | sourced
    rejected: dt.datetime | None = None
    starts: dt.datetime | None = None
    dropped: bool = False
    updated: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    notes: list[str] = field(default_factory=list)
    interview_id: int | None = None


class MoreVendors:
    """Part of `Vendors`."""

    people: dict[int, Candidate]
    url: str
    sessions: int
    over: bool

    def _changed(self, since: dt.datetime | None) -> list[Candidate]:
        found = [p for p in self.people.values() if since is None or p.updated >= since]
        return sorted(found, key=lambda p: p.number)

    def _by_application(self, name: str) -> Candidate | None:
        return self.people.get(int(name.lstrip("a"))) if re.fullmatch(r"a?\d+", name) else None

    # -- Workable: the next page is a whole address ------------------------------------------------
    def _workable(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        if steps != ["candidates"]:
            return self._hook(method, steps[1:], body, "target", "subscriptions", single="")
        found = [
            p
            for p in self._changed(moment(query.get("updated_after")))
            if p.number >= int(query.get("since_id", 0))
        ]
        size = min(int(query["limit"]), PAGE)
        page: dict[str, Any] = {"candidates": [self._wk_candidate(p) for p in found[:size]]}
        if len(found) > size:
            asked = f"limit={size}&since_id={found[size].number}"
            page["paging"] = {"next": f"https://elsewhere.example/spi/v3/candidates?{asked}"}
        return good(page)

    @staticmethod
    def _wk_candidate(p: Candidate) -> dict[str, Any]:
        stage = {"hired": "hired", "sourced": "sourced"}.get(p.state, "phone-screen")
        return {
            "id": str(p.number),
            "email": p.email,
            "stage": stage.title(),
            "stage_kind": stage,
            "disqualified": p.state == "rejected",
            "hired_at": "2026-01-05" if p.state == "hired" else None,
            "updated_at": iso(p.updated),
        }

    # -- SmartRecruiters: a cursor, and somebody's jobs ---------------------------------------------
    def _smartrecruiters(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        match method, steps:
            case "GET", ["candidates"]:
                found = self._changed(moment(query.get("updatedAfter")))
                start = int(query.get("pageId", "page-0").removeprefix("page-"))
                page: dict[str, Any] = {
                    "content": [self._sr_candidate(p) for p in found[start : start + PAGE]]
                }
                if start + PAGE < len(found):
                    page["nextPageId"] = f"page-{start + PAGE}"
                return good(page)
            case "GET", ["candidates", name] if person := self._by_application(name):
                return good(self._sr_candidate(person))
            case "GET", ["interviews-api", "v201904", "interviews", name] if person := self._by_application(
                name
            ):
                slots = [{"startsOn": iso(person.starts)}]
                return good({"id": name, "candidate": {"id": name}, "timeslots": slots})
            case "PUT", ["webhooks-api", "v201907", "subscriptions", _, "activation"]:
                return 200, {}, b""
            case _, ["webhooks-api", "v201907", "subscriptions", *rest]:
                return self._hook(method, rest, body, "callbackUrl", "content", single="")
        return None

    @staticmethod
    def _sr_candidate(p: Candidate) -> dict[str, Any]:
        status = {"rejected": "REJECTED", "hired": "HIRED", "sourced": "LEAD"}.get(p.state, "NEW")
        job = {
            "status": "INTERVIEW" if p.starts else status,
            "job": {"id": "j", "title": "Welder"},
        }
        made = {"id": f"a{p.number}", "email": p.email, "updatedOn": iso(p.updated)}
        # Somebody found for another job as well.
        lead = {"status": "LEAD", "job": {"id": "k", "title": "Fitter"}}
        return {**made, "primaryAssignment": job, "secondaryAssignments": [lead]}

    # -- Teamtailor: JSON:API -----------------------------------------------------------------------
    def _teamtailor(
        self, method: str, steps: list[str], query: dict[str, str], _: Any, __: Any
    ) -> Answer | None:
        match method, steps:
            case "GET", ["job-applications"]:
                found = self._changed(moment(query.get("filter[updated-at][from]")))
                number, size = int(query.get("page[number]", 1)), int(query["page[size]"])
                shown = found[(number - 1) * size : number * size]
                page: dict[str, Any] = {"data": [self._tt_application(p) for p in shown], "links": {}}
                if "include" in query:
                    page["included"] = [one for p in shown for one in self._tt_beside(p)]
                if number * size < len(found):
                    page["links"]["next"] = f"{self.url}/teamtailor/job-applications"
                return good(page)
            case "GET", ["job-applications", name] if person := self._by_application(name):
                job = {"type": "jobs", "id": "1", "attributes": {"title": "Welder"}}
                included = [*self._tt_beside(person), job]
                return good({"data": self._tt_application(person), "included": included})
        return None

    @staticmethod
    def _tt_application(p: Candidate) -> dict[str, Any]:
        attributes = {
            "rejected-at": iso(p.rejected),
            "changed-stage-at": iso(p.updated),
            "sourced": p.state == "sourced",
        }
        candidate, stage = (
            {"type": "candidates", "id": f"c{p.number}"},
            {"type": "stages", "id": f"s{p.state}"},
        )
        if p.starts:
            stage["id"] = "sinterview"
        made = {"id": str(p.number), "type": "job-applications", "attributes": attributes}
        return {**made, "relationships": {"candidate": {"data": candidate}, "stage": {"data": stage}}}

    def _tt_beside(self, p: Candidate) -> list[dict[str, Any]]:
        kind = {"hired": "Hired", "sourced": "Inbox"}.get(p.state, "In process")
        name = "Interview" if p.starts else kind
        stage = self._tt_application(p)["relationships"]["stage"]["data"]
        return [
            {"type": "candidates", "id": f"c{p.number}", "attributes": {"email": p.email}},
            {**stage, "attributes": {"name": name, "stage-type": kind}},
        ]

    # -- Recruitee: a search that tells of disqualification, a list that tells of hires --------------
    def _recruitee(
        self, method: str, steps: list[str], query: dict[str, str], _: Any, __: Any
    ) -> Answer | None:
        match method, steps:
            case "GET", ["search", "new", "candidates"]:
                since = None
                for one in json.loads(query.get("filters_json", "[]")):
                    if one["field"] == "last_activity_at":
                        since = dt.datetime.fromtimestamp(one["gte"], dt.UTC)
                found = self._changed(since)[::-1]
                start = (int(query["page"]) - 1) * int(query["limit"])
                shown = found[start : start + int(query["limit"])]
                return good({"hits": [self._rc_hit(p) for p in shown], "total": len(found)})
            case "GET", ["candidates"]:
                wanted = query.get("ids", "").split(",")
                shown = [p for p in self._changed(None) if str(p.number) in wanted]
                return good({"candidates": [self._rc_candidate(p) for p in shown[: int(query["limit"])]]})
        return None

    @staticmethod
    def _rc_hit(p: Candidate) -> dict[str, Any]:
        placement = {
            "id": 70 + p.number,
            "disqualified": p.state == "rejected",
            "disqualified_at": iso(p.rejected),
            "offer": {"id": 5, "kind": "talent_pool" if p.state == "sourced" else "job"},
            "stage": {"id": 6, "name": "Step"},
        }
        return {"id": p.number, "emails": [p.email], "deleted": False, "placements": [placement]}

    @staticmethod
    def _rc_candidate(p: Candidate) -> dict[str, Any]:
        hired = "2026-01-05T11:22:49.178555Z" if p.state == "hired" else None
        return {"id": p.number, "emails": [p.email], "placements": [{"id": 70 + p.number, "hired_at": hired}]}

    # -- Bullhorn: sessions, and each company's own words --------------------------------------------
    def _bullhorn(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        match method, steps:
            case "POST", ["oauth", "authorize"]:
                if (body["username"], body["password"]) != ("api.user", "pass:word"):
                    return 200, {}, b"<html>try again</html>"
                return 302, {"Location": "https://redirect.example/?code=c0de"}, b""
            case "POST", ["oauth", "token"]:
                right = body["code"] == "c0de" and body["client_secret"] == "secret"
                return good({"access_token": "t"}) if right else (400, {}, b"{}")
            case "POST", ["rest-services", "login"]:
                self.sessions, self.over = self.sessions + 1, False
                rest = {"BhRestToken": f"session-{self.sessions}", "restUrl": f"{self.url}/bullhorn/rest/1/"}
                return good(rest)
            case "GET", ["rest", "1", "query", entity]:
                since = re.search(r"dateLastModified>(\d+)", query["where"])
                found = self._changed(
                    dt.datetime.fromtimestamp(int(since[1]) / 1000, dt.UTC) if since else None
                )
                shown = {
                    "Appointment": [self._appointment(p) for p in found if p.starts],
                    "JobSubmission": [self._submission(p) for p in found],
                    "Placement": [self._placement(p) for p in found if p.state == "hired"],
                }[entity]
                start = int(query.get("start", 0))
                return good({"data": shown[start : start + int(query["count"])]})
        return None

    @staticmethod
    def _appointment(p: Candidate) -> dict[str, Any]:
        return {
            "id": p.number,
            "type": "Interview",
            "subject": "Talk",
            "dateBegin": ms(p.starts),
            "dateAdded": ms(p.updated),
            "dateLastModified": ms(p.updated),
            "isDeleted": p.dropped,
            "candidateReference": {"id": p.number, "email": p.email, "email2": None},
        }

    @staticmethod
    def _submission(p: Candidate) -> dict[str, Any]:
        status = {"rejected": "Client Rejected", "hired": "Placed"}.get(p.state, "Client Submission")
        return {
            "id": p.number,
            "status": status,
            "isDeleted": False,
            "isHidden": p.state == "sourced",
            "dateLastModified": ms(p.updated),
            "candidate": {"id": p.number, "email": None, "email2": p.email},
        }

    @staticmethod
    def _placement(p: Candidate) -> dict[str, Any]:
        over = p.updated - dt.timedelta(days=1) if p.dropped else None
        made = {"id": p.number, "status": "Approved", "dateEnd": ms(over), "dateLastModified": ms(p.updated)}
        return {**made, "candidate": {"id": p.number, "email": p.email}}
