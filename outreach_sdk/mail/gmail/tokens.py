"""Access tokens of a Google grant, for what isn't mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import requests

from outreach_sdk.errors import MailAuthError, MailTemporary

__all__ = ["access_tokens", "is_dead"]

# What signing in again, or whoever administers the application, has to mend
# (https://developers.google.com/identity/protocols/oauth2/web-server#exchange-errors-invalid-grant and RFC 6749, 5.2);
# all else, a gateway's page above all, may pass by itself.
DEAD = frozenset(
    {
        "access_denied",
        "admin_policy_enforced",
        "deleted_client",
        "disabled_client",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "org_internal",
        "unauthorized_client",
    }
)
# How Google's library itself words an answer of invalid_grant that asks for another sign-in (invalid_rapt).
_SIGN_IN_AGAIN = "Reauthentication is needed"


def is_dead(exc: google.auth.exceptions.RefreshError) -> bool:
    """Whether Google said, in its own terms, that it renews this grant no more."""
    said = exc.args[1] if len(exc.args) > 1 else None
    if isinstance(said, Mapping):
        return str(said.get("error")) in DEAD
    return not exc.retryable and bool(exc.args) and str(exc.args[0]).startswith(_SIGN_IN_AGAIN)


def access_tokens(tokens: Mapping[str, Any], token_uri: str, timeout: float) -> Callable[[str | None], str]:
    """A callable that gives an access token: called with None for one that should work, or with one that was
    refused, for another. It raises MailAuthError, MailTemporary. For one thread."""
    credentials = google.oauth2.credentials.Credentials(
        token=None,
        refresh_token=tokens["refresh_token"],
        client_id=tokens["client_id"],
        client_secret=tokens["client_secret"],
        token_uri=token_uri,
    )

    def give(refused: str | None) -> str:
        if not credentials.valid or credentials.token == refused:
            try:
                with requests.Session() as session:
                    ask = google.auth.transport.requests.Request(session=session)
                    credentials.refresh(lambda *a, **k: ask(*a, **{**k, "timeout": timeout}))
            except google.auth.exceptions.RefreshError as exc:
                kind = MailAuthError if is_dead(exc) else MailTemporary
                raise kind("Google gave no access token for the grant.") from None
            # The library takes a 200 to hold JSON: a gateway's page makes it stumble.
            except (google.auth.exceptions.GoogleAuthError, TypeError, AttributeError, ValueError) as exc:
                raise MailTemporary(f"Google's sign-in didn't answer ({type(exc).__name__}).") from None
        return str(credentials.token)

    return give
