"""`make overload`: more payments than the service can decide, offered on a schedule, and what became of each.

Saturation is found first (closed loop, 8 connections); then 1.5 times as much is offered for a minute, and 3
times as much for 20 seconds. Latency counts from the moment a payment was due. Written to var/overload.json and
var/overload.md; afterwards every decision is recomputed from the ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.markdown import Markdown

from tests.bench import machine, rounds
from tests.bench.generators.open_loop import TIERS
from tests.bench.inputs import bundle
from tests.bench.inputs.payments import START, write_bodies
from tests.bench.processes import servers
from tests.bench.processes.contenders import Contender, Running, embedded, fresh, on_redis, running

DEADLINE_MS = 80.0  # of the bodies
GRACE_MS = 20.0
CONNECTIONS = 1_024
SATURATION_RUNS = 2
PROFILES = ("embedded", "redis")
_AMOUNT = re.compile(rb'"amount_minor":(\d+)')

Figures = dict[str, Any]


class Times(NamedTuple):
    """How long each part takes, seconds."""

    half: float
    triple: float
    closed: float


def saturation(one: Running, folder: Path, seconds: float) -> float:
    """The decisions a second that eight callers get who wait for each: the better of two runs."""
    best = 0.0
    for number in range(SATURATION_RUNS):
        start = START + timedelta(days=number)
        bodies = write_bodies(folder / "bodies.jsonl", int(rounds.FASTEST * (seconds + 1)), 100 + number, start)
        best = max(best, rounds.closed(one, bodies, 8, 1.0, seconds).load.requests_per_second)
    return best


def offered(one: Running, folder: Path, rate: float, seconds: float, seed: int) -> Figures:
    """Offer `rate` payments a second and tell what became of them."""
    bodies = write_bodies(folder / "bodies.jsonl", int(rate * seconds), seed, START + timedelta(days=seed))
    seen = folder / f"seen-{seed}.npz"
    command = [
        sys.executable,
        "-m",
        "tests.bench.generators.open_loop",
        "--port",
        str(one.port),
        "--bodies",
        str(bodies),
    ]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--connections", str(CONNECTIONS)]
    command += ["--seen", str(seen)]
    before = one.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 3 + 120, check=False)
    used = one.cpu_seconds() - before
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr[-2000:]}")
    amounts = np.array([int(found) for found in _AMOUNT.findall(bodies.read_bytes())])
    with np.load(seen) as arrays:
        told = judged({name: arrays[name] for name in arrays.files}, amounts, seconds)
    return told | {
        "service_processor_share": round(used / seconds, 3),
        "generator_late_p99_ms": json.loads(done.stdout)["generator_late_p99_ms"],
        "example": json.loads(done.stdout)["example"][:300],
    }


def judged(seen: dict[str, np.ndarray], amounts: np.ndarray, seconds: float) -> Figures:
    """The figures of one phase, and which of the promises were kept."""
    status, tier = seen["status"], seen["tier"]
    latency = np.where(seen["replied_ns"] >= 0, (seen["replied_ns"] - seen["due_ns"]) / 1e6, np.inf)
    answered, refused = status == 200, status == 503
    late = latency > DEADLINE_MS + GRACE_MS
    cheap, dear = amounts <= np.quantile(amounts, 0.5), amounts >= np.quantile(amounts, 0.9)
    full = tier == TIERS.index("full")

    def milliseconds(which: np.ndarray) -> Figures:
        if not which.any():
            return {}
        p50, p99, p999, worst = np.percentile(latency[which], [50, 99, 99.9, 100]).tolist()
        return {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "p999_ms": round(p999, 2), "max_ms": round(worst, 2)}

    return {
        "seconds": seconds,
        "offered": len(status),
        "offered_per_second": round(len(status) / seconds, 1),
        "answered": int(answered.sum()),
        "answered_per_second": round(int(answered.sum()) / seconds, 1),
        "refused": int(refused.sum()),
        "failed": int((~answered & ~refused).sum()),
        "late": int(late.sum()),
        "latest_beyond_deadline_ms": round(float(latency.max()) - DEADLINE_MS, 2),
        "tiers": {name: int((tier[answered] == place).sum()) for place, name in enumerate(TIERS) if name},
        "answers": milliseconds(answered),
        "refusals": milliseconds(refused),
        "full_share_of_dearest_tenth": round(float(full[dear].mean()), 4),
        "full_share_of_cheaper_half": round(float(full[cheap].mean()), 4),
        "refused_share_of_dearest_tenth": round(float(refused[dear].mean()), 4),
        "refused_share_of_cheaper_half": round(float(refused[cheap].mean()), 4),
    }


def promises(half: Figures, triple: Figures, rate: float) -> dict[str, bool]:
    """What issue 3 asks for, and whether it was so."""
    return {
        "1.5x: everybody gets a decision": half["answered"] == half["offered"],
        "1.5x: within deadline + 20 ms": half["late"] == 0,
        "3x: nothing fails": triple["failed"] == 0,
        "3x: no answer later than deadline + 20 ms": triple["late"] == 0,
        "3x: the answered rate is not below saturation": triple["answered_per_second"] >= rate,
        "the dear keep the full tier longest": all(
            one["full_share_of_dearest_tenth"] >= one["full_share_of_cheaper_half"] for one in (half, triple)
        ),
    }


def page(told: Figures) -> str:
    """The Markdown page."""
    of = told["machine"]
    lines = [
        "# Overload",
        "",
        f"{told['date']} · {of['processor']}, {of['cores']} cores, load before {of['load_before']} · "
        f"deadline {DEADLINE_MS:g} ms · one worker; the generator has a core of its own",
    ]
    for name in PROFILES:
        if name in told:
            lines += ["", *part(name, told[name])]
    return "\n".join(lines) + "\n"


def part(name: str, told: Figures) -> list[str]:
    """The lines about one profile."""
    lines = [
        f"## {name}: saturation {told['saturation_per_second']:,.0f}/s",
        "",
        "| offered | for | answered/s | refused | full | rules only | default | p50 ms | p99 ms | max ms | late "
        "| refusals p99 ms | generator late p99 ms | service's share of a core |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for times, one in told["phases"].items():
        share = {tier: count / max(one["offered"], 1) for tier, count in one["tiers"].items()}
        ms = one["answers"] or {"p50_ms": float("nan"), "p99_ms": float("nan"), "max_ms": float("nan")}
        cells = [
            f"{times} × = {one['offered_per_second']:,.0f}/s",
            f"{one['seconds']:g} s",
            f"{one['answered_per_second']:,.0f}",
            f"{one['refused'] / one['offered']:.1%}",
            *(f"{share[tier]:.1%}" for tier in ("full", "rules_only", "default")),
            *(f"{ms[quantile]:.1f}" for quantile in ("p50_ms", "p99_ms", "max_ms")),
            str(one["late"]),
            f"{one['refusals'].get('p99_ms', 0):.1f}",
            f"{one['generator_late_p99_ms']:.1f}",
            f"{one['service_processor_share']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {'kept' if kept else 'NOT KEPT'}: {what}" for what, kept in told["promises"].items())]
    if "verify" in told:
        verified = told["verify"]
        lines += ["", f"`verify`: {verified['payments']:,} decisions recomputed, {verified['mismatches']} mismatches."]
    return lines


def verified(contender: Contender, folder: Path) -> Figures:
    """Every decision of the rehearsal recomputed."""
    report = folder / "verify.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "serving", "verify", "--report", str(report)],
        env={**os.environ, **contender.environment}, capture_output=True, text=True, timeout=1_800, check=False,
    )  # fmt: skip
    if not report.exists():
        raise RuntimeError(f"verify failed:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(report.read_text())
    return found


@contextlib.contextmanager
def apart(contender: Contender, logs: Path) -> Iterator[Running]:
    """The contender on all cores but the last, and this process with its generators on the last.

    Neither waits for the other, and saturation is looked for where it is then exceeded. Redis, PostgreSQL and the
    recorder take what the two leave of any core.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        with running(contender, logs) as one:
            yield one
        return
    os.sched_setaffinity(0, set(cores[:-1]))
    try:
        with running(contender, logs) as one:
            os.sched_setaffinity(0, {cores[-1]})
            for other in psutil.Process().children():
                if other.pid != one.process:
                    other.cpu_affinity(cores)
            yield one
    finally:
        os.sched_setaffinity(0, set(cores))


def rehearsed(contender: Contender, folder: Path, times: Times, say: Callable[[str], object]) -> Figures:
    """One profile overloaded, and every decision of it recomputed."""
    with apart(contender, folder / "logs") as one:
        rate = saturation(one, folder, times.closed)
        say(f"{contender.name}: saturation {rate:,.0f} decisions a second")
        phases = {}
        for number, (name, factor, seconds) in enumerate((("1.5", 1.5, times.half), ("3", 3.0, times.triple)), 3):
            phases[name] = seen = offered(one, folder, factor * rate, seconds, number)
            say(f"{name} times: {seen['answered']:,} of {seen['offered']:,} answered, {seen['late']} late")
    told: Figures = {"saturation_per_second": round(rate, 1), "phases": phases}
    told["promises"] = promises(phases["1.5"], phases["3"], rate)
    return told


def main(
    var: Path = typer.Option(Path("var"), help="where overload.json and overload.md are written"),
    profile: str = typer.Option("both", help="embedded, redis or both"),
    half_seconds: float = typer.Option(60.0, help="how long 1.5 times saturation is offered"),
    triple_seconds: float = typer.Option(20.0, help="how long 3 times saturation is offered"),
    closed_seconds: float = typer.Option(5.0, help="of each look for saturation"),
    verify: bool = typer.Option(True, help="recompute every decision afterwards"),
) -> None:
    """Rehearse overload, write what was seen, and show the page; no figure fails the run."""
    console, folder = Console(), var / "overload"
    times = Times(half_seconds, triple_seconds, closed_seconds)
    told: Figures = {"date": machine.date(), "machine": machine.machine(), "versions": machine.versions()}
    made = bundle.make(folder / "bundle")
    with contextlib.ExitStack() as ending:
        contenders = []
        if profile in ("embedded", "both"):
            contenders.append(embedded(made, fresh(folder / "embedded")))
        if profile in ("redis", "both"):
            if servers.are_here():
                settings, _ = ending.enter_context(servers.private(fresh(folder / "redis")))
                contenders.append(on_redis(made, fresh(folder / "production"), settings))
            else:
                console.print("There is no redis-server or PostgreSQL here: that profile is left out.")
        for contender in contenders:
            told[contender.name] = rehearsed(contender, folder, times, console.print)
            if verify:
                told[contender.name]["verify"] = verified(contender, folder)
    (var / "overload.json").write_text(json.dumps(told, indent=2) + "\n")
    (var / "overload.md").write_text(page(told))
    console.print(Markdown(page(told)))


if __name__ == "__main__":
    typer.run(main)
