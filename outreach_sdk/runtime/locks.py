"""Who is alive, told by locked files and never by pid alone: a lock falls when its last holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from outreach_sdk.errors import EngineError

__all__ = ["acquire", "evict", "exclusive", "is_held", "is_there"]


def acquire(path: Path, *, wait: float = 0.0) -> int | None:
    """Open and lock the file; its descriptor, or None if somebody else holds it for `wait` seconds."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(fd)
                return None
            time.sleep(0.01)
        else:
            return fd


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Looks with a shared lock, so two lookers don't see each other."""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_there(path: Path, fd: int) -> bool:
    """Whether the file that was opened as `fd` is still the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it can't be seen for the moment: a disk that hiccups
        return True


@contextlib.contextmanager
def exclusive(path: Path, *, wait: float) -> Iterator[None]:
    """Hold the lock for a block; EngineError after `wait` seconds."""
    fd = acquire(path, wait=wait)
    if fd is None:
        raise EngineError(
            f"Another program has been starting or stopping this engine for {wait:g} s. Try again."
        )
    try:
        yield
    finally:
        os.close(fd)


def evict(lock: Path, recorded: Iterable[int], group: int | None) -> None:
    """End every process that holds the lock: TERM, a second, KILL. EngineError if one stays.

    On Linux the holders are read from /proc. Elsewhere they are the recorded pids, of which only those that
    still belong to `group` (unless None) are touched, and only while the lock is held.
    """
    began = time.monotonic()
    recorded = list(recorded)
    termed: set[int] = set()
    while is_held(lock):
        waited = time.monotonic() - began
        pids = holders(lock, recorded, group)
        if waited > 8:
            raise EngineError(
                f"Processes of an earlier engine won't end: {sorted(pids)}. End them by hand, then try again."
            )
        for pid in pids:
            if waited > 1 or pid not in termed:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if waited > 1 else signal.SIGTERM)
                termed.add(pid)
        time.sleep(0.02)


def holders(lock: Path, recorded: Iterable[int], group: int | None) -> set[int]:
    """The pids that have the lock file open, this process apart."""
    if Path("/proc/self/fd").is_dir():
        return _holders_in_proc(lock)
    found = set()
    for pid in recorded:
        with contextlib.suppress(OSError):
            if pid != os.getpid() and (group is None or os.getpgid(pid) == group):
                found.add(pid)
    return found


def _holders_in_proc(lock: Path) -> set[int]:
    try:
        wanted = lock.stat()
    except OSError:
        return set()
    found = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            for fd in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    seen = fd.stat()
                    if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                        found.add(int(process.name))
                        break
    return found
