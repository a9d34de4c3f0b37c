"""Every provider on one loopback server, each below its own name: what it knows, and what goes wrong with it."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEYS = {
    name: f"canary-{name}-7f3d"
    for name in (
        "hunter", "pdl", "apollo", "prospeo", "contactout", "rocketreach", "dropcontact", "lusha", "fullenrich",
        "zerobounce", "neverbounce",
    )
}  # fmt: skip


@dataclass
class Known:
    email: str | None = None
    sure: bool = True
    phone: str | None = None


@dataclass
class Call:
    vendor: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body or "{}")


Fault = tuple[int, dict[str, str], bytes] | float
"""A status with headers and body, or seconds of silence."""
Reply = tuple[int, Any]


@dataclass
class World:
    """`people[vendor][token]`: whom it knows, the token being anything that names them in a request; `judged`: what
    verifiers say; `rounds`: how often an asynchronous one says "not yet"."""

    base: str = ""
    people: dict[str, dict[str, Known]] = field(default_factory=lambda: defaultdict(dict))
    judged: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    rounds: int = 1
    calls: list[Call] = field(default_factory=list)
    requests: dict[str, Known | None] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    def env(self, *vendors: str) -> dict[str, str]:
        out = {}
        for name in vendors or tuple(KEYS):
            out[f"OUTREACH_{name.upper()}_API_KEY"] = KEYS[name]
            out[f"OUTREACH_{name.upper()}_ENDPOINT"] = f"{self.base}/{name}"
        return out

    def asked(self, vendor: str) -> list[Call]:
        return [c for c in self.calls if c.vendor == vendor]

    def whom(self, call: Call) -> Known | None:
        text = unquote(call.path + json.dumps(call.query) + call.body)
        return next((k for token, k in self.people[call.vendor].items() if token in text), None)

    def later(self, call: Call) -> str:
        request = f"req-{len(self.requests)}"
        self.requests[request], self.left[request] = self.whom(call), self.rounds
        return request

    def not_yet(self, request: str) -> bool:
        self.left[request] = self.left.get(request, 0) - 1
        return self.left[request] >= 0


def hunter(world: World, call: Call) -> Reply:
    if call.headers.get("x-api-key") != KEYS["hunter"]:
        return 401, {"errors": [{"id": "authentication_failed", "code": 401}]}
    if call.path == "/v2/email-verifier":
        status = world.judged.get(call.query["email"], "unknown")
        if status == "running":
            return 202, {"data": {"status": "in_progress"}}
        return 200, {"data": {"status": status, "email": call.query["email"]}}
    assert call.path == "/v2/email-finder"
    assert "linkedin_handle" in call.query or {"first_name", "last_name"} <= set(call.query)
    found = world.whom(call)
    said = {"status": ("valid" if found.sure else "accept_all") if found else None}
    return 200, {"data": {"email": found.email if found else None, "accept_all": False, "verification": said}}


def pdl(world: World, call: Call) -> Reply:
    assert call.path == "/v5/person/enrich"
    if call.headers.get("x-api-key") != KEYS["pdl"]:
        return 401, {"status": 401, "error": {"type": "authentication_error"}}
    found = world.whom(call)
    value = found and (found.email if call.query["required"] == "emails" else found.phone)
    if not found or not value:
        return 404, {"status": 404, "error": {"type": "not_found", "message": "No records were found"}}
    data = {
        "work_email": found.email,
        "personal_emails": [],
        "emails": [
            {"address": found.email, "type": "current_professional"},
            {"address": "old@former.example", "type": "professional"},
        ],
        "mobile_phone": found.phone,
        "phone_numbers": [found.phone] if found.phone else [],
    }
    return 200, {"status": 200, "likelihood": 8, "data": data}


def apollo(world: World, call: Call) -> Reply:
    assert (call.method, call.path) == ("POST", "/api/v1/people/match")
    if call.headers.get("x-api-key") != KEYS["apollo"]:
        return 401, b"Invalid access credentials."
    found = world.whom(call)
    if found is None:
        return 200, {"person": None}
    status = "verified" if found.sure else "extrapolated"
    address = found.email or "email_not_unlocked@domain.com"
    return 200, {"person": {"email": address, "email_status": status, "personal_emails": []}}


def prospeo(world: World, call: Call) -> Reply:
    assert (call.method, call.path) == ("POST", "/enrich-person")
    if call.headers.get("x-key") != KEYS["prospeo"]:
        return 401, {"error": True, "error_code": "INVALID_API_KEY"}
    found = world.whom(call)
    if found is None:
        return 400, {"error": True, "error_code": "NO_MATCH"}
    gone = {"status": "UNAVAILABLE", "revealed": False}
    email = {"status": "VERIFIED", "revealed": True, "email": found.email} if found.email else gone
    mobile = {"status": "VERIFIED", "revealed": True, "mobile": found.phone} if found.phone else gone
    return 200, {"error": False, "person": {"email": email, "mobile": mobile}}


def contactout(world: World, call: Call) -> Reply:
    assert call.path == "/v1/people/linkedin"
    assert call.query["profile"]
    if call.headers.get("token") != KEYS["contactout"]:
        return 401, {"status_code": 401, "message": "Unauthorized"}
    found = world.whom(call)
    if found is None:
        return 404, {"status_code": 404, "message": "Not Found"}
    work = [found.email] if found.email else []
    return 200, {
        "status_code": 200,
        "profile": {
            "email": work,
            "work_email": work,
            "work_email_status": dict.fromkeys(work, "Verified" if found.sure else "Unverified"),
            "personal_email": [],
            "phone": [found.phone] if found.phone and call.query["include_phone"] == "true" else [],
        },
    }


def _rocket(found: Known | None, number: str, status: str) -> dict[str, Any]:
    emails = (
        [
            {
                "email": found.email,
                "smtp_valid": "valid" if found.sure else "inconclusive",
                "type": "professional",
            }
        ]
        if found and found.email and status == "complete"
        else []
    )
    phones = (
        [{"number": found.phone, "type": "professional", "recommended": True}]
        if found and found.phone and status == "complete"
        else []
    )
    return {"id": number, "status": status, "emails": emails, "phones": phones}


def rocketreach(world: World, call: Call) -> Reply:
    if call.headers.get("api-key") != KEYS["rocketreach"]:
        return 401, {"detail": "Invalid API key."}
    if call.path == "/api/v2/person/checkStatus":
        request = call.query["ids"]
        status = "searching" if world.not_yet(request) else "complete"
        return 200, [_rocket(world.requests[request], request, status)]
    assert call.path == "/api/v2/person/lookup"
    if world.whom(call) is None:
        return 404, {"detail": "Not found."}
    request = world.later(call)
    return 200, _rocket(None, request, "searching")


def dropcontact(world: World, call: Call) -> Reply:
    if call.headers.get("x-access-token") != KEYS["dropcontact"]:
        return 403, {"error": True, "reason": "Invalid token"}
    if call.method == "POST":
        assert len(call.json["data"]) == 1
        return 200, {"error": False, "request_id": world.later(call), "success": True, "credits_left": 9}
    request = call.path.rpartition("/")[2]
    if world.not_yet(request):
        reason = "Request not ready yet, try again in 30 seconds"
        return 200, {"error": False, "reason": reason, "success": False}
    found = world.requests[request]
    how = "nominative@pro" if found and found.sure else "catch_all@pro"
    emails = [{"email": found.email, "qualification": how}] if found and found.email else []
    return 200, {"data": [{"email": emails}], "error": False, "success": True}


def lusha(world: World, call: Call) -> Reply:
    assert call.path == "/v2/person"
    if call.headers.get("api_key") != KEYS["lusha"]:
        return 401, {"message": "Unauthorized"}
    found = world.whom(call)
    if found is None:
        return 200, {"contact": {"error": {"name": "EMPTY_DATA"}, "data": None}}
    emails = [
        {"email": found.email, "emailType": "work", "emailConfidence": "A+" if found.sure else "C"}
        for _ in range(bool(found.email))
    ]
    phones = [
        {"number": found.phone, "phoneType": "mobile", "doNotCall": False} for _ in range(bool(found.phone))
    ]
    return 200, {"contact": {"error": None, "data": {"emailAddresses": emails, "phoneNumbers": phones}}}


def fullenrich(world: World, call: Call) -> Reply:
    if call.headers.get("authorization") != f"Bearer {KEYS['fullenrich']}":
        return 401, {"code": "error.unauthorized"}
    if call.method == "POST":
        assert call.path == "/api/v2/contact/enrich/bulk"
        return 200, {"enrichment_id": world.later(call)}
    request = call.path.rpartition("/")[2]
    if world.not_yet(request):
        return 400, {"code": "error.enrichment.in_progress", "message": "in progress"}
    found = world.requests[request]
    status = "DELIVERABLE" if found and found.sure else "HIGH_PROBABILITY"
    work = [{"email": found.email, "status": status}] if found and found.email else []
    phones = [{"number": found.phone, "region": "US"}] if found and found.phone else []
    info = {"work_emails": work, "personal_emails": [], "phones": phones}
    return 200, {"id": request, "status": "FINISHED", "data": [{"contact_info": info}]}


def zerobounce(world: World, call: Call) -> Reply:
    assert call.path == "/v2/validate"
    if call.query.get("api_key") != KEYS["zerobounce"]:
        return 200, {"error": "Invalid API key or your account ran out of credits"}
    status = world.judged.get(call.query["email"], "unknown")
    if status == "running":
        return 200, {"message": "This address is greylisted, try again."}
    status = {"accept_all": "catch-all", "role": "do_not_mail"}.get(status, status)
    more = "role_based" if status == "do_not_mail" else ""
    return 200, {"address": call.query["email"], "status": status, "sub_status": more}


def neverbounce(world: World, call: Call) -> Reply:
    assert call.path == "/v4/single/check"
    form = {k: v[0] for k, v in parse_qs(call.body).items()}
    if form.get("key") != KEYS["neverbounce"]:
        return 200, {"status": "auth_failure", "message": "Invalid API key"}
    status = world.judged.get(form["email"], "unknown")
    flags = ["role_account"] if status == "role" else []
    status = {"accept_all": "catchall", "role": "valid"}.get(status, status)
    return 200, {"status": "success", "result": status, "flags": flags}


VENDORS: dict[str, Callable[[World, Call], Reply]] = {
    f.__name__: f
    for f in (
        hunter, pdl, apollo, prospeo, contactout, rocketreach, dropcontact, lusha, fullenrich, zerobounce, neverbounce,
    )
}  # fmt: skip


@contextmanager
def serving() -> Iterator[World]:
    world = World()
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            vendor, _, path = parts.path.lstrip("/").partition("/")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {k.lower(): v for k, v in self.headers.items()}
            call = Call(vendor, self.command, f"/{path}", query, headers, body)
            world.calls.append(call)
            if world.faults[vendor]:
                fault = world.faults[vendor].pop(0)
                if isinstance(fault, float):
                    stop.wait(fault)
                    self.close_connection = True
                    return
                status, extra, content = fault
            else:
                extra = {}
                try:
                    status, said = VENDORS[vendor](world, call)
                except AssertionError as exc:
                    status, said = 418, {"asked wrongly": str(exc)}
                content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                time.sleep(0)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    world.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield world
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
