"""Waking workers through Redis. Redis only carries "do this now": losing it costs a tick, never data."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from outreach_sdk.errors import InvalidInput

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["JOBS_MODULE", "Queues", "enqueue", "trouble_at"]

logger = logging.getLogger(__name__)

JOBS_MODULE = "outreach_sdk.jobs"
"""Where a function name without dots is looked up on the worker's allow-list."""

JOB_TIMEOUT = 900
"""Seconds after which a worker is taken for stuck. Drains end by their own time budget long before."""

WAKE_KEY = "outreach:wake"

WAITING_TTL = 3600
"""Seconds a job may wait for a worker; the clock enqueues afresh while there is work."""


def enqueue(redis: Redis, queue: str, name: str, *, bucket: int, timeout: int = JOB_TIMEOUT) -> bool:
    """Put one call of `name` on `queue`, called with `(queue, bucket)`; False if that bucket's is already
    there. Raises redis's errors. `timeout`: seconds the call may take."""
    from rq import Queue
    from rq.exceptions import DuplicateJobError

    if not re.fullmatch(r"[A-Za-z0-9_-]+", queue):
        raise InvalidInput("queue", queue, "Use letters, digits, underscores and dashes.")
    dotted = name if "." in name else f"{JOBS_MODULE}.{name}"
    try:
        Queue(queue, connection=redis, serializer="json").enqueue(
            dotted,
            args=(queue, bucket),
            job_id=f"{re.sub(r'[^A-Za-z0-9_-]', '-', dotted)}-{queue}-{bucket}",
            unique=True,
            # A job kept after its end would block its id: for 500 s by default, for a year if it failed.
            result_ttl=0,
            failure_ttl=60,
            ttl=WAITING_TTL,
            job_timeout=timeout,
            description=dotted,
        )
    except DuplicateJobError:
        return False
    return True


def _in_words(url: str, error: Exception) -> str:
    """Where it should be, without any password, and what it does."""
    from redis.exceptions import AuthenticationError, ResponseError, TimeoutError

    parts = urlsplit(url)
    if parts.scheme == "unix":
        where = unquote(parts.path)
    else:
        where = f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    if isinstance(error, AuthenticationError):
        return f"{where} refuses the password"
    if isinstance(error, ResponseError):
        return f"{where} says {str(error).splitlines()[0][:200].rstrip('.')!r}"
    if isinstance(error, TimeoutError):
        return f"{where} is silent"
    return f"{where} can't be reached"


def trouble_at(url: str) -> str | None:
    """A sentence where the Redis at `url` doesn't answer within two seconds."""
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as redis:
            redis.ping()
    except (RedisError, OSError) as error:
        return f"Redis doesn't answer: {_in_words(url, error)}."
    return None


class Queues:
    """A connection that comes back by itself. Nothing here raises when Redis is away: False, and one line in
    the log when it goes and one when it returns. Safe to share between threads."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._redis: Redis | None = None
        self._away = False
        self._since, self._why = 0.0, ""
        self._guard = threading.Lock()

    def enqueue(self, queue: str, function_name: str, bucket: int) -> bool:
        """True if the call is on the queue now because of this; False if it was already, or Redis is away."""
        from redis.exceptions import RedisError

        try:
            done = enqueue(self._connection(), queue, function_name, bucket=bucket)
        except (RedisError, OSError) as error:
            return self._lost(error)
        self._found()
        return done

    @property
    def away(self) -> bool:
        """Whether Redis didn't answer when it was asked last."""
        return self._away

    def trouble(self, patience: float = 5.0) -> str | None:
        """A sentence, once Redis has been away for so many seconds."""
        with self._guard:
            if not self._away or time.monotonic() - self._since < patience:
                return None
            return f"Redis doesn't answer: {self._why}."

    def ping(self) -> bool:
        """Whether Redis answers within two seconds."""
        from redis.exceptions import RedisError

        try:
            self._connection().ping()
        except (RedisError, OSError) as error:
            return self._lost(error)
        self._found()
        return True

    def poke(self) -> bool:
        """Tell the clock that something came in; one short command, False where Redis is away."""
        from redis.exceptions import RedisError

        try:
            with self._connection().pipeline(transaction=False) as pipe:
                pipe.lpush(WAKE_KEY, b"1")
                pipe.ltrim(WAKE_KEY, 0, 0)
                pipe.expire(WAKE_KEY, 30)
                pipe.execute()
        except (RedisError, OSError) as error:
            return self._lost(error)
        self._found()
        return True

    def poked(self, seconds: float) -> bool:
        """Wait for a `poke`, at most so long; at once False where Redis is away."""
        from redis.exceptions import RedisError

        try:
            got = self._connection().brpop([WAKE_KEY], timeout=seconds)
        except (RedisError, OSError) as error:
            return self._lost(error)
        self._found()
        return got is not None

    def _connection(self) -> Redis:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._guard:
            if self._redis is None:
                # One retry: after a restart of Redis the first use of a pooled connection fails.
                self._redis = Redis.from_url(
                    self._url, socket_connect_timeout=2, socket_timeout=2, retry=Retry(NoBackoff(), 1)
                )
            return self._redis

    def _lost(self, error: Exception) -> bool:
        with self._guard:
            self._why = _in_words(self._url, error)
            if not self._away:
                self._since = time.monotonic()
                logger.warning("Redis is away (%s); work waits in the database until it is back", error)
            self._away = True
        return False

    def _found(self) -> None:
        with self._guard:
            if self._away:
                logger.info("Redis is back")
            self._away = False
