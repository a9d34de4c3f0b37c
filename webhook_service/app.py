"""The application factory."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from outreach_sdk.errors import OutreachError
from webhook_service import connect
from webhook_service.enrichment import callbacks
from webhook_service.operations import operations, watch_requests
from webhook_service.push import pushes
from webhook_service.receive import hooks, unavailable
from webhook_service.unsubscribe import leaving

__all__ = ["create_app"]

logger = logging.getLogger(__name__)


def create_app() -> Flask:
    """The service, reading its settings from the environment at first use."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_FORM_MEMORY_SIZE"] = 64 * 1024
    for blueprint in (operations, connect.pages, hooks, callbacks, pushes, leaving):
        app.register_blueprint(blueprint)
    watch_requests(app)

    @app.errorhandler(HTTPException)
    def http_error(exc: HTTPException) -> Response:
        answer = jsonify(error=exc.name)
        answer.status_code = exc.code or 500
        if isinstance(exc, MethodNotAllowed) and exc.valid_methods:
            answer.headers["Allow"] = ", ".join(exc.valid_methods)
        return answer

    @app.errorhandler(OutreachError)
    def our_error(exc: OutreachError) -> tuple[Response, int]:
        return unavailable(exc)

    @app.errorhandler(Exception)
    def unforeseen(exc: Exception) -> tuple[Response, int]:
        logger.error("a request failed: %s", type(exc).__name__, exc_info=exc)
        return jsonify(error="Something went wrong here."), 500

    return app
