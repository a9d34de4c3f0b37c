"""Threads that claim, work and claim again: what drains that wait on a model have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outreach_sdk.engine.context import Engine

__all__ = ["drain"]


def drain(
    engine: Engine,
    claim: Callable[[Engine], dict[str, Any] | None],
    work_on: Callable[[dict[str, Any]], str],
    *,
    threads: int,
    stop: threading.Event | None,
    name: str,
) -> dict[str, int]:
    """Work on what `claim` gives until it gives nothing, the engine's time budget is spent or `stop` is set; how many
    ended how."""
    ends: dict[str, int] = {}
    deadline = time.monotonic() + engine.drain_for.total_seconds()
    guard = threading.Lock()

    def work() -> None:
        try:
            while time.monotonic() < deadline and not (stop is not None and stop.is_set()):
                row = claim(engine)
                if row is None:
                    return
                end = work_on(row)
                with guard:
                    ends[end] = ends.get(end, 0) + 1
        finally:
            engine.store.idle()

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()
    return ends
