"""A service under load that faults happen to; the rig starts it again as a supervisor would."""

from __future__ import annotations

import mmap
import signal
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.proof import Proof, prove
from tests.chaos.served import Served
from tests.serving.load import Callers, mixed
from tests.serving.scoring_world import Service, payment, rfc3339, suspicious

#: Lets a process read its wall clock with an offset that the rig moves.
STEPPED_CLOCK = """
import mmap, os, struct, time
with open(os.environ["CHAOS_CLOCK"], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 8)
real = time.time_ns
time.time_ns = lambda: real() + struct.unpack("<q", shared[:8])[0]
time.time = lambda: time.time_ns() / 1e9
"""


class Rig:
    """One folder, one port, one service at a time; `tmpfs` puts the folder of the ledger on a small file system."""

    def __init__(self, folder: Path, bundle: Path, port: int, *, tmpfs: bool = False, stepped: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port
        self.var, self.log = folder / "var", folder / "service.log"
        self.bundles = Served(folder, bundle)
        self.environment = {"RISKGATE_SWAP_SECONDS": "1", "RISKGATE_DRAIN_SECONDS": "0"}
        self.version = 1
        self.mounted = tmpfs
        if tmpfs:
            self.var.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(self.var)], check=True)
        self.clock: mmap.mmap | None = None
        if stepped:
            self._step_clock()
        self.service = self.start()
        self.callers = Callers(port, lanes=4, make=self.now if stepped else mixed, pause=0.004, prefix="c0")
        self.started_callers = 0

    def start(self) -> Service:
        """Start the service and wait until it is ready."""
        self.service = Service(self.var, self.bundles.folder, self.port, self.log, **self.environment)
        self.service.wait_until_ready(60)
        return self.service

    def begin(self) -> Callers:
        """New callers, whose payments are new."""
        make = self.now if self.clock is not None else mixed
        self.started_callers += 1
        self.callers = Callers(self.port, lanes=4, make=make, pause=0.004, prefix=f"c{self.started_callers}").begin()
        return self.callers

    def kill(self) -> None:
        """What a lost machine looks like to everybody else."""
        self.service.kill()

    def stop(self) -> None:
        """A stop in order, which leaves a snapshot of the live state."""
        code = self.service.stop()
        assert code == 0, f"the service ended with {code}: {self.log.read_text()[-2000:]}"

    def prove(self, answers: Mapping[str, Mapping[str, Any]]) -> Proof:
        """Stop in order, compare callers, ledger and state, and go on."""
        self.stop()
        proof = prove(self.var, answers)
        self.start()
        return proof

    def end(self) -> None:
        """Leave nothing behind."""
        self.callers.end()
        if self.service.process.poll() is None:
            self.service.process.send_signal(signal.SIGCONT)
            self.service.kill()
        if self.mounted:
            subprocess.run(["umount", str(self.var)], check=True)

    # -- bundles -------------------------------------------------------------------------------

    def put(self, version: int) -> None:
        """Lay a bundle of that version where the service looks for the champion."""
        self.bundles.put(version)
        self.version = version

    def spoil_model(self) -> None:
        """Let the model file be half of itself."""
        self.bundles.spoil()

    def metric(self, line: str) -> float:
        """A value of /metrics."""
        rows = self.service.client.get("/metrics").text.splitlines()
        return next((float(row.rpartition(" ")[2]) for row in rows if row.startswith(line + " ")), 0.0)

    def until(self, line: str, value: float, patience_seconds: float = 30) -> None:
        """Wait until a metric has this value."""
        deadline = time.monotonic() + patience_seconds
        while self.metric(line) != value:
            assert time.monotonic() < deadline, f"{line} is {self.metric(line)}: {self.log.read_text()[-2000:]}"
            time.sleep(0.05)

    # -- the clock -----------------------------------------------------------------------------

    def _step_clock(self) -> None:
        path, site = self.folder / "clock", self.folder / "site"
        path.write_bytes(bytes(8))
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(STEPPED_CLOCK)
        with path.open("r+b") as file:
            self.clock = mmap.mmap(file.fileno(), 8)
        root = Path(__file__).resolve().parents[2]
        self.environment |= {
            "CHAOS_CLOCK": str(path), "PYTHONPATH": f"{site}:{root}", "RISKGATE_CLOCK": "system",
        }  # fmt: skip

    def step(self, seconds: int) -> None:
        """Move the wall clock of service and callers."""
        assert self.clock is not None
        (offset,) = struct.unpack("<q", self.clock[:8])
        self.clock[:8] = struct.pack("<q", offset + seconds * 10**9)

    def now(self, name: str, place: int) -> dict[str, object]:
        """A payment of the present, by the clock that is moved."""
        assert self.clock is not None
        (offset,) = struct.unpack("<q", self.clock[:8])
        make = suspicious if place % 7 == 0 else payment
        fields = make(name, payer_id=f"u-{place % 11}", payee_id=f"m-{place % 5}")
        return fields | {"event_time": rfc3339((time.time_ns() + offset) // 1_000_000)}
