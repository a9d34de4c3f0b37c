"""A workspace on either database with a mailbox of any kind, driven in this process or in others."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outreach_sdk.config import Secret, Settings
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.mailbox import Mailbox
from outreach_sdk.objects.sequence import Sequence
from outreach_sdk.objects.session import Session, key_hash
from outreach_sdk.storage.migrations import migrate
from outreach_sdk.wiring import EXTRA, Transports, open_engine
from tests.mail.hostile import Faults, HostileProvider, HostileTransport

ROOT = Path(__file__).parents[1]
ADDRESS = "ada@agency.example"
API_KEY = "test-key-of-ada"
SECRET_KEY = "NDk6tbcWxZ1vKF0BzbEd9f2Wm4mxUJqf3XK0bBzqQ3A="


def _hostile(box: dict[str, Any], config: dict[str, Any]) -> HostileTransport:
    return HostileTransport(
        HostileProvider(Path(config["path"])), box["address"], timeout=float(config["timeout"])
    )


EXTRA["hostile"] = _hostile


def wait_until(condition: Callable[[], Any], *, seconds: float = 90.0, every: float = 0.05) -> Any:
    """What `condition` gives once it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(every)


@dataclass
class House:
    """One installation for one test."""

    home: Path
    url: str
    env: dict[str, str] = field(default_factory=dict)
    provider: HostileProvider | None = None

    def __post_init__(self) -> None:
        base = {
            "OUTREACH_STAGGER_SECONDS": "0",
            "OUTREACH_LEASE_SECONDS": "1",
            "OUTREACH_DRAIN_SECONDS": "20",
        }
        self.env = {**base, **self.env, "OUTREACH_HOME": str(self.home), "DATABASE_URL": self.url}
        if self.url.startswith("postgres"):
            # As web and workers have it: a notebook wouldn't hold the keys.
            self.env = {"OUTREACH_API_KEY": API_KEY, "OUTREACH_SECRET_KEYS": SECRET_KEY, **self.env}
        self.settings = Settings.from_env(self.env)
        self.settings.ensure_home()
        engine = open_engine(self.settings)
        migrate(engine.store, engine.now())
        if self.url.startswith("postgres"):
            with engine.store.tx():
                now = engine.now()
                workspace = engine.store.insert(
                    "workspace", {"name": "Acme", "settings": "{}", "created_at": now}
                )
                engine.store.insert(
                    "users",
                    {
                        "workspace_id": workspace,
                        "name": "ada",
                        "role": "admin",
                        "api_key_hash": key_hash(API_KEY),
                        "sequences_access": True,
                        "created_at": now,
                    },
                )
            engine.store.close()
            assert isinstance(self.settings.api_key, Secret)
        self.session: Session = sessions.use(sessions.open_session(self.settings))
        self.engine = self.session.engine

    # -- mailboxes -----------------------------------------------------------------------------
    def local(self) -> Mailbox:
        return Mailbox.connect_local(ADDRESS, name="Ada")

    def hostile(self, faults: Faults | None = None, *, seed: int = 0, timeout: float = 1.0) -> Mailbox:
        path = self.home / "provider.sqlite"
        self.provider = HostileProvider(path, seed=seed, faults=faults or Faults.none())
        return Mailbox._save(
            self.session, "hostile", ADDRESS, "Ada", {"path": str(path), "timeout": timeout}, None
        )

    def trusted(self, box: Mailbox) -> Mailbox:
        """As if it had passed its self-test (tests/acceptance/test_selftest.py), so that only what a test is
        about reaches the provider."""
        self.engine.store.write("UPDATE mailboxes SET checked_at = ? WHERE id = ?", self.engine.now(), box.id)
        return box

    def witness(self, box: Mailbox) -> Counter[tuple[str, str]]:
        """(recipient, subject) of every message that really left, by the mailbox's own account."""
        if box.provider == "hostile":
            assert self.provider is not None
            return Counter((r, a.subject) for a in self.provider.ledger() for r in a.recipients)
        import email
        import email.policy

        counts: Counter[tuple[str, str]] = Counter()
        for raw in sent_files(self, box):
            message = email.message_from_bytes(raw, policy=email.policy.default)
            counts[message["To"].addresses[0].addr_spec, str(message["Subject"])] += 1
        return counts

    # -- people and steps ----------------------------------------------------------------------
    def two_steps(self, box: Mailbox, *, delay: float = 0.0) -> Sequence:
        from outreach_sdk.domain.sequence import Later

        known = self.engine.store.value("SELECT COUNT(*) FROM sequences")
        name = f"Two steps {known + 1}" if known else "Two steps"
        seq = Sequence.create(name, mailbox=box, timezone="Europe/Madrid")
        seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, are you open to talk?")
        seq.add_email(body="Just checking, {{ first_name }}.", when=Later(seconds=delay))
        return seq

    def people(self, count: int, start: int = 0) -> list[dict[str, str]]:
        return [
            {"First Name": f"P{n}", "Last Name": "Li", "Email": f"p{n}@candidate{n}.example"}
            for n in range(start, start + count)
        ]

    # -- driving -------------------------------------------------------------------------------
    def drain(self, *, failpoint: str | None = None, timeout: float = 300.0, threads: int = 4) -> int:
        """One drain in a process of its own, killed at `failpoint`; its exit status."""
        return self._run(str(threads), failpoint, timeout)

    def read(self, *, failpoint: str | None = None, timeout: float = 300.0) -> int:
        """The same of a look for answers."""
        return self._run("polls", failpoint, timeout)

    def _run(self, what: str, failpoint: str | None, timeout: float) -> int:
        env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | self.env
        if failpoint:
            env["OUTREACH_FAILPOINT"] = failpoint
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.driver", what],
            cwd=ROOT,
            env=env,
            timeout=timeout,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, -9), done.stderr[-3000:]
        return done.returncode

    def settle(self, seq: Sequence, *, seconds: float = 120.0) -> None:
        """Drain until no journey waits for anything."""
        from outreach_sdk.engine import dispatch

        store = self.engine.store

        def quiet() -> bool:
            dispatch.drain_sends(self.engine, threads=4)
            return not store.value(
                "SELECT 1 FROM journeys WHERE sequence_id = ? AND status = 'active' LIMIT 1", seq.id
            ) and not store.value(
                "SELECT 1 FROM outbox WHERE state IN ('claimed', 'drafted', 'sending', 'unknown') LIMIT 1"
            )

        wait_until(quiet, seconds=seconds, every=0.1)

    def close(self) -> None:
        assert isinstance(self.engine.transport, Transports)
        self.engine.transport.close()
        self.engine.store.close()
        if self.provider is not None:
            self.provider.close()


def sent_files(house: House, box: Mailbox) -> list[bytes]:
    root = house.home / "mail" / box.address / ".Sent" / "cur"
    return [p.read_bytes() for p in root.iterdir()] if root.is_dir() else []


def at(text: str) -> dt.datetime:
    """An aware UTC moment from "2026-03-01 09:00"."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
