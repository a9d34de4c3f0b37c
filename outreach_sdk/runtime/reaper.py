"""The supervisor's first child: leads the process group, and ends the group when the supervisor is gone.

Run as a file, on the standard library alone, so that it starts at once and has nothing that can fail. Its
standard input is a pipe that only the supervisor holds: end of file means that the supervisor is dead,
however it died. (Linux could ask the kernel for that; macOS can't.)
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

GRACE = 1.2
"""Seconds between TERM and KILL: with everything, all are gone within two seconds."""


def still_locked(path: str) -> bool:
    """Whether a member of the group lives: each holds the lock, the reaper doesn't."""
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


def main(lock_path: str) -> None:
    """Wait for end of file; then TERM, a moment, KILL. Ends with the group: it is a member itself."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    group = os.getpgrp()
    if group != os.getpid():
        return
    os.killpg(group, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        if not still_locked(lock_path):
            return
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
