"""Tokens in links: signed, unguessable, naming nobody."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

__all__ = ["BOOKING", "UNSUBSCRIBE", "read_token", "sign_token", "with_token"]

BOOKING, UNSUBSCRIBE = "b", "u"
_MAC_BYTES = 16


def _mac(key: bytes, kind: str, number: bytes) -> bytes:
    return hmac.new(key, kind.encode() + b"." + number, hashlib.sha256).digest()[:_MAC_BYTES]


def sign_token(key: bytes, kind: str, journey_id: int) -> str:
    """A token for one journey and one use, fit for a URL."""
    number = journey_id.to_bytes(8, "big")
    return kind + base64.urlsafe_b64encode(number + _mac(key, kind, number)).decode().rstrip("=")


def read_token(key: bytes, kind: str, token: str) -> int | None:
    """The journey of a token that `sign_token` made with this key for this use, else None."""
    if len(token) != 33 or token[0] != kind or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token[1:], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    number, mac = raw[:8], raw[8:]
    return int.from_bytes(number, "big") if hmac.compare_digest(mac, _mac(key, kind, number)) else None


def with_token(url: str, token: str) -> str:
    """The booking page `url` with the token in `utm_content`, whatever else its query says."""
    from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

    parts = urlsplit(url)
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "utm_content"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("utm_content", token)])))
