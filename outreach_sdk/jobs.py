"""RQ entry points, allow-listed by name. A job carries nothing but its name and a time bucket: what there
is to do, the database says, so a job that runs twice finds nothing to do."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from outreach_sdk.config import Settings
from outreach_sdk.engine import deliveries, dispatch, kinds, looking, set_back, telling
from outreach_sdk.engine.context import Engine
from outreach_sdk.engine.identity import check_identity, note_seen
from outreach_sdk.engine.queues import Queues
from outreach_sdk.errors import DatabaseUnavailable, OutreachError
from outreach_sdk.storage import requests
from outreach_sdk.storage.migrations import check_version
from outreach_sdk.wiring import channels, notices, open_engine, revoke_pending

__all__ = [
    "ALLOWED",
    "QUEUES",
    "Beating",
    "Ticks",
    "check_tables",
    "drain_ats",
    "drain_calendars",
    "drain_checks",
    "drain_deliveries",
    "drain_enrichment",
    "drain_imports",
    "drain_kinds",
    "drain_lookups",
    "drain_notes",
    "drain_passages",
    "drain_polls",
    "drain_sends",
    "drain_shortlists",
    "drain_upkeep",
    "process_name",
    "run_clock",
]

logger = logging.getLogger(__name__)

QUEUES = ("send", "read", "bulk", "requests")

_engine: Engine | None = None
_known = False
_guard = threading.Lock()
stopping = threading.Event()
"""Set when this worker is told to stop: a drain claims nothing more and lets what is in flight end."""


def shared_engine() -> Engine:
    """This process's engine, from the environment."""
    global _engine
    with _guard:
        if _engine is None:
            _engine = open_engine(Settings.from_env())
        return _engine


def check_tables(engine: Engine) -> None:
    """NotMigrated where the database lacks the tables, StorageError where they are a newer package's; one that is away
    may come back with them."""
    with contextlib.suppress(DatabaseUnavailable):
        engine.store.one("SELECT clock_seen_at FROM installation")
        check_version(engine.store)


def _sending_engine() -> Engine:
    """This process's engine, its database known to be no copy: a worker may come up before the clock has looked."""
    global _known
    engine = shared_engine()
    if not _known:
        check_identity(engine, Settings.from_env().home)
        _known = True
    return engine


def drain_sends(*_bucket: Any) -> dict[str, int]:
    """Send what is due, for one time budget."""
    return dispatch.drain_sends(_sending_engine(), stop=stopping)


def drain_polls(*_bucket: Any) -> dict[str, int]:
    """Look for replies and bounces in every mailbox whose check is due."""
    return dispatch.drain_polls(shared_engine())


def drain_checks(*_bucket: Any) -> int:
    """Test mailboxes that may not send before; tell providers of grants to forget. How many passed."""
    from outreach_sdk.engine import selftest, testing  # rare: the sending workers need not carry them

    settings, engine = Settings.from_env(), _sending_engine()
    revoke_pending(settings, engine.store)
    testing.run(engine)
    return selftest.run_waiting(engine)


def drain_imports(*_bucket: Any) -> int:
    """Go on with imports that wait or whose worker died; how many were finished."""
    from outreach_sdk.engine import imports  # the sending workers need not carry it

    return imports.drain_imports(shared_engine())


def drain_shortlists(*_bucket: Any) -> int:
    """Let people on shortlists flow on whom a killed process left behind; how many."""
    from outreach_sdk.engine import shortlists  # the sending workers need not carry it

    return shortlists.drain(shared_engine())


def drain_enrichment(*_bucket: Any) -> int:
    """Go on with looking for addresses and numbers; how many fields of people were settled."""
    from outreach_sdk.engine import enrich  # the sending workers need not carry it

    return enrich.drain(shared_engine(), stop=stopping)


def drain_kinds(*_bucket: Any) -> dict[str, int]:
    """Have the model say of what kind answers are."""
    from outreach_sdk.engine import judging

    return judging.drain_kinds(shared_engine(), stop=stopping)


def drain_passages(*_bucket: Any) -> dict[str, int]:
    """Have the model write passages of e-mails before they are due."""
    from outreach_sdk.engine import passages  # the sending workers need not carry it

    return passages.drain_passages(shared_engine(), stop=stopping)


def drain_deliveries(*_bucket: Any) -> int:
    """Act on webhook deliveries that wait; how many."""
    return deliveries.drain(shared_engine())


def drain_lookups(*_bucket: Any) -> int:
    """Ask applicant tracking systems what deliveries didn't tell; how many deliveries."""
    return looking.drain(shared_engine())


def drain_ats(*_bucket: Any) -> int:
    """Ask applicant tracking systems for interviews, and who is in process there; how many were new."""
    from outreach_sdk.engine import polling  # the sending workers need not carry it

    return polling.drain(shared_engine())


def drain_notes(*_bucket: Any) -> int:
    """Write notes to applicant tracking systems; how many were written."""
    from outreach_sdk.engine import writing_back  # the sending workers need not carry it

    return writing_back.drain(shared_engine())


def drain_calendars(*_bucket: Any) -> dict[str, int]:
    """Look for interviews in the calendars whose time has come."""
    from outreach_sdk.engine import calendars

    return calendars.drain(shared_engine())


def drain_upkeep(*_bucket: Any) -> dict[str, int]:
    """Forget what has been kept long enough, and renew what watches mailboxes."""
    from outreach_sdk.engine import upkeep  # rare: the sending workers need not carry it

    return upkeep.run(shared_engine())


def drain_notices(*_bucket: Any) -> int:
    """Tell owners by e-mail and by Slack what is due; how many messages."""
    settings, engine = Settings.from_env(), shared_engine()
    return sum(telling.tell(engine.store, c, notices(settings, c), engine.now) for c in channels(settings))


ALLOWED: dict[str, Callable[..., Any]] = {
    f"outreach_sdk.jobs.{f.__name__}": f
    for f in (
        drain_sends,
        drain_polls,
        drain_checks,
        drain_imports,
        drain_enrichment,
        drain_kinds,
        drain_passages,
        drain_shortlists,
        drain_notices,
        drain_deliveries,
        drain_lookups,
        drain_calendars,
        drain_ats,
        drain_notes,
        drain_upkeep,
    )
}
"""The only functions a worker runs, whatever Redis says."""


def process_name(role: str) -> str:
    """A name for this process among all of the installation's."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


class Beating:
    """Keeps saying in the database that this process lives, from a thread, until `end`."""

    def __init__(
        self,
        engine: Engine,
        role: str,
        every: float = 4.0,
        *,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._engine, self._role, self._every, self._trouble = engine, role, every, trouble
        self._name, self._started = process_name(role), engine.now()
        self._stop = threading.Event()
        with contextlib.suppress(OutreachError):  # before anything is claimed under this name
            dispatch.beat(engine, role, self._name, self._started)
        engine.holder = self._name
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            # With the database away, being silent is what a heartbeat says.
            with contextlib.suppress(OutreachError):
                dispatch.beat(self._engine, self._role, self._name, self._started, trouble=self._trouble())
        self._engine.store.idle()

    def end(self) -> None:
        """Say that this process is gone, rather than let others find out."""
        self._stop.set()
        self._thread.join(2)
        with contextlib.suppress(OutreachError):
            self._engine.store.write("DELETE FROM heartbeats WHERE name = ?", self._name)


class Ticks:
    """How a clock's ticks go, to be told by its heartbeat."""

    PATIENCE = 3
    """So many that fail in a row are told of."""

    def __init__(self) -> None:
        self._failed, self._why = 0, ""

    def went(self, why: str | None = None) -> None:
        """One was done, or failed and `why`."""
        self._failed = 0 if why is None else self._failed + 1
        self._why = why or ""

    def trouble(self) -> str | None:
        """A sentence, where they fail."""
        if self._failed < self.PATIENCE:
            return None
        return f"The clock can't do its work: {self._why.rstrip('.')}."


def run_clock(
    engine: Engine,
    wake: dispatch.Wake,
    stop: threading.Event,
    every: float,
    log: Callable[[str], None],
    ticks: Ticks | None = None,
) -> None:
    """Tick until stopped; `ticks` hears how it goes. A lost database or Redis costs ticks, not the clock."""
    from outreach_sdk.engine import polling, polls, writing_back

    settings = Settings.from_env()
    known, marked, ticks = False, 0.0, ticks or Ticks()
    while not stop.is_set():
        began = time.monotonic()
        try:
            if not known:
                why = check_identity(engine, settings.home)
                known = True
                polls.ensure(engine)
                if why:
                    log(f"{why} Nothing leaves until it is armed: `outreach arm`.")
            if set_back.put_right(engine) is not None or began - marked > 30:
                marked = began
                note_seen(engine, settings.home)
            if any(telling.waiting(engine.store, c, engine.now()) for c in channels(settings)):
                wake.enqueue("bulk", "drain_notices", int(time.time() // 10))
            if settings.openai_api_key is not None and kinds.waiting(engine):
                wake.enqueue("bulk", "drain_kinds", int(time.time() // 2))
            if polling.waiting(engine):
                wake.enqueue("bulk", "drain_ats", int(time.time() // 10))
            if writing_back.waiting(engine):
                wake.enqueue("bulk", "drain_notes", int(time.time() // 5))
            if looking.waiting(engine):
                wake.enqueue("bulk", "drain_lookups", int(time.time() // 2))
            if dispatch.upkeep_due(engine):
                wake.enqueue("bulk", "drain_upkeep", int(time.time() // 10))
            _hand_on(engine, wake)
            workers = max(1, dispatch.alive(engine).get("send", 1))
            dispatch.tick(engine, wake, workers=workers)
            ticks.went()
        except (OutreachError, OSError) as exc:
            ticks.went(str(exc))
            with contextlib.suppress(OSError):  # the log's disk may be full
                log(f"tick: {exc}")
        except Exception as exc:  # a fault of the program's own costs a tick, not the clock
            ticks.went(f"an error in the program ({type(exc).__name__}); its log has it whole")
            logger.exception("tick")
        _until(began + every, engine, wake, stop, log)


def _hand_on(engine: Engine, wake: dispatch.Wake) -> None:
    """Have what notebooks behind the database's wall ask for carried out; they can't reach Redis, by design."""
    if engine.store.dialect == "postgresql" and requests.waiting(engine.store, engine.now()):
        wake.enqueue("requests", "drain_requests", int(time.time() * 10))


def _until(
    moment: float, engine: Engine, wake: dispatch.Wake, stop: threading.Event, log: Callable[[str], None]
) -> None:
    """Wait for the next tick, dealing at once with what the web service tells of."""
    stop.wait(0.05)
    more = False
    while (left := moment - time.monotonic()) > 0 and not stop.is_set():
        if not more and not (isinstance(wake, Queues) and wake.poked(min(left, 0.2))):
            with contextlib.suppress(OutreachError):
                _hand_on(engine, wake)
            if not isinstance(wake, Queues) or wake.away:
                stop.wait(min(left, 0.2))
                more = _left(engine)
            continue
        try:
            dispatch.hurry(engine, wake)
            more = deliveries.waiting(engine)
        except (OutreachError, OSError) as exc:
            more = False
            log(f"hurry: {exc}")
        except Exception:  # as in a tick
            more = False
            logger.exception("hurry")


def _left(engine: Engine) -> bool:
    """Whether deliveries wait that nobody can tell of, Redis being away."""
    with contextlib.suppress(OutreachError):
        return deliveries.waiting(engine)
    return False
