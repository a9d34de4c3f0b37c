"""Notebooks behind PostgreSQL's own wall, and somebody who carries out what they ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from outreach_sdk.config import Settings
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.carrying import carry_out
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.workspace import Workspace
from tests.harness import House


def role_url(house: House, user: str) -> str:
    """DATABASE_URL of a role made for this user just now."""
    made = Workspace(house.session).database_role(user)
    return str(made["database_url"])


def behind(house: House, user: str) -> Session:
    """A notebook of this user's: its role, no keys, no Redis."""
    env = {n: v for n, v in house.env.items() if n not in ("OUTREACH_API_KEY", "OUTREACH_SECRET_KEYS")}
    session = sessions.open_session(Settings.from_env({**env, "DATABASE_URL": role_url(house, user)}))
    assert session.walled
    return session


@contextmanager
def carrying(house: House) -> Iterator[None]:
    """Within, a worker's thread carries out what is asked."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.wait(0.005):
                carry_out(house.engine, house.settings, stop=stop)
        except BaseException as exc:
            failed.append(exc)
        finally:
            house.engine.store.idle()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failed, failed
