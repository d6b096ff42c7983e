"""New connections are taken in at once, even while every turn of the event loop is long."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import uvloop

from serving.server.acceptor import Acceptor

CALLERS = 150


async def turns_until_all_are_connected(with_acceptor: bool) -> int:
    """Turns of a loop in which each turn has work of two milliseconds."""
    loop = asyncio.get_running_loop()
    connected: list[asyncio.BaseTransport] = []
    turns = 0

    class Greeted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.append(transport)

    server = await loop.create_server(Greeted, "127.0.0.1", 0, backlog=512)
    listener = server.sockets[0]
    acceptor = Acceptor(listener.fileno(), Greeted) if with_acceptor else None
    callers = [socket.create_connection(listener.getsockname(), timeout=5) for _ in range(CALLERS)]
    done = loop.create_future()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if len(connected) == CALLERS or turns > 2_000:
            done.set_result(None)
            return
        time.sleep(0.002)
        loop.call_soon(turn)

    loop.call_soon(turn)
    await done
    assert len(connected) == CALLERS
    if acceptor is not None:
        assert acceptor.accepted > CALLERS // 2
        acceptor.close()
    for transport in connected:
        transport.abort() if isinstance(transport, asyncio.Transport) else transport.close()
    server.close()
    await server.wait_closed()
    for caller in callers:
        caller.close()
    return turns


def test_a_crowd_is_taken_in_within_a_few_turns() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns_until_all_are_connected(with_acceptor=True)) < 20


def test_after_closing_nobody_is_accepted() -> None:
    async def run() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            acceptor = Acceptor(listener.fileno(), asyncio.Protocol)
            acceptor.close()
            address = listener.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=2)
        await asyncio.sleep(0)

    asyncio.run(run())
