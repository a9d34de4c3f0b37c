"""The web service as it runs: gunicorn, real HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from outreach_sdk.engine import deliveries
from outreach_sdk.objects.sequence import Sequence
from tests.acceptance.test_connecting import free_port
from tests.harness import ROOT, House, wait_until
from tests.service.senders import ENV, Delivery


class Service:
    """An installation with its web service."""

    def __init__(self, home: Path, url: str, env: dict[str, str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        # No Redis anywhere near: what is received must not depend on it.
        own = {"OUTREACH_WEB_PORT": str(self.port), "REDIS_URL": f"unix://{home}/none.sock"}
        self.house = House(home, url, {**ENV, **own, **env})
        self.log = home.parent / "web.log"
        self.http = requests.Session()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "outreach_sdk.cli", "web"],
                cwd=ROOT,
                env={**env, **self.house.env, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        wait_until(self.alive)

    def alive(self) -> bool:
        try:
            return self.http.get(f"{self.base}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    def post(self, delivery: Delivery, **more: Any) -> requests.Response:
        return self.http.post(
            self.base + delivery.path, data=delivery.body, headers=delivery.headers, timeout=20, **more
        )

    def act(self) -> int:
        """What the clock's tick does with deliveries."""
        return deliveries.drain(self.house.engine)

    def rows(self, table: str = "deliveries") -> list[dict[str, Any]]:
        return self.house.engine.store.rows(f"SELECT * FROM {table} ORDER BY id")

    def enrolled(self, count: int = 1) -> Sequence:
        """An active sequence that waits two days before its second e-mail; p0@candidate0.example and on."""
        seq = self.house.two_steps(self.house.local(), delay=172_800)
        seq.activate()
        seq.enroll(self.house.people(count))
        return seq

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        self.http.close()
        self.house.close()
        if self.log.exists():
            shown = self.log.read_text()
            assert "Traceback" not in shown, shown[-3000:]
            assert "candidate0.example" not in shown


@pytest.fixture
def service(tmp_path: Path, database_url: str) -> Iterator[Service]:
    made = Service(tmp_path / "home", database_url, {})
    made.start()
    yield made
    made.close()
