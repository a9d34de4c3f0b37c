"""One drain in one process: 50 sends in flight at a provider that takes half a second, against the ideal
100 a second. Each case runs in a process of its own, so that its CPU and memory are its own."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from _common import folder, table, verdict

from outreach_sdk.runtime import LEAN

SENDS, CAP, LATENCY, SIGMA = 2_000, 50, 0.5, 0.6
IDEAL = CAP / LATENCY
LEAST, CPU_LIMIT, RSS_LIMIT = 0.95, 0.15, 60.0
CASES = ("constant", "lognormal")


class Provider:
    """A mailbox in memory. The send takes all the time of an e-mail; `mean` is exact over a run."""

    provider = "light"

    def __init__(self, address: str, kind: str) -> None:
        self._address = address
        rng = random.Random(7)
        if kind == "constant":
            self._waits = [LATENCY] * SENDS
        else:
            drawn = [rng.lognormvariate(0, SIGMA) for _ in range(SENDS)]
            self._waits = [w * LATENCY * SENDS / sum(drawn) for w in drawn]
        self._lock = threading.Lock()
        self.times: list[float] = []

    def create_draft(self, message: Any, *, send_key: str) -> Any:
        from outreach_sdk.mail.port import Draft

        return Draft(f"d-{send_key}")

    def send_draft(self, provider_draft_id: str) -> Any:
        import datetime as dt

        from outreach_sdk.mail.port import SentMessage

        with self._lock:
            wait = self._waits.pop()
        time.sleep(wait)
        with self._lock:
            self.times.append(time.monotonic())
        return SentMessage(
            provider_draft_id,
            f"t-{provider_draft_id}",
            f"<{provider_draft_id}@light>",
            dt.datetime.now(dt.UTC),
        )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prepare(home: Path) -> None:
    """A sequence of one step, everybody due. In a process of its own: reading people takes memory."""
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.sequence import Sequence
    from outreach_sdk.objects.session import use

    session = use(_session(home))
    box = Mailbox._save(session, "light", "ada@agency.example", "Ada", {}, None)
    seq = Sequence.create("Load", mailbox=box, timezone="UTC")
    seq.add_email("Hello {{ first_name }}", "Hi {{ first_name }}, are you open to talk?")
    seq.enroll([{"First Name": f"P{n}", "Email": f"p{n}@candidate{n}.example"} for n in range(SENDS)])
    seq.activate()


def _settings(home: Path) -> Any:
    from outreach_sdk.config import Settings

    return Settings.from_env(
        {
            "OUTREACH_HOME": str(home),
            "OUTREACH_STAGGER_SECONDS": "0",
            "OUTREACH_MAX_PARALLEL_SENDS": str(CAP),
            "OUTREACH_DRAIN_SECONDS": "120",
        }
    )


def _session(home: Path) -> Any:
    from outreach_sdk.objects.session import open_session

    return open_session(_settings(home))


def drain(home: Path, kind: str) -> dict[str, float]:
    # An installation on SQLite has no driver for PostgreSQL (extra `postgres`); this one has it for its tests.
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    from outreach_sdk.engine import dispatch
    from outreach_sdk.wiring import EXTRA, open_engine

    box = Provider("ada@agency.example", kind)
    EXTRA["light"] = lambda row, config: box  # type: ignore[assignment,return-value]
    engine = open_engine(_settings(home))
    cpu, began = _cpu(), time.monotonic()
    ends = dispatch.drain_sends(engine, threads=CAP)
    took, used = time.monotonic() - began, _cpu() - cpu
    assert ends == {"sent": SENDS}, ends
    # The last ones don't fill the cap any more: the rate is that of the first nine tenths.
    upto = sorted(box.times)[SENDS * 9 // 10] - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rate": SENDS * 0.9 / upto,
        "whole": SENDS / took,
        "cpu": used / took,
        "ms": used / SENDS * 1000,
        "rss": peak / (1024**2 if sys.platform == "darwin" else 1024),
    }


def bare(home: Path, kind: str) -> dict[str, float]:
    """The peer: the same waits in as many threads, each e-mail with the two commits that the protocol can't do without
    (`sending` on the disk before the call, `sent` after it), by the driver alone: no journeys, no texts, no limits."""
    import sqlite3

    at = sqlite3.connect(home / "bare.db", isolation_level=None, check_same_thread=False)
    at.execute("PRAGMA journal_mode = wal")
    at.execute("PRAGMA synchronous = full")
    at.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, state TEXT, key TEXT, body TEXT, at INTEGER)")
    at.executemany(
        "INSERT INTO entries VALUES (?, 'planned', ?, ?, 0)",
        [(n, f"{n:032}", "Hi " * 40) for n in range(SENDS)],
    )
    box, lock, ids = Provider("", kind), threading.Lock(), iter(range(SENDS))

    def move(number: int, state: str) -> None:
        with lock:
            at.execute("BEGIN IMMEDIATE")
            at.execute("UPDATE entries SET state = ?, at = ? WHERE id = ?", (state, time.time_ns(), number))
            at.execute("COMMIT")

    def work() -> None:
        for number in ids:
            move(number, "sending")
            box.send_draft(str(number))
            move(number, "sent")

    threads = [threading.Thread(target=work) for _ in range(CAP)]
    cpu, began = _cpu(), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"cpu": (_cpu() - cpu) / (time.monotonic() - began)}


def _child(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,
        env={**os.environ, **LEAN},
    )
    return dict(json.loads(done.stdout or "{}"))


def main() -> int:
    rows: list[tuple[object, ...]] = []
    ok = True
    for kind in CASES:
        with folder() as home:
            _child("prepare", str(home))
            got = _child("drain", str(home), kind)
            least = _child("bare", str(home), kind)["cpu"]
        good = (got["rate"] / IDEAL >= LEAST, got["cpu"] < CPU_LIMIT, got["rss"] <= RSS_LIMIT)
        ok = ok and all(good)
        rows += [
            (f"{kind}: sends/s, full", got["rate"], f">= {LEAST * IDEAL:g}", got["rate"] / IDEAL, verdict(good[0])),
            (f"{kind}: sends/s, all", got["whole"], "", got["whole"] / IDEAL, ""),
            (f"{kind}: cores", got["cpu"], f"< {CPU_LIMIT:g}", got["cpu"] / CPU_LIMIT, verdict(good[1])),
            (f"{kind}: cores, two bare commits", least, "", got["cpu"] / least, "of the peer"),
            (f"{kind}: CPU ms an e-mail", got["ms"], "", "", ""),
            (f"{kind}: RSS, MiB", got["rss"], f"<= {RSS_LIMIT:g}", got["rss"] / RSS_LIMIT, verdict(good[2])),
        ]  # fmt: skip
    table(
        f"{SENDS:,} sends of {LATENCY:g} s, {CAP} in flight, one drain, SQLite",
        ("what", "measured", "limit", "of ideal or limit", ""),
        rows,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", where]:
            prepare(Path(where))
        case ["drain", where, kind]:
            print(json.dumps(drain(Path(where), kind)))
        case ["bare", where, kind]:
            print(json.dumps(bare(Path(where), kind)))
        case _:
            sys.exit(main())
