"""Starts the process that writes a snapshot whenever the tail of the ledger has become long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from features.domain.contract import Contract
from features.state.memory import State
from serving.ledger.sqlite.low_priority import NICENESS
from serving.state.snapshot_writer import Order, write_alongside
from serving.store_config import LedgerConfig

log = logging.getLogger("riskgate.snapshots")

#: A snapshot is due when so many events are behind the last one: a start folds them in about two seconds.
EVERY_EVENTS = 25_000
#: Seconds between two starts of the process, and after one that wrote nothing.
LEAST_SECONDS, RETRY_SECONDS = 180.0, 300.0
LOOK_EVERY_SECONDS = 1.0


class SnapshotProcess:
    """Keeps the newest snapshot near the end of the ledger; one process at a time, of low priority."""

    def __init__(
        self,
        config: LedgerConfig,
        log_form: str,
        *,
        every_events: int = EVERY_EVENTS,
        least_seconds: float = LEAST_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log_form` is the form of the log; `clock` gives seconds."""
        self.config = config
        self.log_form = log_form
        self.every_events = every_events
        self.least_seconds = least_seconds
        self.retry_seconds = retry_seconds
        self.clock = clock
        #: The position of the newest snapshot that is known to be whole; 0 without one.
        self.seq = 0
        self.process: SpawnProcess | None = None
        self._written: Connection | None = None
        self._next_at = 0.0

    async def keep(
        self, state: Callable[[], State | None], last_seq: Callable[[], int], contract: Callable[[], Contract]
    ) -> None:
        """Write snapshots until cancelled; asks for the state in use, None before there is one, and its contract."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                if self.process is not None:
                    self.reap(self.process)
                elif (now := state()) is not None and self.is_due(last_seq()):
                    await asyncio.to_thread(self.start, contract(), now.bytes_used())
            except Exception:  # a snapshot only saves time
                log.exception("the process that writes snapshots could not be started")
                self._next_at = self.clock() + self.retry_seconds

    def is_due(self, last_seq: int) -> bool:
        """Whether a snapshot should be written for a ledger that ends at this event."""
        return last_seq - self.seq >= self.every_events and self.clock() >= self._next_at

    def start(self, contract: Contract, state_bytes: int) -> None:
        """Start the process for a state of this catalogue and about this size."""
        self._next_at = self.clock() + self.least_seconds
        # Spawned, not forked: a fork of gigabytes stops every thread for the copy of the page tables, and every first
        # write after it copies a page.
        context = multiprocessing.get_context("spawn")
        self._written, written = context.Pipe(duplex=False)
        order = Order(self.config, contract, state_bytes, self.log_form, os.getpid())
        process = context.Process(target=write_alongside, args=(order, written), name="riskgate-snapshot", daemon=True)
        process.start()
        written.close()
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid or 0, NICENESS)
        self.process = process

    def reap(self, process: SpawnProcess) -> None:
        """Learn what became of the process, once it has ended."""
        if process.is_alive():
            return
        assert self._written is not None
        seq = None
        with contextlib.suppress(EOFError, OSError):  # it ended without a word
            seq = self._written.recv() if self._written.poll() else None
        if seq is None:
            self._next_at = self.clock() + self.retry_seconds
            if process.exitcode:
                log.error("the process that writes snapshots ended with %s; a later one is tried", process.exitcode)
        else:
            self.seq = seq
        self._forget(process)

    def end(self) -> None:
        """End the process at any point of its work; the service then writes its own snapshot."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self._forget(self.process)

    def _forget(self, process: SpawnProcess) -> None:
        process.close()
        if self._written is not None:
            self._written.close()
        self.process = self._written = None
