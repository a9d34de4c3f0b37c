"""Access tokens of a Google grant, for what isn't mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import requests

from outreach_sdk.errors import MailAuthError, MailTemporary

__all__ = ["access_tokens"]


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
                kind = MailTemporary if exc.retryable else MailAuthError
                raise kind("Google gave no access token for the grant.") from None
            except google.auth.exceptions.GoogleAuthError as exc:
                raise MailTemporary(f"Google's sign-in didn't answer ({type(exc).__name__}).") from None
        return str(credentials.token)

    return give
