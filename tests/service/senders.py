"""What each vendor would send, signed as it signs."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

SECRETS = {
    name: f"secret-of-{name}"
    for name in (
        "calendly",
        "greenhouse",
        "lever",
        "ashby",
        "workable",
        "smartrecruiters",
        "teamtailor",
        "recruitee",
        "merge",
        "scheduler",
    )
}
FIELDS = {
    "fields": {
        "id": "booking.id",
        "email": "who.mail",
        "event": "type",
        "starts_at": "booking.start",
        "occurred_at": "at",
        "title": "booking.name",
    },
    "scheduled": ["booked"],
    "canceled": ["dropped"],
    "kind": "interview",
}


@dataclass
class Delivery:
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def mac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def dumps(data: Any) -> bytes:
    return json.dumps(data).encode()


def calendly(
    email: str,
    *,
    event: str = "invitee.created",
    invitee: str = "",
    booked: dt.datetime | None = None,
    starts: dt.datetime | None = None,
    canceled: dt.datetime | None = None,
    rescheduled: bool = False,
    old: str | None = None,
    token: str | None = None,
    secret: str = SECRETS["calendly"],
    stamp: int | None = None,
) -> Delivery:
    now = dt.datetime.now(dt.UTC)
    booked, starts = booked or now, starts or now + dt.timedelta(days=3)
    payload: dict[str, Any] = {
        "uri": invitee or f"https://api.calendly.com/scheduled_events/E/invitees/{secrets.token_hex(4)}",
        "email": email,
        "name": "Bo Li",
        "created_at": iso(booked),
        "updated_at": iso(canceled or booked),
        "rescheduled": rescheduled,
        "old_invitee": old,
        "new_invitee": None,
        "status": "canceled" if canceled else "active",
        "cancel_url": "https://calendly.com/cancellations/AAAA",
        "tracking": {"utm_content": token, "utm_source": None},
        "scheduled_event": {
            "name": "Intro Call",
            "start_time": iso(starts),
            "location": {"type": "google_conference", "join_url": "https://meet.example/abc"},
        },
    }
    if canceled:
        payload["cancellation"] = {"canceled_by": "Bo", "created_at": iso(canceled)}
    body = dumps({"event": event, "created_at": iso(booked), "payload": payload})
    when = str(int(time.time()) if stamp is None else stamp)
    signature = f"t={when},v1={mac(secret, when.encode() + b'.' + body)}"
    return Delivery("/webhooks/calendly", body, {"Calendly-Webhook-Signature": signature})


def greenhouse(email: str, *, status: str = "scheduled", secret: str = SECRETS["greenhouse"]) -> Delivery:
    data = {
        "action": "candidate_stage_change",
        "payload": {
            "application": {
                "id": 265277,
                "current_stage": {
                    "id": 71416,
                    "name": "On-site",
                    "interviews": [
                        {"id": 1, "name": "Cultural Fit", "status": "to_be_scheduled"},
                        {"id": 2, "name": "Executive <Interview>", "status": status},
                    ],
                },
                "candidate": {
                    "id": 265772,
                    "url": "https://app.greenhouse.io/people/265772",
                    "email_addresses": [
                        {"value": "other@nowhere.example", "type": "work"},
                        {"value": email, "type": "personal"},
                    ],
                },
            }
        },
    }
    body = dumps(data).replace(b"<", b"\\u003c").replace(b">", b"\\u003e")
    headers = {"Signature": f"sha256 {mac(secret, body)}", "Greenhouse-Event-ID": secrets.token_hex(8)}
    return Delivery("/webhooks/ats/greenhouse", body, headers)


def greenhouse_deleted(interview: int, *, secret: str = SECRETS["greenhouse"]) -> Delivery:
    """Names the appointment and nobody."""
    body = dumps({"action": "interview_deleted", "payload": {"interview": {"id": interview}}})
    headers = {"Signature": f"sha256 {mac(secret, body)}", "Greenhouse-Event-ID": secrets.token_hex(8)}
    return Delivery("/webhooks/ats/greenhouse", body, headers)


def lever(email: str, *, event: str = "interviewCreated", secret: str = SECRETS["lever"]) -> Delivery:
    token, stamp = secrets.token_hex(24), int(time.time() * 1000)
    data = {
        "id": "1",
        "event": event,
        "triggeredAt": stamp,
        "token": token,
        "signature": mac(secret, f"{token}{stamp}".encode()),
        "data": {"opportunityId": "3410c8b9", "email": email},
    }
    return Delivery("/webhooks/ats/lever", dumps(data))


def ashby(email: str, *, action: str = "candidateStageChange", secret: str = SECRETS["ashby"]) -> Delivery:
    stage = {"id": "s1", "title": "Onsite", "type": "Active"}
    application = {
        "id": "a1",
        "updatedAt": iso(dt.datetime.now(dt.UTC)),
        "candidate": {"id": "c1", "name": "Bo Li", "primaryEmailAddress": {"value": email}},
        "currentInterviewStage": stage,
    }
    inner: dict[str, Any] = {"application": application}
    if action.startswith("interviewSchedule"):
        inner = {"interviewSchedule": {"id": "i1", "applicationId": "a1", "status": "Scheduled"}}
    body = dumps({"action": action, "webhookActionId": secrets.token_hex(8), "data": inner})
    return Delivery("/webhooks/ats/ashby", body, {"Ashby-Signature": f"sha256={mac(secret, body)}"})


def workable(
    email: str, *, kind: str = "interview", base64_too: bool = False, secret: str = SECRETS["workable"]
) -> Delivery:
    data = {
        "id": secrets.token_hex(4),
        "event_type": "candidate_moved",
        "fired_at": iso(dt.datetime.now(dt.UTC)),
        "data": {
            "id": "ce4da98",
            "email": email,
            "stage": "Interview",
            "stage_kind": kind,
            "job": {"shortcode": "G5", "title": "Operations Manager"},
            "profile_url": "https://groove.workable.com/c/1",
        },
    }
    body = dumps(data)
    signature = mac(secret, body)
    if base64_too:
        signature = base64.b64encode(bytes.fromhex(signature)).decode()
    return Delivery("/webhooks/ats/workable", body, {"X-Workable-Signature": signature})


def smartrecruiters(
    email: str, *, event: str = "interview.created", secret: str = SECRETS["smartrecruiters"], age: int = 0
) -> Delivery:
    body, stamp, number = dumps({"interview_id": "iid"}), str(int(time.time()) - age), secrets.token_hex(4)
    link = "<https://api.smartrecruiters.com/interviews/iid>; rel=self"
    signed = f"{stamp}.{body.decode()}.{number}.{event}.v201910.{link}".encode()
    headers = {
        "smartrecruiters-signature": f"v1={'0' * 64};v1={mac(secret, signed)}",
        "smartrecruiters-timestamp": stamp,
        "event-id": number,
        "event-name": event,
        "event-version": "v201910",
        "link": link,
    }
    return Delivery("/webhooks/ats/smartrecruiters", body, headers)


def teamtailor(email: str, *, newer: bool = False, secret: str = SECRETS["teamtailor"]) -> Delivery:
    payload = {
        "event_name": "job_application.update",
        "data": {"id": secrets.token_hex(4), "type": "job-applications", "attributes": {"sourced": True}},
    }
    if newer:
        body, stamp = dumps({"payload": payload}), str(int(time.time()))
        inner = f"t={stamp},v2={mac(secret, stamp.encode() + b'.' + body)}"
        headers = {"TT-Signature": base64.b64encode(inner.encode()).decode()}
        return Delivery("/webhooks/ats/teamtailor", body, headers)
    signature = base64.b64encode(mac(secret, payload["data"]["id"].encode()).encode()).decode()  # type: ignore[index]
    return Delivery("/webhooks/ats/teamtailor", dumps({"payload": payload, "signature": signature}))


def recruitee(email: str, *, category: str = "interview", secret: str = SECRETS["recruitee"]) -> Delivery:
    data = {
        "id": secrets.randbelow(10**9),
        "attempt_count": 0,
        "created_at": iso(dt.datetime.now(dt.UTC)),
        "event_type": "candidate_moved",
        "event_subtype": "stage_changed",
        "payload": {
            "candidate": {"id": 4433, "name": "Bo Li", "emails": ["x@nowhere.example", email]},
            "offer": {"id": 222, "title": "Backend Engineer"},
            "details": {"to_stage": {"id": 2, "name": "Interview", "category": category}},
        },
    }
    body = dumps(data)
    return Delivery("/webhooks/ats/recruitee", body, {"X-Recruitee-Signature": mac(secret, body)})


def merge(email: str, *, status: str = "SCHEDULED", secret: str = SECRETS["merge"]) -> Delivery:
    data = {
        "hook": {"id": "cb1fe0a7", "event": "ScheduledInterview.added", "target": "https://yoururl.com"},
        "linked_account": {"integration_slug": "greenhouse"},
        "data": {"id": secrets.token_hex(4), "application": "29eb9867", "status": status},
    }
    body = dumps(data)
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return Delivery("/webhooks/ats/merge", body, {"X-Merge-Webhook-Signature": signature})


def generic(
    email: str, *, event: str = "booked", secret: str = SECRETS["scheduler"], age: int = 0
) -> Delivery:
    now = dt.datetime.now(dt.UTC)
    data = {
        "type": event,
        "at": iso(now),
        "who": {"mail": email},
        "booking": {"id": secrets.token_hex(4), "name": "Panel", "start": iso(now + dt.timedelta(days=2))},
    }
    body, stamp = dumps(data), str(int(time.time()) - age)
    signature = f"t={stamp},v1={mac(secret, stamp.encode() + b'.' + body)}"
    return Delivery("/webhooks/generic/scheduler", body, {"X-Outreach-Signature": signature})


VENDORS = {
    f.__name__: f
    for f in (
        calendly,
        greenhouse,
        lever,
        ashby,
        workable,
        smartrecruiters,
        teamtailor,
        recruitee,
        merge,
        generic,
    )
}
ENV = {
    f"OUTREACH_{name.upper()}_WEBHOOK_SECRETS": f"newest-{name},{value}" for name, value in SECRETS.items()
}
ENV["OUTREACH_SCHEDULER_WEBHOOK_FIELDS"] = json.dumps(FIELDS)
