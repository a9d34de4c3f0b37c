"""One database, SQLite or PostgreSQL, and the transactions on it."""

from __future__ import annotations

import datetime as dt
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import peewee as pw

from outreach_sdk.errors import ConfigError, DatabaseUnavailable, NotMigrated, StorageError
from outreach_sdk.storage.fields import from_us, to_us

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Store", "open_store"]

T = TypeVar("T")
Record = dict[str, Any]

_as_peewee: Any = vars(pw)["__exception_wrapper__"]
"""Turns a driver's exceptions into peewee's."""

_locks: dict[str, threading.RLock] = {}
_locks_guard = threading.Lock()


@functools.lru_cache(maxsize=2048)
def _postgres_sql(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@functools.lru_cache(maxsize=512)
def _moments(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(n for n in names if n.endswith(("_at", "_until")))


_PLAIN = frozenset({int, str, float, bool, bytes, type(None)})
"""Kinds of values that go to the driver as they are, whatever the database."""


def _bound(value: Any) -> Any:
    return to_us(value) if isinstance(value, dt.datetime) else value


class _Local(threading.local):
    """What a thread is about: how deep in transactions, on which of the driver's connections, and whether its
    statements run on the connection of a temporary table."""

    depth = 0
    staging = False
    inside: Any = None


class _Transaction:
    """What `Store.tx` gives. A class, since a generator's way in and out costs as much as a small statement."""

    __slots__ = ("_atomic", "_durable", "_joins", "_store")

    def __init__(self, store: Store, durable: bool) -> None:
        self._store = store
        self._durable = durable
        self._joins = False
        self._atomic: Any = None

    def __enter__(self) -> None:
        store, local = self._store, self._store._local
        self._joins = local.depth > 0
        if self._joins:
            return
        if store._sqlite:
            store._lock.acquire()
        local.depth = 1
        try:
            self._begin()
        except BaseException as exc:
            try:
                self._undo()
                self._translate(exc)
            finally:
                self._leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._joins:
            return
        try:
            self._end(kind, exc, trace)
            self._translate(exc)
        except BaseException as failed:
            self._translate(failed)
            raise
        finally:
            self._leave()

    def _begin(self) -> None:
        store = self._store
        if not store._sqlite:
            self._atomic = store.db.atomic()
            self._atomic.__enter__()
            store._local.inside = store.connection()
            return
        store._local.inside = connection = store.connection()
        store._same_file()
        with _as_peewee:
            # The connection of a temporary table isn't the one that all write on, and always waits.
            relaxed = not self._durable
            if not store._local.staging and relaxed != (store._relaxed is connection):
                connection.execute(f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}")
                store._relaxed = connection if relaxed else None
            connection.execute("BEGIN IMMEDIATE")

    def _end(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._store._sqlite:
            self._atomic.__exit__(kind, exc, trace)
            return
        try:
            if exc is None:
                with _as_peewee:
                    self._store._local.inside.execute("COMMIT")
        finally:
            self._undo()

    def _undo(self) -> None:
        """Nothing of it is left open on SQLite's connection, which goes on to serve others."""
        connection = self._store._local.inside
        if not self._store._sqlite or connection is None:
            return
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _leave(self) -> None:
        local = self._store._local
        local.depth, local.inside = 0, None
        if self._store._sqlite:
            self._store._lock.release()

    def _translate(self, exc: BaseException | None) -> None:
        """A lost database by its own name. What PostgreSQL stops for another's sake is `Store.run`'s to try again."""
        if isinstance(exc, (pw.OperationalError, pw.InterfaceError)) and not _is_deadlock(exc):
            self._store._drop_connection()
            raise DatabaseUnavailable(
                f"The database can't be used right now ({self._store.shown_url}): {str(exc).splitlines()[0]}"
            ) from exc
        if type(exc) is pw.DatabaseError:
            self._store._drop_connection()
            raise self._store._unreadable(exc) from exc


class Store:
    """The database. Reads and writes are SQL with `?` for every value, the same text on both kinds;
    datetimes go in and come out aware (columns ending in `_at` or `_until`).

    SQLite: WAL, synchronous=FULL (a `sending` commit must outlive a power cut), IMMEDIATE for every
    write transaction, and one lock a process around them, since SQLite's own back-off is unfair. All write on
    one connection: every other one's page cache is void after each commit.
    """

    def __init__(self, db: pw.Database, dialect: str, url: str, writer: pw.Database | None = None) -> None:
        self.db = db
        self.writer = writer or db
        self.dialect = dialect
        self._sqlite = dialect == "sqlite"
        self.url = url
        with _locks_guard:
            self._lock = _locks.setdefault(url, threading.RLock())
        self._local = _Local()
        self._file: tuple[int, int] | None = None
        """Which file SQLite's database is, once it was written to."""
        self._relaxed: Any = None
        """SQLite's writing connection while its commits don't wait for the disk: it is told again only where that
        changes."""
        self.statements = 0
        """Statements run so far: tests count queries with it."""

    # -- running SQL ---------------------------------------------------------------------------
    def _execute(self, sql: str, params: Seq[Any]) -> Any:
        self.statements += 1
        bound = [p if p.__class__ in _PLAIN else _bound(p) for p in params]
        text = sql if self._sqlite else _postgres_sql(sql)
        try:
            # The driver's own call: peewee's way to it costs as much as a small statement.
            with _as_peewee:
                connection = self._local.inside or self.connection()
                return connection.execute(text, bound)
        except pw.ProgrammingError as exc:
            if _lacks(exc):
                raise self._older(exc) from exc
            if "permission denied" not in str(exc):
                raise
            raise StorageError(f"The database doesn't let you: {str(exc).splitlines()[0]}.") from exc
        except (pw.DataError, pw.IntegrityError, OverflowError, UnicodeEncodeError) as exc:
            raise self._unstorable(exc) from exc
        except (pw.OperationalError, pw.InterfaceError) as exc:
            if self.depth == 0:
                self._drop_connection()
            if "readonly" in str(exc):
                raise StorageError(
                    f"The database can't be written: {self.shown_url} is read-only. Make its folder writable."
                ) from exc
            if _is_deadlock(exc):
                raise
            if self._sqlite and _lacks(exc):
                raise self._older(exc) from exc
            raise DatabaseUnavailable(
                f"The database can't be used right now ({self.shown_url}): {str(exc).splitlines()[0]}"
            ) from exc
        except pw.DatabaseError as exc:
            if type(exc) is not pw.DatabaseError:
                raise
            self._drop_connection()
            raise self._unreadable(exc) from exc

    def _unstorable(self, exc: BaseException) -> StorageError:
        """For what the statement was given: none of it was stored."""
        if isinstance(exc, pw.IntegrityError):
            return StorageError(f"The database refuses that, and nothing was changed: {_first_line(exc)}.")
        return StorageError(
            f"The database can't keep a value of that, and nothing was changed: {_first_line(exc)}. Take out "
            "characters that nobody can read, and numbers beyond 64 bits."
        )

    def _older(self, exc: BaseException) -> NotMigrated:
        return NotMigrated(
            f"The database {self.shown_url} has no tables yet, or is older than this version of outreach-sdk "
            f"({_first_line(exc)}): run `outreach migrate`."
        )

    def _unreadable(self, exc: BaseException) -> StorageError:
        return StorageError(
            f"The database can't be read: {self.shown_url} ({_first_line(exc)}). Give another DATABASE_URL, or put a "
            "backup in its place."
        )

    def connection(self) -> Any:
        """The driver's connection that statements of this thread run on now."""
        inside = self._local.depth and not self._local.staging
        return (self.writer if inside else self.db).connection()

    def _same_file(self) -> None:
        """DatabaseUnavailable where SQLite's file was taken away, or another put in its place, while it is open: what is
        written into it nobody would ever see."""
        file = None
        with suppress(OSError):
            found = os.stat(self.url.removeprefix("sqlite:///"))
            file = found.st_dev, found.st_ino
        self._file = self._file or file
        if file is None or file != self._file:
            raise DatabaseUnavailable(
                f"The database {self.shown_url} was moved, deleted or replaced while it was in use: put it back, or "
                "connect again."
            )

    def _drop_connection(self) -> None:
        for database in {self.db, self.writer if self.depth else self.db}:
            if not database.is_closed():
                database.close()

    @property
    def shown_url(self) -> str:
        """The address without its password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"

    @property
    def depth(self) -> int:
        return self._local.depth

    def rows(self, sql: str, *params: Any) -> list[Record]:
        """All rows as dicts."""
        cursor = self._execute(sql, params)
        names = tuple([c[0] for c in cursor.description])
        moments = _moments(names)
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for row in found:
            for name in moments:
                value = row[name]
                if isinstance(value, int):
                    row[name] = from_us(value)
        return found

    def one(self, sql: str, *params: Any) -> Record | None:
        """The first row, or None."""
        found = self.rows(sql, *params)
        return found[0] if found else None

    def value(self, sql: str, *params: Any) -> Any:
        """The first column of the first row, or None."""
        row = self._execute(sql, params).fetchone()
        return None if row is None else row[0]

    def write(self, sql: str, *params: Any) -> int:
        """Run a change; how many rows it touched. Outside a transaction it is one of its own."""
        if self.depth == 0:
            with self.tx():
                return self.write(sql, *params)
        return int(self._execute(sql, params).rowcount)

    def write_one(self, sql: str, *params: Any) -> Any:
        """Run one change with RETURNING, in a transaction of its own unless inside one; the first value it returned.
        On PostgreSQL that is one round trip."""
        if self.depth or self.dialect == "postgresql":
            return self.value(sql, *params)
        with self.tx():
            return self.value(sql, *params)

    def write_many(self, sql: str, rows: Seq[Seq[Any]]) -> None:
        """Run one change for each of `rows`, in a transaction."""
        self.statements += 1
        text = sql if self.dialect == "sqlite" else _postgres_sql(sql)
        bound = [tuple([p if p.__class__ in _PLAIN else _bound(p) for p in row]) for row in rows]
        with self.tx():
            try:
                with _as_peewee:
                    self.connection().cursor().executemany(text, bound)
            except (pw.DataError, pw.IntegrityError, OverflowError, UnicodeEncodeError) as exc:
                raise self._unstorable(exc) from exc

    def insert(self, table: str, values: Record) -> int:
        """Insert one row; its id."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id"
        if self.depth == 0:
            with self.tx():
                return int(self.value(sql, *values.values()))
        return int(self.value(sql, *values.values()))

    @contextmanager
    def staged(self, table: str, columns: Mapping[str, str], frame: pl.DataFrame) -> Iterator[None]:
        """`frame` in a temporary table of this connection for as long as the block lasts, filled the fastest way
        (executemany on SQLite, COPY on PostgreSQL) before anything is locked. `columns` are all it has, with
        their types and defaults; the frame may lack some."""
        with suppress(DatabaseUnavailable, pw.DatabaseError):  # gone with its connection
            self._execute(f"DROP TABLE IF EXISTS {table}", ())
        with self.tx() if self.depth else self._scratch():
            shape = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            self._execute(f"CREATE TEMPORARY TABLE {table} ({shape})", ())
            self._fill(table, frame)
        own = self.depth == 0
        self._local.staging = (
            own  # a temporary table is its connection's alone, so what follows runs on it too
        )
        try:
            yield
        finally:
            with suppress(DatabaseUnavailable, pw.DatabaseError):  # gone with its connection
                self._execute(f"DROP TABLE IF EXISTS {table}", ())
            self._local.staging = False

    @contextmanager
    def _scratch(self) -> Iterator[None]:
        """A transaction that touches temporary tables alone, and so need not wait for other writers."""
        with self.db.atomic("DEFERRED") if self.dialect == "sqlite" else self.db.atomic():
            yield

    def _fill(self, table: str, frame: pl.DataFrame) -> None:
        self.statements += 1
        names = ", ".join(frame.columns)
        connection = self.connection()
        if self.dialect == "sqlite":
            marks = ", ".join("?" * frame.width)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", frame.rows())
            return
        # Text is quoted and null isn't, so that an empty string stays one.
        text = frame.write_csv(include_header=False, quote_style="non_numeric")
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN CSV") as copy:
            copy.write(text)

    # -- transactions --------------------------------------------------------------------------
    def tx(self, *, durable: bool = True) -> _Transaction:
        """A write transaction; nested ones join it. Not `durable`: on SQLite a power cut may undo it, with all that
        came after it, until the next durable one; for what would be found out again."""
        return _Transaction(self, durable)

    def run(self, work: Callable[[], T], *, durable: bool = True) -> T:
        """`work` in one transaction, again when PostgreSQL chose it as a deadlock's victim; DatabaseUnavailable where
        it does so time after time."""
        for attempt in range(6):
            try:
                with self.tx(durable=durable):
                    return work()
            except pw.OperationalError as exc:
                if self.depth or not _is_deadlock(exc):
                    raise
                if attempt == 5:
                    raise DatabaseUnavailable(f"The database is too busy: {_first_line(exc)}.") from exc
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    @property
    def for_update(self) -> str:
        """What locks the rows of a SELECT. SQLite's IMMEDIATE transaction has locked all already."""
        return " FOR UPDATE" if self.dialect == "postgresql" else ""

    def claim_lock(self) -> None:
        """Let one transaction at a time count what is in flight and claim. Held until it ends."""
        if self.dialect == "postgresql":
            self._execute("SELECT pg_advisory_xact_lock(727001)", ())

    def close(self) -> None:
        """Close every connection."""
        self.idle()
        if hasattr(self.db, "close_all"):
            self.db.close_all()
        with self._lock:
            if not self.writer.is_closed():
                self.writer.close()

    def idle(self, *, keep: int = 0) -> None:
        """Give this thread's connection back to the pool, outside transactions: before whatever takes long. The
        next statement takes one again, which costs a round trip: with fewer than `keep` lent out it is kept."""
        if keep and len(getattr(self.db, "_in_use", ())) < keep:
            return
        if self.depth == 0 and not self.db.is_closed():
            self.db.close()


def _is_deadlock(exc: BaseException) -> bool:
    text = str(exc).lower()
    return "deadlock detected" in text or "could not serialize" in text


def _lacks(exc: BaseException) -> bool:
    """Whether a table or a column isn't there."""
    text = str(exc).lower()
    return any(
        says in text for says in ("does not exist", "no such table", "no such column", "has no column")
    )


def _first_line(exc: BaseException) -> str:
    if isinstance(exc, UnicodeEncodeError):  # whose own words hold all of the text
        return "half a surrogate pair"
    return (str(exc).splitlines() or [type(exc).__name__])[0].rstrip(".")


def in_marks(values: Seq[Any]) -> str:
    """`(?, ?, …)` for an IN clause."""
    return "(" + ", ".join("?" * len(values)) + ")"


def open_store(url: str, *, keeps_plans: bool = True) -> Store:
    """Open `sqlite:///path` or `postgresql://…`; raises ConfigError for anything else. Connects lazily. `keeps_plans`:
    PostgreSQL plans a statement once for all values, as befits one that runs all the time; else anew for each."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        if not path.parent.is_dir():
            raise ConfigError(f"DATABASE_URL: the folder {path.parent} doesn't exist. Create it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise StorageError(f"The database can't be written: {path} is read-only. Make it writable.")
        from playhouse.pool import PooledSqliteDatabase

        common: dict[str, Any] = {
            "pragmas": {
                "journal_mode": "wal",
                "synchronous": "full",
                "foreign_keys": 1,
                "busy_timeout": 30_000,
                "cache_size": -4_000,
            },
            "timeout": 30,
            "check_same_thread": False,
            "cached_statements": 256,
        }
        readers = PooledSqliteDatabase(str(path), max_connections=0, **common)
        # One connection for all threads, each under the process's lock.
        writer = pw.SqliteDatabase(str(path), thread_safe=False, **common)
        return Store(readers, "sqlite", url, writer)
    if scheme in ("postgresql", "postgres"):
        from playhouse import db_url

        database = db_url.connect(
            "psycopg3+pool://" + url.partition("://")[2],
            unquote_password=True,
            unquote_user=True,
            max_connections=64,
            stale_timeout=300,
            timeout=30,
            **({} if keeps_plans else {"prepare_threshold": None}),
        )
        return Store(database, "postgresql", url)
    raise ConfigError(
        f"DATABASE_URL: {scheme!r} databases aren't supported. Use sqlite:///… or postgresql://…."
    )
