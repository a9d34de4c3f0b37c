"""One child process: what to run, and what became of it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Child", "Keeper"]

FIRST_WAIT, LONGEST_WAIT, HEALTHY = 0.2, 10.0, 30.0
"""Seconds before the first restart, before any, and of running after which the count starts afresh."""

LOG_BYTES = 5_000_000
"""A log longer than this is moved to `<name>.log.1`."""


@dataclass(frozen=True)
class Child:
    """A program to keep running. With `port`, it isn't started while somebody else listens there; `env` is
    added to the supervisor's own."""

    name: str
    argv: tuple[str, ...]
    port: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For the supervisor's command line."""
        return {"name": self.name, "argv": list(self.argv), "port": self.port, "env": dict(self.env)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Child:
        """What `to_dict` gave."""
        return cls(given["name"], tuple(given["argv"]), given["port"], given["env"])


class Keeper:
    """Starts a child, and again when it ends. `state` is waiting, running, restarting, blocked or stopped."""

    def __init__(self, child: Child, home: Path) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.state, self.note, self.restarts = "waiting", "", 0
        self.since = dt.datetime.now(dt.UTC)
        self.due = 0.0
        self._home = home
        self._wait = FIRST_WAIT
        self._began = 0.0
        self.log = home / "logs" / f"{child.name}.log"

    def start(self, group: int, lock_fd: int) -> None:
        """Start it in the group, holding the lock; a busy port or a missing program is noted, and tried
        again later."""
        if self.child.port and _busy(self.child.port):
            self._set(
                "blocked",
                f"port {self.child.port} is in use: set OUTREACH_WEB_PORT to another, or free it",
            )
            self.due = time.monotonic() + LONGEST_WAIT / 2
            return
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603
                    self.child.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._home,
                    env={**os.environ, **self.child.env},
                    process_group=group,
                    pass_fds=(lock_fd,),
                )
        except OSError as error:
            self._again(f"it can't be started ({error.strerror})")
            return
        self._began = time.monotonic()
        self._set("running", "")

    def look(self) -> bool:
        """Notice an end; True if anything changed."""
        if self.process is None or self.process.poll() is None:
            return False
        code = self.process.returncode
        self.process = None
        if time.monotonic() - self._began > HEALTHY:
            self._wait = FIRST_WAIT
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        last = self.last_words()
        self._again(f"{how}: {last}" if last else how)
        return True

    def stopped(self) -> None:
        """Note that it is gone for good."""
        self.process = None
        self._set("stopped", "")

    def last_words(self) -> str:
        """The last line of its log, shortened."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")

    def trim_log(self) -> None:
        """Bound the log: its text is copied away and the file emptied, for the child keeps it open."""
        try:
            if self.log.stat().st_size > LOG_BYTES:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)
        except OSError as error:
            self.note = f"its log can't be trimmed ({error.strerror})"

    def to_dict(self) -> dict[str, Any]:
        """For the run file."""
        return {
            "name": self.child.name,
            "state": self.state,
            "pid": self.process.pid if self.process else None,
            "since": self.since.isoformat(),
            "restarts": self.restarts,
            "note": self.note,
        }

    def _again(self, note: str) -> None:
        self.restarts += 1
        self.due = time.monotonic() + self._wait
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        self._set("restarting", note)

    def _set(self, state: str, note: str) -> None:
        if state != self.state:
            self.since = dt.datetime.now(dt.UTC)
        self.state, self.note = state, note


def _busy(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
