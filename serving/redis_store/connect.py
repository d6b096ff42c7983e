"""Connects to the state in Redis: a single server or a cluster."""

from __future__ import annotations

from serving.redis_store.cluster.connections import ClusterConnections
from serving.redis_store.cluster.state import ClusterState
from serving.redis_store.connection import Address, RedisConnection, address_of
from serving.redis_store.keys import Keys
from serving.redis_store.messages import checked
from serving.redis_store.state import RedisState, default_deadline
from serving.store_config import RedisConfig


async def connect(config: RedisConfig) -> RedisState:
    """The state with open connections: to one Redis, or to a cluster if the URL names a node of one.

    Raises: CannotStart when the URL cannot be read, StateUnavailable when no server answers.
    """
    address, keys = address_of(config.url), Keys(config.prefix)
    keep, limit = config.keep_seconds, config.stream_limit
    state = RedisState(RedisConnection(address), keys, keep_seconds=keep, stream_limit=limit)
    if await in_cluster(address):
        state = ClusterState(ClusterConnections(address), keys, keep_seconds=keep, stream_limit=limit)
    await state.open()
    return state


async def in_cluster(address: Address) -> bool:
    """Whether the Redis at that address is a node of a cluster.

    Raises: StateUnavailable.
    """
    probe = RedisConnection(address, writes=False)
    try:
        await probe.open()
        return b"cluster_enabled:1" in checked(await probe.call(("INFO", "cluster"), default_deadline()))
    finally:
        probe.close()
