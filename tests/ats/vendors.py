"""Applicant tracking systems on loopback, each answering as its documentation says, with the faults put in front.

All show the same people: what each is called there differs. Pages hold two entries, so that paging is walked.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.ats.more_vendors import PAGE, Answer, Candidate, MoreVendors, good, iso, ms

KEYS = {
    "greenhouse": "the-key:77",
    "lever": "the-key",
    "ashby": "the-key",
    "merge": "the-key:account:user-9",
    "smartrecruiters": "the-key",
    "teamtailor": "the-key",
    "bullhorn": "client:secret:api.user:pass:word",
    "calendly": "the-key",
    "workable": "acme:the-key",
    "recruitee": "acme:the-key",
}
GATE = threading.RLock()


class Vendors(MoreVendors):
    """Runs in threads from construction to `close()`."""

    def __init__(self) -> None:
        self.people: dict[int, Candidate] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.faults: list[tuple[str, Answer | None]] = []
        """(pattern of "METHOD path?query", what is answered; None: done, then the connection is closed)."""
        self.silent = ""
        """Pattern of what isn't answered while it stands here."""
        self.hooks: dict[str, dict[str, Any]] = {}
        self.made = self.sessions = 0
        self.over = False
        vendors = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = vendors.answer(self.command, self.path, self.headers, raw)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, data = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _do

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.silent = ""
        self.server.shutdown()
        self.server.server_close()

    def env(self, *names: str) -> dict[str, str]:
        """Settings under which these vendors are this server."""
        env = {f"OUTREACH_{n.upper()}_API_KEY": KEYS[n] for n in names}
        return env | {f"OUTREACH_{n.upper()}_ENDPOINT": f"{self.url}/{n}" for n in names}

    def put(self, number: int, email: str, state: str = "in_process", **more: Any) -> Candidate:
        made = Candidate(number, email, state, **more)
        self.people[number] = made
        return made

    def calls(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, f"{m} {p}")) for m, p, _ in self.asked)

    # -- answering ---------------------------------------------------------------------------------
    def answer(self, method: str, path: str, headers: Any, raw: bytes) -> Answer | None:
        parts = urlsplit(path)
        _, vendor, *steps = parts.path.split("/")
        query = dict(parse_qsl(parts.query))
        form = "urlencoded" in headers.get("Content-Type", "")
        body = dict(parse_qsl(raw.decode())) if form else json.loads(raw or b"{}")
        while self.silent and re.search(self.silent, f"{method} {path}"):
            time.sleep(0.01)
        with GATE:
            self.asked.append((method, parts.path, {**query, **body}))
            fault = next((f for f in self.faults if re.search(f[0], f"{method} {path}")), None)
            if fault is not None:
                self.faults.remove(fault)
                if fault[1] is not None:
                    return fault[1]
            else:
                wrong = self._denied(vendor, headers, steps)
                if wrong is not None:
                    return wrong
            work: Callable[..., Answer | None] = getattr(self, f"_{vendor}")
            done = work(method, steps, query, body, headers)
            return None if fault is not None else done or (404, {}, b"{}")

    def _denied(self, vendor: str, headers: Any, steps: list[str]) -> Answer | None:
        given = headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(b"the-key:").decode()
        right = {
            "greenhouse": given == basic,
            "lever": given == basic,
            "ashby": given == basic,
            "merge": given == "Bearer the-key" and headers.get("X-Account-Token") == "account",
            "smartrecruiters": headers.get("X-SmartToken") == "the-key",
            "teamtailor": given == "Token token=the-key" and bool(headers.get("X-Api-Version")),
            "calendly": given == "Bearer the-key",
            "workable": given == "Bearer the-key",
            "recruitee": given == "Bearer the-key",
            "bullhorn": steps[0] in ("oauth", "rest-services")
            or (headers.get("BhRestToken") == f"session-{self.sessions}" and not self.over),
        }
        return None if right[vendor] else (401, {}, b"{}")

    # -- one vendor each ---------------------------------------------------------------------------
    def _greenhouse(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, headers: Any
    ) -> Answer | None:
        size = int(query.get("per_page", 100))
        since = dt.datetime.fromisoformat(query["updated_after"]) if "updated_after" in query else None
        page = int(query.get("page", 1))
        match method, steps:
            case "GET", ["candidates"]:
                found = self._changed(since)
                if "email" in query:
                    found = [p for p in found if p.email == query["email"]]
                return good([self._gh_candidate(p) for p in found][(page - 1) * size : page * size])
            case "GET", ["scheduled_interviews"]:
                found = [p for p in self._changed(since) if p.starts and not p.dropped]
                return good([self._gh_interview(p) for p in found][(page - 1) * size : page * size])
            case "GET", ["applications", name] if person := self._by_application(name):
                return good({"id": name, "candidate_id": person.number})
            case "GET", ["applications", name, "scheduled_interviews"] if person := self._by_application(
                name
            ):
                return good([self._gh_interview(person)] if person.starts else [])
            case "GET", ["candidates", number] if number.isdigit():
                return good(self._gh_candidate(self.people[int(number)]))
            case "GET", ["candidates", number, "activity_feed"]:
                notes = [{"id": i, "body": n} for i, n in enumerate(self.people[int(number)].notes)]
                return good({"notes": notes, "emails": [], "activities": []})
            case "POST", ["candidates", number, "activity_feed", "notes"]:
                if headers.get("On-Behalf-Of") != "77" or body["user_id"] != 77:
                    return 403, {}, b"{}"
                return good({"id": self._noted(int(number), body["body"])}, 201)
        return None

    def _noted(self, number: int, note: str) -> str:
        self.people[number].notes.append(note)
        return str(len(self.people[number].notes) - 1)

    @staticmethod
    def _gh_candidate(p: Candidate) -> dict[str, Any]:
        status = {"in_process": "active"}.get(p.state, p.state)
        application = {
            "id": p.number,
            "status": status,
            "rejected_at": iso(p.rejected),
            "prospect": False,
        }
        return {
            "id": p.number,
            "email_addresses": [{"value": p.email, "type": "personal"}],
            "updated_at": iso(p.updated),
            "applications": [application],
        }

    @staticmethod
    def _gh_interview(p: Candidate) -> dict[str, Any]:
        return {
            "id": p.interview_id or 9000 + p.number,
            "application_id": p.number,
            "start": {"date_time": iso(p.starts)},
            "status": "scheduled",
            "created_at": iso(p.updated),
            "updated_at": iso(p.updated),
            "interview": {"id": 2, "name": "Culture"},
        }

    def _lever(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        offset = int(query.get("offset", 0))
        match method, steps:
            case "GET", ["archive_reasons"]:
                return good({"data": [{"id": "r-hired"}]})
            case "GET", ["opportunities"]:
                since = None
                if "updated_at_start" in query:
                    since = dt.datetime.fromtimestamp(int(query["updated_at_start"]) / 1000, dt.UTC)
                found = [p for p in self._changed(since) if query.get("email") in (None, p.email)]
                more = {"hasNext": offset + PAGE < len(found), "next": str(offset + PAGE)}
                return good({"data": [self._opportunity(p) for p in found[offset : offset + PAGE]], **more})
            case "GET", ["opportunities", name] if person := self._by_application(name):
                return good({"data": self._opportunity(person)})
            case "GET", ["opportunities", name, "interviews"] if person := self._by_application(name):
                one = {"id": f"i{person.number}", "subject": "On-site", "date": ms(person.starts)}
                one["canceledAt"] = ms(person.updated) if person.dropped else None
                return good({"data": [one] if person.starts else [], "hasNext": False})
            case "GET", ["opportunities", name, "notes"] if person := self._by_application(name):
                notes = [{"id": i, "fields": [{"value": n}]} for i, n in enumerate(person.notes)]
                return good({"data": notes, "hasNext": False})
            case "POST", ["opportunities", name, "notes"] if person := self._by_application(name):
                return good({"data": {"id": self._noted(person.number, body["value"])}}, 201)
            case _, ["webhooks", *rest]:
                return self._hook(method, rest, body, "url", "data")
        return None

    @staticmethod
    def _opportunity(p: Candidate) -> dict[str, Any]:
        archived = None
        if p.state != "in_process":
            reason = "r-hired" if p.state == "hired" else "r-unfit"
            archived = {"archivedAt": ms(p.rejected or p.updated), "reason": reason}
        made = {"id": f"a{p.number}", "emails": [p.email], "archived": archived, "applications": ["x"]}
        return {**made, "updatedAt": ms(p.updated)}

    def _ashby(
        self, _: str, steps: list[str], query: dict[str, str], body: Any, headers: Any
    ) -> Answer | None:
        since = dt.datetime.fromisoformat(body["syncToken"]) if "syncToken" in body else None
        found, offset = self._changed(since), int(body.get("cursor", 0))
        person = self._by_application(body.get("applicationId", body.get("candidateId", "")))
        match steps[0]:
            case "application.list":
                entries = [self._application(p) for p in found]
            case "interviewSchedule.list":
                shown = [person] if person else found
                entries = [self._schedule(p) for p in shown if p.starts]
            case "candidate.listNotes" if person:
                entries = [{"id": str(i), "content": n} for i, n in enumerate(person.notes)]
            case "candidate.search":
                entries = [{"id": f"a{p.number}", "emailAddresses": [{"value": p.email}]} for p in found]
                entries = [e for e in entries if body["email"] in json.dumps(e)]
            case "application.info" if person:
                return good({"success": True, "results": self._application(person)})
            case "candidate.createNote" if person:
                number = self._noted(person.number, body["note"])
                return good({"success": True, "results": {"id": number}})
            case "webhook.create":
                made = json.loads((self._hook("POST", [], body, "requestUrl", "results") or (0, {}, b""))[2])
                return good({"success": True, **made})
            case _:
                return good({"success": False, "errors": ["application_not_found"]})
        page: dict[str, Any] = {"success": True, "results": entries[offset : offset + PAGE]}
        page["moreDataAvailable"] = offset + PAGE < len(entries)
        if page["moreDataAvailable"]:
            page["nextCursor"] = str(offset + PAGE)
        else:
            page["syncToken"] = dt.datetime.now(dt.UTC).isoformat()
        return good(page)

    @staticmethod
    def _application(p: Candidate) -> dict[str, Any]:
        status = {"in_process": "Active", "rejected": "Archived", "hired": "Hired"}[p.state]
        who = {"primaryEmailAddress": {"value": p.email}}
        made = {"id": f"a{p.number}", "status": status, "candidate": who, "updatedAt": iso(p.updated)}
        return {**made, "archivedAt": iso(p.rejected)}

    @staticmethod
    def _schedule(p: Candidate) -> dict[str, Any]:
        return {
            "id": f"i{p.number}",
            "applicationId": f"a{p.number}",
            "status": "Cancelled" if p.dropped else "Scheduled",
            "createdAt": iso(p.updated),
            "updatedAt": iso(p.updated),
            "interviewEvents": [{"startTime": iso(p.starts)}],
        }

    def _merge(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        since = dt.datetime.fromisoformat(query["modified_after"]) if "modified_after" in query else None
        found, offset = self._changed(since), int(query.get("cursor", 0))
        match method, steps:
            case "GET", ["interviews"]:
                wanted = query.get("application_id")
                entries = [self._merged(p) for p in found if p.starts and wanted in (None, f"a{p.number}")]
            case "GET", ["applications"]:
                entries = [self._merge_application(p) for p in found]
            case "GET", ["candidates"]:
                mail = query.get("email_addresses")
                entries = [self._merge_candidate(p) for p in found if mail in (None, p.email)]
            case "GET", ["applications", name] if person := self._by_application(name):
                return good(self._merge_application(person))
            case "POST", ["activities"]:
                if body["remote_user_id"] != "user-9":
                    return 400, {}, b"{}"
                number = self._noted(int(body["model"]["candidate"]), body["model"]["body"])
                return good({"model": {"id": number}}, 201)
            case _:
                return None
        following = str(offset + PAGE) if offset + PAGE < len(entries) else None
        return good({"results": entries[offset : offset + PAGE], "next": following})

    @staticmethod
    def _merge_candidate(p: Candidate) -> dict[str, Any]:
        return {"id": str(p.number), "email_addresses": [{"value": p.email, "email_address_type": "WORK"}]}

    def _merge_application(self, p: Candidate) -> dict[str, Any]:
        offers = [{"status": "SIGNED"}] if p.state == "hired" else []
        made = {"id": f"a{p.number}", "candidate": self._merge_candidate(p), "offers": offers}
        return {**made, "rejected_at": iso(p.rejected)}

    @staticmethod
    def _merged(p: Candidate) -> dict[str, Any]:
        return {
            "id": f"i{p.number}",
            "application": f"a{p.number}",
            "status": "CANCELLED" if p.dropped else "SCHEDULED",
            "start_at": iso(p.starts),
            "modified_at": iso(p.updated),
            "remote_created_at": iso(p.updated),
        }

    def _calendly(
        self, method: str, steps: list[str], query: dict[str, str], body: Any, _: Any
    ) -> Answer | None:
        if steps == ["users", "me"]:
            return good({"resource": {"current_organization": "https://api.calendly.com/organizations/O"}})
        if steps[0] == "webhook_subscriptions":
            return self._hook(method, steps[1:], body, "url", "collection", single="resource", ident="uri")
        return None

    def _hook(
        self,
        method: str,
        rest: list[str],
        body: Any,
        target: str,
        listed: str,
        *,
        single: str | None = None,
        ident: str = "id",
    ) -> Answer | None:
        if method == "POST":
            what = body.get("event", body.get("webhookType"))
            held = [(h.get(target), h.get("event", h.get("webhookType"))) for h in self.hooks.values()]
            if (body[target], what) in held:
                return 409, {}, b"{}"
            self.made += 1
            name = f"h{self.made}"
            self.hooks[name] = {**body, ident: name, "callback_url": body[target], "state": "active"}
            where = listed if single is None else single
            return good({where: self.hooks[name]} if where else self.hooks[name], 201)
        if method == "GET":
            return good({listed: list(self.hooks.values())})
        self.hooks.pop(rest[0], None)
        return 204, {}, b""
