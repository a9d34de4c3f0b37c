"""What webhook_service may call."""

from __future__ import annotations

from outreach_sdk.config import Settings
from outreach_sdk.jobs import shared_engine

__all__ = ["ready"]


def ready() -> dict[str, bool]:
    """Whether the database and Redis answer. DatabaseUnavailable where the database doesn't."""
    from redis import Redis
    from redis.exceptions import RedisError

    shared_engine().store.value("SELECT 1")
    try:
        with Redis.from_url(Settings.from_env().broker_url, socket_timeout=2) as redis:
            redis_there = bool(redis.ping())
    except RedisError:
        redis_there = False
    return {"database": True, "redis": redis_there}
