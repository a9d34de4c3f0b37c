"""Google's consent page for installed and web applications: authorization code with PKCE
(https://developers.google.com/identity/protocols/oauth2/native-app)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import google.oauth2.credentials
import requests

from outreach_sdk.errors import MailAuthError, MailTemporary, SignInRefused
from outreach_sdk.mail.gmail.client import GmailTransport

__all__ = ["GoogleSignIn"]

COMPOSE = "https://www.googleapis.com/auth/gmail.compose"
READ = "https://www.googleapis.com/auth/gmail.readonly"
CALENDAR = "https://www.googleapis.com/auth/calendar.events.readonly"


class GoogleSignIn:
    """`revoke_uri` is derived from `token_uri`: Google keeps the two side by side."""

    provider = "gmail"
    permissions: tuple[tuple[str, str], ...] = (
        (COMPOSE, "to put each e-mail into your Drafts and send it from there, so that it is in your Sent folder"),
        (READ, "to see answers and bounces, and your signature and the addresses you may send as"),
    )  # fmt: skip
    optional: tuple[tuple[str, str], ...] = (
        (
            CALENDAR,
            "to see when you meet a candidate, which ends their e-mails; untick it and all else works",
        ),
    )

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        auth_uri: str,
        token_uri: str,
        endpoint: str | None = None,
        timeout: float = 30.0,
        calendar: bool = True,
    ) -> None:
        if not calendar:
            self.optional = ()
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._auth_uri, self._token_uri = auth_uri, token_uri
        self._revoke_uri = re.sub(r"token$", "revoke", token_uri)
        self._endpoint, self._timeout = endpoint, timeout

    def begin(self, redirect_uri: str, *, address: str | None) -> tuple[str, dict[str, Any]]:
        memo = {
            "state": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(64),
            "redirect_uri": redirect_uri,
        }
        digest = hashlib.sha256(memo["verifier"].encode()).digest()
        query = {
            "client_id": self._client["client_id"],
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": " ".join(scope for scope, _ in (*self.permissions, *self.optional)),
            "access_type": "offline",
            "prompt": "consent",  # without it Google gives no refresh token to whoever has agreed before
            "state": memo["state"],
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if address:
            query["login_hint"] = address
        return f"{self._auth_uri}?{urlencode(query)}", memo

    def finish(self, memo: Mapping[str, Any], answer: Mapping[str, str]) -> dict[str, Any]:
        if not hmac.compare_digest(answer.get("state", "").encode(), str(memo["state"]).encode()):
            raise SignInRefused("This answer belongs to another sign-in. Start again.")
        if "code" not in answer:
            raise SignInRefused(_why(answer.get("error")))
        given = self._post(
            self._token_uri,
            {
                **self._client,
                "grant_type": "authorization_code",
                "code": answer["code"],
                "code_verifier": str(memo["verifier"]),
                "redirect_uri": str(memo["redirect_uri"]),
            },
        )
        if given.status_code >= 500 or given.status_code == 429:
            raise MailTemporary(f"Google's sign-in answered {given.status_code}.")
        tokens = _json(given)
        if given.status_code != 200 or not tokens.get("access_token"):
            raise SignInRefused(_why(str(tokens.get("error"))))
        if not tokens.get("refresh_token"):
            raise SignInRefused(
                "Google gave no lasting grant. Remove the application's access, then start again."
            )
        kept = {**self._client, "refresh_token": str(tokens["refresh_token"])}
        missing = {scope for scope, _ in self.permissions} - set(str(tokens.get("scope") or "").split())
        if missing and tokens.get("scope"):
            self.revoke(kept)
            named = ", ".join(sorted(s.rpartition("/")[2] for s in missing))
            raise SignInRefused(
                f"Not all permissions were ticked: {named} is missing. Start again and tick all."
            )
        return kept

    def address(self, tokens: Mapping[str, Any]) -> str:
        credentials = google.oauth2.credentials.Credentials(
            token=None,
            refresh_token=tokens["refresh_token"],
            client_id=tokens["client_id"],
            client_secret=tokens["client_secret"],
            token_uri=self._token_uri,
        )
        transport = GmailTransport("", credentials, endpoint=self._endpoint, timeout=self._timeout)
        try:
            return transport.address()
        except MailAuthError as exc:
            raise SignInRefused(f"The grant that Google gave doesn't open a mailbox: {exc}") from None
        finally:
            transport.close()

    def revoke(self, tokens: Mapping[str, Any]) -> bool:
        answer = self._post(self._revoke_uri, {"token": str(tokens["refresh_token"])})
        if answer.status_code not in (200, 400):  # 400: dead already
            raise MailTemporary(f"Google answered {answer.status_code} to the revocation.")
        return True

    def _post(self, url: str, form: dict[str, str]) -> requests.Response:
        try:
            # trust_env off: a .netrc would put a password in; redirects would carry the secret along.
            with requests.Session() as session:
                session.trust_env = False
                return session.post(url, data=form, timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as exc:
            raise MailTemporary(f"Google's sign-in didn't answer ({type(exc).__name__}).") from None


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _why(error: str | None) -> str:
    """A sentence for OAuth's code of an error. Its description may quote what was sent, so it isn't shown."""
    match error:
        case "access_denied":
            return (
                "Consent was denied on Google's page, so no mailbox was connected. Start again to allow it."
            )
        case "invalid_grant":
            return "The code was too old, or used already. Start again; it holds for a few minutes."
        case "invalid_client" | "unauthorized_client" | "redirect_uri_mismatch":
            return f"Google doesn't accept the application ({error}): check the client id, its secret and redirects."
        case _:
            shown = error if error and re.fullmatch(r"[a-z_]{1,60}", error) else "no reason given"
            return f"Google gave no grant ({shown}). Start again."
