"""Hundreds of deliveries, shuffled, repeated, forged, stale, with Redis killed on the way: the end is the ordered
world's. And clients that take forever, which hold nobody up. `benchmarks/webhooks.py` does it with 20,000."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from outreach_sdk.runtime import redis_server
from tests.harness import ROOT, wait_until
from tests.service import senders
from tests.service.conftest import Service
from tests.service.senders import Delivery
from tests.service.storm import Storm, outcome, send_all


class Redis:
    """The embedded one, to be killed."""

    def __init__(self, service: Service) -> None:
        settings = service.house.settings
        self.child = redis_server.server(settings)
        self.socket = settings.socket_dir / "redis.sock"
        self.start()

    def start(self) -> None:
        env = {**os.environ, **self.child.env}
        self.process = subprocess.Popen(self.child.argv, env=env, stdout=subprocess.DEVNULL)
        wait_until(lambda: redis_server.answers(self.socket))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def stack(tmp_path: Path, database_url: str) -> Iterator[tuple[Service, Redis]]:
    """Web, clock and Redis."""
    service = Service(tmp_path / "h", database_url, {"REDIS_URL": f"unix://{tmp_path / 'h' / 'redis.sock'}"})
    redis = Redis(service)
    service.start()
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")} | service.house.env
    with (tmp_path / "clock.log").open("wb") as log:
        clock = subprocess.Popen(
            [sys.executable, "-m", "outreach_sdk.cli", "clock"],
            cwd=ROOT,
            env={**env, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        yield service, redis
        clock.terminate()
        clock.wait(20)
    redis.kill()
    service.close()


@pytest.mark.rule(15)
def test_a_storm_ends_as_an_ordered_world_would(stack: tuple[Service, Redis]) -> None:
    service, redis = stack
    storm = Storm(260, seed=7)
    seq = service.enrolled(storm.people + storm.untouched)
    told = storm.deliveries()

    def post(delivery: Delivery) -> int:
        return service.post(delivery).status_code

    answers = send_all(told, post, threads=4, halfway=redis.kill)
    assert [status for status, _ in answers] == [200 if good else 401 for good, _ in told]
    store = service.house.engine.store
    wait_until(lambda: not store.value("SELECT 1 FROM deliveries WHERE lease_until IS NOT NULL"))
    redis.start()
    stopped, bookings, states = outcome(store.rows)
    wanted, known = storm.oracle()
    assert stopped == wanted
    assert bookings == known
    assert set(states) == {"done"}
    wait_until(lambda: store.value("SELECT SUM(count) FROM refusals") == storm.bad)
    began = time.monotonic()
    untouched = f"p{storm.people}@candidate{storm.people}.example"
    assert service.post(senders.calendly(untouched)).status_code == 200
    wait_until(lambda: seq.journey(untouched).status == "cancelled", every=0.01)
    assert time.monotonic() - began < 5.0


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "home", f"sqlite:///{tmp_path / 'outreach.db'}", {})
    made.start()
    yield made
    made.close()


def test_200_slow_connections_hold_nobody_up(alone: Service) -> None:
    service = alone
    slow: list[socket.socket] = []
    head = b"POST /webhooks/calendly HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
    for n in range(200):
        link = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        link.sendall(head + (b"\r\n{" if n % 2 else b""))
        slow.append(link)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.5):
            for link in slow:
                try:
                    link.sendall(b" ")
                except OSError:
                    continue

    dripping = threading.Thread(target=drip)
    dripping.start()
    took = []
    try:
        for n in range(20):
            began = time.monotonic()
            assert service.post(senders.calendly(f"p{n}@x.example")).status_code == 200
            took.append(time.monotonic() - began)
        assert max(took) < 5.0
        assert len(service.rows()) == 20

        def cut() -> bool:
            slow[1].settimeout(0.01)
            try:
                return len(slow[1].recv(100)) >= 0
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(cut, every=0.5)  # nobody waits for them forever
    finally:
        stop.set()
        dripping.join()
        for link in slow:
            link.close()
    assert requests.get(f"{service.base}/healthz", timeout=5).ok
