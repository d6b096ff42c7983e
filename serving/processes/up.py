"""`python -m serving up`: the whole production profile on one machine, with Redis and PostgreSQL already running.

Starts the recorder, N scoring processes behind one port, and the review desk; each is restarted when it dies, recorder
and scoring processes also when they are stuck, and all end with this process. The recorder ends last, so that it
records what the others write while they stop.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx

from serving.errors import CannotStart
from serving.ledger.postgres import schema
from serving.processes.probing import Probe, recorder_turns, run_probes
from serving.processes.supervision import ProcessSpec, SupervisedProcess, stop_in_order
from serving.redis_store.server_checks import check_postgres, check_redis
from serving.settings import Settings

log = logging.getLogger("riskgate.up")

READY_SECONDS = 180.0
LOOK_EVERY_SECONDS = 0.2

Say = Callable[[str], None]


class MonitoredProcess(NamedTuple):
    """A process and the URL that answers 200 once it is ready."""

    process: SupervisedProcess
    ready_url: str


def check_servers(settings: Settings) -> list[str]:
    """Check both servers and create the tables; returns warnings about what is allowed but unsafe.

    Raises: CannotStart with everything that is missing.
    """
    warnings, problems, repairs = [], [], []
    for check, url in ((check_redis, settings.redis_url), (check_postgres, settings.postgres_url)):
        try:
            warnings += check(url)
        except CannotStart as error:
            problems.append(error.message)
            repairs.append(error.repair)
    if problems:
        raise CannotStart(" ".join(problems), " ".join(repairs))
    schema.prepare(settings.postgres_url, settings.redis_prefix)
    return warnings


def check_port(host: str, port: int) -> None:
    """Refuse a port on which another program listens: sharing it would send that program some of our requests.

    Raises: CannotStart.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} of {host} cannot be used: {error.strerror}.",
                "End what listens there, or set RISKGATE_PORT, RISKGATE_CONSOLE_PORT or RISKGATE_RECORDER_PORT.",
            ) from error


def own_ports(settings: Settings) -> range:
    """The loopback ports on each of which one scoring process listens alone."""
    return range(settings.recorder_port + 1, settings.recorder_port + settings.workers + 1)


class ProductionProfile:
    """The processes of the profile from start to end."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], say: Say) -> None:
        self.settings = settings
        self.say = say

        def process(name: str, *arguments: str) -> SupervisedProcess:
            return SupervisedProcess(ProcessSpec(name, (sys.executable, "-m", "serving", *arguments), environment))

        self.recorder = MonitoredProcess(
            process("recorder", "recorder"), f"http://127.0.0.1:{settings.recorder_port}/metrics"
        )
        self.workers = [
            MonitoredProcess(
                process(f"worker {number}", "run", "--share-port", "--own-port", str(port)),
                f"http://127.0.0.1:{port}/readyz",
            )
            for number, port in enumerate(own_ports(settings), 1)
        ]
        self.challenger = process("challenger", "challenge", "--follow") if settings.challenger else None
        self.desk = MonitoredProcess(
            process("desk", "console"), f"http://{_address(settings.host)}:{settings.console_port}/livez"
        )

    @property
    def all(self) -> list[MonitoredProcess]:
        """Every process, the recorder first."""
        return [self.recorder, *self.workers, self.desk]

    def probes(self) -> list[Probe]:
        """What is asked of the running processes: one that is stuck is killed and started again."""
        workers = [Probe(one.process, one.ready_url.replace("/readyz", "/livez")) for one in self.workers]
        return [Probe(self.recorder.process, self.recorder.ready_url, recorder_turns), *workers]

    async def run(self, *, until_ready: bool) -> int:
        """Start every process, supervise until a signal comes, end all; returns the exit code.

        `until_ready` ends them as soon as all are ready.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        for one in self.all:
            one.process.start()
        if self.challenger is not None:
            self.challenger.start()
        try:
            failed = await self._wait_until_ready(stopping)
            if failed is not None:
                self.say(failed)
                return 3
            if not stopping.is_set():
                self._announce()
                if not until_ready:
                    probing = asyncio.get_running_loop().create_task(run_probes(self.probes()))
                    await stopping.wait()
                    probing.cancel()
            return 0
        finally:
            self.say("Stopping: scoring processes, desk, recorder.")
            workers = [one.process for one in self.workers]
            readers = [self.desk.process] if self.challenger is None else [self.desk.process, self.challenger]
            await stop_in_order(([*workers, *readers], [self.recorder.process]))

    async def _wait_until_ready(self, stopping: asyncio.Event) -> str | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        async with httpx.AsyncClient(timeout=5) as client:
            waiting = list(self.all)
            while waiting and not stopping.is_set():
                for one in list(waiting):
                    if one.process.ended_at_start.is_set():
                        return f"The {one.process.spec.name} refused to start; see its message above."
                    if await _is_ready(client, one.ready_url):
                        one.process.was_ready = True
                        waiting.remove(one)
                if loop.time() > deadline:
                    names = ", ".join(one.process.spec.name for one in waiting)
                    return f"Not ready within {READY_SECONDS:.0f} s: {names}. See their logs above."
                if waiting:
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        return None

    def _announce(self) -> None:
        host = _address(self.settings.host)
        ports = ", ".join(map(str, own_ports(self.settings)))
        self.say(
            f"Scoring: http://{host}:{self.settings.port}/v1/score ({self.settings.workers} processes; docs at /docs)"
        )
        self.say(f"Review desk: http://{host}:{self.settings.console_port}/")
        self.say(f"Metrics: recorder on port {self.settings.recorder_port}, processes on {ports} (loopback, /metrics)")
        self.say("Everything is ready. Ctrl-C ends all processes.")


def _address(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


def bring_up(settings: Settings, environment: Mapping[str, str], say: Say, *, until_ready: bool = False) -> int:
    """Check, start, supervise and end the production profile; returns the exit code.

    Raises: CannotStart with everything that is missing.
    """
    for sentence in check_servers(settings):
        say(sentence)
    for host, port in [(settings.host, settings.port), (settings.host, settings.console_port)]:
        check_port(host, port)
    for port in (settings.recorder_port, *own_ports(settings)):
        check_port("127.0.0.1", port)
    profile = ProductionProfile(settings, environment, say)
    return asyncio.run(profile.run(until_ready=until_ready))
