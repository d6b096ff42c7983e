"""What goes wrong, each a function of the rig under load; it returns the moment at which its cause was gone."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.rig import Rig

Fault = Callable[[Rig], float]
TAKEN, REFUSED = 'riskgate_bundle_swaps_total{result="taken"}', "riskgate_bundle_refused"


@dataclass(frozen=True)
class Kind:
    """A fault and what its rig must be able to do."""

    name: str
    happen: Fault
    tmpfs: bool = False
    stepped: bool = False


def killed(rig: Rig) -> float:
    """kill -9, started again at once."""
    rig.kill()
    gone = time.monotonic()
    rig.start()
    return gone


def stopped(rig: Rig) -> float:
    """A stop in order under load, started again at once."""
    rig.stop()
    gone = time.monotonic()
    rig.start()
    return gone


def paused(rig: Rig) -> float:
    """The process gets no processor for a second and a half."""
    rig.service.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    rig.service.process.send_signal(signal.SIGCONT)
    return time.monotonic()


def disk_full(rig: Rig) -> float:
    """Not a byte is left on the file system of the ledger, for a second and a half."""
    filler = rig.var / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    time.sleep(1.5)
    filler.unlink()
    return time.monotonic()


def file_limit(rig: Rig) -> float:
    """No file may grow: what a quota does, without a file system of its own."""
    pid = rig.service.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    log = rig.var / "ledger.sqlite-wal"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    time.sleep(1.5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    return time.monotonic()


def torn_log(rig: Rig) -> float:
    """kill -9 in the middle of a write: half a frame stands at the end of the write-ahead log."""
    rig.kill()
    gone = time.monotonic()
    log = rig.var / "ledger.sqlite-wal"
    if log.exists():
        frame = log.read_bytes()[32 : 32 + 24 + 4_000]
        with log.open("ab") as file:
            file.write(frame or os.urandom(4_000))
    rig.start()
    return gone


def broken_snapshot(rig: Rig) -> float:
    """The snapshot that the next start would use is garbage from the middle on."""
    rig.stop()
    gone = time.monotonic()
    newest = max((rig.var / "snapshots").glob("state-*.state"))
    data = bytearray(newest.read_bytes())
    half = len(data) // 2
    data[half:] = os.urandom(len(data) - half)
    newest.write_bytes(bytes(data))
    rig.start()
    return gone


def model_spoiled_at_start(rig: Rig) -> float:
    """The service dies and finds half a model; the last champion goes on until a whole one lies there."""
    rig.kill()
    gone = time.monotonic()
    rig.spoil_model()
    rig.start()
    rig.until(REFUSED, 1)
    rig.callers.wait_for(20)
    rig.put(rig.version + 1)
    rig.until(REFUSED, 0)
    return gone


def model_spoiled_at_swap(rig: Rig) -> float:
    """Half a model is promoted, then a whole one."""
    rig.spoil_model()
    rig.until(REFUSED, 1)
    gone = time.monotonic()
    rig.put(rig.version + 1)
    rig.until(REFUSED, 0)
    return gone


def swapped_and_killed(rig: Rig) -> float:
    """Another champion takes over, and the process is killed at that moment."""
    taken = rig.metric(TAKEN)
    rig.put(rig.version + 1)
    rig.until(TAKEN, taken + 1)
    return killed(rig)


def _lock(rig: Rig, seconds: float) -> float:
    connection = sqlite3.connect(rig.var / "ledger.sqlite", isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    return time.monotonic()


def locked_briefly(rig: Rig) -> float:
    """Another process holds the ledger for a second: payments wait for it."""
    return _lock(rig, 1.0)


def locked_long(rig: Rig) -> float:
    """Another process holds the ledger for longer than payments wait."""
    return _lock(rig, 4.0)


def clock_forward(rig: Rig) -> float:
    """The wall clock jumps an hour ahead."""
    rig.step(3_600)
    return time.monotonic()


def clock_back(rig: Rig) -> float:
    """The wall clock jumps an hour back, as after a wrong time server was corrected."""
    rig.step(-3_600)
    return time.monotonic()


KINDS = (
    Kind("killed", killed),
    Kind("stopped", stopped),
    Kind("paused", paused),
    Kind("disk_full", disk_full, tmpfs=True),
    Kind("file_limit", file_limit),
    Kind("torn_log", torn_log),
    Kind("broken_snapshot", broken_snapshot),
    Kind("model_spoiled_at_start", model_spoiled_at_start),
    Kind("model_spoiled_at_swap", model_spoiled_at_swap),
    Kind("swapped_and_killed", swapped_and_killed),
    Kind("locked_briefly", locked_briefly),
    Kind("locked_long", locked_long),
    Kind("clock_forward", clock_forward, stepped=True),
    Kind("clock_back", clock_back, stepped=True),
)


def can_mount() -> bool:
    """Whether this process may mount a small file system."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        try:
            done = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False
        if done:
            subprocess.run(["umount", str(Path(folder))], check=True)
        return done
