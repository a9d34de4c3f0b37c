"""The webhook service on PostgreSQL: accepted deliveries a second and p99 beside a bare Flask endpoint that does the
same HMAC and one INSERT, in turns; a storm of shuffled, repeated, forged and stale deliveries with Redis killed on
the way against an ordered oracle; and the time from a booking received to its journey cancelled."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _common import ROOT, folder, median, postgres, table, verdict

BARE = """
import hashlib, hmac, os, time
from flask import Flask, request
from psycopg_pool import ConnectionPool
pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=64, kwargs={"autocommit": True})
with pool.connection() as c:
    c.execute("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, key text UNIQUE, body bytea, at float8)")
app = Flask(__name__)
@app.post("/webhooks/calendly")
def take():
    body = request.get_data()
    given = dict(p.split("=", 1) for p in request.headers["Calendly-Webhook-Signature"].split(","))
    right = hmac.new(b"secret-of-calendly", given["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, given["v1"]):
        return {}, 401
    with pool.connection() as c:
        c.execute("INSERT INTO bare (key, body, at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                  (hashlib.sha256(body).hexdigest(), body, time.time()))
    return {"status": "stored"}
@app.get("/healthz")
def healthz():
    return {}
"""


class Client:
    """Posts over kept connections, one a thread."""

    def __init__(self, port: int) -> None:
        self.port, self.local = port, threading.local()

    def __call__(self, delivery: Any) -> int:
        for last in (False, True):
            link = getattr(self.local, "link", None)
            if link is None:
                link = self.local.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                link.request("POST", delivery.path, delivery.body, delivery.headers)
                answer = link.getresponse()
                answer.read()
                return int(answer.status)
            except (http.client.HTTPException, OSError):  # a kept connection that was closed meanwhile
                link.close()
                self.local.link = None
                if last:
                    raise
        raise AssertionError("unreachable")


def load(post: Client, deliveries: Sequence[Any], threads: int) -> tuple[float, float, int]:
    """(accepted a second, p99 in ms, accepted)."""

    def one(delivery: Any) -> tuple[int, float]:
        began = time.perf_counter()
        return post(delivery), time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(one, deliveries))
    took = time.perf_counter() - began
    good = sum(status == 200 for status, _ in answers)
    return good / took, 1000 * sorted(s for _, s in answers)[int(len(answers) * 0.99)], good


@contextlib.contextmanager
def running(argv: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block lasts."""
    base = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, cwd=log.parent, env={**base, "PYTHONPATH": str(ROOT), **env}, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--load", type=int, default=3_000, help="deliveries a turn of the comparison")
    parser.add_argument("--threads", type=int, default=8)
    given = parser.parse_args()
    from outreach_sdk.runtime import redis_server
    from tests.acceptance.test_connecting import free_port
    from tests.harness import House, wait_until
    from tests.service import senders
    from tests.service.senders import ENV
    from tests.service.storm import Storm, outcome, send_all

    good = True
    with folder() as where, postgres() as fresh, contextlib.ExitStack() as stack:
        port, bare_port = free_port(), free_port()
        env = {**ENV, "OUTREACH_WEB_PORT": str(port), "REDIS_URL": f"unix://{where}/h/redis.sock"}
        house = House(where / "h", fresh(), env)
        (where / "bare.py").write_text(BARE)
        command = [sys.executable, "-m", "outreach_sdk.cli"]
        child = redis_server.server(house.settings)
        redis = subprocess.Popen(child.argv, env={**os.environ, **child.env}, stdout=subprocess.DEVNULL)
        stack.callback(redis.wait)
        stack.callback(redis.kill)
        stack.enter_context(running([*command, "web"], house.env, where / "web.log"))
        options = [
            "--worker-class",
            "gthread",
            "--workers",
            "1",
            "--threads",
            "64",
            "--bind",
            f"127.0.0.1:{bare_port}",
        ]
        bare_env = {"DATABASE_URL": fresh(), "PYTHONPATH": str(where)}
        bare = [sys.executable, "-m", "gunicorn", *options, "bare:app"]
        with running(bare, bare_env, where / "bare.log"):
            ours, theirs = Client(port), Client(bare_port)
            for each in (port, bare_port):
                wait_until(lambda p=each: _alive(p), seconds=40)
            turns: dict[str, list[tuple[float, float, int]]] = {"ours": [], "bare": []}
            numbers = itertools.count()
            for _ in range(3):
                for name, client in (("ours", ours), ("bare", theirs)):
                    people = (f"load{next(numbers)}@load.example" for _ in range(given.load))
                    turns[name].append(load(client, [senders.calendly(p) for p in people], given.threads))
        rates = {name: median([t[0] for t in found]) for name, found in turns.items()}
        p99 = {name: median([t[1] for t in found]) for name, found in turns.items()}
        ratio = rates["ours"] / rates["bare"]
        rows = [(name, rates[name], p99[name]) for name in turns]
        table(
            "accepted deliveries",
            ("endpoint", "a second", "p99 ms"),
            [*rows, ("ratio", ratio, verdict(ratio >= 0.8))],
        )
        good &= ratio >= 0.8

        for name in ("booking_people", "bookings", "deliveries", "refusals"):
            house.engine.store.write(f"DELETE FROM {name}")
        stack.enter_context(running([*command, "clock"], house.env, where / "clock.log"))
        storm = Storm(given.deliveries, seed=7)
        probes = 200
        seq = house.two_steps(house.local(), delay=864_000)
        seq.activate()
        seq.enroll(house.people(storm.people + storm.untouched + probes))
        told = storm.deliveries()
        began = time.perf_counter()
        answers = send_all(told, ours, threads=given.threads, halfway=redis.kill)
        took = time.perf_counter() - began
        wrong = sum(
            status != (200 if fine else 401) for (status, _), (fine, _) in zip(answers, told, strict=True)
        )
        store = house.engine.store
        wait_until(
            lambda: not store.value("SELECT 1 FROM deliveries WHERE lease_until IS NOT NULL"), seconds=600
        )
        drained = time.perf_counter() - began
        stopped, bookings, states = outcome(store.rows)
        wanted, known = storm.oracle()
        same = stopped == wanted and bookings == known and wrong == 0 and set(states) == {"done"}
        good &= same
        table(
            "storm",
            ("deliveries", "refused", "answered wrongly", "stopped", "sent in s", "settled in s", "oracle"),
            [(len(told), storm.bad, wrong, len(stopped), took, drained, verdict(same))],
        )

        redis = subprocess.Popen(child.argv, env={**os.environ, **child.env}, stdout=subprocess.DEVNULL)
        stack.callback(redis.wait)
        stack.callback(redis.kill)
        wait_until(lambda: redis_server.answers(house.settings.socket_dir / "redis.sock"))
        time.sleep(2)
        waits = []
        for n in range(probes):
            who = (
                f"p{storm.people + storm.untouched + n}@candidate{storm.people + storm.untouched + n}.example"
            )
            began = time.perf_counter()
            ours(senders.calendly(who))
            sql = "SELECT 1 FROM journeys WHERE email = ? AND status = 'cancelled'"
            wait_until(lambda w=who, q=sql: store.value(q, w), seconds=20, every=0.005)
            waits.append(time.perf_counter() - began)
        waits.sort()
        last = waits[int(probes * 0.99) - 1]
        good &= last < 1.0
        row = (probes, 1000 * median(waits), 1000 * last, verdict(last < 1.0))
        table(
            "booking received to journey cancelled", ("bookings", "median ms", "p99 ms", "goal 1000"), [row]
        )
        house.close()
    return 0 if good else 1


def _alive(port: int) -> bool:
    try:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        link.request("GET", "/healthz")
        return link.getresponse().status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
