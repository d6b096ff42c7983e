"""Finds a process that runs and does nothing: one whose event loop or main loop is blocked, or that was stopped.

Each process is asked on a loopback port of its own, over a new connection. A process that has answered once and then
misses several times is killed, and its supervisor starts it again. One process is killed at a time: what blocks all of
them (a paused machine, a full disk) must not end all of them together.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from serving.processes.supervision import SupervisedProcess

log = logging.getLogger("riskgate.up")

EVERY_SECONDS = 2.0
TIMEOUT_SECONDS = 2.0
#: So many probes without an answer in a row, and the process is killed.
MISSES = 3
#: How long a process may take after its start until its first answer, seconds.
START_SECONDS = 180.0
#: A probe that took so much longer than its timeout says nothing about the process: this process was not running.
OWN_LAG_SECONDS = 1.0
#: The recorder's loop turns several times a second; it waits for PostgreSQL for longer.
STUCK_RECORDER_SECONDS = 60.0

_OK = re.compile(rb"HTTP/1\.[01] 200 ")
_IDLE = re.compile(rb"^riskgate_recorder_idle_seconds ([0-9.e+-]+)\r?$", re.MULTILINE)


def answers(reply: bytes) -> bool:
    """Whether a scoring process answers `/livez` with 200."""
    return _OK.match(reply) is not None


def recorder_turns(reply: bytes) -> bool:
    """Whether the main loop of a recorder turns, according to its metrics, which a thread of its own serves."""
    idle = _IDLE.search(reply)
    return answers(reply) and idle is not None and float(idle[1]) < STUCK_RECORDER_SECONDS


class Probe:
    """A process, the URL that it answers itself, and how often in a row it has not."""

    def __init__(self, process: SupervisedProcess, url: str, alive: Callable[[bytes], bool] = answers) -> None:
        self.process = process
        self.url = url
        self.alive = alive
        self.misses = 0
        self._starts = process.starts
        self._answered = process.was_ready
        self._since = time.monotonic()

    async def ask(self) -> bool:
        """Ask once; whether the process must be killed."""
        if self._starts != self.process.starts:
            self._starts, self._answered, self.misses = self.process.starts, False, 0
            self._since = time.monotonic()
        began = time.monotonic()
        alive = await self._is_alive()
        if time.monotonic() - began > TIMEOUT_SECONDS + OWN_LAG_SECONDS:
            return False
        if alive:
            self._answered, self.misses = True, 0
        elif self._answered:
            self.misses += 1
        return self.misses >= MISSES or (not self._answered and time.monotonic() - self._since > START_SECONDS)

    async def _is_alive(self) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return self.alive(await reply_of(self.url))
        except (OSError, TimeoutError, ValueError):
            return False


async def reply_of(url: str) -> bytes:
    """The whole reply to a GET over a new connection, head and body.

    Raises: OSError.
    """
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read(-1)
    finally:
        writer.transport.abort()


async def run_probes(probes: Sequence[Probe], every_seconds: float = EVERY_SECONDS) -> None:
    """Probe the processes until cancelled; of those that are stuck one is killed per round."""
    while True:
        await asyncio.sleep(every_seconds)
        stuck = await asyncio.gather(*(one.ask() for one in probes))
        for probe, must_end in zip(probes, stuck, strict=True):
            if must_end:
                log.error(
                    "%s does not answer (%d probes of %.0f s at %s): killed, to be started again",
                    probe.process.spec.name, probe.misses, TIMEOUT_SECONDS, probe.url,
                )  # fmt: skip
                probe.misses = 0
                probe.process.kill()
                break
