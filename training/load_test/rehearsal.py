"""The load test: starts the service, sends a normal day and the night of 11/11 open loop, measures."""

from __future__ import annotations

import datetime as dt
import shutil
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from features.history.schema import times_ms
from features.progress import waiting
from training.client.load_generator import Replies, send
from training.client.service_process import free_ports, running, serving
from training.data.arrays import Floats, Integers
from training.detection_report.periods import PeriodPlan
from training.detection_report.report import NOTICE
from training.load_test.environment import PRODUCTION, WORKERS, profile_of, servers
from training.load_test.scenario import DAY, NIGHT, NORMAL, SMALL, SMALL_PLAN, Scenario, prepare
from training.load_test.timeline import Run, run_of
from training.runs.terminal import progress
from training.settings import Settings
from training.simulator.parameters import IST_MS, World

DEADLINE_MS = 80.0
"""The default deadline of the API contract."""
SHARE_OF_CAPACITY = 0.4
"""Rate of the rush as a share of the service's closed-loop capacity."""
FASTEST, SLOWEST = 120.0, 10.0
FASTEST_SMALL = 900.0
"""Limits of the speed-up: seconds of the night per second of the test."""
RUSH_PER_SECOND = 600.0
"""Largest rate of the rush: a higher one proves nothing about a night."""
DAY_PER_SECOND = 250.0
"""Mean rate of the whole-day runs."""
PROBES, CALLERS = 800, 8


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `var/festival.json`: the night in the first fields, the rest of 11/11 and a normal day."""

    notice: str = NOTICE
    profile: str
    world_digest: str
    seconds_of_the_night_per_second: float
    deadline_ms: float
    offered: int
    served: int
    missed_deadlines: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    tiers: dict[str, int]
    insult_ratio_to_normal_day: float | None
    """Share of good payments challenged or worse on 11/11, night and day, over that of the normal day."""
    night_insult_ratio_to_normal_day: float | None
    """The same for the night alone, which has few payments."""
    fraud_value_caught: float | None
    festival: Run
    rest_of_the_day: Run
    normal_day: Run


def rehearse(settings: Settings, console: Console, small: bool = False, trees: int | None = None) -> Rehearsal:
    """Run the whole load test, from an empty folder to the figures.

    Raises:
        ServiceTrouble: the service did not start, or a configured server does not answer.
    """
    profile, folder = profile_of(settings), settings.var / "festival"
    folder.mkdir(parents=True, exist_ok=True)
    world, plan = (SMALL, SMALL_PLAN) if small else (World(), PeriodPlan())
    with progress(console, world.payments) as listener:
        ready = prepare(folder, world, plan, listener, trees)
    with ExitStack() as ending:
        port = _served(ending, settings, console, folder, ready.span_ms(NORMAL)[0])
        capacity = _capacity(ready, port)
        night = ready.rows(NIGHT)
        moments = times_ms(ready.history["event_time"])[night[0] : night[1]]
        speed = speed_of(moments, capacity, FASTEST_SMALL if small else FASTEST)
        console.print(f"The service answers {capacity:,.0f} requests/s: {speed:.0f} s of the night in each second.")
        with waiting(console, "a normal day"):
            normal = _sent(ready, port, "normal day", NORMAL, _pace(ready, NORMAL))
        with waiting(console, "the night of 11/11"):
            festival = _sent(ready, port, "11/11, the night", NIGHT, speed)
        with waiting(console, "the rest of 11/11"):
            rest = _sent(ready, port, "11/11, the rest of the day", DAY, _pace(ready, DAY))
    usual = normal.insulted_share
    whole = (festival.insulted + rest.insulted) / max(festival.good + rest.good, 1)
    return Rehearsal(
        profile=profile, world_digest=world.digest, seconds_of_the_night_per_second=speed, deadline_ms=DEADLINE_MS,
        offered=festival.offered, served=festival.served, missed_deadlines=festival.missed_deadlines,
        p50_ms=festival.p50_ms, p99_ms=festival.p99_ms, p999_ms=festival.p999_ms, tiers=festival.tiers,
        insult_ratio_to_normal_day=whole / usual if usual else None,
        night_insult_ratio_to_normal_day=festival.insulted_share / usual if usual else None,
        fraud_value_caught=festival.fraud_value_caught, festival=festival, rest_of_the_day=rest, normal_day=normal,
    )  # fmt: skip


def _served(ending: ExitStack, settings: Settings, console: Console, folder: Path, from_ms: int) -> int:
    """Start the service in the configured profile with the payments before `from_ms` as its history; returns the port.

    `ending` stops the service and removes its data on servers.
    """
    own, log = folder / "var", folder / "service.log"
    shutil.rmtree(own, ignore_errors=True)  # each load test begins with an empty ledger
    log.unlink(missing_ok=True)
    place = dict.fromkeys(("API_KEY", "KEYS", "HASH_KEY", "CHALLENGER"), "") | ending.enter_context(servers(settings))
    place |= {"VAR": str(own.resolve()), "BUNDLE": str((folder / "bundle").resolve()), "CLOCK": "replay"}
    place |= {"HOST": "127.0.0.1", "PROFILES": str((folder / "world" / "profiles.sqlite").resolve())}
    with waiting(console, "letting the past into the service's ledger"):
        serving(["import-history", str((folder / "past.parquet").resolve()), "--until-ms", str(from_ms)], log, **place)
    port = free_ports(2)
    command, asked = ["run", "--port", str(port)], (port,)
    if profile_of(settings) == PRODUCTION:
        with waiting(console, "building the state in Redis"):
            serving(["rebuild-state"], log, **place)
        place |= {"PORT": str(port), "CONSOLE_PORT": str(port + 1)}
        first = int(place["RECORDER_PORT"])
        command, asked = ["up"], (port, *range(first + 1, first + 1 + WORKERS))
    with waiting(console, "starting the service"):
        ending.enter_context(running(command, asked, "/readyz", log, **place))
    return port


def speed_of(times: Integers, capacity: float, fastest: float = FASTEST) -> float:
    """The speed-up of the night at which its densest minute fits the machine."""
    minutes = (times - times[0]) // 60_000 if len(times) else np.zeros(1, np.int64)
    densest = float(np.bincount(minutes.astype(np.int64)).max()) / 60.0
    wanted = min(capacity * SHARE_OF_CAPACITY, RUSH_PER_SECOND)
    return float(np.clip(wanted / max(densest, 1e-9), SLOWEST, fastest))


def _pace(ready: Scenario, span: tuple[dt.timedelta, dt.timedelta]) -> float:
    """The speed-up of a whole day."""
    first, last = ready.rows(span)
    return max((span[1] - span[0]).total_seconds() * DAY_PER_SECOND / max(last - first, 1), SLOWEST)


def _sent(ready: Scenario, port: int, name: str, span: tuple[dt.timedelta, dt.timedelta], speed: float) -> Run:
    rows = ready.rows(span)
    start_ms, end_ms = ready.span_ms(span)
    times = times_ms(ready.history["event_time"])[rows[0] : rows[1]]
    due_s: Floats = (times - start_ms) / 1000.0 / speed
    replies: Replies = send(port, "/v1/score", ready.bodies(rows), due_s)
    seconds = int(np.ceil((end_ms - start_ms) / 1000.0 / speed))
    moments = [_local(start_ms + int(second * speed * 1000)) for second in range(seconds)]
    return run_of(
        name, replies, DEADLINE_MS, ready.typologies[rows[0] : rows[1]], ready.amounts[rows[0] : rows[1]], moments
    )


def _capacity(ready: Scenario, port: int) -> float:
    """Requests per second of eight clients in a short closed loop of dry runs."""
    first = ready.rows(NORMAL)[0]
    bodies, half = ready.bodies((first, first + PROBES)), PROBES // 2
    for part in (bodies[:half], bodies[half:]):  # the first warms up
        replies = send(port, "/v1/score?dry_run=1", part, np.zeros(len(part)), CALLERS)
    return len(part) / float(replies.replied_s.max())


def _local(ms: int) -> str:
    """Time of day in India."""
    return f"{dt.datetime.fromtimestamp((ms + IST_MS) / 1000, dt.UTC):%H:%M:%S}"
