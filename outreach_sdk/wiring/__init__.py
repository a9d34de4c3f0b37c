"""The only place that chooses an adapter: from settings and rows to an engine with its transports."""

from __future__ import annotations

import datetime as dt
import functools

from outreach_sdk.ai.offline import OfflineJudge
from outreach_sdk.config import Settings
from outreach_sdk.engine.context import Engine
from outreach_sdk.storage.store import Store, open_store
from outreach_sdk.vault import Vault
from outreach_sdk.wiring.helpers import (
    channels,
    check_notices,
    header_reader,
    notices,
    passage_writer,
    reply_judge,
)
from outreach_sdk.wiring.mailboxes import (
    EXTRA,
    Calendars,
    Transports,
    installation_sign_in,
    revoke_pending,
    sign_in,
)
from outreach_sdk.wiring.systems import ACCOUNTS, ASKABLE, ATS, ENRICHMENT, account, enrichers, event_reader

__all__ = [
    "ACCOUNTS",
    "ASKABLE",
    "ATS",
    "ENRICHMENT",
    "EXTRA",
    "Calendars",
    "Transports",
    "Vault",
    "account",
    "channels",
    "check_notices",
    "enrichers",
    "event_reader",
    "header_reader",
    "installation_sign_in",
    "notices",
    "open_engine",
    "passage_writer",
    "reply_judge",
    "revoke_pending",
    "sign_in",
]


def open_engine(settings: Settings, store: Store | None = None) -> Engine:
    """An engine on the settings' database. Connects to nothing yet."""
    store = store or open_store(settings.database_url)
    transports = Transports(settings, store)
    return Engine(
        store=store,
        transport=transports,
        calendar=Calendars(settings, transports),
        rules=OfflineJudge(),
        model=functools.cache(lambda: reply_judge(settings)),
        writer=functools.cache(lambda: passage_writer(settings)),
        header_reader=functools.cache(lambda: header_reader(settings)),
        spacing=dt.timedelta(seconds=settings.stagger_seconds),
        cap=settings.max_parallel_sends,
        lease=dt.timedelta(seconds=settings.lease_seconds),
        poll_every=dt.timedelta(seconds=settings.poll_seconds),
        drain_for=dt.timedelta(seconds=settings.drain_seconds),
        reader=functools.partial(event_reader, settings),
        enrichers=functools.cache(lambda: enrichers(settings)),
        asker=functools.cache(functools.partial(account, settings)),
        askable=tuple(name for name in ASKABLE if name in settings.vendor_keys),
        connected=tuple(name for name in ACCOUNTS if name in settings.vendor_keys),
        public_url=settings.public_url,
        push_topic=settings.gmail_push_topic,
    )
