"""Notebooks behind PostgreSQL's own wall, and somebody who carries out what they ask for."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg

from outreach_sdk import Candidate, Enrichment, Mailbox, Shortlist
from outreach_sdk.config import Settings
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.carrying import carry_out
from outreach_sdk.objects.session import Session
from outreach_sdk.objects.workspace import Workspace
from tests.acceptance.scenarios import address, colleague, one_answered
from tests.harness import ADDRESS, House


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


def by_sql(session: Session) -> psycopg.Connection[Any]:
    return psycopg.connect(session.settings.database_url, autocommit=True)


@contextmanager
def two_users(house: House) -> Iterator[SimpleNamespace]:
    """Ada, who has everything, and bea, whose notebook is behind the wall."""
    colleague(house, "bea", key="bea")
    seq = one_answered(house, "Adas plan", "Adas words")
    box = Mailbox.get(ADDRESS)
    shortlist = Shortlist.create("Adas list")
    shortlist.add(house.people(1))
    Enrichment.run([Candidate.get(address(1))], wait=False)
    Candidate.get(address(0)).record_interview(dt.datetime.now(dt.UTC) + dt.timedelta(days=9))
    Workspace(house.session).snippet("mine", "Adas words")
    bea = behind(house, "bea")
    ada = house.session
    with carrying(house):
        yield SimpleNamespace(ada=ada, bea=bea, seq=seq, box=box, list=shortlist)
    sessions.use(ada)
    bea.engine.store.close()
