"""An open-loop load generator: requests are sent when due, and latency counts from the due time.

So a slow service cannot hide behind requests that it delayed (Tene's "coordinated omission"). HTTP/1.1 on keep-alive
connections, one request in flight on each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.client.service_process import HOST
from training.data.arrays import Floats, Integers

CONNECTIONS = 48
PATIENCE_S = 10.0
"""How long the generator waits for replies after the last due time."""
NEVER = np.inf
TRIES = 5
"""Most attempts of a request whose connection closes before a reply; its transaction id makes retries idempotent."""


@dataclass(frozen=True)
class Replies:
    """The reply to each request: seconds from the start (`inf`: no reply), HTTP status (0: none), body."""

    due_s: Floats
    replied_s: Floats
    status: Integers
    bodies: list[bytes]

    @property
    def waited_ms(self) -> Floats:
        """Latency from due time to reply."""
        return (self.replied_s - self.due_s) * 1000.0


def send(port: int, path: str, bodies: Sequence[bytes], due_s: Floats, connections: int = CONNECTIONS) -> Replies:
    """POST each body when it is due (seconds from now, ascending); replies in the order given.

    Args:
        port: of the service on this machine.
        path: of the endpoint.
        bodies: JSON, one per request.
        due_s: when each is due; the same time for all makes a closed loop.
        connections: how many requests may be unanswered.
    """
    return asyncio.run(_Sender(port, path, bodies, due_s, connections).run())


class _Sender:
    def __init__(self, port: int, path: str, bodies: Sequence[bytes], due_s: Floats, connections: int) -> None:
        self.port, self.bodies, self.due_s, self.connections = port, bodies, due_s, connections
        self.head = (
            f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\ncontent-length: ".encode()
        )
        n = len(bodies)
        self.replied_s, self.status = np.full(n, NEVER), np.zeros(n, np.int64)
        self.answers = [b""] * n
        self.tries = np.ones(n, np.int64)
        self.waiting: asyncio.Queue[int] = asyncio.Queue()
        self.began = 0.0

    async def run(self) -> Replies:
        workers = [asyncio.create_task(self._keep_sending()) for _ in range(self.connections)]
        await asyncio.sleep(0.2)  # connections are open before the clock starts
        self.began = time.perf_counter()
        for number, due in enumerate(self.due_s.tolist()):
            ahead = self.began + due - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            self.waiting.put_nowait(number)
        last = float(self.due_s[-1]) if len(self.due_s) else 0.0
        while not np.isfinite(self.replied_s).all() and time.perf_counter() < self.began + last + PATIENCE_S:
            await asyncio.sleep(0.05)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return Replies(self.due_s, self.replied_s, self.status, self.answers)

    async def _keep_sending(self) -> None:
        """Send on one connection, which is reopened when the service closes it."""
        while True:
            number = -1
            try:
                read, write = await asyncio.open_connection(HOST, self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                while True:
                    number = await self.waiting.get()
                    if read.at_eof():  # closed while idle: nothing was sent
                        self.waiting.put_nowait(number)
                        number = -1
                        raise ConnectionResetError
                    body = self.bodies[number]
                    write.write(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))
                    status, answer = await _reply(read)
                    self.replied_s[number] = time.perf_counter() - self.began
                    self.status[number], self.answers[number] = status, answer
                    number = -1
            except (OSError, asyncio.IncompleteReadError, ValueError):
                if number >= 0 and self.tries[number] < TRIES:  # the service closed an idle connection: retry
                    self.tries[number] += 1
                    self.waiting.put_nowait(number)
            finally:
                write.close()


async def _reply(read: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await read.readuntil(b"\r\n\r\n")).lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 : head.find(b"\r\n", at)]) if at >= 0 else 0
    return int(head.split(b" ", 2)[1]), await read.readexactly(length) if length else b""
