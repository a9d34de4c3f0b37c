"""Google's word that a push is Google's: a token signed by one of its certificates, for us, by our account."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import jwt
import requests
from cryptography.x509 import load_pem_x509_certificate

from webhook_service.signatures import Refused

__all__ = ["Google", "Unavailable"]

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LEEWAY = 30
"""Seconds by which clocks may differ."""
AT_MOST_EVERY = 30.0
"""Seconds between fetches, whatever key tokens claim to be signed with."""


class Unavailable(Exception):
    """The certificates can't be had right now."""


class Google:
    """Checks tokens against the certificates at `url`, in Google's X.509 form or as a JWK set, kept for as long as
    the answer says."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = {}
        self._until = self._fetched = 0.0
        self._guard = threading.Lock()

    def verify(self, authorization: str, *, audience: str, account: str) -> None:
        """Raises Refused for any token but one for `audience` of the service account `account`."""
        match = re.fullmatch(
            r"Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", authorization.strip(), re.I
        )
        if match is None:
            raise Refused("missing")
        token = match[1]
        try:
            head = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Refused("forged") from None
        if head.get("alg") != "RS256" or not isinstance(head.get("kid"), str):
            raise Refused("forged")
        key = self._key(head["kid"])
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("stale") from None
        except jwt.PyJWTError:
            raise Refused("forged") from None
        mail = claims.get("email")
        if (
            claims["iss"] not in ISSUERS
            or claims.get("email_verified") is not True
            or not isinstance(mail, str)
        ):
            raise Refused("forged")
        if mail.lower() != account.lower():
            raise Refused("forged")

    def _key(self, name: str) -> Any:
        now = time.monotonic()
        with self._guard:
            if now >= self._until or (name not in self._keys and now - self._fetched >= AT_MOST_EVERY):
                self._fetch(now)
            if name not in self._keys:
                raise Refused("forged")
            return self._keys[name]

    def _fetch(self, now: float) -> None:
        try:
            answer = requests.get(self._url, timeout=5, allow_redirects=False)
            answer.raise_for_status()
            self._keys = dict(_keys(answer.json()))
        except (requests.RequestException, ValueError, TypeError, KeyError, jwt.PyJWTError) as exc:
            if not self._keys:
                raise Unavailable("Google's certificates can't be had.") from exc
            self._until = now + AT_MOST_EVERY
            return
        age = re.search(r"max-age=(\d{1,7})", answer.headers.get("Cache-Control", ""))
        self._fetched = now
        self._until = now + (min(int(age[1]), 86_400) if age else 3_600)


def _keys(found: dict[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(found.get("keys"), list):
        return [
            (k["kid"], jwt.PyJWK(k, algorithm="RS256").key)
            for k in found["keys"]
            if k.get("kty") == "RSA" and "kid" in k
        ]
    return [(name, load_pem_x509_certificate(pem.encode()).public_key()) for name, pem in found.items()]
