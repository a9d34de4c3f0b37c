"""`up`, `down` and `status`: a home's engine (Redis if embedded, workers, clock, web) as child processes of
one supervisor, which is a process of its own.

    caller --control.sock--> supervisor --pipe--> reaper (leads the group)
                                  └── redis, send-1 …, read, bulk, clock, web (in the group, holding run.lock)

The calling process may import any library and die in any way: it holds a connection, no child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from outreach_sdk.config import VARIABLES, Settings
from outreach_sdk.errors import EngineError, InvalidInput
from outreach_sdk.runtime import locks, redis_server
from outreach_sdk.runtime.children import Child
from outreach_sdk.runtime.state import ChildStatus, Status, read_run, status

__all__ = ["LEAN", "Child", "ChildStatus", "Status", "default_children", "down", "redis_url", "status", "up"]

START_LIMIT = 25.0
"""Seconds until `up` gives up; Redis gets ten less, so that the supervisor can still say what is wrong."""

FULL = 1 << 20
"""Bytes free under which a disk counts as full when the engine doesn't start."""

LEAN = {"MALLOC_ARENA_MAX": "2"}
"""For processes of many threads: glibc gives each thread a heap of its own, which fifty senders don't need."""

_held: dict[Path, socket.socket] = {}


def _forget_after_fork() -> None:
    # A fork of the calling process must not keep the engine alive after it.
    for link in _held.values():
        link.close()
    _held.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def up(
    settings: Settings,
    *,
    workers: int | None = None,
    detach: bool = False,
    children: Sequence[Child] | None = None,
) -> Status:
    """Start this home's engine, or join the one that runs; back as soon as its Redis answers.

    It runs while a process that called `up` lives, or with `detach` until `down`. `workers`: how many send
    (default 1 on SQLite, else 2); it changes nothing in an engine that runs already. `children` replaces the
    workers, clock and web. Raises EngineError if it can't start.
    """
    planned = default_children(settings, workers) if children is None else children
    settings.ensure_home()
    error = ""
    with locks.exclusive(settings.home / "up.lock", wait=2 * START_LIMIT):
        for _ in range(3):  # an engine that is just ending hangs up: then start another
            if not locks.is_held(settings.home / "supervisor.lock"):
                _evict(settings)
                _spawn(settings, planned)
            link, error = _ask(settings, "detach" if detach else "hold")
            if link is not None:
                old = None if detach else _held.pop(settings.home, None)
                if detach:
                    link.close()
                else:
                    _held[settings.home] = link
                if old is not None:
                    old.close()
                return dataclasses.replace(status(settings), redis_trouble=_redis_trouble(settings))
            if error:
                _bury(settings.home)
                break
    raise EngineError(f"The engine didn't start. {error or _last_words(settings)}")


def _redis_trouble(settings: Settings) -> str | None:
    """What is wrong with a Redis that isn't ours to start."""
    if settings.redis_url is None:
        return None
    from outreach_sdk.engine.queues import trouble_at

    found = trouble_at(settings.redis_url)
    return found and (
        f"{found} Nothing leaves until it does: start it, or correct REDIS_URL, then "
        "`outreach down` and `outreach up`."
    )


def down(settings: Settings) -> bool:
    """Stop this home's engine and whatever an earlier one left; False if there was nothing to stop. Running
    work gets five seconds."""
    home = settings.home
    if not home.is_dir():  # its engine finds that out by itself
        _bury(home)
        if (held := _held.pop(home, None)) is not None:
            held.close()
        return False
    with locks.exclusive(home / "up.lock", wait=2 * START_LIMIT):
        try:
            if not (locks.is_held(home / "supervisor.lock") or locks.is_held(home / "run.lock")):
                return False
            with contextlib.suppress(OSError), _connect(settings, wait=3) as link:
                link.sendall(b'{"do": "down"}\n')
                until = time.monotonic() + 8
                while time.monotonic() < until and locks.is_held(home / "supervisor.lock"):
                    time.sleep(0.02)
            _evict(settings)
            _bury(home)
            return True
        finally:
            if (held := _held.pop(home, None)) is not None:
                held.close()


def redis_url(settings: Settings) -> str:
    """Where this home's Redis is: REDIS_URL, or `unix://…` for the embedded server."""
    return settings.broker_url


def default_children(settings: Settings, workers: int | None = None) -> list[Child]:
    """The engine's own children: workers of one queue each, the clock, the web service."""
    embedded = settings.database_url.startswith("sqlite")
    if workers is None:
        workers = 1 if embedded else 2
    if isinstance(workers, bool) or not isinstance(workers, int) or not 0 <= workers <= 64:
        raise InvalidInput("workers", workers, "Use a whole number from 0 to 64.")
    # -P: a file called redis.py in the current folder is not our redis.
    command = (sys.executable, "-P", "-m", "outreach_sdk.cli")
    return [
        *(Child(f"send-{n}", (*command, "worker", "send"), env=LEAN) for n in range(1, workers + 1)),
        Child("read", (*command, "worker", "read")),
        Child("bulk", (*command, "worker", "bulk")),
        # Only PostgreSQL has roles of users whose notebooks ask for things.
        *([] if embedded else [Child("requests", (*command, "worker", "requests"))]),
        Child("clock", (*command, "clock")),
        Child("web", (*command, "web"), port=settings.web_port),
    ]


def _evict(settings: Settings) -> None:
    """End what a dead supervisor left behind: replaced, never adopted."""
    run = read_run(settings.home)
    pids = [child["pid"] for child in run.get("children", ()) if child.get("pid")]
    locks.evict(settings.home / "supervisor.lock", [run["supervisor"]] if "supervisor" in run else [], None)
    locks.evict(settings.home / "run.lock", pids, run.get("group"))
    (settings.home / "run.json").unlink(missing_ok=True)


def _spawn(settings: Settings, children: Sequence[Child]) -> None:
    redis = None if settings.redis_url else redis_server.server(settings)
    plan = {
        "home": str(settings.home),
        "socket_dir": str(redis_server.socket_folder(settings)),
        "web_port": settings.web_port,
        "ready_limit": START_LIMIT - 10,
        "redis": redis.to_dict() if redis else None,
        "children": [child.to_dict() for child in children],
    }
    logs = settings.home / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in VARIABLES} | settings.as_env()
    package = Path(__file__).resolve().parents[2]
    if package.name not in ("site-packages", "dist-packages"):
        # Run from a checkout: the children must find it too, whatever folder they start in.
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), env.get("PYTHONPATH"))))
    with (logs / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "outreach_sdk.runtime.supervisor", json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=settings.home,
            env=env,
            start_new_session=True,  # Ctrl-C is for the caller
        )
    _bury(settings.home)
    _started[settings.home] = process


_started: dict[Path, subprocess.Popen[bytes]] = {}
"""Supervisors started here. Kept so that their end is noticed and none stays a zombie."""


_ending: list[subprocess.Popen[bytes]] = []
"""Those of them that were told to end and hadn't yet."""


def _bury(home: Path) -> None:
    _ending[:] = [process for process in _ending if process.poll() is None]
    process = _started.pop(home, None)
    if process is not None:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            _ending.append(process)


def _connect(settings: Settings, *, wait: float) -> socket.socket:
    """A connection to the supervisor; OSError if there is none for `wait` seconds, or it has ended."""
    until = time.monotonic() + wait
    while True:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(settings.socket_dir / "control.sock"))
        except OSError:
            link.close()
            started = _started.get(settings.home)
            ended = started is not None and started.poll() is not None
            if time.monotonic() > until or (ended and not locks.is_held(settings.home / "supervisor.lock")):
                raise
            time.sleep(0.01)
        else:
            return link


def _ask(settings: Settings, wish: str) -> tuple[socket.socket | None, str]:
    """Send a wish and wait for its answer: the open connection, or None and what went wrong."""
    try:
        link = _connect(settings, wait=10)
    except OSError:
        return None, ""
    try:
        link.settimeout(START_LIMIT)
        link.sendall(json.dumps({"do": wish}).encode() + b"\n")
        answer = json.loads(link.makefile("rb").readline() or b"{}")
    except TimeoutError:
        answer = {"error": "Its supervisor doesn't answer: `outreach down` ends it."}
    except (OSError, ValueError):
        answer = {}
    if answer.get("ready"):
        return link, ""
    link.close()
    return None, str(answer.get("error", ""))


def _last_words(settings: Settings) -> str:
    if shutil.disk_usage(settings.home).free < FULL:
        return f"The disk that {settings.home} is on is full: free some space."
    path = settings.home / "logs" / "supervisor.log"
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"Its last words: {lines[-1][:300]!r} (see {path})." if lines else f"See {path.parent}."
