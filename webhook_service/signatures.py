"""Is it genuine? Each check is given the raw bytes, the headers and every secret that may have signed, and returns
nothing or raises Refused. All secrets are tried, each in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["CHECKS", "Refused", "generic"]

Headers = Mapping[str, str]
"""By name, whatever its case."""
Secrets = Sequence[str]
Check = Callable[[bytes, Headers, Secrets, float], None]

CALENDLY_TOLERANCE = 180
SMARTRECRUITERS_TOLERANCE = 3600
"""Seconds. Whether a repeat bears the first try's time isn't documented; its event id is signed and counts once."""
LEVER_TOLERANCE = 150 * 86_400
"""Seconds. A repeat bears the first try's time, and its token counts once for as long as ids are remembered."""
GENERIC_TOLERANCE = 300


class Refused(Exception):
    """It isn't from whom it says; `reason` is for counting: missing, forged, stale."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _mac(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode("utf-8", "surrogateescape"), message, hashlib.sha256).digest()


def _one_of(given: Iterable[bytes], message: bytes, secrets: Secrets) -> None:
    """Any given signature by any secret; all are compared, so that time says nothing."""
    candidates = [one for one in given if one][:8]
    if not candidates:
        raise Refused("missing")
    good = False
    for secret in secrets:
        right = _mac(secret, message)
        for one in candidates:
            good |= hmac.compare_digest(right, one)
    if not good:
        raise Refused("forged")


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if re.fullmatch(r"[0-9a-fA-F]{64}", text) else b""
    except ValueError:
        return b""


def _b64(text: str) -> bytes:
    text = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _fresh(stamp: str, now: float, tolerance: float) -> None:
    if not re.fullmatch(r"[0-9]{1,14}", stamp):
        raise Refused("missing" if not stamp else "forged")
    if abs(now - int(stamp)) > tolerance:
        raise Refused("stale")


def _pairs(value: str) -> list[tuple[str, str]]:
    """`t=1,v1=ab` as pairs."""
    return [(k.strip(), v.strip()) for k, _, v in (part.partition("=") for part in value.split(","))][:16]


def _stamped(value: str, body: bytes, secrets: Secrets, now: float, tolerance: float) -> None:
    """`t=<unix seconds>,v1=<hex>` over `t.body`."""
    pairs = _pairs(value)
    stamp = next((v for k, v in pairs if k == "t"), "")
    _one_of((_hex(v) for k, v in pairs if k == "v1"), stamp.encode() + b"." + body, secrets)
    _fresh(stamp, now, tolerance)


def calendly(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures"""
    _stamped(headers.get("Calendly-Webhook-Signature", ""), body, secrets, now, CALENDLY_TOLERANCE)


def greenhouse(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """`Signature: sha256 <hex>` over the bytes as sent, their escapes too."""
    kind, _, given = headers.get("Signature", "").strip().partition(" ")
    _one_of([_hex(given.strip())] if kind.lower() == "sha256" else [], body, secrets)


def lever(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """The signature is in the body and covers token and time alone: what else it says isn't to be relied on."""
    data = _object(body)
    token, stamp, given = data.get("token"), data.get("triggeredAt"), data.get("signature")
    if not isinstance(token, str) or not isinstance(given, str) or isinstance(stamp, bool):
        raise Refused("missing")
    if not isinstance(stamp, (int, str)) or not token or len(token) > 200:
        raise Refused("missing")
    signed = f"{token}{str(stamp)[:20]}".encode("utf-8", "replace")
    _one_of([_hex(given)], signed, secrets)
    if not re.fullmatch(r"[0-9]{10,14}", str(stamp)) or abs(now - int(stamp) / 1000) > LEVER_TOLERANCE:
        raise Refused("stale")


def ashby(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """`Ashby-Signature: sha256=<hex>`. A wrong 401 is never repeated, hence every secret."""
    given = headers.get("Ashby-Signature", "").strip()
    _one_of([_hex(given.removeprefix("sha256="))], body, secrets)


def workable(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """The encoding isn't documented: hex is what every client seen uses, base64 is taken too."""
    given = headers.get("X-Workable-Signature", "").strip().removeprefix("sha256=")
    _one_of([_hex(given), _b64(given)], body, secrets)


def smartrecruiters(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """https://developers.smartrecruiters.com/docs/receiving-webhook-notifications: signed with the body are the
    time, the event's id, name and version, and the link; a header that isn't there counts as empty."""
    stamp = headers.get("smartrecruiters-timestamp", "").strip()
    rest = (headers.get(name, "") for name in ("event-id", "event-name", "event-version", "link"))
    signed = b".".join([stamp.encode(), body, *(value.encode("latin-1", "replace") for value in rest)])
    given = (part.strip() for part in headers.get("smartrecruiters-signature", "").split(";"))
    _one_of((_hex(part.removeprefix("v1=")) for part in given if part.startswith("v1=")), signed, secrets)
    _fresh(stamp, now, SMARTRECRUITERS_TOLERANCE)


def teamtailor(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """Nothing of this is confirmed officially, so it stands alone here. Newer: `TT-Signature`, base64 of
    `t=<seconds>,v2=<hex over t.body>`. Older: base64 of the hex over the resource's id, in a header or the body."""
    if newer := headers.get("TT-Signature", ""):
        pairs = _pairs(_b64(newer).decode("ascii", "replace"))
        stamp = next((v for k, v in pairs if k == "t"), "")
        _one_of((_hex(v) for k, v in pairs if k == "v2"), stamp.encode() + b"." + body, secrets)
        return _fresh(stamp, now, GENERIC_TOLERANCE)
    data = _object(body)
    payload = data.get("payload")
    resource = payload.get("data") if isinstance(payload, dict) else None
    number = resource.get("id") if isinstance(resource, dict) else None
    given = headers.get("Teamtailor-Signature") or data.get("signature")
    if not isinstance(given, str) or not isinstance(number, (str, int)):
        raise Refused("missing")
    _one_of(
        [_hex(_b64(given).decode("ascii", "replace"))], str(number)[:200].encode("utf-8", "replace"), secrets
    )
    return None


def recruitee(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """`X-Recruitee-Signature: <hex>`."""
    _one_of([_hex(headers.get("X-Recruitee-Signature", "").strip())], body, secrets)


def merge(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
    """`X-Merge-Webhook-Signature`, base64url; some drop its padding."""
    _one_of([_b64(headers.get("X-Merge-Webhook-Signature", ""))], body, secrets)


def generic(config: Mapping[str, str]) -> Check:
    """As configured: a header with a prefix and an encoding over the body; or, without a header named, the way we
    propose, `X-Outreach-Signature: t=<unix seconds>,v1=<hex over t.body>`."""

    def check(body: bytes, headers: Headers, secrets: Secrets, now: float) -> None:
        if "header" not in config:
            return _stamped(headers.get("X-Outreach-Signature", ""), body, secrets, now, GENERIC_TOLERANCE)
        prefix, given = config.get("prefix", ""), headers.get(config["header"], "").strip()
        if not given.startswith(prefix):
            raise Refused("missing")
        decode = _b64 if config.get("encoding") == "base64" else _hex
        return _one_of([decode(given.removeprefix(prefix).strip())], body, secrets)

    return check


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("missing") from None
    if not isinstance(found, dict):
        raise Refused("missing")
    return found


CHECKS: Mapping[str, Check] = {
    "calendly": calendly,
    "greenhouse": greenhouse,
    "lever": lever,
    "ashby": ashby,
    "workable": workable,
    "smartrecruiters": smartrecruiters,
    "teamtailor": teamtailor,
    "recruitee": recruitee,
    "merge": merge,
}


def now() -> float:
    """Seconds since 1970."""
    return time.time()
