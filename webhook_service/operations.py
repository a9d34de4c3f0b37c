"""What operators look at: alive, ready, metrics, the description of the service, and a line a request."""

from __future__ import annotations

import functools
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from outreach_sdk import webhooks
from outreach_sdk.errors import OutreachError
from webhook_service.openapi import DOCUMENT

__all__ = ["operations", "watch_requests"]

operations = Blueprint("operations", __name__)
log = logging.getLogger("webhook_service.requests")

registry = CollectorRegistry()
answered = Counter("outreach_http_requests", "Requests answered", ["route", "status"], registry=registry)
took = Histogram(
    "outreach_http_seconds",
    "Time to an answer",
    ["route"],
    registry=registry,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


@functools.lru_cache(maxsize=512)
def _measures(route: str, status: int) -> tuple[Counter, Histogram]:
    return answered.labels(route, status), took.labels(route)


class _Database(Collector):
    """What the database knows, for every process of the installation alike."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("outreach_database_up", "Whether the database answers")
        try:
            found = webhooks.counts()
        except OutreachError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        stored = GaugeMetricFamily("outreach_deliveries", "Deliveries kept", labels=["source", "state"])
        for labels, n in sorted(found["deliveries"].items()):
            stored.add_metric(list(labels), n)
        refused = GaugeMetricFamily("outreach_deliveries_refused", "Turned away", labels=["source", "reason"])
        for labels, n in sorted(found["refused"].items()):
            refused.add_metric(list(labels), n)
        alive = GaugeMetricFamily("outreach_processes", "Processes alive", labels=["role"])
        for role, n in sorted(found["alive"].items()):
            alive.add_metric([role], n)
        oldest = "Age of the oldest delivery that wasn't dealt with"
        yield from (stored, refused, alive)
        yield GaugeMetricFamily("outreach_oldest_delivery_seconds", oldest, value=found["oldest"])
        waiting = "People of bookings that wait for a candidate"
        yield GaugeMetricFamily("outreach_bookings_waiting", waiting, value=found["waiting"])


registry.register(_Database())


@operations.get("/healthz")
def healthz() -> Response:
    """This process is alive."""
    return jsonify(status="alive")


@operations.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Database and Redis can be reached."""
    try:
        state = webhooks.ready()
    except OutreachError as exc:
        return jsonify(ready=False, why=str(exc)), 503
    return jsonify(ready=all(state.values()), **state), 200 if all(state.values()) else 503


@operations.get("/metrics")
def metrics() -> Response:
    """For Prometheus. Names no person."""
    return Response(generate_latest(registry), mimetype="text/plain; version=0.0.4")


@operations.get("/openapi.json")
def openapi() -> Response:
    """The description of this service."""
    return jsonify(DOCUMENT)


def watch_requests(app: Flask) -> None:
    """A request id, a line in the log and two metrics for each request; the database's connection is given back."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if re.fullmatch(r"[A-Za-z0-9_-]{8,64}", given) else secrets.token_hex(8)
        g.began = time.monotonic()

    @app.after_request
    def end(answer: Response) -> Response:
        # The rule, not the path: a path may hold somebody's token.
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.monotonic() - g.get("began", time.monotonic())
        count, duration = _measures(route, answer.status_code)
        count.inc()
        duration.observe(seconds)
        answer.headers["X-Request-ID"] = g.get("request_id", "")
        line = {
            "request": g.get("request_id"),
            "method": request.method if request.method.isalpha() else "other",
            "route": route,
            "status": answer.status_code,
            "ms": round(seconds * 1000, 1),
            "source": g.get("source"),
            "outcome": g.get("outcome"),
            "delivery": g.get("delivery"),
        }
        log.info(json.dumps({k: v for k, v in line.items() if v is not None}))
        return answer

    @app.teardown_request
    def let_go(_error: BaseException | None) -> None:
        webhooks.idle()
