"""What the web service may call to connect a mailbox for somebody whose notebook holds no keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from outreach_sdk.config import Settings
from outreach_sdk.engine import connecting
from outreach_sdk.errors import ConfigError, NotFound
from outreach_sdk.jobs import shared_engine
from outreach_sdk.wiring import Vault, installation_sign_in

__all__ = ["PROVIDERS", "Opening", "begin", "finish", "opening", "redirect_uri"]

PROVIDERS = {"gmail": "Google", "outlook": "Microsoft"}


@dataclass(frozen=True, slots=True)
class Opening:
    """What a person is shown before they go on: who made the link, for which address, and what is asked."""

    maker: str
    address: str | None
    permissions: tuple[tuple[str, str], ...]
    expires_at: dt.datetime


def _known(provider: str) -> str:
    if provider not in PROVIDERS:
        raise NotFound("There is no such provider.")
    return provider


def redirect_uri(provider: str) -> str:
    """Where the provider sends people back to; to be registered with the application. ConfigError."""
    url = Settings.from_env().public_url
    if url is None:
        raise ConfigError("OUTREACH_PUBLIC_URL: not set. Say where this service is reached from outside.")
    return f"{url}/oauth/{_known(provider)}/callback"


def opening(provider: str, secret: str) -> Opening:
    """The link's page. Changes nothing, so that whatever looks at links ahead of people uses none up. NotFound,
    ConfigError."""
    row = connecting.open_link(shared_engine(), _known(provider), secret)
    gate = installation_sign_in(Settings.from_env(), provider, calendar=row["calendar"])
    asked = (*gate.permissions, *gate.optional)
    return Opening(row["maker"], row["address"], asked, row["expires_at"])


def begin(provider: str, secret: str) -> tuple[str, str]:
    """(the provider's page, what this browser must hold until it is back). Uses the link up. NotFound."""
    settings = Settings.from_env()
    row = connecting.open_link(shared_engine(), _known(provider), secret)
    return connecting.begin_link(
        shared_engine(),
        installation_sign_in(settings, provider, calendar=row["calendar"]),
        vault=Vault(settings),
        secret=secret,
        redirect_uri=redirect_uri(provider),
    )


def finish(provider: str, answer: Mapping[str, str], browser: str) -> str:
    """The address connected. NotFound, SignInRefused, MailTemporary."""
    settings = Settings.from_env()
    return connecting.finish_link(
        shared_engine(),
        installation_sign_in(settings, _known(provider)),
        answer,
        vault=Vault(settings),
        browser=browser,
        tenant=settings.microsoft_tenant,
    )
