"""The only place that chooses an adapter: from settings and rows to an engine with its transports."""

from __future__ import annotations

import datetime as dt
import functools
import json
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outreach_sdk.ai.offline import OfflineJudge
from outreach_sdk.ai.port import HeaderReader, PassageWriter, ReplyJudge
from outreach_sdk.ats.port import Reader
from outreach_sdk.calendars.port import Calendar
from outreach_sdk.config import Settings
from outreach_sdk.domain.told import read as read_told
from outreach_sdk.engine.context import Engine, utc_now
from outreach_sdk.engine.deliveries import POLLED
from outreach_sdk.engine.telling import MAIL, SLACK, Channel, Notices
from outreach_sdk.enrichment.port import Enrichers
from outreach_sdk.errors import ConfigError, MailAuthError, OutreachError
from outreach_sdk.mail.port import MailTransport, SignIn
from outreach_sdk.storage.store import Store, open_store
from outreach_sdk.vault import Vault, binding

if TYPE_CHECKING:
    from outreach_sdk.ai.openai import OpenAiJudge

__all__ = [
    "ATS",
    "Calendars",
    "Transports",
    "Vault",
    "account",
    "channels",
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


class Transports:
    """Transports by mailbox, made once a process and again when the mailbox's row changes."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._made: dict[int, tuple[str, MailTransport]] = {}
        self._guard = threading.Lock()
        self._vault: Vault | None = None

    @property
    def vault(self) -> Vault:
        """The key ring, read at first use."""
        if self._vault is None:
            self._vault = Vault(self._settings)
        return self._vault

    def __call__(self, box: dict[str, Any]) -> MailTransport:
        # Outlook's credentials change with every renewal; its transport reads them when it needs them.
        held = bool(box["credentials"]) if box["provider"] == "outlook" else box["credentials"]
        version = f"{box['provider']}:{box['address']}:{held}:{box['config']}"
        with self._guard:
            made = self._made.get(box["id"])
            if made is not None and made[0] == version:
                return made[1]
            fresh = self._make(box)
            self._made[box["id"]] = (version, fresh)
        if made is not None:
            made[1].close()  # what others have under way on it ends as it would
        return fresh

    def close(self) -> None:
        """Let go of every connection."""
        with self._guard:
            for _, transport in self._made.values():
                transport.close()
            self._made.clear()

    def _make(self, box: dict[str, Any]) -> MailTransport:
        config = json.loads(box["config"] or "{}")
        match box["provider"]:
            case "local":
                from outreach_sdk.mail.local.client import LocalTransport

                return LocalTransport(Path(config["root"]), box["address"])
            case "gmail":
                return self._gmail(box)
            case "outlook":
                return self._outlook(box, config)
            case name if name in EXTRA:
                return EXTRA[name](box, config)
        raise ConfigError(f"Mailbox {box['address']}: there is no transport called {box['provider']!r}.")

    def _gmail(self, box: dict[str, Any]) -> MailTransport:
        from outreach_sdk.mail.gmail.client import GmailTransport, refresh_credentials

        if not box["credentials"]:
            raise MailAuthError(f"{box['address']} holds no tokens. Reconnect it.")
        tokens = self.vault.open(box["credentials"], bound_to=binding(box))
        credentials = refresh_credentials(
            refresh_token=tokens["refresh_token"],
            client_id=tokens["client_id"],
            client_secret=tokens["client_secret"],
            token_uri=self._settings.google_token_uri,
        )
        return GmailTransport(
            box["address"],
            credentials,
            endpoint=self._settings.gmail_endpoint,
            timeout=self._settings.send_timeout,
        )

    def _outlook(self, box: dict[str, Any], config: dict[str, Any]) -> MailTransport:
        import requests

        from outreach_sdk.mail.outlook.client import OutlookTransport
        from outreach_sdk.mail.outlook.graph import GRAPH

        return OutlookTransport(
            box["address"],
            self.graph_token(box, config),
            session=requests.Session(),
            endpoint=self._settings.graph_endpoint or GRAPH,
            timeout=self._settings.send_timeout,
        )

    def graph_token(self, box: dict[str, Any], config: dict[str, Any]) -> Callable[[str | None], str]:
        """What gives access tokens of an Outlook mailbox, renewed once however many ask."""
        from outreach_sdk.mail.outlook.tokens import Grant, Tokens, redeem

        kept = _KeptTokens(self._store, self.vault, box)
        kept.load()

        def exchange(tokens: Mapping[str, Any]) -> Grant:
            return redeem(
                tokens["refresh_token"],
                client_id=tokens["client_id"],
                client_secret=tokens["client_secret"],
                tenant=config.get("tenant", "common"),
                authority=self._settings.microsoft_authority,
                timeout=self._settings.send_timeout,
                calendar=bool(tokens.get("calendar")),
            )

        return Tokens(kept.load, kept.save, exchange, begin=kept.begin, end=kept.end)


class _KeptTokens:
    """A mailbox's tokens in its row, encrypted. The ciphertext, never twice the same, is their version."""

    def __init__(self, store: Store, vault: Vault, box: dict[str, Any]) -> None:
        self._store, self._vault = store, vault
        self._id, self._address = box["id"], box["address"]
        self._bound_to = binding(box)

    def load(self) -> tuple[str, dict[str, Any]]:
        sealed = self._store.value("SELECT credentials FROM mailboxes WHERE id = ?", self._id)
        if not sealed:
            raise MailAuthError(f"{self._address} holds no tokens. Reconnect it.")
        return str(sealed), self._vault.open(str(sealed), bound_to=self._bound_to)

    def save(self, version: str, tokens: dict[str, Any]) -> bool:
        sealed = self._vault.seal(tokens, bound_to=self._bound_to)
        return (
            self._store.write(
                "UPDATE mailboxes SET credentials = ?, renewing_until = NULL WHERE id = ? AND credentials = ?",
                sealed,
                self._id,
                version,
            )
            == 1
        )

    def begin(self, version: str) -> bool:
        from outreach_sdk.mail.outlook.tokens import RENEWING

        now = utc_now()
        return (
            self._store.write(
                "UPDATE mailboxes SET renewing_until = ? WHERE id = ? AND credentials = ? "
                "AND (renewing_until IS NULL OR renewing_until <= ?)",
                now + dt.timedelta(seconds=RENEWING),
                self._id,
                version,
                now,
            )
            == 1
        )

    def end(self, version: str) -> None:
        self._store.write(
            "UPDATE mailboxes SET renewing_until = NULL WHERE id = ? AND credentials = ?", self._id, version
        )


def sign_in(
    settings: Settings,
    provider: str,
    *,
    client_id: str,
    client_secret: str = "",
    tenant: str = "common",
    calendar: bool = True,
) -> SignIn:
    """The consent page of a provider, for one application."""
    if provider == "gmail":
        from outreach_sdk.mail.gmail.oauth import GoogleSignIn

        return GoogleSignIn(
            client_id=client_id,
            client_secret=client_secret,
            auth_uri=settings.google_auth_uri,
            token_uri=settings.google_token_uri,
            endpoint=settings.gmail_endpoint,
            timeout=settings.send_timeout,
            calendar=calendar,
        )
    from outreach_sdk.mail.outlook.oauth import MicrosoftSignIn

    return MicrosoftSignIn(
        client_id=client_id,
        client_secret=client_secret,
        tenant=tenant,
        authority=settings.microsoft_authority,
        endpoint=settings.graph_endpoint,
        timeout=settings.send_timeout,
        calendar=calendar,
    )


def installation_sign_in(settings: Settings, provider: str, *, calendar: bool = True) -> SignIn:
    """The consent page with the application that the installation's web service is set up with. ConfigError."""
    family = "GOOGLE" if provider == "gmail" else "MICROSOFT"
    client_id, secret = (
        (settings.google_client_id, settings.google_client_secret)
        if provider == "gmail"
        else (settings.microsoft_client_id, settings.microsoft_client_secret)
    )
    if not client_id or secret is None:
        raise ConfigError(
            f"OUTREACH_{family}_CLIENT_ID, OUTREACH_{family}_CLIENT_SECRET: not set where the web service runs. "
            "Register an application of the kind “web” and set both."
        )
    return sign_in(
        settings,
        provider,
        client_id=client_id,
        client_secret=secret.reveal(),
        tenant=settings.microsoft_tenant,
        calendar=calendar,
    )


def revoke_pending(settings: Settings, store: Store) -> int:
    """Tell providers to forget the grants of mailboxes that were disconnected; how many were told. What fails
    is tried again by the next call."""
    rows = store.rows("SELECT * FROM mailboxes WHERE revoking IS NOT NULL ORDER BY id LIMIT 100")
    if not rows:
        return 0
    vault, told = Vault(settings), 0
    for box in rows:
        # Google forgets all that a person ever gave the application, a colleague's row included.
        shared = store.value(
            "SELECT 1 FROM mailboxes WHERE id <> ? AND address = ? AND provider = ? AND status = 'connected'",
            box["id"],
            box["address"],
            box["provider"],
        )
        try:
            tokens = vault.open(str(box["revoking"]), bound_to=binding(box))
            if not shared:
                gate = sign_in(
                    settings,
                    box["provider"],
                    client_id=tokens["client_id"],
                    client_secret=tokens["client_secret"],
                )
                told += gate.revoke(tokens)
        except OutreachError as exc:
            if not exc.permanent:
                continue
        store.write(
            "UPDATE mailboxes SET revoking = NULL WHERE id = ? AND revoking = ?", box["id"], box["revoking"]
        )
    return told


EXTRA: dict[str, Callable[[dict[str, Any], dict[str, Any]], MailTransport]] = {}
"""Transports that a program adds under a name of its own: (mailbox row, config) -> MailTransport."""


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
ACCOUNTS = (*ASKABLE, "bullhorn", "workable", "calendly")
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
        source.capitalize(),
        base,
        vendor.headers(key.reveal()),
        session=session,
        timeout=settings.send_timeout,
    )
    return vendor.Account(api, key.reveal())


class Calendars:
    """Calendars by mailbox, made for each reading: readings are minutes apart."""

    def __init__(self, settings: Settings, transports: Transports) -> None:
        self._settings, self._transports = settings, transports

    def __call__(self, box: dict[str, Any]) -> Calendar | None:
        import requests

        from outreach_sdk.calendars.http import HttpCalendarApi

        settings, session = self._settings, requests.Session()
        if box["provider"] == "gmail" and box["credentials"]:
            from outreach_sdk.calendars.google import GOOGLE, GoogleCalendar
            from outreach_sdk.mail.gmail.tokens import access_tokens

            tokens = self._transports.vault.open(box["credentials"], bound_to=binding(box))
            token = access_tokens(tokens, settings.google_token_uri, settings.send_timeout)
            base = settings.google_calendar_endpoint or GOOGLE
            api = HttpCalendarApi(
                "Google Calendar", base, token, session=session, timeout=settings.send_timeout
            )
            return GoogleCalendar(api)
        if box["provider"] == "outlook" and box["credentials"]:
            from outreach_sdk.calendars.outlook import OutlookCalendar
            from outreach_sdk.mail.outlook.graph import GRAPH

            token = self._transports.graph_token(box, json.loads(box["config"] or "{}"))
            base = f"{settings.graph_endpoint or GRAPH}/v1.0"
            api = HttpCalendarApi(
                "Outlook's calendar", base, token, session=session, timeout=settings.send_timeout
            )
            return OutlookCalendar(api)
        return None


def channels(settings: Settings) -> tuple[Channel, ...]:
    """How owners can be told outside the product here: by Slack, and where OUTREACH_SMTP_URL is set by mail."""
    return (SLACK,) if settings.smtp_url is None else (MAIL, SLACK)


def notices(settings: Settings, channel: Channel) -> Notices:
    """What carries notices by a channel that `channels` gave."""
    if channel is SLACK or settings.smtp_url is None:
        from outreach_sdk.mail.slack.client import SlackNotices

        return SlackNotices(private_hosts=settings.notice_hosts)
    from outreach_sdk.mail.smtp.client import SmtpNotices

    return SmtpNotices(settings.smtp_url.reveal())


def passage_writer(settings: Settings) -> PassageWriter | None:
    """The model that writes passages, or None without OPENAI_API_KEY."""
    return _openai(settings)


def header_reader(settings: Settings) -> HeaderReader | None:
    """The model that reads headers, or None without OPENAI_API_KEY."""
    return _openai(settings)


def reply_judge(settings: Settings) -> ReplyJudge | None:
    """The model that judges replies, or None without OPENAI_API_KEY."""
    return _openai(settings)


def _openai(settings: Settings) -> OpenAiJudge | None:
    key = settings.openai_api_key
    if key is None:
        return None
    from outreach_sdk.ai.openai import DEFAULT_MODEL, OPENAI, OpenAiJudge

    return OpenAiJudge(
        key.reveal,
        model=settings.openai_model or DEFAULT_MODEL,
        base_url=settings.openai_base_url or OPENAI,
    )


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
