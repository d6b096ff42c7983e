"""From settings to the state in Redis."""

from __future__ import annotations

from serving.redis_store.cluster import ClusterState
from serving.redis_store.cluster_connection import ClusterWires
from serving.redis_store.connection import Address, Wire, address_of
from serving.redis_store.keys import Keys
from serving.redis_store.state import RedisState, checked, within
from serving.settings import Settings


async def connect(settings: Settings) -> RedisState:
    """The state, its connections open: of one Redis, or of a cluster if the URL names a node of one.

    Raises: CannotStart when the URL cannot be read, StateUnavailable when nobody answers there.
    """
    address, keys = address_of(settings.redis_url), Keys(settings.redis_prefix)
    keep, limit = settings.idempotency_seconds, settings.stream_limit
    state = RedisState(Wire(address), keys, keep_seconds=keep, stream_limit=limit)
    if await in_cluster(address):
        state = ClusterState(ClusterWires(address), keys, keep_seconds=keep, stream_limit=limit)
    await state.open()
    return state


async def in_cluster(address: Address) -> bool:
    """Whether the Redis there is a node of a cluster.

    Raises: StateUnavailable.
    """
    asking = Wire(address)
    try:
        await asking.open()
        return b"cluster_enabled:1" in checked(await asking.call(("INFO", "cluster"), within()))
    finally:
        asking.close()
