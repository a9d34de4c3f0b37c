"""The application factory."""

from __future__ import annotations

from flask import Flask, Response, jsonify

from outreach_sdk import webhooks
from outreach_sdk.errors import OutreachError
from webhook_service import connect

__all__ = ["create_app"]


def create_app() -> Flask:
    """The service, reading its settings from the environment at first use."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 256 * 1024

    app.register_blueprint(connect.pages)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        try:
            state = webhooks.ready()
        except OutreachError as exc:
            return jsonify(ready=False, why=str(exc)), 503
        return jsonify(ready=all(state.values()), **state), 200 if all(state.values()) else 503

    return app
