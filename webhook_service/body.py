"""Request bodies: as sent, and not too many bytes of them."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

__all__ = ["LIMIT", "read_body"]

LIMIT = 256 * 1024
SWALLOWED = 4 * 1024 * 1024
"""How much more of a body that is too long is read away, so that its sender gets to see the answer."""


def read_body() -> bytes:
    """The raw bytes. RequestEntityTooLarge past LIMIT, whether or not a length was announced."""
    stream = request.environ["wsgi.input"]
    announced = request.content_length
    if announced is None and not request.environ.get("wsgi.input_terminated"):
        return b""
    parts, size = [], 0
    try:
        while announced is None or size < announced:
            left = 65_536 if announced is None else min(65_536, announced - size)
            part = stream.read(left)
            if not part:
                break
            size += len(part)
            if size <= LIMIT:
                parts.append(part)
            elif size > LIMIT + SWALLOWED:
                break
    except OSError as exc:
        raise ClientDisconnected from exc
    if size > LIMIT or (announced or 0) > LIMIT:
        parts.clear()
        raise RequestEntityTooLarge
    if announced is not None and size < announced:
        raise ClientDisconnected
    return b"".join(parts)
