"""What an engine looks like from outside."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outreach_sdk.config import Settings
from outreach_sdk.runtime import locks

__all__ = ["ChildStatus", "Status", "read_run", "status"]


@dataclass(frozen=True)
class ChildStatus:
    """One child. `state`: waiting, running, restarting, blocked or stopped; `note` says why."""

    name: str
    state: str
    pid: int | None
    since: dt.datetime
    restarts: int
    note: str


@dataclass(frozen=True)
class Status:
    """A home's engine. `survivors`: the supervisor is dead but processes of its are not."""

    home: Path
    running: bool
    ready: bool
    detached: bool
    survivors: bool
    supervisor: int | None
    since: dt.datetime | None
    redis_url: str
    redis_socket: Path | None
    web_port: int | None
    children: tuple[ChildStatus, ...]
    redis_trouble: str | None = None
    """Why REDIS_URL's server can't be used; only `up` asks it."""

    @property
    def problems(self) -> list[str]:
        """What isn't running, one sentence each."""
        if not self.running:
            return ["The engine isn't running: `outreach up` starts it."]
        return [f"{c.name}: {c.note or c.state}." for c in self.children if c.state != "running"]

    @property
    def blocked(self) -> list[str]:
        """What waits for a person, as a port that is in use; one sentence each."""
        found = [f"{c.name}: {c.note}." for c in self.children if c.state == "blocked"]
        return [*([self.redis_trouble] if self.redis_trouble else []), *found]

    def __repr__(self) -> str:
        if not self.running:
            return " ".join(self.problems)
        names = ", ".join(c.name for c in self.children)
        ends = "until outreach.down()" if self.detached else "for as long as this program lives"
        # Just after `up` its processes are still starting, which is nothing to worry about.
        starting = "" if self.ready or not self.problems else f" Starting: {len(self.problems)}."
        return " ".join([f"The engine runs {ends}: {names}.{starting}", *self.blocked])

    def to_dict(self) -> dict[str, Any]:
        """For JSON: paths and times as text."""
        return {
            key: _plain(value)
            for key, value in (dataclasses.asdict(self) | {"problems": self.problems}).items()
        }


def status(settings: Settings) -> Status:
    """The state of this home's engine, now. Starts and changes nothing."""
    home = settings.home
    running = locks.is_held(home / "supervisor.lock")
    run = read_run(home) if running else {}
    return Status(
        home=home,
        running=running,
        ready=bool(run.get("ready")),
        detached=bool(run.get("detached")),
        survivors=not running and locks.is_held(home / "run.lock"),
        supervisor=run.get("supervisor"),
        since=dt.datetime.fromisoformat(run["since"]) if "since" in run else None,
        redis_url=settings.broker_url,
        redis_socket=None if settings.redis_url else settings.socket_dir / "redis.sock",
        web_port=run.get("web_port"),
        children=tuple(
            ChildStatus(**{**child, "since": dt.datetime.fromisoformat(child["since"])})
            for child in run.get("children", ())
        ),
    )


def read_run(home: Path) -> dict[str, Any]:
    """The run file, or nothing."""
    try:
        run = json.loads((home / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
