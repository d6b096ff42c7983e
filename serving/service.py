"""The BentoML service: the HTTP contract mounted in it, and the life of one scoring process.

BentoML's own server serves: `bentoml serve`, or its worker alone (serving/serve.py). Nothing is opened at import:
BentoML imports this module in its parent process and in each worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import Any

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context
from bentoml.exceptions import BentoMLException
from prometheus_client import values

from features.errors import RiskgateError
from serving.access.authenticator import Authenticator
from serving.api.app import Application
from serving.api.asgi import Receive, Scope, Send
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.engine.protocols import Runtime
from serving.image import LockedImage
from serving.overload.admission import QueueAdmission
from serving.overload.uvicorn_protocol import OwnPort, install
from serving.server.acceptor import Acceptor
from serving.server.bounded_http import presize_descriptor_table
from serving.server.drain import Drain
from serving.server.sockets import addresses, bind, check_listening, listen, listeners
from serving.settings import Settings, fast_path_is_on, log_form, make_paths_absolute, read_settings, workers_wanted
from serving.start_checks import Checked, check
from serving.state.champion import Champion
from serving.telemetry.logs import set_up

log = logging.getLogger("riskgate")
# BentoML logs there that a bento was loaded, before it calls anything that could set up our log.
logging.getLogger("bentoml._internal.service.loader").setLevel(logging.WARNING)

# Under `bentoml serve` prometheus_client would count in files that the workers share; each of ours has its own metrics.
values.ValueClass = values.MutexValue

#: The routes that BentoML answers itself before any mounted application, with replies outside our contract; they cannot
#: be disabled (docs/decisions/0010-bentoml-serves.md).
BENTOML_ROUTES = frozenset(("/", "/livez", "/healthz", "/readyz", "/metrics", "/schema.json"))
#: After this long without a reply BentoML answers 504; every request keeps a timer for as long.
REPLY_SECONDS = 10

application = Application()
admission = QueueAdmission(application)
protocol = install(admission.queue, fast=fast_path_is_on())
#: Ports that only this worker listens on, bound before it is started (serving/serve.py).
own_listeners: list[socket.socket] = []
#: Sockets of a port that other processes share: this worker listens on them when it is ready, so that callers meet
#: only workers that are.
joins_when_ready: list[int] = []
#: What serving/serve.py has checked and opened in this process; None under `bentoml serve`.
checked: Checked | None = None


class ContractRoutes:
    """ASGI middleware that sends to the contract what BentoML would not pass to a mounted application.

    Those are BentoML's own routes, and what Starlette's mounts do not match: paths with a line end, and `OPTIONS *`.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        ours = scope["type"] == "http" and _is_ours(scope["path"])
        await (application if ours else self.app)(scope, receive, send)


def _is_ours(path: str) -> bool:
    return path in BENTOML_ROUTES or "\n" in path or not path.startswith("/")


def address_of_bentoml_serve() -> tuple[str, int] | None:
    """Host and port that `bentoml serve` will listen on; None if it is not the command that runs."""
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != "serve":
        return None
    http = BentoMLContainer.http
    return context.params["host"] or http.host.get(), context.params["port"] or http.port.get()


def runtime_of(settings: Settings, champion: Champion) -> Runtime:
    """The runtime of the profile that the settings name.

    Raises: CannotStart, InvalidHistory.
    """
    if settings.production:
        # Imported here: the embedded profile needs no driver of a server.
        from serving.engine.clustered.runtime import RedisRuntime

        return RedisRuntime(settings, champion)
    runtime = EmbeddedRuntime(settings, champion)
    runtime.under_pressure = lambda: admission.queue.waiting > 0
    return runtime


@bentoml.service(
    name="riskgate",
    workers=workers_wanted(),
    traffic={"timeout": REPLY_SECONDS},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": [".*"]},
    image=LockedImage(),
)
@bentoml.asgi_app(application, path="/", name="contract")
class Riskgate:
    """Scores a payment for fraud before it is authorised."""

    def __init__(self) -> None:
        set_up(log_form())  # replaces the set-up of BentoML's worker
        self._runtime: Runtime | None = None
        self._drain: Drain | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self._acceptors: list[Acceptor] = []
        self._own_ports: list[OwnPort] = []

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Run the checks of every worker once in their parent.

        Workers start in the folder of the bento, so relative paths of the settings are made absolute here.
        """
        set_up(log_form())
        make_paths_absolute()
        try:
            # Each worker checks its own sockets; here a wrong address is one sentence and an exit code.
            address = address_of_bentoml_serve()
            check(read_settings(), () if address is None else address[:1])
            if address is not None:
                bind(*address).close()
        except RiskgateError as error:
            raise BentoMLException(str(error)) from error  # BentoML's command line shows it as one sentence

    @bentoml.on_startup
    async def open(self) -> None:
        """Check everything, then fold the ledger while `/livez` and `/readyz` already answer."""
        global checked
        presize_descriptor_table()
        try:
            settings = read_settings()
            descriptors = set(listeners()) - {one.fileno() for one in own_listeners} | set(joins_when_ready)
            hosts = addresses(descriptors) or [settings.host]
            (authenticator, champion, warnings), checked = checked or check(settings, hosts), None
            check_listening(hosts, authenticator.keyless)
            self._runtime = runtime_of(settings, champion)
            application.serve(self._runtime, authenticator)
        except RiskgateError as error:
            log.critical("%s", error)
            _refuse_to_start()
            raise
        for warning in warnings:
            log.warning("%s", warning)
        if authenticator.keyless:
            log.warning("no API key is set: the service accepts every call and listens on loopback only")
        if settings.sandbox == "1":
            log.warning("the sandbox is on: ids that begin with test_approve and the like get the answer they ask for")
        self._set_up_connections(settings, descriptors)
        self._drain = Drain(application, settings.drain_min_seconds, settings.drain_seconds)
        self._drain.before_end.append(self._stop_accepting)
        self._drain.install()
        for one in own_listeners:
            own = OwnPort(one, application, settings.keep_alive_seconds)
            await own.open()
            self._own_ports.append(own)
        loop = asyncio.get_running_loop()
        self._loading = loop.create_task(self._load(self._runtime, self._drain))
        self._tasks.append(loop.create_task(_watch_keys(authenticator)))
        if joins_when_ready:  # the server listens when this returns
            await self._loading

    def _set_up_connections(self, settings: Settings, descriptors: set[int]) -> None:
        protocol.keep_alive_seconds = settings.keep_alive_seconds
        protocol.connection_seconds = settings.connection_seconds
        protocol.on_first = lambda make: self._acceptors.extend(Acceptor(one, make) for one in descriptors)

    def _stop_accepting(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()

    async def _load(self, runtime: Runtime, drain: Drain) -> None:
        try:
            await runtime.prepare()
            # In the turn in which the worker becomes ready: callers wait for the server, which is a moment away.
            listen(joins_when_ready)
            runtime.begin()
        except Exception as error:
            if isinstance(error, RiskgateError):
                log.critical("%s", error)
            else:
                log.critical("the service cannot start", exc_info=True)
            application.failed = True
            _end_supervisor()
            drain.end()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Write the state and close the ledger."""
        self._stop_accepting()
        for own in self._own_ports:
            own.close()
        for task in self._tasks:
            task.cancel()
        if self._loading is not None:
            await asyncio.wait([self._loading])
        if self._runtime is not None:
            await self._runtime.end()
            self._runtime = None


async def _watch_keys(authenticator: Authenticator) -> None:
    while True:
        await asyncio.sleep(1.0)
        authenticator.refresh()


def _refuse_to_start() -> None:
    """After the one sentence: no traceback from the server, no restart by BentoML's supervisor."""
    logging.getLogger("uvicorn.error").disabled = True
    _end_supervisor()


def _end_supervisor() -> None:
    if server_context.worker_index is not None:  # only under `bentoml serve`, whose parent would restart us forever
        os.kill(os.getppid(), signal.SIGTERM)


# The decorator has made the class a Service, which mypy cannot see: bentoml has no types.
service: Any = Riskgate
service.add_asgi_middleware(ContractRoutes)
