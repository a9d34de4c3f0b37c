"""gunicorn's threads, and an end for whoever takes too long to say something.

A thread waits for each request that is being sent, so there are many (they cost next to nothing while they wait), and
one that isn't complete in time loses its connection.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

__all__ = ["PATIENCE", "PatientWorker"]

PATIENCE = 20.0
"""Seconds from a request's first byte to its answer. Every answer of ours takes far less."""


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """`--worker-class webhook_service.worker.PatientWorker`"""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._under_way: dict[int, tuple[float, Any]] = {}
        self._guard = threading.Lock()

    def handle(self, conn: Any) -> Any:
        """One request, on a thread of its own."""
        with self._guard:
            self._under_way[id(conn)] = (time.monotonic(), conn)
        try:
            return super().handle(conn)
        finally:
            with self._guard:
                self._under_way.pop(id(conn), None)

    def notify(self) -> None:
        """Called at least once a second."""
        super().notify()
        since = time.monotonic() - PATIENCE
        with self._guard:
            for began, conn in self._under_way.values():
                if began < since:
                    with contextlib.suppress(OSError):
                        conn.sock.shutdown(socket.SHUT_RD)
