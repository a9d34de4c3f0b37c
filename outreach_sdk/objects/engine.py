"""Starting and ending this home's engine from a notebook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from outreach_sdk import runtime
from outreach_sdk.engine import dispatch
from outreach_sdk.errors import EngineError
from outreach_sdk.objects.session import Session, current
from outreach_sdk.storage.database_time import database_time

__all__ = ["down", "missing", "out_of_step", "up"]

STARTING = dt.timedelta(seconds=30)
"""How long the processes of an engine may take until they show signs of life."""


def up(workers: int | None = None, detach: bool = False) -> runtime.Status:
    """Start Redis (if embedded), workers, clock and web as child processes of one supervisor. Returns at
    once; calling it again changes nothing. It ends with this kernel unless `detach`. EngineError says why not."""
    if current().walled:
        raise EngineError("The engine runs elsewhere: a notebook behind the database's wall starts none.")
    return runtime.up(current().settings, workers=workers, detach=detach)


def down() -> bool:
    """End it; False if it wasn't running."""
    return runtime.down(current().settings)


IN_STEP = dt.timedelta(seconds=5)
"""How far the clocks of an installation's machines may be apart; processes that differ by 15 s count each other dead."""


def out_of_step(session: Session) -> str | None:
    """A sentence, where this machine's clock isn't the database's."""
    before, there = session.now(), database_time(session.store)
    if there is None:
        return None
    here = before + (session.now() - before) / 2
    if abs(here - there) <= IN_STEP:
        return None
    return (
        f"This machine's clock is {abs(here - there).total_seconds():,.0f} s {'ahead of' if here > there else 'behind'} "
        "the database's. Set it right (NTP): what is due and who is alive is told by it."
    )


def missing(session: Session, alive: Mapping[str, int]) -> str | None:
    """Why nothing leaves as far as clock and workers go, given who is alive, or None."""
    if alive.get("clock") and alive.get("send"):
        away = dispatch.trouble(session.engine)
        return away and f"{away} Nothing leaves until it does; what is due waits and nothing is lost."
    here = runtime.status(session.settings)
    if not here.running or here.since is None:
        return "No engine is running: nothing leaves until `outreach up`."
    if dt.datetime.now(dt.UTC) - here.since < STARTING:
        return "The engine is starting: nothing leaves for a few seconds more."
    lacks = "clock" if not alive.get("clock") else "worker that sends"
    return (
        f"The engine runs without a {lacks}: nothing leaves. `outreach status` says why; `outreach down` and "
        "`outreach up` start it afresh."
    )
