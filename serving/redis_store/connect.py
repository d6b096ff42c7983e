"""From settings to the state in Redis."""

from __future__ import annotations

from serving.production.cluster import ClusterState
from serving.production.cluster_wires import ClusterWires
from serving.production.keys import Keys
from serving.production.state import RedisState, checked, within
from serving.production.wire import Address, Wire, address_of
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
