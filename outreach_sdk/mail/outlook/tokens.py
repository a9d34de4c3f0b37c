"""Access tokens for Graph, by way of MSAL: renewed once however many ask, the refresh token kept as it rotates.

Microsoft gives a new refresh token with every use and asks that the old one be forgotten
(https://learn.microsoft.com/entra/identity-platform/refresh-tokens). MSAL's own cache is not used: what must
be kept lies encrypted in the mailbox's row, where every process finds it.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msal
import msal.exceptions
import requests

from outreach_sdk.errors import ConfigError, MailAuthError, MailTemporary

__all__ = ["CALENDAR", "LOGIN", "SCOPES", "Grant", "Tokens", "application", "redeem", "shown_error"]

LOGIN = "https://login.microsoftonline.com"
SCOPES = ["Mail.ReadWrite", "Mail.Send", "User.Read"]
CALENDAR = "Calendars.Read"
EARLY = 120.0
"""Seconds before its end that an access token counts as used up."""
ROUNDS = 5
RENEWING = 90.0
"""Seconds for which one process alone may renew; over that it is taken for dead."""
LOOK = 0.1
DEAD_FOR = 30.0
"""Seconds that a refusal stands without asking again, unless other tokens are kept by then."""
NUMBER = re.compile(r"AADSTS\d+")

# What signing in again, or someone who administers the application, has to mend
# (https://learn.microsoft.com/entra/identity-platform/reference-error-codes); all else may pass by itself.
DEAD = frozenset(
    {
        "access_denied",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "login_required",
        "unauthorized_client",
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a refresh token was exchanged for. `expires_at` is in seconds since 1970."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float


class _Http(requests.Session):
    """What MSAL asks through: with a time-out, no redirects, and, for a stand-in on this machine, another
    address in place of Microsoft's, since MSAL takes only https."""

    def __init__(self, timeout: float, instead: str | None) -> None:
        super().__init__()
        self._timeout, self._instead = timeout, instead

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        address = url.decode() if isinstance(url, bytes) else url
        if self._instead is not None:
            address = self._instead + address.removeprefix(LOGIN)
        kwargs.setdefault("timeout", self._timeout)
        kwargs["allow_redirects"] = False
        return super().request(method, address, *args, **kwargs)


@contextmanager
def application(
    client_id: str, client_secret: str, *, tenant: str, authority: str, timeout: float
) -> Iterator[tuple[Any, str | None]]:
    """MSAL's application, and what stands in place of Microsoft's address on this machine. ConfigError for an
    `authority` over plain http elsewhere."""
    instead = _on_this_machine(authority) if authority.startswith("http:") else None
    with _Http(timeout, instead) as http:
        options = {
            "authority": f"{LOGIN if instead else authority}/{tenant}",
            "http_client": http,
            "instance_discovery": False,
        }
        if client_secret:
            yield (
                msal.ConfidentialClientApplication(client_id, client_credential=client_secret, **options),
                instead,
            )
        else:
            yield msal.PublicClientApplication(client_id, **options), instead


def redeem(
    refresh_token: str,
    *,
    client_id: str,
    client_secret: str = "",
    tenant: str = "common",
    authority: str = LOGIN,
    timeout: float = 30.0,
    calendar: bool = False,
) -> Grant:
    """Exchange a refresh token; `calendar`: its consent covers that too. Raises MailAuthError (the grant or the
    application is dead) and MailTemporary. Without a secret the application counts as public. An `authority` over
    plain http must be on this machine, else ConfigError: the refresh token would be readable on the way."""
    try:
        with application(client_id, client_secret, tenant=tenant, authority=authority, timeout=timeout) as (
            app,
            _,
        ):
            answer = app.acquire_token_by_refresh_token(
                refresh_token, scopes=[*SCOPES, *([CALENDAR] if calendar else [])]
            )
    except (requests.RequestException, msal.exceptions.MsalError, RuntimeError) as exc:
        raise MailTemporary(f"Microsoft's sign-in didn't answer ({type(exc).__name__}).") from None
    except ValueError:
        # Also what MSAL makes of a tenant that doesn't exist.
        raise MailTemporary(
            f"Microsoft's sign-in can't be read for the tenant {tenant!r}; is that its name?"
        ) from None
    return _grant(answer, refresh_token)


def _grant(answer: Mapping[str, Any], refresh_token: str) -> Grant:
    token = answer.get("access_token")
    if isinstance(token, str) and token:
        kept = str(answer.get("refresh_token") or refresh_token)
        return Grant(token, kept, time.time() + float(answer.get("expires_in") or 0))
    error, shown = str(answer.get("error")), shown_error(answer)
    if error in DEAD:
        raise MailAuthError(f"Microsoft no longer accepts this mailbox's grant ({shown}). Reconnect it.")
    raise MailTemporary(f"Microsoft's sign-in gave no token ({shown}).")


def shown_error(answer: Mapping[str, Any]) -> str:
    """OAuth's code of an error and Microsoft's number of it; the rest may quote what was sent."""
    error = str(answer.get("error"))
    error = error if re.fullmatch(r"[a-z_]{1,60}", error) else "no reason given"
    number = NUMBER.search(str(answer.get("error_description") or ""))
    return f"{error} {number[0]}" if number else error


def _on_this_machine(authority: str) -> str:
    host = urlsplit(authority).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise ConfigError(f"OUTREACH_MICROSOFT_AUTHORITY: {authority!r} isn't encrypted. Write https://….")
    return authority.rstrip("/")


class Tokens:
    """The `token` of an OutlookTransport, shared by all threads of a process.

    `load` gives what is kept and its version, and raises MailAuthError where nothing is; `save` replaces it,
    and says False where it is no longer of that version. `exchange` is `redeem` on what is kept. `begin` says
    whether this process is the one to renew that version (a lease on the mailbox's row, `RENEWING` seconds long),
    `end` gives that back. So of many processes that find the token used up one asks Microsoft, and the others take
    over what it got.
    """

    def __init__(
        self,
        load: Callable[[], tuple[str, dict[str, Any]]],
        save: Callable[[str, dict[str, Any]], bool],
        exchange: Callable[[Mapping[str, Any]], Grant],
        *,
        begin: Callable[[str], bool] = lambda version: True,
        end: Callable[[str], None] = lambda version: None,
        patience: float = 0.4,
    ) -> None:
        self._load = load
        self._save = save
        self._exchange = exchange
        self._begin, self._end = begin, end
        self._patience = patience
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._dead: tuple[str, float, str] = ("", 0.0, "")

    def __call__(self, refused: str | None) -> str:
        with self._lock:
            if not _usable(self._known, refused):
                self._known = self._renewed(refused)
            return str(self._known["access_token"])

    def _renewed(self, refused: str | None) -> dict[str, Any]:
        for _ in range(ROUNDS):
            version, kept = self._load()
            if _usable(kept, refused):
                return kept
            if version == self._dead[0] and time.monotonic() < self._dead[1]:
                raise MailAuthError(self._dead[2])
            if not self._mine(version):
                continue
            try:
                grant = self._exchange(kept)
            except MailAuthError as exc:
                self._end(version)
                if self._replaced(version):
                    continue
                self._dead = (version, time.monotonic() + DEAD_FOR, str(exc))
                raise
            except BaseException:
                self._end(version)
                raise
            made = {
                **kept,
                "refresh_token": grant.refresh_token,
                "access_token": grant.access_token,
                "expires_at": grant.expires_at,
            }
            if self._save(version, made):
                return made
        raise MailTemporary("The mailbox's tokens kept changing while they were renewed.")

    def _mine(self, version: str) -> bool:
        """Whether it falls to this process to renew that version; False once another has."""
        until = time.monotonic() + RENEWING + 5
        while not self._begin(version):
            time.sleep(LOOK)
            if self._load()[0] != version:
                return False
            if time.monotonic() > until:
                raise MailTemporary("Another process renews the mailbox's tokens and doesn't come to an end.")
        return True

    def _replaced(self, version: str) -> bool:
        """Whether another process used this refresh token up and has written, or is about to write, the
        next one. A grant counts as dead only after that."""
        for attempt in range(ROUNDS):
            if attempt:
                time.sleep(self._patience)
            if self._load()[0] != version:
                return True
        return False


def _usable(tokens: Mapping[str, Any], refused: str | None) -> bool:
    token = tokens.get("access_token")
    return bool(token) and token != refused and float(tokens.get("expires_at") or 0) - EARLY > time.time()
