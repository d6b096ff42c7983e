"""Interleaved rounds: each contender is measured in turn, several times; none gets the quiet machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from statistics import median

from tests.bench.contenders import Contender, running
from tests.bench.load import Load
from tests.bench.payments import START, write_bodies

FASTEST = 12_000  # requests a second that the bodies of one round must outlast


def load(port: int, contender: Contender, bodies: Path, connections: int, warm: float, seconds: float) -> Load:
    """One run of the load generator in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.load", "--port", str(port), "--path", contender.path]
    command += ["--bodies", str(bodies), "--connections", str(connections), "--mark", contender.mark]
    command += ["--warm-seconds", str(warm), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 + warm + seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed on {contender.name}:\n{done.stderr[-2000:]}")
    return Load(**json.loads(done.stdout))


def measure(
    contenders: Iterable[Contender],
    folder: Path,
    rounds: int = 3,
    connections: int = 8,
    warm: float = 2.0,
    seconds: float = 5.0,
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, list[Load]]:
    """Start every contender, load them in turn `rounds` times, and return what was seen by name."""
    contenders = list(contenders)
    seen: dict[str, list[Load]] = {contender.name: [] for contender in contenders}
    with contextlib.ExitStack() as stack:
        ports = {}
        for contender in contenders:
            say(f"starting {contender.name}")
            ports[contender.name] = stack.enter_context(running(contender, folder / "logs"))
        for number in range(rounds):
            start = START + timedelta(days=number)
            bodies = write_bodies(folder / "bodies.jsonl", int(FASTEST * (warm + seconds)), number, start)
            for contender in contenders:
                one = load(ports[contender.name], contender, bodies, connections, warm, seconds)
                seen[contender.name].append(one)
                say(
                    f"round {number + 1}/{rounds}  {contender.name:<9} {one.requests_per_second:8.0f}/s"
                    f"  p50 {one.p50_ms:6.2f} ms  p99 {one.p99_ms:7.2f} ms  errors {one.errors}"
                )
    return seen


def typical(runs: list[Load]) -> dict[str, float]:
    """The medians of the rounds, their spread, and the worst of what must not happen."""
    rates = sorted(run.requests_per_second for run in runs)
    return {
        "requests_per_second": round(median(rates), 1),
        "lowest_requests_per_second": round(rates[0], 1),
        "highest_requests_per_second": round(rates[-1], 1),
        "p50_ms": round(median(run.p50_ms for run in runs), 3),
        "p99_ms": round(median(run.p99_ms for run in runs), 3),
        "p999_ms": round(median(run.p999_ms for run in runs), 3),
        "max_ms": round(max(run.max_ms for run in runs), 3),
        "requests": sum(run.requests for run in runs),
        "errors": sum(run.errors for run in runs),
        "fully_answered_share": round(sum(run.marked for run in runs) / sum(run.requests for run in runs), 6),
    }
