"""Who is acting, on which database: what every object holds on to."""

from __future__ import annotations

import datetime as dt
import getpass
import hashlib
import json
import os
import secrets
import threading
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from outreach_sdk.config import Settings
from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.domain.given import check_line
from outreach_sdk.engine.context import Engine, utc_now
from outreach_sdk.errors import AccessDenied, ConfigError, InvalidInput, NotFound, NotReady
from outreach_sdk.storage import wall
from outreach_sdk.storage.migrations import migrate
from outreach_sdk.storage.scoped import Scoped
from outreach_sdk.storage.store import Store, open_store
from outreach_sdk.wiring import open_engine

__all__ = ["Session", "acting", "add_user", "colleague", "current", "open_session", "use"]


class Session:
    """An engine and the user acting on it."""

    def __init__(
        self, settings: Settings, engine: Engine, user: dict[str, Any], *, walled: bool = False
    ) -> None:
        self.walled = walled
        """Whether the database itself keeps this connection to what is this user's (storage/wall.py)."""
        self.settings = settings
        self.engine = engine
        self.user = user
        self.workspace_id: int = user["workspace_id"]
        self.scope = Scoped(
            engine.store,
            workspace_id=user["workspace_id"],
            user_id=user["id"],
            admin=user["role"] == "admin",
            gate=self.check_access,
        )

    def check_access(self) -> None:
        """AccessDenied where Sequences are switched off, for all or for this user. What runs goes on."""
        row = self.store.one(
            "SELECT u.sequences_access, w.settings FROM users u JOIN workspace w ON w.id = u.workspace_id WHERE u.id = ?",
            self.user["id"],
        )
        if row is None:  # a user who is gone owns nothing, and so finds nothing
            return
        on = json.loads(row["settings"] or "{}").get("sequences", True)
        if on and row["sequences_access"]:
            return
        admins = [
            str(r["name"])
            for r in self.store.rows(
                "SELECT name FROM users WHERE workspace_id = ? AND role = 'admin' ORDER BY id",
                self.workspace_id,
            )
        ]
        why = "You have no access to Sequences" if on else "Sequences are switched off for your organisation"
        raise AccessDenied(f"{why}. Ask {' or '.join(admins)} to switch them on.")

    @property
    def store(self) -> Store:
        return self.engine.store

    def now(self) -> dt.datetime:
        return self.engine.now()


_current: Session | None = None
_here = threading.local()


@contextmanager
def acting(session: Session) -> Iterator[None]:
    """Let objects act in `session` in this thread, for as long as the block lasts."""
    before = getattr(_here, "session", None)
    _here.session = session
    try:
        yield
    finally:
        _here.session = before


def current() -> Session:
    """The session of the last `connect`, else one made from the environment."""
    if (here := getattr(_here, "session", None)) is not None:
        return cast("Session", here)
    return _current if _current is not None else use(open_session(Settings.from_env()))


def use(session: Session) -> Session:
    """Make it the one that objects act in."""
    global _current
    _current = session
    return session


def colleague(session: Session, name: str) -> dict[str, Any]:
    """A user of the workspace by name or e-mail. NotFound."""
    if not isinstance(name, str):
        raise InvalidInput("user", name, "Give a colleague's name or e-mail address.")
    found = session.store.one(
        "SELECT * FROM users WHERE workspace_id = ? AND (name = ? OR LOWER(email) = ?)",
        session.workspace_id,
        name,
        name.lower(),
    )
    if found is None:
        raise NotFound(f"There is no user {name!r} in this workspace.")
    return found


def key_hash(api_key: str) -> str:
    """API keys are long and random, so a plain digest keeps them safe at rest."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def local_zone(etc: Path = Path("/etc")) -> str:
    """This machine's zone by name, or UTC: what TZ says, as programs of the system read it, else where
    /etc/localtime leads, else what /etc/timezone says, as in containers that have but a copy."""
    told: tuple[Callable[[], str], ...] = (
        lambda: os.environ.get("TZ", "").removeprefix(":"),
        lambda: str((etc / "localtime").resolve()),
        lambda: (etc / "timezone").read_text(encoding="utf-8"),
    )
    for says in told:
        with suppress(OSError, zoneinfo.ZoneInfoNotFoundError, ValueError):
            name = says().strip().rpartition("zoneinfo/")[2].removeprefix("posix/")
            if name and zoneinfo.ZoneInfo(name):
                return "UTC" if name == "Etc/UTC" else name
    return "UTC"


def open_session(settings: Settings) -> Session:
    """Open the database, bring its schema up to date in an embedded home, find who is acting."""
    if settings.database_url.startswith("sqlite"):
        settings.ensure_home()
    # A notebook asks for this and that: a plan kept for all values would read a small sequence's rows from all there are.
    engine = open_engine(settings, open_store(settings.database_url, keeps_plans=False))
    store, now = engine.store, engine.now()
    if settings.database_url.startswith("sqlite"):
        migrate(store, now)
    if wall.behind(store):
        # Who signed in as this role is known to the database: no key says it better.
        user = store.one("SELECT * FROM users WHERE db_role = session_user")
        if user is None:
            raise ConfigError("DATABASE_URL: this role is nobody's any more. Ask your admin for a new one.")
        return Session(settings, engine, user, walled=True)
    if settings.api_key is not None:
        user = store.one("SELECT * FROM users WHERE api_key_hash = ?", key_hash(settings.api_key.reveal()))
        if user is None:
            raise ConfigError("OUTREACH_API_KEY: nobody has this key. Ask your admin for a new one.")
        return Session(settings, engine, user)
    if not settings.database_url.startswith("sqlite"):
        raise ConfigError(
            "OUTREACH_API_KEY: needed with PostgreSQL, to say who is acting. `outreach user add` makes one."
        )
    return Session(settings, engine, _embedded_user(engine, settings, now))


def _embedded_user(engine: Engine, settings: Settings, now: dt.datetime) -> dict[str, Any]:
    store = engine.store

    def work() -> dict[str, Any]:
        if settings.user is not None:
            found = store.one("SELECT * FROM users WHERE name = ? OR email = ?", settings.user, settings.user)
        else:
            found = store.one("SELECT * FROM users ORDER BY id LIMIT 1")
        if found is not None:
            return found
        if store.value("SELECT 1 FROM users LIMIT 1"):
            raise NotFound(
                f"There is no user {settings.user!r} here. `outreach user list` shows who there is."
            )
        workspace = store.insert("workspace", {"name": "My workspace", "settings": "{}", "created_at": now})
        try:
            name = settings.user or getpass.getuser()
        except (KeyError, OSError):
            name = "me"
        user_id = store.insert(
            "users",
            {
                "workspace_id": workspace,
                "name": name,
                "role": "admin",
                "sequences_access": True,
                "created_at": now,
            },
        )
        return dict(store.one("SELECT * FROM users WHERE id = ?", user_id) or {})

    return store.run(work)


def add_user(name: str, *, email: str | None = None, admin: bool = False) -> dict[str, Any]:
    """A new user with an API key that is shown this once. The first user of a database makes its workspace
    and is an admin; after that an admin must be acting (OUTREACH_API_KEY). InvalidInput
    if the name is blank or taken, or the e-mail address can't be one."""
    name = check_line("name", name).strip()
    if not name:
        raise InvalidInput("name", name, "Give the name that colleagues know them by.")
    email = None if email is None else normalise_email(email)
    settings = Settings.from_env()
    with closing(open_store(settings.database_url)) as store:
        if wall.behind(store):
            raise NotReady(
                "Users are added where the engine runs, not from a notebook behind the database's wall."
            )
        first, workspace = not store.value("SELECT 1 FROM users LIMIT 1"), None
        if not first:
            admins = open_session(settings)
            with closing(admins.store):
                if admins.user["role"] != "admin":
                    raise NotFound("Only an admin adds users: ask yours.")
                workspace = admins.workspace_id
        return _add_user(store, workspace, name, email, admin=admin or first)


def _add_user(
    store: Store, workspace: int | None, name: str, email: str | None, *, admin: bool
) -> dict[str, Any]:
    key, now = secrets.token_urlsafe(32), utc_now()

    def work() -> int:
        where = workspace
        if where is None:
            where = store.insert("workspace", {"name": "My workspace", "settings": "{}", "created_at": now})
        if store.value("SELECT 1 FROM users WHERE workspace_id = ? AND name = ?", where, name):
            raise InvalidInput("name", name, "There is a user of this name already.")
        return store.insert(
            "users",
            {
                "workspace_id": where,
                "name": name,
                "email": email,
                "role": "admin" if admin else "member",
                "api_key_hash": key_hash(key),
                "sequences_access": True,
                "created_at": now,
            },
        )

    return {"id": store.run(work), "name": name, "api_key": key}
