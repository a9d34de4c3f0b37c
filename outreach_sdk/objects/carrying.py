"""Calls that a notebook behind the database's own wall (storage/wall.py) can't do itself: they are put down as
requests, and a worker carries them out as that user, by the same public methods."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from outreach_sdk.engine import dispatch, failpoints
from outreach_sdk.engine.confined import confined
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import EngineError, InvalidInput, OutreachError
from outreach_sdk.objects import session as sessions
from outreach_sdk.objects.packing import pack, pack_error, unpack, unpack_error
from outreach_sdk.objects.session import Session
from outreach_sdk.storage import requests

__all__ = ["AT_ONCE", "ROLE", "carried", "carried_call", "carry_out"]

logger = logging.getLogger(__name__)

ROLE = "requests"
"""The queue, and whose heartbeat says that somebody carries requests out."""

PATIENCE = 6.0
"""Seconds a request waits for a worker to begin, where none is alive, before it is taken back."""

LEASE = dt.timedelta(seconds=30)

AT_ONCE, BUDGET = 4, 300.0
"""Calls that one worker carries out at a time, and seconds after which it begins no more before it looks around."""

T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

FILES = ("Sequence._enroll_rows", "Shortlist.add", "Workspace.suppress")
"""Calls whose first argument may be a file's path as text: the file goes with the call."""

CALLS: dict[str, Callable[..., Any]] = {}
"""All that can be asked for, by name: "Sequence.add_email". Each is given its object or class first."""


def carried(*, here: str = "", also: str = "") -> Callable[[T], T]:
    """Class decorator: behind the wall every public method and setter goes to a worker, but those named in `here`,
    which only read what is one's own; and so do the members named in `also`."""

    def wrap(cls: T) -> T:
        local = set(here.split())
        for name in sorted({n for c in cls.__mro__[:-1] for n in vars(c)}):
            if name not in also.split() and (name.startswith("_") or name in local):
                continue
            member = next(vars(c)[name] for c in cls.__mro__ if name in vars(c))
            call = f"{cls.__name__}.{name}"
            if isinstance(member, classmethod):
                CALLS[call] = member.__func__
                setattr(cls, name, classmethod(_through(call, member.__func__)))
            elif isinstance(member, property):
                get, put = member.fget, member.fset
                if put is not None:
                    CALLS[f"{call}="] = put
                    put = _through(f"{call}=", put)
                if name in also.split() and get is not None:
                    CALLS[call] = get
                    get = _through(call, get)
                setattr(cls, name, property(get, put, member.fdel, member.__doc__))
            elif callable(member) and not isinstance(member, (type, staticmethod)):
                CALLS[call] = member
                setattr(cls, name, _through(call, member))
        return cls

    return wrap


def carried_call(function: F) -> F:
    """The same for a function of its own."""
    name = function.__name__
    CALLS[name] = lambda _, *args, **kwargs: function(*args, **kwargs)

    @functools.wraps(function)
    def through(*args: Any, **kwargs: Any) -> Any:
        session = sessions.current()
        return _ask(session, name, None, args, kwargs) if session.walled else function(*args, **kwargs)

    return through  # type: ignore[return-value]


def _through(call: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def through(of: Any, *args: Any, **kwargs: Any) -> Any:
        session: Session = sessions.current() if isinstance(of, type) else of._session
        if not session.walled:
            return function(of, *args, **kwargs)
        made = _ask(session, call, None if isinstance(of, type) else of, args, kwargs)
        again = getattr(of, "_read_again", None)
        if again is not None and not isinstance(of, type):
            again()
        return made

    return through


def _ask(session: Session, call: str, of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Put the call down, wait for its end, and give or raise what came of it."""
    store = session.store
    kept = {k: v for k, v in kwargs.items() if not (k in ("ask", "show") and callable(v))}
    if call in FILES and args and isinstance(args[0], str) and Path(args[0]).is_file():
        args = (Path(args[0]), *args[1:])
    request = requests.ask(store, session.user, call, pack([of, list(args), kept]), session.now())
    try:
        return _answer(session, request, call)
    except KeyboardInterrupt:  # whoever stops waiting for it wants it no more
        requests.withdraw(store, request)
        raise


def _answer(session: Session, request: int, call: str) -> Any:
    store, began, wait = session.store, time.monotonic(), 0.02
    while True:
        row = store.one("SELECT state, result FROM requests WHERE id = ?", request)
        state = "lost" if row is None else str(row["state"])
        if state == "done" and row is not None:
            return unpack(str(row["result"]), session)
        if state == "failed" and row is not None:
            raise unpack_error(str(row["result"]), session)
        if state == "lost":
            raise OutreachError(
                f"The worker that carried out {call} died in the middle of it. Look whether it was done before asking again."
            )
        if state == "withdrawn" or (state == "asked" and time.monotonic() - began > PATIENCE):
            living = dispatch.alive(session.engine)
            idle = not (living.get("clock") and living.get(ROLE))
            if state == "withdrawn" or (idle and requests.withdraw(store, request)):
                raise EngineError(
                    "Nothing was done: no worker carries out what notebooks ask for. Let whoever runs the engine start "
                    "`outreach clock` and `outreach worker requests`.",
                    retry_after=60.0,
                )
        time.sleep(wait)
        wait = min(wait * 1.2, 0.25)


def carry_out(engine: Engine, settings: Any, *, threads: int = 1, stop: threading.Event | None = None) -> int:
    """Carry out what was asked, each call as who asked, `threads` at once; how many. While one of them takes long the
    others go on with what comes in, for five minutes at most."""
    _load()
    made, until = _Busy(), time.monotonic() + BUDGET

    def work() -> None:
        try:
            while not (stop is not None and stop.is_set()) and time.monotonic() < until:
                row = requests.claim(engine.store, engine.now(), engine.now() + LEASE, engine.holder)
                if row is None:
                    if made.nobody:
                        return
                    time.sleep(0.05)
                    continue
                with made:
                    with _holding(engine, row["id"]):
                        state, result = _carry(engine, settings, row)
                        failpoints.hit("request_done")
                    requests.settle(engine.store, row["id"], state, result, engine.now())
        finally:
            if threads > 1:
                engine.store.idle()

    if threads == 1:
        work()
        return made.done
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="request") as pool:
        for end in [pool.submit(work) for _ in range(threads)]:
            end.result()
    return made.done


class _Busy:
    """How many calls are being carried out, and how many were."""

    def __init__(self) -> None:
        self._lock, self._now, self.done = threading.Lock(), 0, 0

    @property
    def nobody(self) -> bool:
        return self._now == 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1
            self.done += 1


def _load() -> None:
    """All classes whose methods can be asked for: each puts its own into CALLS."""
    from outreach_sdk.objects import packing, workspace  # noqa: F401

    packing.things()


def _carry(engine: Engine, settings: Any, row: dict[str, Any]) -> tuple[str, str]:
    user = engine.store.one(
        "SELECT * FROM users WHERE id = ? AND workspace_id = ? AND db_role IS NOT NULL",
        row["owner_id"],
        row["workspace_id"],
    )
    try:
        if user is None:
            raise InvalidInput("request", row["call"], "Whoever asked has no role here any more.")
        session = Session(settings, engine, user)
        with (
            sessions.acting(session),
            tempfile.TemporaryDirectory(prefix="outreach-") as folder,
            confined(Path(folder)),
        ):
            of, args, kwargs = unpack(str(row["payload"]), session, Path(folder))
            return "done", pack(_call(str(row["call"]), of, args, kwargs))
    except Exception as exc:
        if not isinstance(exc, OutreachError):
            logger.exception("request %d (%s)", row["id"], row["call"])
        return "failed", pack_error(exc)


def _call(call: str, of: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    function = CALLS.get(call)
    if function is None:
        raise InvalidInput("call", call, "No such call is carried out for a notebook.")
    owner = call.partition(".")[0]
    if of is None and "." in call:
        of = _class(owner)
    elif of is not None and type(of).__name__ != owner:
        raise InvalidInput("call", call, f"It isn't {type(of).__name__}'s.")
    return function(of, *args, **kwargs)


def _class(name: str) -> type:
    from outreach_sdk.objects.packing import things
    from outreach_sdk.objects.task import Task

    found: type | None = {**things(), "Task": Task}.get(name)
    if found is None:
        raise InvalidInput("call", name, "No such call is carried out for a notebook.")
    return found


class _holding:
    """Keeps a request this worker's for as long as it takes."""

    def __init__(self, engine: Engine, request_id: int) -> None:
        self._engine, self._id, self._end = engine, request_id, threading.Event()
        self._thread = threading.Thread(target=self._run, name="request", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._end.wait(LEASE.total_seconds() / 4):
                requests.hold(self._engine.store, self._id, self._engine.now() + LEASE)
        except OutreachError:
            logger.warning("request %d: the database is away", self._id)
        finally:
            self._engine.store.idle()
