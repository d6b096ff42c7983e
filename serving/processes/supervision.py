"""Supervises processes: restarts them with exponential back-off, and ends each by its own id."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

log = logging.getLogger("riskgate.up")

#: Back-off before a restart, seconds: the first, the longest, and the uptime after which it begins again.
FIRST_BACKOFF, MAX_BACKOFF, STABLE_SECONDS = 0.2, 10.0, 30.0
#: How long a process may take to stop before it is killed, seconds.
STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


class ProcessSpec(NamedTuple):
    """A process to keep running: name, command and environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def _end_with_parent() -> None:
    # A parent that is killed cannot end its children: the kernel sends them SIGTERM (Linux only).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class SupervisedProcess:
    """One job and its process; `ended_at_start` is set when it ended before it was ever ready."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.was_ready = False
        self.ended_at_start = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process, and restart it whenever it ends."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Terminate the process, kill it after `STOP_SECONDS`, and do not restart it."""
        self._stopping = True
        process = self.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                log.warning(
                    "%s (process %d) did not end within %.0f s; killed", self.spec.name, process.pid, STOP_SECONDS
                )
                process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def kill(self) -> None:
        """Kill the process; it is started again."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def _run(self) -> None:
        pause = FIRST_BACKOFF
        while not self._stopping:
            began = time.monotonic()
            self.starts += 1
            # A session of its own: Ctrl-C reaches only this process, which ends the others in order.
            self.process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env=dict(self.spec.environment),
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
            log.info("%s is process %d", self.spec.name, self.process.pid)
            code = await self.process.wait()
            if self._stopping:
                return
            log.error("%s (process %d) ended with %d", self.spec.name, self.process.pid, code)
            if not self.was_ready:
                self.ended_at_start.set()
                return
            pause = FIRST_BACKOFF if time.monotonic() - began > STABLE_SECONDS else min(2 * pause, MAX_BACKOFF)
            await asyncio.sleep(pause)


async def stop_in_order(groups: Sequence[Sequence[SupervisedProcess]]) -> None:
    """End each group before the next one, the processes of a group concurrently."""
    for group in groups:
        await asyncio.gather(*(process.stop() for process in group))
