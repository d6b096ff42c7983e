"""The process that writes a snapshot while the service runs: it reads the newest one, folds the tail and ends.

It does what a start does, so each snapshot is read before the next one is written, and it needs memory for a second
state only while it runs. It reads the ledger a page at a time: no checkpoint waits for it. Killed at any moment, it
leaves a `.partial` file, which is never read and which the next one removes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from features.catalogue.catalogue import catalogue_of
from features.domain.contract import Contract
from features.errors import RiskgateError
from features.state.memory import State
from serving.errors import LedgerError
from serving.ledger.sqlite.ledger import Ledger
from serving.ledger.sqlite.wal_preallocate import LEAST_FREE_BYTES
from serving.state import snapshots
from serving.state.startup import fold_quietly
from serving.store_config import LedgerConfig
from serving.telemetry.logs import set_up

log = logging.getLogger("riskgate.snapshots")

PARENT_EVERY_SECONDS = 0.5
#: Bytes of memory that the process needs for each byte of the heap, rounded up: the keys take half as much again.
MEMORY_FACTOR = 2
#: Below these, memory is counted: the machine's, and that of the container.
_MACHINE, _CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
#: The system ends this process first when memory runs out.
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_WORST_SCORE = "1000"


class Order(NamedTuple):
    """What the service asks for: a snapshot for this catalogue, of a state of about so many bytes.

    `log_form` is the form of the log, `parent` the process of the service.
    """

    config: LedgerConfig
    contract: Contract
    state_bytes: int
    log_form: str
    parent: int


def write_alongside(order: Order, written: Connection) -> None:
    """The main function of the process; `written` gets the position of the snapshot, nothing if there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the service ends this process
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text(_WORST_SCORE)
    set_up(order.log_form)
    threading.Thread(target=_end_with, args=(order.parent,), daemon=True).start()
    try:
        _check_memory(MEMORY_FACTOR * order.state_bytes)
        written.send(_write(order.config, order.contract))
    except (RiskgateError, LedgerError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.error("no snapshot is written, a later one is tried: %s", reason)


def _write(config: LedgerConfig, contract: Contract) -> int:
    began = time.monotonic()
    ledger = Ledger(config.sqlite, read_only=True)
    try:
        fold = fold_quietly(ledger, catalogue_of(contract), config)
        ledger.learn_ids(fold.ids, fold.snapshot_seq)
        _check_room(fold.state, config.var)
        path = snapshots.save(fold, ledger, config.snapshots, fold.seq)
    finally:
        ledger.release()
    log.info("state written to %s in %.1f s while the service runs", path, time.monotonic() - began)
    return fold.seq


def _check_memory(needed: int) -> None:
    """Raises OSError when so many bytes would be taken from the service."""
    free = free_memory_bytes()
    if free is not None and free < needed:
        raise OSError(None, f"a second state needs {needed >> 20:,} MiB of memory, and {free >> 20:,} MiB are free")


def free_memory_bytes(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Memory that the machine and the container still have; None where the system does not say (Linux does)."""
    found = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        found.append(1024 * _numbers(machine)["MemAvailable:"])
    with contextlib.suppress(OSError, ValueError, KeyError):
        limit, used = (int((container / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(limit - used + _numbers(container / "memory.stat")["inactive_file"])  # cached files give way
    return min(found, default=None)


def _numbers(path: Path) -> dict[str, int]:
    return {name: int(number) for name, number, *_ in map(str.split, path.read_text().splitlines())}


def _check_room(state: State, folder: Path) -> None:
    """Raises OSError when this snapshot would leave the ledger too little of the disk."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < state.bytes_used() + LEAST_FREE_BYTES:
        raise OSError(None, f"less than {LEAST_FREE_BYTES >> 30} GiB of the disk would be left")


def _end_with(parent: int) -> None:
    """End this process as soon as the service is gone: the next service has a process of its own."""
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY_SECONDS)
    os._exit(1)
