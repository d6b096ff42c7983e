"""Connections to every master of a Redis Cluster behind the calls of one `Wire`: a command goes to its key's slot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from serving.errors import StateUnavailable
from serving.redis_store.connection import Address, Command, Wire
from serving.redis_store.keys import SLOTS, slot_of

log = logging.getLogger("riskgate.redis")

#: How often the map of slots is read again: nodes move slots and change places.
LOOK_SECONDS = 1.0


class ClusterWires:
    """One wire for each master; which one a command takes depends on the slot of its first key."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.greeting: list[Command] = []
        self._wires: dict[tuple[str, int], Wire] = {}
        self._of_slot: list[Wire | None] = [None] * SLOTS
        self._following: asyncio.Task[None] | None = None

    @property
    def works(self) -> bool:
        """Whether every master answers."""
        return bool(self._wires) and all(wire.works for wire in self._wires.values())

    @property
    def late(self) -> bool:
        """Whether a master is late with a reply."""
        return any(wire.late for wire in self._wires.values())

    @property
    def trip_ns(self) -> int:
        """A usual trip to the slowest master, ns."""
        return max((wire.trip_ns for wire in self._wires.values()), default=0)

    def call(self, command: Command, deadline_ns: int) -> asyncio.Future[Any]:
        """Send a command to the master of its key; see `Wire.call`."""
        wire = self._of_slot[slot_of(first_key(command))]
        if wire is None:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(StateUnavailable("No node of the cluster serves this key.", "Look at its nodes."))
            return future
        return wire.call(command, deadline_ns)

    async def open(self) -> None:
        """Find the masters and connect to each.

        Raises: StateUnavailable.
        """
        await self._look(self.address)
        self._following = asyncio.get_running_loop().create_task(self._follow())

    def close(self) -> None:
        """Close every connection for good."""
        if self._following is not None:
            self._following.cancel()
        for wire in self._wires.values():
            wire.close()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for host, port in list(self._wires):
                with contextlib.suppress(StateUnavailable):
                    await self._look(self.address._replace(host=host, port=port))
                    break

    async def _look(self, at: Address) -> None:
        found = await slots(at)
        for _, _, node in found:
            if node not in self._wires:
                wire = Wire(self.address._replace(host=node[0], port=node[1]))
                wire.greeting = self.greeting
                await wire.open()
                self._wires[node] = wire
        for node in self._wires.keys() - {node for _, _, node in found}:
            log.warning("node %s:%d of the Redis Cluster serves no slot any more", *node)
            self._wires.pop(node).close()
        for first, last, node in found:
            self._of_slot[first : last + 1] = [self._wires[node]] * (last + 1 - first)


async def slots(at: Address) -> list[tuple[int, int, tuple[str, int]]]:
    """(first slot, last slot, master) of a cluster, as one node sees it.

    Raises: StateUnavailable.
    """
    asking = Wire(at)
    try:
        await asking.open()
        reply = await asking.call(("CLUSTER", "SLOTS"), deadline_ns=1 << 62)
    finally:
        asking.close()
    if not isinstance(reply, list):
        raise StateUnavailable(f"Redis at {at.host}:{at.port} does not tell its slots.", "Look at its nodes.")
    return [(first, last, (master[0].decode() or at.host, master[1])) for first, last, master, *_ in reply]


def first_key(command: Command) -> bytes:
    """The key that says where a command belongs."""
    key: bytes = command[3] if command[0] == "EVALSHA" else command[2] if command[0] == "SCRIPT" else command[1]
    return key
