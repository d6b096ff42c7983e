"""Interleaved rounds: each contender is measured in turn, several times; none gets the quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

from tests.bench.generators.load import Load
from tests.bench.generators.open_loop import Open
from tests.bench.inputs.payments import START, write_bodies
from tests.bench.processes.contenders import Running

FASTEST = 12_000  # requests a second that the bodies of one round must outlast
#: Offered loads, per cent of what the contender answered in a closed loop.
SHARES = (25, 50, 75, 90)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Round:
    """One closed-loop run, and what it cost the server's processor."""

    load: Load
    cpu_us: float


class Bodies:
    """Request bodies that no contender has seen before: every round has ids and times of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    def write(self, count: int) -> Path:
        """A file with so many bodies."""
        self.number += 1
        start = START + timedelta(hours=6 * self.number)
        return write_bodies(self.folder / "bodies.jsonl", count, self.number, start)


def closed(one: Running, bodies: Path, connections: int, warm: float, seconds: float) -> Round:
    """One closed-loop run of the generator, in a process of its own."""
    contender = one.contender
    arguments = ["--path", contender.path, "--connections", str(connections), "--mark", contender.mark]
    arguments += ["--warm-seconds", str(warm), "--seconds", str(seconds)]
    before = one.cpu_seconds()
    seen = Load(**_generator("load", one, bodies, arguments, 120 + warm + seconds))
    used = one.cpu_seconds() - before
    answered = seen.requests * (warm + seen.seconds) / seen.seconds  # the warm-up is answered at the same rate
    return Round(seen, 1e6 * used / answered)


def opened(one: Running, bodies: Path, rate: float, seconds: float) -> Open:
    """One open-loop run of the generator, in a process of its own."""
    arguments = ["--path", one.contender.path, "--rate", f"{rate:.1f}", "--seconds", str(seconds)]
    return Open(**_generator("open_loop", one, bodies, arguments, 120 + seconds))


def _generator(name: str, one: Running, bodies: Path, arguments: list[str], timeout: float) -> dict[str, object]:
    command = [sys.executable, "-m", f"tests.bench.generators.{name}", "--port", str(one.port), "--bodies", str(bodies)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed on {one.contender.name}:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def measure(
    ones: Iterable[Running], bodies: Bodies, rounds: int, connections: int, warm: float, seconds: float, say: Say
) -> dict[str, list[Round]]:
    """Load all in turn, `rounds` times; what was seen by name."""
    ones = list(ones)
    seen: dict[str, list[Round]] = {one.contender.name: [] for one in ones}
    for number in range(rounds):
        file = bodies.write(int(FASTEST * (warm + seconds)))
        for one in ones:
            run = closed(one, file, connections, warm, seconds)
            seen[one.contender.name].append(run)
            load = run.load
            say(
                f"round {number + 1}/{rounds}, {connections} connections  {one.contender.name:<14} "
                f"{load.requests_per_second:8.0f}/s  p50 {load.p50_ms:6.2f} ms  p99 {load.p99_ms:7.2f} ms  "
                f"{run.cpu_us:5.0f} µs of processor  errors {load.errors}"
            )
            if load.example:
                say(f"{one.contender.name} answered with an error: {load.example[:400]}")
    return seen


def offer(
    one: Running, bodies: Bodies, saturation: float, rounds: int, seconds: float, say: Say
) -> dict[int, list[Open]]:
    """Offer each share of the saturation in turn, `rounds` times."""
    seen: dict[int, list[Open]] = {share: [] for share in SHARES}
    for _ in range(rounds):
        for share in SHARES:
            rate = saturation * share / 100
            run = opened(one, bodies.write(int(rate * seconds) + 1), rate, seconds)
            seen[share].append(run)
            say(
                f"open loop {one.contender.name} at {share} % ({rate:.0f}/s): p50 {run.p50_ms:.2f}, "
                f"p99 {run.p99_ms:.2f}, p99.9 {run.p999_ms:.2f} ms, failed {run.failed}, "
                f"generator late by {run.generator_late_p99_ms:.2f} ms (p99)"
            )
    return seen


def typical(runs: list[Round]) -> dict[str, float]:
    """The medians of the rounds, their spread, and the worst of what must not happen."""
    loads = [run.load for run in runs]
    rates = sorted(load.requests_per_second for load in loads)
    return {
        "requests_per_second": round(median(rates), 1),
        "lowest_requests_per_second": round(rates[0], 1),
        "highest_requests_per_second": round(rates[-1], 1),
        "p50_ms": round(median(load.p50_ms for load in loads), 3),
        "p99_ms": round(median(load.p99_ms for load in loads), 3),
        "p999_ms": round(median(load.p999_ms for load in loads), 3),
        "max_ms": round(max(load.max_ms for load in loads), 3),
        "cpu_us_per_request": round(median(run.cpu_us for run in runs), 1),
        "requests": sum(load.requests for load in loads),
        "errors": sum(load.errors for load in loads),
        "fully_answered_share": round(sum(load.marked for load in loads) / sum(load.requests for load in loads), 4),
    }


def typical_open(runs: list[Open]) -> dict[str, float]:
    """The medians of the runs at one offered load."""
    return {
        "offered_per_second": round(runs[0].offered_per_second, 1),
        "p50_ms": round(median(run.p50_ms for run in runs), 3),
        "p99_ms": round(median(run.p99_ms for run in runs), 3),
        "p999_ms": round(median(run.p999_ms for run in runs), 3),
        "max_ms": round(max(run.max_ms for run in runs), 3),
        "generator_late_p99_ms": round(median(run.generator_late_p99_ms for run in runs), 3),
        "offered": sum(run.offered for run in runs),
        "failed": sum(run.failed for run in runs),
        "refused": sum(run.refused for run in runs),
        "full": sum(run.tiers.get("full", 0) for run in runs),
    }
