"""The demo: simulates a small world, trains and serves a champion, and shows its first decisions."""

from __future__ import annotations

import datetime as dt
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from features.history.schema import times_ms
from features.progress import waiting
from features.state.profiles import ProfileFile
from training.client.replay_requests import SCORE, before, replay, stream
from training.client.service_process import refuse_busy_ports, running, serving
from training.data.arrays import Integers
from training.data.source_map import load
from training.runs.registry_gate import promote
from training.runs.run import run
from training.runs.terminal import progress
from training.settings import Settings
from training.simulator.parameters import World
from training.simulator.simulate import Simulation, simulate

WORLD = World(
    payments=120_000, days=75, start=dt.date(2026, 9, 1), payers=4_000, stores=20_000, local_brands=3_000,
    international_brands=600, new_merchants_per_day=20, fraud_share=0.006,
    typology_starts={"qr swap": dt.date(2026, 9, 20)},
)  # fmt: skip
"""A small world with more fraud than the default one, so that the demo has frauds to show; it ends with 11/11."""
LIVE_PAYMENTS = 600
LOOK_BACK_DAYS = 14
USER = "demo"


class DemoReason(msgspec.Struct):
    """One reason of a reply."""

    code: str
    text: str


class DemoAnswer(msgspec.Struct):
    """The fields of a reply that the demo shows."""

    transaction_id: str
    decision: str
    score: float | None = None
    reasons: list[DemoReason] = []


@dataclass(frozen=True)
class Demo:
    """A running demo: the replies, the simulated truth, ports and password."""

    port: int
    console_port: int
    password: str
    typologies: dict[str, str | None]
    answers: list[DemoAnswer]
    example: bytes
    seconds: float


@contextmanager
def demo(settings: Settings, port: int, console_port: int, console: Console) -> Iterator[Demo]:
    """Train and serve; the services run inside the block and stop after it.

    Raises:
        ServiceTrouble: a port is in use, or a process did not start.
        NotPromoted: the gate refused the model.
    """
    began = time.monotonic()
    refuse_busy_ports({"the service": port, "the review console": console_port})
    folder = settings.var / "demo"
    shutil.rmtree(folder, ignore_errors=True)  # each demo starts with an empty ledger
    folder.mkdir(parents=True)
    data_set = load("world")

    with waiting(console, "living through 75 simulated days"):
        simulation = simulate(WORLD)
        live_from, live_until = a_busy_moment(simulation)
        profiles = folder / "profiles.sqlite"
        file = ProfileFile(profiles)
        file.write(simulation.profiles)
        file.close()
        past = folder / "history.parquet"
        pq.write_table(before(simulation.history, live_from), past, compression="lz4")

    with progress(console, pq.read_metadata(past).num_rows) as listener:
        _, version = run(data_set, past, settings, "demo", profiles, True, listener)
    with waiting(console, "passing the gate and exporting the bundle"):
        promoted = promote(settings, version.version)
    exported = f"exported as {promoted.tag} to {settings.model_store}"
    console.print(f"risk@{promoted.version} is champion, {exported}.", soft_wrap=True)

    password, log = secrets.token_urlsafe(9), folder / "serving.log"
    place = {"VAR": str(folder.resolve()), "PROFILES": str(profiles.resolve())}
    place |= {"BUNDLE": str(promoted.path.resolve())}  # the store is below our VAR, not the demo's
    place |= {"CLOCK": "replay", "API_KEY": "", "HOST": "127.0.0.1"}
    with _sigterm_as_interrupt(), ExitStack() as stack:
        with waiting(console, "starting the service and the review console"):
            serving(["import-history", str(past), "--until-ms", str(live_from)], log, **place)
            serving(["user-add", USER, "--password", password, "--role", "lead"], log, **place)
            stack.enter_context(running(["run", "--port", str(port)], port, "/readyz", log, **place))
            desk = ["console", "--port", str(console_port)]
            stack.enter_context(running(desk, console_port, "/", folder / "console.log", **place))
        messages = stream(simulation.history, live_from, live_until, ("outcome", "label"))
        scored = [(body, answer) for path, body, answer in replay(port, messages, log) if path == SCORE]
        ids = simulation.history["transaction_id"].to_pylist()
        yield Demo(
            port=port,
            console_port=console_port,
            password=password,
            typologies=dict(zip(ids, simulation.typologies.tolist(), strict=True)),
            answers=[msgspec.json.decode(answer, type=DemoAnswer) for _, answer in scored],
            example=scored[-1][0],
            seconds=time.monotonic() - began,
        )


def a_busy_moment(simulation: Simulation) -> tuple[int, int]:
    """Start and end, ms UTC, of a few hundred payments of the last two weeks with the most typologies.

    The choice uses the simulator's truth so that the demo shows fraud; nothing is measured on these payments.
    """
    times: Integers = times_ms(simulation.history["event_time"])
    fraud = np.flatnonzero(simulation.typologies != None)  # noqa: E711  (elementwise)
    late = fraud[times[fraud] > times[-1] - LOOK_BACK_DAYS * 86_400_000]
    best, span = (0, 0), (max(0, len(times) - LIVE_PAYMENTS), len(times) - 1)
    for last in np.minimum(late + LIVE_PAYMENTS // 4, len(times) - 1).tolist():
        first = max(0, last - LIVE_PAYMENTS + 1)
        inside = [typology for typology in simulation.typologies[first : last + 1].tolist() if typology is not None]
        if (len(set(inside)), len(inside)) > best:
            best, span = (len(set(inside)), len(inside)), (first, last)
    return int(times[span[0]]), int(times[span[1]]) + 1


def until_stopped() -> None:
    """Return on Ctrl-C or SIGTERM."""
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that our child processes stop too."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
