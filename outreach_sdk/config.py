"""Settings: read once from the environment, checked, never changed. Importing this costs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from outreach_sdk.errors import ConfigError

__all__ = ["VARIABLES", "Secret", "Settings"]

SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel's own limit is 108 on Linux and 104 on macOS, the closing NUL included."""


class Secret:
    """A value that must not be shown: `str` and `repr` are stars, `reveal()` is the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def _text(variable: str, text: str, *, shown: str | None = None) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        shown = shown or repr(text)
        raise ConfigError(f"{variable}: {shown} holds control characters. Set it without line breaks.")
    return text


def _secret(variable: str, text: str) -> Secret:
    return Secret(_text(variable, text, shown="the secret"))


_ACCOUNTS = {"OUTREACH_WORKABLE_API_KEY": "subdomain", "OUTREACH_RECRUITEE_API_KEY": "company id"}
"""Keys that begin with the account's name, which becomes part of an address; a key alone would be sent as one."""


def _vendor_key(variable: str, text: str) -> Secret:
    account = _ACCOUNTS.get(variable)
    if account is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,63}:\S+", text):
        raise ConfigError(f"{variable}: it isn't `{account}:token`. Put the {account} and a colon first.")
    return _secret(variable, text)


def _secrets(variable: str, text: str) -> tuple[Secret, ...]:
    return tuple(_secret(variable, part.strip()) for part in text.split(",") if part.strip())


def _folder(variable: str, text: str) -> Path:
    return Path(_text(variable, text)).expanduser().resolve()


def _address(variable: str, text: str, schemes: str, remedy: str) -> str:
    try:
        parts = urlsplit(text)
        at = parts.path if parts.scheme == "unix" else parts.hostname
        good = bool(at) and parts.scheme in schemes.split() and parts.port != 0
    except ValueError:  # a port that isn't one, a bracket left open
        good = False
    if not good:
        raise ConfigError(f"{variable}: {_masked(text)!r} isn't such an address. {remedy}")
    return _text(variable, text)


def _url(variable: str, text: str) -> str:
    return _address(variable, text, "http https", "Write https://host[/path].").rstrip("/")


def _generic(variable: str, text: str) -> dict[str, Any]:
    """How a generic webhook source is read; see docs/webhooks.md."""
    remedy = "docs/webhooks.md shows what it holds."
    try:
        given = json.loads(text)
    except ValueError:
        raise ConfigError(f"{variable}: it isn't JSON. {remedy}") from None
    known = {"fields": dict, "scheduled": list, "canceled": list, "kind": str, "signature": dict}
    if not isinstance(given, dict) or any(not isinstance(v, known.get(k, ())) for k, v in given.items()):
        raise ConfigError(f"{variable}: it may hold {', '.join(known)}. {remedy}")
    fields, signature = given.get("fields", {}), given.get("signature", {})
    names = {"id", "email", "token", "event", "starts_at", "booked_at", "occurred_at", "title", "link"}
    texts = [*fields.values(), *signature.values(), *given.get("scheduled", ()), *given.get("canceled", ())]
    wrong = [
        "id" not in fields and "“id” is missing among the fields",
        not {"email", "token"} & set(fields) and "neither “email” nor “token” is among the fields",
        not set(fields) <= names and f"fields are {', '.join(sorted(names))}",
        any(not isinstance(one, str) or not one for one in texts) and "every path and value is text",
        given.get("kind", "interview") not in ("interview", "ats", "meeting")
        and "kind is interview, ats or meeting",
        not set(signature) <= {"header", "prefix", "encoding"} and "signature has header, prefix, encoding",
        signature.get("encoding", "hex") not in ("hex", "base64") and "encoding is hex or base64",
    ]
    if why := next(filter(None, wrong), None):
        raise ConfigError(f"{variable}: {why}. {remedy}")
    return given


def _tenant(variable: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]+", text):
        raise ConfigError(f"{variable}: {text!r} isn't a tenant. Give the directory's id or domain.")
    return text


def _topic(variable: str, text: str) -> str:
    if not re.fullmatch(r"projects/[a-z0-9.:-]+/topics/[A-Za-z0-9._~+%-]+", text):
        raise ConfigError(f"{variable}: {text!r} isn't a topic. Write projects/<project>/topics/<topic>.")
    return text


def _host(variable: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]", text):
        raise ConfigError(
            f"{variable}: {text!r} isn't an address to listen on. Write 127.0.0.1, or 0.0.0.0 for all."
        )
    return text


def _hosts(variable: str, text: str) -> tuple[str, ...]:
    hosts = tuple(h.strip().lower() for h in text.split(",") if h.strip())
    if any(not re.fullmatch(r"[a-z0-9.:-]+", h) for h in hosts):
        raise ConfigError(f"{variable}: {text!r} isn't a list of hosts. Write chat.agency.internal,10.0.0.7.")
    return hosts


def _smtp(variable: str, text: str) -> Secret:
    return Secret(_address(variable, text, "smtp smtps", "Write smtp://user:password@host:587."))


def _redis(variable: str, text: str) -> str:
    remedy = "Write redis://host:6379/0, rediss://… or unix:///path, or unset it for an embedded server."
    return _address(variable, text, "redis rediss unix", remedy)


def _database(variable: str, text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        path = _text(variable, text).removeprefix("sqlite:///")
        if path and path != ":memory:" and not path.startswith("file:"):
            # Children run in another folder: a relative path must mean the same file to them.
            return f"sqlite:///{Path(path).expanduser().absolute()}"
    elif scheme in ("postgresql", "postgres") and rest:
        return "postgresql://" + _text(variable, rest, shown="the address")
    raise ConfigError(
        f"{variable}: {_masked(text)!r} isn't a database this can use. Write sqlite:///path/to/file.db or "
        "postgresql://user:password@host/name."
    )


def _number(
    least: float, most: float, *, above: bool = False, kind: type[int] | type[float] = float
) -> Callable[[str, str], float]:
    """A reader of numbers from `least` (with `above`: more than it) to `most`."""

    def read(variable: str, text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or (above and value == least):  # so NaN is refused too
            what = "a whole number" if kind is int else "a number"
            low = f"above {least:g}" if above else f"from {least:g}"
            raise ConfigError(f"{variable}: {text!r} won't do. Use {what} {low} to {most:g}.")
        return value

    return read


def _masked(url: str) -> str:
    """The address without the password it may hold."""
    return re.sub(r"//[^/@]*@", "//***@", re.sub(r"(?i)(password|secret|token|key)=[^&]*", r"\1=***", url))


DAY = 86_400.0


@dataclass(frozen=True, repr=False)
class Settings:
    """Every setting, checked. Make one with `Settings.from_env()`."""

    home: Path = Path(".outreach")
    database_url: str = ""
    redis_url: str | None = None
    api_key: Secret | None = None
    user: str | None = None
    secret_keys: tuple[Secret, ...] = ()
    public_url: str | None = None
    openai_api_key: Secret | None = None
    openai_base_url: str | None = None
    openai_model: str | None = None
    gmail_endpoint: str | None = None
    google_token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105
    google_auth_uri: str = "https://accounts.google.com/o/oauth2/v2/auth"
    google_certs_url: str = "https://www.googleapis.com/oauth2/v1/certs"
    google_calendar_endpoint: str | None = None
    gmail_push_topic: str | None = None
    gmail_push_account: str | None = None
    gmail_push_audience: str | None = None
    google_client_id: str | None = None
    google_client_secret: Secret | None = None
    graph_endpoint: str | None = None
    microsoft_authority: str = "https://login.microsoftonline.com"
    microsoft_client_id: str | None = None
    microsoft_client_secret: Secret | None = None
    microsoft_tenant: str = "common"
    stagger_seconds: float = 3.0
    max_parallel_sends: int = 50
    smtp_url: Secret | None = None
    notice_hosts: tuple[str, ...] = ()
    poll_seconds: float = 300.0
    send_timeout: float = 30.0
    lease_seconds: float = 120.0
    drain_seconds: float = 30.0
    tick_seconds: float = 1.0
    web_port: int = 8765
    web_host: str = "127.0.0.1"
    vendor_keys: Mapping[str, Secret] = field(default_factory=dict)
    """OUTREACH_<PROVIDER>_API_KEY by provider, in lower case."""
    vendor_endpoints: Mapping[str, str] = field(default_factory=dict)
    """OUTREACH_<PROVIDER>_ENDPOINT by provider, in lower case."""
    webhook_secrets: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict)
    """OUTREACH_<SOURCE>_WEBHOOK_SECRETS by source, in lower case, newest first."""
    webhook_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """OUTREACH_<NAME>_WEBHOOK_FIELDS by the name of a generic source, in lower case."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Settings from `env` (default: this process's). A keyword that isn't None wins over its variable;
        an empty variable counts as unset. Raises ConfigError naming the variable, value and remedy."""
        env = os.environ if env is None else env
        known = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(overrides) - set(known)):
            raise ConfigError(f"{unknown[0]}: there is no such setting. There are: {', '.join(known)}.")
        values = _families(env)
        values |= {k: v for k, v in overrides.items() if v is not None and k not in _VARIABLES}
        for name, (variable, read) in _VARIABLES.items():
            given = overrides.get(name)
            if text := (env.get(variable, "") if given is None else _as_text(given)).strip():
                values[name] = read(variable, text)
        values.setdefault("home", _folder("OUTREACH_HOME", ".outreach"))
        values.setdefault("database_url", f"sqlite:///{values['home'] / 'outreach.db'}")
        return cls(**values)

    @property
    def embedded(self) -> bool:
        """Everything on this machine: SQLite, and a Redis of our own."""
        return self.database_url.startswith("sqlite") and self.redis_url is None

    @property
    def socket_dir(self) -> Path:
        """Where this home's sockets are: the home itself, or a private short folder when its path is too
        long for a socket. What a running engine wrote down wins: TMPDIR may differ between processes."""
        try:
            run = json.loads((self.home / "run.json").read_text())
            if run["home"] == str(self.home):  # and not a copy of another home
                return Path(run["socket_dir"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if len(os.fsencode(self.home / "control.sock")) <= SOCKET_PATH_LIMIT:
            return self.home
        name = f"outreach-{os.getuid()}-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]}"
        inside = Path(tempfile.gettempdir()) / name
        short = len(os.fsencode(inside / "control.sock")) <= SOCKET_PATH_LIMIT
        return inside if short else Path("/tmp") / name  # noqa: S108

    @property
    def broker_url(self) -> str:
        """Where Redis is: REDIS_URL, or the embedded server's socket."""
        return self.redis_url or "unix://" + quote(str(self.socket_dir / "redis.sock"))

    def ensure_home(self) -> Path:
        """Create the home folder (mode 700) if need be; ConfigError if it can't be written."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.home):
                pass
        except OSError as error:
            why = f"{str(self.home)!r} can't be written ({error.strerror})"
            raise ConfigError(f"OUTREACH_HOME: {why}. Choose a folder of your own.") from None
        return self.home

    def as_env(self) -> dict[str, str]:
        """The variables with which another process reads these same settings. Holds secrets: for a child's
        environment, never for a log."""
        values = {variable: getattr(self, name) for name, (variable, _) in _VARIABLES.items()}
        env = {k: _as_text(v) for k, v in values.items() if v not in (None, ())}
        for name, (suffix, _) in _FAMILIES.items():
            env |= {f"OUTREACH_{k.upper()}_{suffix}": _as_text(v) for k, v in getattr(self, name).items()}
        return env

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = {k: _masked(v) if isinstance(v, str) else v for k, v in shown.items()}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "home": ("OUTREACH_HOME", _folder),
    "database_url": ("DATABASE_URL", _database),
    "redis_url": ("REDIS_URL", _redis),
    "api_key": ("OUTREACH_API_KEY", _secret),
    "user": ("OUTREACH_USER", _text),
    "secret_keys": ("OUTREACH_SECRET_KEYS", _secrets),
    "public_url": ("OUTREACH_PUBLIC_URL", _url),
    "openai_api_key": ("OPENAI_API_KEY", _secret),
    "openai_base_url": ("OPENAI_BASE_URL", _url),
    "openai_model": ("OUTREACH_OPENAI_MODEL", _text),
    "gmail_endpoint": ("OUTREACH_GMAIL_ENDPOINT", _url),
    "google_token_uri": ("OUTREACH_GOOGLE_TOKEN_URI", _url),
    "google_auth_uri": ("OUTREACH_GOOGLE_AUTH_URI", _url),
    "google_certs_url": ("OUTREACH_GOOGLE_CERTS_URL", _url),
    "google_calendar_endpoint": ("OUTREACH_GOOGLE_CALENDAR_ENDPOINT", _url),
    "gmail_push_topic": ("OUTREACH_GMAIL_PUSH_TOPIC", _topic),
    "gmail_push_account": ("OUTREACH_GMAIL_PUSH_ACCOUNT", _text),
    "gmail_push_audience": ("OUTREACH_GMAIL_PUSH_AUDIENCE", _text),
    "google_client_id": ("OUTREACH_GOOGLE_CLIENT_ID", _text),
    "google_client_secret": ("OUTREACH_GOOGLE_CLIENT_SECRET", _secret),
    "graph_endpoint": ("OUTREACH_GRAPH_ENDPOINT", _url),
    "microsoft_authority": ("OUTREACH_MICROSOFT_AUTHORITY", _url),
    "microsoft_client_id": ("OUTREACH_MICROSOFT_CLIENT_ID", _text),
    "microsoft_client_secret": ("OUTREACH_MICROSOFT_CLIENT_SECRET", _secret),
    "microsoft_tenant": ("OUTREACH_MICROSOFT_TENANT", _tenant),
    "stagger_seconds": ("OUTREACH_STAGGER_SECONDS", _number(0, DAY)),
    "max_parallel_sends": ("OUTREACH_MAX_PARALLEL_SENDS", _number(1, 1000, kind=int)),
    "smtp_url": ("OUTREACH_SMTP_URL", _smtp),
    "notice_hosts": ("OUTREACH_NOTICE_HOSTS", _hosts),
    "poll_seconds": ("OUTREACH_POLL_SECONDS", _number(0, DAY, above=True)),
    "send_timeout": ("OUTREACH_SEND_TIMEOUT", _number(0, 600, above=True)),
    "lease_seconds": ("OUTREACH_LEASE_SECONDS", _number(0, DAY, above=True)),
    "drain_seconds": ("OUTREACH_DRAIN_SECONDS", _number(0, 600, above=True)),
    "tick_seconds": ("OUTREACH_TICK_SECONDS", _number(0, 3600, above=True)),
    "web_host": ("OUTREACH_WEB_HOST", _host),
    "web_port": ("OUTREACH_WEB_PORT", _number(0, 65_535, kind=int)),
}

VARIABLES = frozenset(variable for variable, _ in _VARIABLES.values())
"""Every variable with a field of its own."""

_FAMILIES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "vendor_keys": ("API_KEY", _vendor_key),
    "vendor_endpoints": ("ENDPOINT", _url),
    "webhook_secrets": ("WEBHOOK_SECRETS", _secrets),
    "webhook_fields": ("WEBHOOK_FIELDS", _generic),
}


def _families(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (suffix, read) in _FAMILIES.items():
        found[name] = {}
        for variable in env.keys() - VARIABLES:
            match = re.fullmatch(rf"OUTREACH_([A-Z0-9_]+)_{suffix}", variable)
            if match and (text := env[variable].strip()):
                found[name][match[1].lower()] = read(variable, text)
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, (tuple, list)):
        return ",".join(_as_text(v) for v in value)
    return str(value)
