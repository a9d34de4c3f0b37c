"""Gmail's and Outlook's word that a mailbox has news. It only hastens the look that is taken anyway."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from markupsafe import escape

from outreach_sdk import webhooks
from outreach_sdk.errors import OutreachError
from webhook_service.body import read_body
from webhook_service.oidc import Google, Unavailable
from webhook_service.receive import Answer, unavailable, unknown
from webhook_service.signatures import Refused

__all__ = ["pushes"]

pushes = Blueprint("push", __name__)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


@pushes.post("/webhooks/gmail")
def gmail() -> Answer:
    """Pub/Sub push (https://cloud.google.com/pubsub/docs/push): acknowledged, then looked at."""
    g.source = "gmail"
    trusted = webhooks.gmail_push()
    if trusted is None:
        return unknown()
    body = read_body()
    keys = current_app.extensions.setdefault("google", Google(trusted.certs_url))
    try:
        keys.verify(
            request.headers.get("Authorization", ""), audience=trusted.audience, account=trusted.account
        )
    except Refused as exc:
        webhooks.refuse("gmail", exc.reason)
        g.outcome = exc.reason
        return jsonify(error="The token isn't right."), 401
    except Unavailable as exc:
        return unavailable(OutreachError(str(exc)))
    address = _gmail_address(_json(body))
    try:
        # What can't be read would come again and again if it were refused.
        g.outcome = "looked" if address and webhooks.gmail_news(address) else "unknown mailbox"
    except OutreachError as exc:
        return unavailable(exc)
    return jsonify(status="ok"), 200


def _gmail_address(found: Any) -> str | None:
    message = found.get("message") if isinstance(found, dict) else None
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, str):
        return None
    try:
        inner = _json(base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4)))
    except (binascii.Error, ValueError):
        return None
    address = inner.get("emailAddress") if isinstance(inner, dict) else None
    return address.lower() if isinstance(address, str) and len(address) <= 320 else None


@pushes.post("/webhooks/outlook")
def outlook() -> Answer:
    """Graph's notifications, changes and lifecycle alike
    (https://learn.microsoft.com/graph/change-notifications-delivery-webhooks)."""
    g.source = "outlook"
    if (token := request.args.get("validationToken")) is not None:
        shown = Response(str(escape(token[:4096])), mimetype="text/plain")
        shown.headers["X-Content-Type-Options"] = "nosniff"
        return shown, 200
    found = _json(read_body())
    items = found.get("value") if isinstance(found, dict) else None
    if not isinstance(items, list):
        webhooks.refuse("outlook", "missing")
        return jsonify(error="There are no notifications in it."), 400
    try:
        genuine = webhooks.outlook_news([i for i in items[:1000] if isinstance(i, dict)])
    except OutreachError as exc:
        return unavailable(exc)
    for _ in range(min(len(items), 1000) - genuine):
        webhooks.refuse("outlook", "forged")
    g.outcome = f"{genuine} of {len(items)}"
    if not genuine and items:
        return jsonify(error="The clientState isn't right."), 401
    return jsonify(status="ok"), 200
