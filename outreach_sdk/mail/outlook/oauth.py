"""Microsoft's consent, by way of MSAL: authorization code with PKCE in a browser, or a code typed elsewhere
(https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code). MSAL's cache isn't used: what it
would hold is returned, and kept encrypted in the mailbox's row."""

from __future__ import annotations

import hmac
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msal
import msal.exceptions
import requests

from outreach_sdk.errors import MailAuthError, MailTemporary, SignInRefused
from outreach_sdk.mail.outlook.client import OutlookTransport
from outreach_sdk.mail.outlook.graph import GRAPH
from outreach_sdk.mail.outlook.tokens import CALENDAR, LOGIN, SCOPES, application, shown_error

__all__ = ["MicrosoftSignIn"]


class MicrosoftSignIn:
    """Without a secret the application counts as public. The redirect address of a public one is
    http://localhost, to be registered under "Mobile and desktop applications"."""

    provider = "outlook"
    permissions: tuple[tuple[str, str], ...] = (
        ("Mail.ReadWrite", "to put each e-mail into your Drafts, and to see answers and bounces"),
        ("Mail.Send", "to send the draft, so that it is in your Sent Items"),
        ("User.Read", "to see whose mailbox it is"),
        ("offline_access", "to go on when this notebook is closed, until you disconnect"),
    )
    optional: tuple[tuple[str, str], ...] = (
        (
            CALENDAR,
            "to see when you meet a candidate, which ends their e-mails; with calendar=False it isn't asked",
        ),
    )

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str = "",
        tenant: str = "common",
        authority: str = LOGIN,
        endpoint: str | None = None,
        timeout: float = 30.0,
        calendar: bool = True,
    ) -> None:
        if not calendar:
            self.optional = ()
        self._scopes = [*SCOPES, *(scope for scope, _ in self.optional)]
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._tenant, self._authority = tenant, authority
        self._endpoint, self._timeout = endpoint, timeout

    def begin(self, redirect_uri: str, *, address: str | None) -> tuple[str, dict[str, Any]]:
        with self._application() as (app, instead), warnings.catch_warnings():
            # MSAL would have the answer posted, which can't be pasted into a remote notebook, and to which a
            # browser adds no cookie; a code in an address is worth nothing without the PKCE verifier.
            warnings.filterwarnings("ignore", message="response_mode")
            memo = app.initiate_auth_code_flow(
                self._scopes,
                redirect_uri=redirect_uri,
                login_hint=address,
                prompt="select_account",
                response_mode="query",
            )
        url = str(memo["auth_uri"])
        return (url if instead is None else instead + url.removeprefix(LOGIN)), dict(memo)

    def finish(self, memo: Mapping[str, Any], answer: Mapping[str, str]) -> dict[str, Any]:
        if not hmac.compare_digest(answer.get("state", "").encode(), str(memo["state"]).encode()):
            raise SignInRefused("This answer belongs to another sign-in. Start again.")
        if "code" not in answer:
            raise SignInRefused(_why(answer.get("error"), answer))
        with self._application() as (app, _):
            given = app.acquire_token_by_auth_code_flow(dict(memo), dict(answer))
        return self._kept(given)

    def by_device(self, show: Callable[[str], None], *, patience: float = 900.0) -> dict[str, Any]:
        """The tokens, once somebody has typed the code that is shown. SignInRefused when time is up."""
        with self._application() as (app, _):
            flow = app.initiate_device_flow(scopes=self._scopes)
            if "user_code" not in flow:
                raise SignInRefused(_why(flow.get("error"), flow))
            show(f"On any device, open {flow['verification_uri']} and type the code {flow['user_code']}.")
            flow["expires_at"] = min(float(flow["expires_at"]), time.time() + patience)
            return self._kept(app.acquire_token_by_device_flow(flow))

    def address(self, tokens: Mapping[str, Any]) -> str:
        token = str(tokens["access_token"])

        def give(refused: str | None) -> str:
            if refused is not None:
                raise MailAuthError("Graph doesn't accept the token that Microsoft just gave.")
            return token

        session = requests.Session()
        transport = OutlookTransport(
            "", give, session=session, endpoint=self._endpoint or GRAPH, timeout=self._timeout
        )
        try:
            return transport.address()
        except MailAuthError as exc:
            raise SignInRefused(str(exc)) from None
        finally:
            transport.close()

    def revoke(self, tokens: Mapping[str, Any]) -> bool:
        """Microsoft can only sign a person out of everything, so nothing is asked."""
        return False

    @contextmanager
    def _application(self) -> Iterator[tuple[Any, str | None]]:
        try:
            with application(
                self._client["client_id"],
                self._client["client_secret"],
                tenant=self._tenant,
                authority=self._authority,
                timeout=self._timeout,
            ) as made:
                yield made
        except (requests.RequestException, msal.exceptions.MsalError, RuntimeError) as exc:
            raise MailTemporary(f"Microsoft's sign-in didn't answer ({type(exc).__name__}).") from None
        except ValueError:
            # Also what MSAL makes of a tenant that doesn't exist.
            raise MailTemporary(
                f"Microsoft's sign-in can't be read for the tenant {self._tenant!r}; is that its name?"
            ) from None

    def _kept(self, given: Mapping[str, Any]) -> dict[str, Any]:
        token, refresh = given.get("access_token"), given.get("refresh_token")
        if not token:
            raise SignInRefused(_why(given.get("error"), given))
        if not refresh:
            raise SignInRefused("Microsoft gave no lasting grant: the application lacks offline_access.")
        return {
            **self._client,
            "refresh_token": str(refresh),
            "access_token": str(token),
            "expires_at": time.time() + float(given.get("expires_in") or 0),
            # Asked for again at each renewal, where it was given: Microsoft refuses those who ask for more.
            "calendar": CALENDAR.lower() in str(given.get("scope") or "").lower(),
        }


def _why(error: object, answer: Mapping[str, Any]) -> str:
    shown = shown_error(answer)
    match error:
        case "access_denied" | "authorization_declined" | "consent_required":
            return f"Consent was denied on Microsoft's page, so no mailbox was connected ({shown}). Start again, " \
                "or ask your administrator to allow the application."  # fmt: skip
        case "invalid_grant" | "expired_token" | "code_expired" | "authorization_pending" | "slow_down":
            return f"The code was too old, or used already ({shown}). Start again."
        case _:
            return f"Microsoft gave no grant ({shown}). Start again."
