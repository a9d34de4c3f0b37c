"""Callbacks of enrichment providers that sign them: one says that a request is done, and it is asked for."""

from __future__ import annotations

import hashlib
import hmac
import json

from flask import Blueprint, g, jsonify, request

from outreach_sdk import webhooks
from outreach_sdk.errors import OutreachError
from webhook_service.body import read_body
from webhook_service.receive import Answer, unavailable, unknown
from webhook_service.sources import content_id

__all__ = ["callbacks"]

callbacks = Blueprint("enrichment", __name__)

SIGNED = {"fullenrich": ("X-Signature-SHA1", hashlib.sha1)}
"""Who signs, in which header, with what: hex HMAC of the body with the account's key. Nobody else is believed."""


@callbacks.post("/webhooks/enrichment/<provider>")
def done(provider: str) -> Answer:
    """A provider's news of a request."""
    key = webhooks.vendor_key(provider) if provider in SIGNED else None
    g.source = f"enrichment:{provider}" if provider in SIGNED else "enrichment"
    body = read_body()
    if key is None:
        return unknown()
    header, digest = SIGNED[provider]
    given = request.headers.get(header, "").strip().lower()
    right = hmac.new(key.encode("utf-8", "surrogateescape"), body, digest).hexdigest()
    if not hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
        g.outcome = "forged" if given else "missing"
        webhooks.refuse(g.source, g.outcome)
        return jsonify(error="The signature isn't right."), 401
    try:
        number = webhooks.record(g.source, content_id(body, request.headers), {}, _request_id(body))  # type: ignore[arg-type]
    except OutreachError as exc:
        return unavailable(exc)
    g.outcome, g.delivery = "known" if number is None else "stored", number
    return jsonify(status=g.outcome), 200


def _request_id(body: bytes) -> bytes:
    """All that is kept: whom it found is asked for, and need not lie here too."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return b"{}"
    names = ("enrichment_id", "id")
    kept = {n: found[n] for n in names if isinstance(found.get(n), str)} if isinstance(found, dict) else {}
    return json.dumps(kept).encode()
