"""The service's description, for /openapi.json."""

from __future__ import annotations

from typing import Any

from webhook_service.sources import ATS

__all__ = ["DOCUMENT"]

Part = dict[str, Any]


def _answers(*codes: int) -> Part:
    json_body = {"application/json": {"schema": {"type": "object"}}}
    return {str(code): {"description": ANSWERS[code], "content": json_body} for code in codes}


ANSWERS = {
    200: "Done, or stored and to be acted on",
    202: "Stored and to be acted on",
    400: "It can't be read as HTTP, or isn't what this route takes",
    401: "The signature or token isn't right; nothing was stored",
    404: "There is no such source, or it isn't set up",
    413: "Over 256 KiB",
    415: "Not a kind of body this route takes",
    503: "It can't be stored right now: send it again",
}
BODY: Part = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
HTML: Part = {"text/html": {"schema": {"type": "string"}}}


def _parameter(name: str, schema: Part | None = None) -> Part:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema or {"type": "string", "minLength": 1},
    }


def _post(summary: str, operation: str, *parameters: Part) -> Part:
    return {
        "post": {
            "summary": summary,
            "operationId": operation,
            "parameters": list(parameters),
            "requestBody": BODY,
            "responses": _answers(200, 202, 400, 401, 404, 413, 503),
        }
    }


def _get(summary: str, operation: str, kind: str = "application/json", *more: int) -> Part:
    answers: Part = {"200": {"description": "It", "content": {kind: {"schema": {}}}}}
    return {
        "get": {"summary": summary, "operationId": operation, "responses": {**answers, **_answers(*more)}}
    }


def _leaving() -> Part:
    def one(summary: str, operation: str) -> Part:
        shown = {code: {"description": text, "content": HTML} for code, text in PAGES.items()}
        parameters = [_parameter("token", {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"})]
        answers = {**shown, **_answers(400, 413)}
        return {"summary": summary, "operationId": operation, "parameters": parameters, "responses": answers}

    posted = one("Unsubscribe at once (RFC 8058)", "unsubscribe")
    form = {"type": "object", "properties": {"List-Unsubscribe": {"type": "string"}}}
    posted["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    return {"get": one("A page with a button; changes nothing", "askToUnsubscribe"), "post": posted}


PAGES = {"200": "A page", "404": "The link isn't one of ours", "503": "Not right now"}
VALIDATION: Part = {"name": "validationToken", "in": "query", "schema": {"type": "string"}}
OUTLOOK = _post("Graph notifications and lifecycle", "outlook")
OUTLOOK["post"]["parameters"] = [VALIDATION]
OUTLOOK["post"]["responses"]["200"]["content"]["text/plain"] = {"schema": {"type": "string"}}
VENDOR = _parameter("vendor", {"type": "string", "enum": sorted(ATS)})

DOCUMENT: Part = {
    "openapi": "3.1.0",
    "info": {
        "title": "Outreach webhook service",
        "version": "1",
        "description": "Deliveries are verified over their raw bytes, stored, and acknowledged before they are acted on. "
        "Each source proves itself in its own way (docs/webhooks.md).",
    },
    "paths": {
        "/webhooks/calendly": _post("Calendly", "calendly"),
        "/webhooks/ats/{vendor}": _post("An applicant tracking system", "ats", VENDOR),
        "/webhooks/generic/{name}": _post("Any configured source", "generic", _parameter("name")),
        "/webhooks/shortlist/{name}": _post("People for a shortlist", "shortlist", _parameter("name")),
        "/webhooks/enrichment/{provider}": _post(
            "A provider's signed callback", "enrichment", _parameter("provider")
        ),
        "/webhooks/gmail": _post("Gmail by Pub/Sub push", "gmail"),
        "/webhooks/outlook": OUTLOOK,
        "/unsubscribe/{token}": _leaving(),
        "/healthz": _get("Alive", "healthz"),
        "/readyz": _get("Database and Redis can be reached", "readyz", "application/json", 503),
        "/metrics": _get("Prometheus", "metrics", "text/plain"),
        "/openapi.json": _get("This document", "openapi"),
    },
}
