"""Applicant tracking systems, booking pages and enrichment providers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from outreach_sdk.ats.port import Reader, system_name
from outreach_sdk.config import Settings
from outreach_sdk.domain.told import read as read_told
from outreach_sdk.engine.deliveries import POLLED
from outreach_sdk.enrichment.port import Enrichers

__all__ = ["ACCOUNTS", "ASKABLE", "ATS", "ENRICHMENT", "account", "enrichers", "event_reader"]

ATS = ("greenhouse", "lever", "ashby", "workable", "smartrecruiters", "teamtailor", "recruitee", "merge")
"""Applicant tracking systems whose webhooks are read."""


def event_reader(settings: Settings, source: str) -> Reader | None:
    """What reads the deliveries of a source; None where nothing does."""
    if source.endswith(POLLED):
        return read_told
    if source.startswith("generic:"):
        from outreach_sdk.ats.generic import GenericReader

        config = settings.webhook_fields.get(source.removeprefix("generic:"))
        return None if config is None else GenericReader(config)
    if source == "enrichment:fullenrich":
        from outreach_sdk.enrichment.fullenrich import read as read_ready

        return read_ready
    if source == "calendly":
        from outreach_sdk.calendars.calendly import read

        return read
    if source in ATS:
        reader: Reader = import_module(f"outreach_sdk.ats.{source}").read
        return reader
    return None


ENRICHMENT = {
    "hunter": "Hunter",
    "pdl": "PeopleDataLabs",
    "apollo": "Apollo",
    "prospeo": "Prospeo",
    "contactout": "ContactOut",
    "rocketreach": "RocketReach",
    "dropcontact": "Dropcontact",
    "lusha": "Lusha",
    "fullenrich": "FullEnrich",
    "zerobounce": "ZeroBounce",
    "neverbounce": "NeverBounce",
}
"""Enrichment providers by the name in OUTREACH_<PROVIDER>_API_KEY, with their classes."""


def enrichers(settings: Settings) -> Enrichers:
    """The providers that have a key."""
    found: dict[str, Any] = {}
    for name, kind in ENRICHMENT.items():
        key = settings.vendor_keys.get(name)
        if key is not None:
            make = getattr(import_module(f"outreach_sdk.enrichment.{name}"), kind)
            callback = settings.public_url and f"{settings.public_url}/webhooks/enrichment/{name}"
            found[name] = make(
                key.reveal,
                endpoint=settings.vendor_endpoints.get(name),
                timeout=settings.send_timeout,
                callback_url=callback,
            )
    return Enrichers(
        finders={n: v for n, v in found.items() if v.fields},
        verifiers={n: v for n, v in found.items() if hasattr(v, "check")},
    )


ASKABLE = ("greenhouse", "lever", "ashby", "smartrecruiters", "teamtailor", "merge")
"""Systems that can be asked about what their deliveries don't tell."""
ACCOUNTS = (*ASKABLE, "bullhorn", "workable", "recruitee", "calendly")
"""Systems with an account of some use here, by the name in OUTREACH_<NAME>_API_KEY."""


def account(settings: Settings, source: str) -> Any:
    """The account at a source's system (see `ats.port` for what can be asked of it); None without a key."""
    key = settings.vendor_keys.get(source)
    if key is None or source not in ACCOUNTS:
        return None
    import requests

    from outreach_sdk.ats.http import HttpApi

    session, endpoint = requests.Session(), settings.vendor_endpoints.get(source)
    if source == "bullhorn":
        from outreach_sdk.ats.bullhorn import Account

        return Account(key.reveal(), session=session, base_url=endpoint, timeout=settings.send_timeout)
    family = "calendars" if source == "calendly" else "ats"
    vendor = import_module(f"outreach_sdk.{family}.{source}_api")
    base = endpoint or vendor.BASE.format(account=key.reveal().partition(":")[0])
    api = HttpApi(
        system_name(source),
        base,
        vendor.headers(key.reveal()),
        session=session,
        timeout=settings.send_timeout,
    )
    return vendor.Account(api, key.reveal())
