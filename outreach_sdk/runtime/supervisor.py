"""The process that keeps a home's engine running: `python -m outreach_sdk.runtime.supervisor PLAN`.

It holds `supervisor.lock` while it lives. Its children hold `run.lock` with it, so that a lock still held
after its death means a survivor. Programs talk to it over `control.sock`, one JSON object a line: `hold`
(run while this connection is open), `detach` (run until told otherwise), `down`. The first two are answered
once Redis answers. It ends by itself when its home is deleted or replaced.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from outreach_sdk.runtime import locks
from outreach_sdk.runtime.children import Child, Keeper
from outreach_sdk.runtime.redis_server import answers

FIRST_OWNER = 15.0
"""Seconds without any owner after which an engine that nobody holds ends."""

STOP_LIMIT, REDIS_LAST = 5.0, 1.0
"""Seconds until KILL at a stop, and the last of them that are Redis' own."""

TRIM_EVERY = 10.0


class Supervisor:
    """See the module. `plan` is made by `runtime.up`."""

    def __init__(self, plan: dict[str, Any], own_lock: int, run_lock: int) -> None:
        self.home = Path(plan["home"])
        self.sockets = Path(plan["socket_dir"])
        self.plan, self.own_lock, self.run_lock = plan, own_lock, run_lock
        self.redis = Keeper(Child.from_dict(plan["redis"]), self.home) if plan["redis"] else None
        self.others = [Keeper(Child.from_dict(child), self.home) for child in plan["children"]]
        self.since = dt.datetime.now(dt.UTC)
        self.ready = self.detached = self.stopping = self.homeless = False
        self.error = ""
        self.owners: set[socket.socket] = set()
        self.waiting: set[socket.socket] = set()
        self.buffers: dict[socket.socket, bytes] = {}
        self.owner_due = time.monotonic() + FIRST_OWNER
        self.selector = selectors.DefaultSelector()
        self.reaper = self._start_reaper()

    @property
    def keepers(self) -> list[Keeper]:
        """All children, Redis first."""
        return [*([self.redis] if self.redis else []), *self.others]

    def run(self) -> int:
        """Keep everything running until told to stop or nobody holds the engine."""
        waker, listener = self._listen()
        began = trimmed = time.monotonic()
        self._write()
        while not self.stopping:
            for key, _ in self.selector.select(self._patience()):
                if key.fileobj is waker:
                    waker.recv(4096)
                elif key.fileobj is listener:
                    self._welcome(listener)
                else:
                    self._hear(key.fileobj)  # type: ignore[arg-type]
            now = time.monotonic()
            if not locks.is_there(self.home / "supervisor.lock", self.own_lock):
                self.homeless = self.stopping = True  # nobody could find this engine to end it
                break
            self._keep(now)
            if not self.ready and now - began > self.plan["ready_limit"]:
                last = self.redis.note or self.redis.last_words() if self.redis else ""
                self.error = f"Redis didn't start: {last or 'it says nothing'}. See {self.home / 'logs'}."
                self.stopping = True
            if not (self.detached or self.owners) and now > self.owner_due:
                self.stopping = True
            if now - trimmed > TRIM_EVERY:
                trimmed = now
                for keeper in self.keepers:
                    keeper.trim_log()
        self._stop()
        return 0

    def _listen(self) -> tuple[socket.socket, socket.socket]:
        ours, signals = socket.socketpair()
        for end in (ours, signals):
            end.setblocking(False)
        signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        self._signals = signals
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        path = self.sockets / "control.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(16)
        listener.setblocking(False)
        self.selector.register(ours, selectors.EVENT_READ)
        self.selector.register(listener, selectors.EVENT_READ)
        return ours, listener

    def _told_to_stop(self, *_: object) -> None:
        self.stopping = True

    def _patience(self) -> float:
        if not self.ready:
            return 0.02
        due = [k.due for k in self.keepers if k.process is None]
        return min(1.0, max(0.01, min(due) - time.monotonic())) if due else 1.0

    def _keep(self, now: float) -> None:
        changed = sum(keeper.look() for keeper in self.keepers) > 0
        if self.reaper.poll() is not None and not self.stopping:
            self._replace_reaper()
            changed = True
        for keeper in self.keepers:
            if keeper.process is None and keeper.due <= now and (self.ready or keeper is self.redis):
                keeper.start(self.reaper.pid, self.run_lock)
                changed = True
        if not self.ready and (self.redis is None or answers(self.sockets / "redis.sock")):
            self.ready = changed = True
            self._keep(now)
        if changed:
            self._write()
        if self.ready:
            for link in list(self.waiting):
                self._answer(link, {"ready": True})

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("reaper.py")
        argv = [sys.executable, "-I", "-S", str(script), str(self.home / "run.lock")]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, process_group=0)  # noqa: S603

    def _replace_reaper(self) -> None:
        """Without its reaper a group could outlive the supervisor: end it and start afresh in another."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.reaper.pid, signal.SIGKILL)
        for keeper in self.keepers:
            if keeper.process is not None:
                keeper.process.wait()
                keeper.look()
        if self.reaper.stdin:
            self.reaper.stdin.close()
        self.reaper = self._start_reaper()

    def _welcome(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            link, _ = listener.accept()
            link.setblocking(False)
            self.buffers[link] = b""
            self.selector.register(link, selectors.EVENT_READ)

    def _hear(self, link: socket.socket) -> None:
        try:
            text = link.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        *lines, rest = (self.buffers[link] + text).split(b"\n")
        self.buffers[link] = rest
        for line in lines:
            self._obey(link, line)
        if not text or len(rest) > 4096:
            self._part(link)

    def _obey(self, link: socket.socket, line: bytes) -> None:
        try:
            wish = json.loads(line)["do"]
        except (ValueError, KeyError, TypeError):
            return
        if wish == "down":
            self.stopping = True
        elif wish in ("hold", "detach"):
            if wish == "hold":
                self.owners.add(link)
            self.detached = self.detached or wish == "detach"
            self.waiting.add(link)
            self._write()

    def _part(self, link: socket.socket) -> None:
        self.selector.unregister(link)
        self.buffers.pop(link)
        self.waiting.discard(link)
        if link in self.owners:
            self.owners.discard(link)
            self.owner_due = time.monotonic()
        link.close()

    def _answer(self, link: socket.socket, what: dict[str, Any]) -> None:
        self.waiting.discard(link)
        with contextlib.suppress(OSError):
            link.send(json.dumps(what).encode() + b"\n")

    def _stop(self) -> None:
        """TERM to all but Redis, so that they can still note what they did; then Redis; then KILL."""
        began = time.monotonic()
        if self.homeless and self.redis and self.redis.process:
            self.redis.process.kill()  # told to end, it would take away the socket at its place
        self._end([k for k in self.others if k.process], began + STOP_LIMIT - REDIS_LAST)
        self._end([k for k in self.keepers if k.process], began + STOP_LIMIT)
        # Also what the children started; the reaper is a member and goes with them.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.reaper.pid, signal.SIGKILL)
        for keeper in self.keepers:
            if keeper.process is not None:
                keeper.process.wait()
            keeper.stopped()
        self.reaper.wait()
        if not self.homeless:
            self._tidy()
        for link in list(self.waiting):
            self._answer(link, {"error": self.error})

    def _tidy(self) -> None:
        """Take away what another engine at this place would have too."""
        for name in ("control.sock", "redis.sock"):
            (self.sockets / name).unlink(missing_ok=True)
        (self.home / "run.json").unlink(missing_ok=True)
        if self.sockets != self.home:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def _end(self, keepers: list[Keeper], until: float) -> None:
        for keeper in keepers:
            if keeper.process is not None:
                keeper.process.terminate()
        for keeper in keepers:
            if keeper.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    keeper.process.wait(max(0.01, until - time.monotonic()))
                    keeper.stopped()

    def _write(self) -> None:
        """The run file: what `status` shows, and where `up` finds survivors."""
        run = {
            "home": str(self.home),
            "supervisor": os.getpid(),
            "group": self.reaper.pid,
            "since": self.since.isoformat(),
            "ready": self.ready,
            "detached": self.detached,
            "socket_dir": str(self.sockets),
            "web_port": self.plan["web_port"],
            "children": [keeper.to_dict() for keeper in self.keepers],
        }
        draft = self.home / "run.json.new"
        try:
            draft.write_text(json.dumps(run, indent=1))
            draft.replace(self.home / "run.json")
        except (
            OSError
        ) as error:  # a full disk must not end the engine, nor what is said of it: the log fills it too
            with contextlib.suppress(OSError):
                print(f"run.json can't be written: {error}", file=sys.stderr)  # noqa: T201


def main(plan_text: str) -> int:
    """Take both locks and run; 1 if another supervisor holds them."""
    os.umask(0o077)
    plan = json.loads(plan_text)
    home = Path(plan["home"])
    own = locks.acquire(home / "supervisor.lock", wait=3)
    run_lock = locks.acquire(home / "run.lock", wait=3)
    if own is None or run_lock is None:
        return 1
    return Supervisor(plan, own, run_lock).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
