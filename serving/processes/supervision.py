"""Processes that are kept running: started, started again when they die, and ended by their own ids."""

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

#: Pauses before a process is started again, seconds: the first, the longest, and the life after which it is new.
FIRST_PAUSE, LONGEST_PAUSE, LONG_LIFE = 0.2, 10.0, 30.0
#: How long a process may take to end in order, seconds.
PATIENCE = 20.0
_PR_SET_PDEATHSIG = 1


class Job(NamedTuple):
    """A process to keep running: what it is called, its command, and what its environment has beside ours."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def _end_with_parent() -> None:
    # A parent killed without a chance to end its children takes them along; Linux only.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Kept:
    """One job and its process; `ended_at_start` is set when it ended before it was ever ready."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.was_ready = False
        self.ended_at_start = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the job running."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End the process in order, or by force when it does not; nothing starts it again."""
        self._stopping = True
        process = self.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            except TimeoutError:
                log.warning("%s (process %d) did not end within %.0f s; killed", self.job.name, process.pid, PATIENCE)
                process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            began = time.monotonic()
            self.starts += 1
            # A session of its own: Ctrl-C reaches us alone, and we end the others in order.
            self.process = await asyncio.create_subprocess_exec(
                *self.job.command,
                env=dict(self.job.environment),
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
            log.info("%s is process %d", self.job.name, self.process.pid)
            code = await self.process.wait()
            if self._stopping:
                return
            log.error("%s (process %d) ended with %d", self.job.name, self.process.pid, code)
            if not self.was_ready:
                self.ended_at_start.set()
                return
            pause = FIRST_PAUSE if time.monotonic() - began > LONG_LIFE else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)


async def stop_in_order(groups: Sequence[Sequence[Kept]]) -> None:
    """End each group before the next one, the processes of a group at once."""
    for group in groups:
        await asyncio.gather(*(kept.stop() for kept in group))
