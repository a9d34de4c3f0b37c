"""An RQ worker that runs the functions it was given and nothing else, and outlives its Redis.

Whoever can write to Redis can put any job there, so nothing a job says is imported: names are looked up in a
mapping. A job that our own `enqueue` couldn't have made is refused whole.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import NoSuchJobError, StopRequested
from rq.job import Job
from rq.utils import decode_redis_hash

from outreach_sdk.errors import EngineError

__all__ = ["JobRefused", "SafeJob", "SafeWorker", "make_worker"]

logger = logging.getLogger(__name__)

MAINTENANCE_SECONDS = 30
LONGEST_WAIT = 5.0
"""Seconds between two attempts to reach a Redis that is away."""

MAX_TIMEOUT = 6 * 3600

_TIMES = {"created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"}
_PLAIN = {"data", "description", "exc_info", "origin", "status", "worker_name"} | _TIMES
_PLAIN |= {"timeout", "ttl", "result_ttl", "failure_ttl"}
"""What an honest job's hash may say. The rest can import, call out or multiply."""

_HARMLESS = {"meta", "result", "enqueue_at_front", "enqueue_at_front_on_retry"}
_HARMLESS |= {"success_callback_timeout", "failure_callback_timeout", "stopped_callback_timeout"}
"""Fields RQ itself may add to any job; dropped, not held against it."""


class JobRefused(EngineError):
    """A job that isn't on the allow-list, or that carries what no job of ours carries."""


class SafeJob(Job):
    """A job whose function comes from `allowed`, never from an import."""

    allowed: Mapping[str, Callable[..., Any]] = {}
    _refusal: str | None = None

    def restore(self, raw_data: Any) -> Any:
        """Read the hash in Redis, leaving out callbacks, webhooks, dependencies, retries, repeats and groups.
        A job that had any is marked: running it raises JobRefused."""
        given = decode_redis_hash(raw_data)
        # RQ writes empty strings and "[]" for what isn't set.
        extra = sorted(
            key
            for key, value in given.items()
            if key not in _PLAIN | _HARMLESS and value not in (b"", b"[]", b"0", "", "[]", "0")
        )
        plain = {key: value for key, value in given.items() if key in _PLAIN}
        self._refusal = f"it carries {', '.join(extra)}" if extra else None
        try:
            super().restore(plain)
        except NoSuchJobError:
            raise
        except Exception as error:
            self._refusal = f"its record is malformed ({type(error).__name__})"
            super().restore({"data": plain["data"]})
        self._refusal = self._refusal or self._complaint()
        # RQ logs the description: a name of ours, or nothing that a stranger wrote.
        self.description = "a refused job" if self._refusal else str(self.func_name)
        if self._refusal:
            self.result_ttl, self.failure_ttl, self.timeout = 0, 60, 60
        elif self.timeout is None or not 0 < self.timeout <= MAX_TIMEOUT:
            self.timeout = MAX_TIMEOUT

    def _complaint(self) -> str | None:
        try:
            name, instance, args, kwargs = json.loads(self.data)
        except (ValueError, TypeError):
            self._func_name, self._instance, self._args, self._kwargs = "unreadable", None, (), {}
            return "its call can't be read"
        if not isinstance(name, str) or name not in self.allowed:
            self._func_name, self._instance, self._args, self._kwargs = str(name)[:200], None, (), {}
            return f"{str(name)[:200]!r} isn't on the allow-list"
        if instance is not None:
            return "it calls a method of an object"
        if kwargs or not isinstance(args, list) or len(args) != 2 or args[0] != self.origin:
            return "its arguments aren't a queue's name and a time bucket"
        if isinstance(args[1], bool) or not isinstance(args[1], int):
            return "its time bucket isn't a whole number"
        return None

    @property
    def func(self) -> Callable[..., Any]:
        """The function from the allow-list; raises JobRefused for a job that was marked."""
        if self._refusal is None and self.func_name in self.allowed:
            return self.allowed[str(self.func_name)]
        raise JobRefused(f"Job {self.id} was refused: {self._refusal or 'it was not read from Redis'}.")


class SafeWorker(SimpleWorker):
    """Works until it is told to stop, through any outage of Redis. Takes no commands over pub/sub."""

    max_connection_wait_time = LONGEST_WAIT
    on_stop: Callable[[], None] | None = None

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """As RQ's, but comes back from a lost Redis, also one lost in the middle of a job."""
        worked, wait = False, 0.2
        limited = bool(args or any(kwargs.get(k) for k in ("burst", "max_jobs", "max_idle_time")))
        try:
            while True:
                began = time.monotonic()
                try:
                    worked = bool(super().work(*args, **kwargs)) or worked
                    if limited:
                        return worked
                except (RedisError, OSError) as error:
                    if not self._stopping:
                        logger.warning("worker %s: Redis is away (%s)", self.name, error)
                if self._stopping:
                    return worked
                wait = 0.2 if time.monotonic() - began > LONGEST_WAIT else min(wait * 2, LONGEST_WAIT)
                time.sleep(wait)
                # The old name is still registered in Redis, or its death is: a birth needs a new one.
                self.name = _name(self.queues[0].name)
                self.executions.clear()
        except StopRequested:
            return worked

    @property
    def _stopping(self) -> bool:
        return self._stop_requested or self._shutdown_requested_date is not None

    def handle_warm_shutdown_request(self) -> None:
        """Told to stop: tell the job in hand too, so that it can end early."""
        if self.on_stop is not None:
            self.on_stop()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def set_shutdown_requested_date(self) -> None:
        """A note for monitoring only: a Redis that is away must not break the job in hand."""
        try:
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]
        except RedisError:
            logger.info("worker %s: stopping while Redis is away", self.name)

    def subscribe(self) -> None:
        """Subscribe to nothing: commands from Redis could stop jobs or the worker."""

    def handle_payload(self, message: Any) -> None:
        """Ignore a command."""
        logger.warning("worker %s: ignored a command from Redis", self.name)

    def _set_ip_address(self, connection: Redis) -> None:
        try:
            super()._set_ip_address(connection)
        except (RedisError, OSError):
            self.ip_address = "unknown"


def make_worker(
    queue_name: str,
    redis: Redis,
    allowed: Mapping[str, Callable[..., Any]],
    *,
    on_stop: Callable[[], None] | None = None,
) -> SimpleWorker:
    """A worker for one queue, run with `.work()`. `allowed` maps a dotted name to its function, which is
    called with the queue's name and a time bucket. `on_stop` is called, in the main thread, at SIGTERM.

    Redis need not be there yet. Never forks; one queue a worker, because RQ loses the job being popped of a
    worker that listens on several.
    """
    bound = type("BoundJob", (SafeJob,), {"allowed": dict(allowed)})
    # The blocking pop's length is worker_ttl - 15; it has to end for maintenance to run.
    worker = SafeWorker(
        [queue_name],
        name=_name(queue_name),
        connection=redis,
        job_class=bound,
        serializer="json",
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=MAINTENANCE_SECONDS + 15,
        log_job_description=False,
    )
    worker.on_stop = on_stop
    return worker


def _name(queue_name: str) -> str:
    return f"{queue_name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
