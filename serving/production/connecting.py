"""From settings to the state in Redis."""

from __future__ import annotations

from serving.production.keys import Keys
from serving.production.state import RedisState
from serving.production.wire import Wire, address_of
from serving.settings import Settings


def connect(settings: Settings) -> RedisState:
    """The state, still to be opened; needs the event loop.

    Raises: CannotStart.
    """
    keys = Keys(settings.redis_prefix)
    return RedisState(
        Wire(address_of(settings.redis_url)),
        keys,
        keep_seconds=settings.idempotency_seconds,
        stream_limit=settings.stream_limit,
    )
