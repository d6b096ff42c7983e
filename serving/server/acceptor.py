"""Accepts new connections in bulk.

libuv accepts one connection in each turn of the event loop. Under load a turn takes milliseconds, so a thousand new
callers would wait for seconds before their first byte is read. This accepts all waiting connections in one turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

#: Connections accepted in one turn; then other callbacks run.
MAX_ACCEPTS = 256


class Acceptor:
    """Accepts on a second handle of a listening socket, until closed."""

    def __init__(self, listener: int, make: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(fileno=os.dup(listener))
        self._socket.setblocking(False)
        self._make = make
        self._tasks: set[asyncio.Task[object]] = set()
        self.accepted = 0
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # too many open files: libuv's own accept handles and reports it
                return
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            task: asyncio.Task[object] = self._loop.create_task(
                self._loop.connect_accepted_socket(self._make, connection)
            )
            self._tasks.add(task)
            task.add_done_callback(self._on_connected)

    def _on_connected(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that has disconnected already is no error
