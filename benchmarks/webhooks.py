"""The web service under load: accepted deliveries a second and their p99 against a bare Flask endpoint that does the
same HMAC and one INSERT; a storm in no order against its oracle; and from a booking's arrival to the stopped journey
on the running stack."""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import ROOT, folder, median, postgres, table, verdict

BARE = """
import hashlib, hmac, os, sqlite3, threading, time
from flask import Flask, request

app, local = Flask(__name__), threading.local()
url, secret = os.environ["BARE_DATABASE"], os.environ["BARE_SECRET"].encode()
mark = "?" if url.startswith("sqlite") else "%s"
SQL = f"INSERT INTO bare (id, body, at) VALUES ({mark}, {mark}, {mark})"


def connection():
    if not hasattr(local, "link"):
        if mark == "?":
            local.link = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
            local.link.execute("PRAGMA journal_mode=WAL")
            local.link.execute("PRAGMA synchronous=FULL")
        else:
            import psycopg
            local.link = psycopg.connect(url, autocommit=True)
    return local.link


@app.post("/webhooks/calendly")
def receive():
    body = request.get_data()
    pairs = dict(p.split("=", 1) for p in request.headers["Calendly-Webhook-Signature"].split(","))
    right = hmac.new(secret, pairs["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, pairs["v1"]):
        return {"error": "no"}, 401
    connection().execute(SQL, (hashlib.sha256(body).hexdigest(), body, time.time()))
    return {"status": "stored"}
"""
SENDERS = 8


class Link:
    """Keep-alive connections, one a thread."""

    def __init__(self, port: int) -> None:
        self._port, self._local = port, threading.local()

    def post(self, delivery: Any) -> int:
        try:
            return self._post(delivery)
        except (OSError, http.client.HTTPException):  # idle for too long: the server hung up
            return self._post(delivery)

    def _post(self, delivery: Any) -> int:
        link = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            link.request("POST", delivery.path, delivery.body, delivery.headers)
            answer = link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._local.link = None
            raise
        return int(answer.status)


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def bare(where: Path, url: str, secret: str, port: int) -> subprocess.Popen[bytes]:
    """Its own table, the same database settings, the same number of threads."""
    (where / "bare_app.py").write_text(BARE)
    if url.startswith("sqlite"):
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite:///")) as link:
            link.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, body BLOB, at REAL)")
    else:
        import psycopg

        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, body BYTEA, at DOUBLE PRECISION)")
    options = ["--worker-class", "gthread", "--workers", "1", "--threads", "512"]
    options += ["--worker-connections", "2000", "--bind", f"127.0.0.1:{port}"]
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "bare_app:app"],
        cwd=where,
        env={**os.environ, "BARE_DATABASE": url, "BARE_SECRET": secret},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def rates(service: Any, where: Path, url: str, fresh: Callable[[], str], count: int) -> list[tuple[Any, ...]]:
    """(name, deliveries a second, p99 in ms), the two taking turns."""
    import requests

    from tests.acceptance.test_connecting import free_port
    from tests.harness import wait_until
    from tests.service import senders, storm

    port = free_port()
    process = bare(where, fresh(), senders.SECRETS["calendly"], port)

    def up() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/", timeout=2).status_code == 404
        except requests.RequestException:
            return False

    found: dict[str, tuple[list[float], list[float]]] = {"bare Flask": ([], []), "web service": ([], [])}
    try:
        wait_until(up, seconds=30)
        for turn in range(5):
            for name, to in (("bare Flask", port), ("web service", service.port)):
                told = [(True, senders.calendly(f"x{turn}-{n}@load.example")) for n in range(count)]
                link, began = Link(to), time.perf_counter()
                answers = storm.send_all(told, link.post, threads=SENDERS)
                took = time.perf_counter() - began
                assert {status for status, _ in answers} == {200}, name
                if turn:  # the first one warms up
                    found[name][0].append(count / took)
                    found[name][1].append(p99([s for _, s in answers]) * 1000)
    finally:
        process.terminate()
        process.wait(30)
    return [(name, median(rate), median(slow)) for name, (rate, slow) in found.items()]


def clock(service: Any, log: Path) -> subprocess.Popen[bytes]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "outreach_sdk.cli", "clock"],
            cwd=ROOT,
            env={**env, **service.house.env, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
        )


def storm_of(service: Any, redis: Any, count: int) -> tuple[bool, float]:
    """(whether it ended as the oracle says, seconds until all was dealt with)."""
    from tests.harness import wait_until
    from tests.service.storm import Storm, outcome, send_all

    store = service.house.engine.store
    store.write("DELETE FROM deliveries")
    store.write("DELETE FROM booking_people")
    store.write("DELETE FROM bookings")
    made = Storm(count, seed=11)
    service.enrolled(made.people + made.untouched)
    plan, link, began = made.plan, Link(service.port), time.perf_counter()
    good = True
    for start in range(0, len(plan), 2_000):  # signed as it goes: signatures grow old
        made.plan = plan[start : start + 2_000]
        told = made.deliveries()
        halfway = redis.kill if start <= len(plan) // 2 < start + 2_000 else lambda: None
        answers = send_all(told, link.post, threads=SENDERS, halfway=halfway)
        good &= [s for s, _ in answers] == [200 if genuine else 401 for genuine, _ in told]
    wait_until(
        lambda: not store.value("SELECT 1 FROM deliveries WHERE lease_until IS NOT NULL"),
        seconds=600,
        every=0.5,
    )
    took = time.perf_counter() - began
    redis.start()
    stopped, bookings, states = outcome(store.rows)
    return good and (stopped, bookings) == made.oracle() and set(states) == {"done"}, took


def to_the_stop(service: Any, count: int) -> list[float]:
    """Seconds from sending a booking to the journey being seen as cancelled."""
    from tests.harness import wait_until
    from tests.service import senders

    store, link = service.house.engine.store, Link(service.port)
    seq = service.house.two_steps(service.house.local(), delay=172_800)
    seq.activate()
    seq.enroll([{"First Name": "L", "Email": f"late{n}@late{n}.example"} for n in range(count)])
    times = []
    status = "SELECT 1 FROM journeys WHERE email = ? AND status = 'cancelled'"
    for n in range(count):
        address, began = f"late{n}@late{n}.example", time.perf_counter()
        assert link.post(senders.calendly(address)) == 200
        wait_until(lambda a=address: store.value(status, a), seconds=30, every=0.005)
        times.append(time.perf_counter() - began)
    return times


def run(name: str, fresh: Callable[[], str], given: argparse.Namespace) -> bool:
    from tests.harness import wait_until
    from tests.service.conftest import Service
    from tests.service.test_storm import Redis

    with folder() as where:
        url, home = fresh(), where / "h"
        service = Service(home, url, {"REDIS_URL": f"unix://{home / 'redis.sock'}"})
        redis = Redis(service)
        service.start()
        ticking = None
        try:
            rows = rates(service, where, url, fresh, given.count)
            share = rows[1][1] / rows[0][1]
            fast = share >= 0.8
            table(
                f"{name}: {given.count} deliveries a turn, {SENDERS} senders",
                ("who", "deliveries/s", "p99 ms", "share", ""),
                [(*rows[0], "", ""), (*rows[1], share, verdict(fast))],
            )
            ticking = clock(service, where / "clock.log")
            beat = "SELECT 1 FROM heartbeats WHERE role = 'clock'"
            wait_until(lambda: service.house.engine.store.value(beat), seconds=30)
            good, took = storm_of(service, redis, given.storm)
            table(
                f"{name}: a storm, Redis killed halfway",
                ("deliveries", "until all is dealt with, s", "as the oracle says"),
                [(given.storm, took, verdict(good))],
            )
            times = to_the_stop(service, given.bookings)
            late = p99(times)
            table(
                f"{name}: from a booking to the stopped journey, {given.bookings} one by one",
                ("median s", "p99 s", "most s", ""),
                [(median(times), late, max(times), verdict(late < 1.0))],
            )
            return fast and late < 1.0 and good
        finally:
            if ticking is not None:
                ticking.terminate()
                ticking.wait(30)
            redis.kill()
            service.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="deliveries a turn")
    parser.add_argument("--bookings", type=int, default=200)
    parser.add_argument("--storm", type=int, default=20_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    given = parser.parse_args()
    good = True
    if given.database != "postgresql":
        with folder() as where:
            names = iter(range(100))
            good &= run("sqlite", lambda: f"sqlite:///{where / str(next(names))}.db", given)
    if given.database != "sqlite":
        with postgres() as fresh:
            good &= run("postgresql", fresh, given)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
