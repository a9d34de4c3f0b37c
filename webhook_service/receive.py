"""Deliveries: verified, stored, acknowledged; acted on elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from flask import Blueprint, Response, g, jsonify, request

from outreach_sdk import webhooks
from outreach_sdk.errors import OutreachError
from webhook_service import signatures
from webhook_service.body import read_body
from webhook_service.signatures import Refused
from webhook_service.sources import ATS, CALENDLY, Source, generic_source, shortlist_source

__all__ = ["hooks"]

hooks = Blueprint("webhooks", __name__)

Answer = tuple[Response, int]


@hooks.post("/webhooks/calendly")
def calendly() -> Answer:
    """Calendly's bookings."""
    return _receive(CALENDLY)


@hooks.post("/webhooks/ats/<vendor>")
def ats(vendor: str) -> Answer:
    """An applicant tracking system's news."""
    return _receive(ATS[vendor]) if vendor in ATS else unknown()


@hooks.post("/webhooks/generic/<name>")
def generic(name: str) -> Answer:
    """Any configured system's news."""
    name = name.lower().replace("-", "_")
    config = webhooks.generic_signature(name) if re.fullmatch(r"[a-z0-9_]{1,60}", name) else None
    return unknown() if config is None else _receive(generic_source(name, signatures.generic(config)))


@hooks.post("/webhooks/shortlist/<name>")
def shortlist(name: str) -> Answer:
    """People for a shortlist, signed the way we propose."""
    return _receive(shortlist_source(name)) if len(name) <= 120 and name.isprintable() else unknown()


def unknown() -> Answer:
    """It isn't here, or isn't set up: the two look the same."""
    return jsonify(error="There is no such source."), 404


def _receive(source: Source) -> Answer:
    g.source = source.name
    secrets = webhooks.secrets(source.secrets)
    body = read_body()
    greeting = _greeting(source, body, configured=bool(secrets))
    if greeting is not None:
        return greeting
    if not secrets:
        return unknown()
    headers = cast(Mapping[str, str], request.headers)  # which looks names up whatever their case
    try:
        source.check(body, headers, secrets, signatures.now())
    except Refused as exc:
        webhooks.refuse(source.name, exc.reason)
        g.outcome = exc.reason
        return jsonify(error="The signature isn't right."), 401
    kept = {name: request.headers[name][:2000] for name in source.keep if name in request.headers}
    delivery = source.delivery_id(body, headers)
    try:
        number = webhooks.record(source.name, delivery, kept, body)
    except OutreachError as exc:
        return unavailable(exc)
    g.outcome, g.delivery = "known" if number is None else "stored", number
    return jsonify(status=g.outcome), source.success


def unavailable(exc: OutreachError) -> Answer:
    """What makes the sender try again."""
    g.outcome = type(exc).__name__
    answer = jsonify(error="It can't be stored right now.")
    answer.headers["Retry-After"] = "5"
    return answer, 503


def _greeting(source: Source, body: bytes, *, configured: bool) -> Answer | None:
    """What some send before there can be a signature; nothing of it is kept."""
    if source.name == "smartrecruiters" and configured and "smartrecruiters-signature" not in request.headers:
        # https://developers.smartrecruiters.com/docs/activating-webhook-subscriptions
        secret = request.headers.get("X-Hook-Secret", "")
        if re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,200}", secret):
            answer = jsonify(status="hello")
            answer.headers["X-Hook-Secret"] = secret
            return answer, 200
    if source.name == "recruitee" and len(body) < 64 and "X-Recruitee-Signature" not in request.headers:
        # https://docs.recruitee.com/docs/webhooks: it comes before the secret can have been saved here.
        try:
            if json.loads(body) == {"test": True}:
                return jsonify(status="hello"), 200
        except (ValueError, RecursionError):
            return None
    return None
