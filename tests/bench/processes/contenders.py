"""The services that are compared, each a process of its own on a free loopback port, stopped by its id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from training.client.service_process import free_port

QUIET = {"BENTOML_DO_NOT_TRACK": "true", "FEAST_USAGE": "False", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Contender:
    """How one service is started and addressed; `{port}` in the command is filled in."""

    name: str
    title: str
    command: tuple[str, ...]
    path: str = "/v1/score"
    ready: str = "/readyz"
    mark: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    beside: tuple[tuple[str, ...], ...] = ()
    """Commands that run beside it, with the same environment."""
    cwd: Path | None = None
    """Where they run; None: here."""


def bentoml_serve(target: str) -> tuple[str, ...]:
    """The command that BentoML's own guide gives."""
    return (sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", "{port}")


def stitched(folder: Path) -> Contender:
    """BentoML defaults, Feast's SQLite online store, Booster.predict."""
    return Contender(
        "stitched",
        "the usual stitching: BentoML defaults, `get_online_features` of 48, `Booster.predict`",
        bentoml_serve("tests.bench.stitched.service:Stitched"),
        mark='"decision"',
        environment={"STITCHED_FOLDER": str(folder.resolve())},
    )


def stitched_on_redis(folder: Path, redis_url: str) -> Contender:
    """The same with Feast's Redis online store."""
    return Contender(
        "stitched_redis",
        "the usual stitching with Feast's Redis online store",
        bentoml_serve("tests.bench.stitched.service:Stitched"),
        mark='"decision"',
        environment={"STITCHED_FOLDER": str(folder.resolve()), "STITCHED_REDIS": redis_url},
    )


def empty() -> Contender:
    """BentoML alone, tuned."""
    return Contender(
        "empty",
        "an empty BentoML endpoint, tuned and mounted like ours",
        bentoml_serve("tests.bench.empty.service:Empty"),
        mark='"decision"',
    )


def embedded(bundle: Path, var: Path) -> Contender:
    """riskgate itself: one worker, replay clock, every payment recorded in its ledger."""
    return Contender(
        "embedded",
        "riskgate, embedded: every payment validated, scored, decided, recorded in the ledger",
        (sys.executable, "-m", "serving", "run", "--port", "{port}"),
        mark='"tier":"full"',
        environment={
            "RISKGATE_VAR": str(var.resolve()),
            "RISKGATE_BUNDLE": str(bundle.resolve()),
            "RISKGATE_CLOCK": "replay",
        },
    )


def on_redis(bundle: Path, var: Path, servers: dict[str, str]) -> Contender:
    """riskgate over Redis and PostgreSQL: one worker, and the recorder beside it."""
    ours = embedded(bundle, var)
    return Contender(
        "redis",
        "riskgate on Redis: the same, one worker, state and stream in Redis, recorder into PostgreSQL beside it",
        ours.command,
        mark=ours.mark,
        environment=ours.environment | servers | {"RISKGATE_RECORDER_PORT": str(free_port())},
        beside=((sys.executable, "-m", "serving", "recorder"),),
    )


@dataclass(frozen=True)
class Running:
    """A contender that runs: where it listens, and its process."""

    contender: Contender
    port: int
    process: int

    def cpu_seconds(self) -> float:
        """Seconds of the processor that its processes have used; those beside it are not counted."""
        own = psutil.Process(self.process)
        total = 0.0
        for one in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
        return total


@contextlib.contextmanager
def running(contender: Contender, logs: Path, patience_seconds: float = 120.0) -> Iterator[Running]:
    """The contender while it runs; its whole process group is stopped at the end.

    Raises:
        RuntimeError: it did not become ready; the message ends with its log.
    """
    port = free_port()
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{contender.name}.log"
    home = {"BENTOML_HOME": str((logs / "bentoml").resolve())}
    with log.open("wb") as out, contextlib.ExitStack() as ending:
        started = []
        for command in (*contender.beside, contender.command):
            process = subprocess.Popen(
                [part.format(port=port) for part in command],
                cwd=contender.cwd,
                env={**os.environ, **QUIET, **home, **contender.environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            ending.callback(stop, process)
            started.append(process)
        wait_until_ready(started[-1], port, contender, log, patience_seconds)
        yield Running(contender, port, started[-1].pid)


def wait_until_ready(
    process: subprocess.Popen[bytes], port: int, contender: Contender, log: Path, patience_seconds: float
) -> None:
    """Ask the readiness route until it says yes."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline and process.poll() is None:
        if answers(f"http://127.0.0.1:{port}{contender.ready}"):
            return
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"{contender.name} did not become ready on port {port}. The end of {log}:\n{tail}")


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def stop(process: subprocess.Popen[bytes], patience_seconds: float = 15.0) -> None:
    """End the session that `running` started: politely, then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_seconds)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers that outlived their parent


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
