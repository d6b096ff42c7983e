"""Connections to every master of a Redis Cluster behind the interface of one `RedisConnection`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from serving.errors import StateUnavailable
from serving.redis_store.connection import Address, Command, RedisConnection
from serving.redis_store.keys import SLOTS, slot_of

log = logging.getLogger("riskgate.redis")

#: Interval at which the slot map is read again: slots move between nodes, and replicas become masters.
SLOT_REFRESH_SECONDS = 1.0


class ClusterConnections:
    """One connection for each master; a command goes to the master of its first key's slot."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.setup_commands: list[Command] = []
        self._connections: dict[tuple[str, int], RedisConnection] = {}
        self._of_slot: list[RedisConnection | None] = [None] * SLOTS
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def works(self) -> bool:
        """Whether every master answers."""
        return bool(self._connections) and all(connection.works for connection in self._connections.values())

    @property
    def late(self) -> bool:
        """Whether any master is late with a reply."""
        return any(connection.late for connection in self._connections.values())

    @property
    def trip_ns(self) -> int:
        """The usual round trip to the slowest master, ns."""
        return max((connection.trip_ns for connection in self._connections.values()), default=0)

    def call(self, command: Command, deadline_ns: int) -> asyncio.Future[Any]:
        """Send a command to the master of its key; see `RedisConnection.call`."""
        connection = self._of_slot[slot_of(first_key(command))]
        if connection is None:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(StateUnavailable("No node of the cluster serves this key.", "Look at its nodes."))
            return future
        return connection.call(command, deadline_ns)

    async def open(self) -> None:
        """Find the masters and connect to each.

        Raises: StateUnavailable.
        """
        await self._refresh(self.address)
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh_forever())

    def reconnect(self, why: str) -> None:
        """Nothing to do: the slots are read again every second."""

    def close(self) -> None:
        """Close every connection."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for connection in self._connections.values():
            connection.close()

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(SLOT_REFRESH_SECONDS)
            for host, port in list(self._connections):
                with contextlib.suppress(StateUnavailable):
                    await self._refresh(self.address._replace(host=host, port=port))
                    break

    async def _refresh(self, at: Address) -> None:
        found = await slots(at)
        for _, _, node in found:
            if node not in self._connections:
                connection = RedisConnection(self.address._replace(host=node[0], port=node[1]))
                connection.setup_commands = self.setup_commands
                await connection.open()
                self._connections[node] = connection
        for node in self._connections.keys() - {node for _, _, node in found}:
            log.warning("node %s:%d of the Redis Cluster no longer serves a slot", *node)
            self._connections.pop(node).close()
        for first, last, node in found:
            self._of_slot[first : last + 1] = [self._connections[node]] * (last + 1 - first)


async def slots(at: Address) -> list[tuple[int, int, tuple[str, int]]]:
    """(first slot, last slot, master) of a cluster, according to one node.

    Raises: StateUnavailable.
    """
    probe = RedisConnection(at, writes=False)
    try:
        await probe.open()
        reply = await probe.call(("CLUSTER", "SLOTS"), deadline_ns=1 << 62)
    finally:
        probe.close()
    if not isinstance(reply, list):
        raise StateUnavailable(f"Redis at {at.host}:{at.port} does not list its slots.", "Look at its nodes.")
    return [(first, last, (master[0].decode() or at.host, master[1])) for first, last, master, *_ in reply]


def first_key(command: Command) -> bytes:
    """The first key of a command, which decides its slot."""
    key: bytes = command[3] if command[0] == "EVALSHA" else command[2] if command[0] == "SCRIPT" else command[1]
    return key
