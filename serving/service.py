"""The BentoML service: its settings as measured, and the contract mounted in it.

BentoML's own server serves: `bentoml serve`, or the worker that it starts (serving/serve.py). Nothing is opened at
import: BentoML imports this module in its parent process and in each worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import Any

import bentoml
from bentoml._internal.context import server_context
from bentoml.exceptions import BentoMLException

from features.errors import RiskgateError
from serving.api.app import Application
from serving.api.asgi import Receive, Scope, Send
from serving.engine.embedded.runtime import Runtime
from serving.engine.protocols import AnyRuntime
from serving.image import LockedImage
from serving.model.model_store import bundle_folder
from serving.overload.admission import QueueAdmission
from serving.overload.uvicorn_protocol import OwnPort, install
from serving.server.acceptor import Acceptor
from serving.server.bounded_http import make_room_for_connections
from serving.server.drain import Drain
from serving.server.sockets import addresses, check_listening, listeners
from serving.settings import Settings, fast_path_is_on, log_form, make_places_absolute, read_settings, workers_wanted
from serving.start_checks import check
from serving.telemetry.logs import set_up

log = logging.getLogger("riskgate")
# BentoML says there that a bento was loaded, before it calls anything that could set up our log.
logging.getLogger("bentoml._internal.service.loader").setLevel(logging.WARNING)

#: Every route that BentoML answers before anything mounted, in another shape or with another meaning; it offers no way
#: to do without them (docs/decisions/0010-bentoml-serves.md).
CLAIMED = frozenset(("/", "/livez", "/healthz", "/readyz", "/metrics", "/schema.json"))
#: After so long without a reply BentoML answers 504; every request leaves a timer behind for as long.
REPLY_SECONDS = 10

application = Application()
admission = QueueAdmission(application)
protocol = install(admission.backlog, fast=fast_path_is_on())
#: Ports of this worker alone, bound before it is started (serving/serve.py).
own_listeners: list[socket.socket] = []


class Claimed:
    """Lets the contract answer what BentoML would not hand to anything mounted, and nothing else.

    Those are the routes that it claims, and paths with a line end in them, which Starlette's mounts do not match.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        mine = scope["type"] == "http" and (scope["path"] in CLAIMED or "\n" in scope["path"])
        await (application if mine else self.app)(scope, receive, send)


def runtime_of(settings: Settings) -> AnyRuntime:
    """What the profile of the settings needs to serve, its checks passed.

    Raises: CannotStart, BrokenBundle, ContractMismatch.
    """
    folder = bundle_folder(settings)
    if settings.production:
        # Only here: the embedded profile needs no driver of a server.
        from serving.engine.clustered.runtime import RedisRuntime

        return RedisRuntime(settings, folder, lambda: bundle_folder(settings))
    runtime = Runtime(settings, folder, lambda: bundle_folder(settings))
    runtime.pressed = lambda: admission.backlog.waiting > 0
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
        set_up(log_form())  # BentoML's worker has set up its own before
        self._runtime: AnyRuntime | None = None
        self._drain: Drain | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self._acceptors: list[Acceptor] = []
        self._own_ports: list[OwnPort] = []

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse in the parent of BentoML's workers what each of them would refuse.

        They start in the folder of the bento, so relative places of the settings are fixed here.
        """
        set_up(log_form())
        make_places_absolute()
        try:
            check(read_settings())
        except RiskgateError as error:
            raise BentoMLException(str(error)) from error  # which its command line shows as one sentence

    @bentoml.on_startup
    async def open(self) -> None:
        """Check what must be right, then fold the ledger while `/livez` and `/readyz` already answer."""
        make_room_for_connections()
        try:
            settings = read_settings()
            descriptors = set(listeners()) - {one.fileno() for one in own_listeners}
            check_listening(settings, addresses(descriptors))
            self._runtime = runtime_of(settings)
            application.serve(self._runtime)
        except RiskgateError as error:
            log.critical("%s", error)
            _refuse_to_start()
            raise
        if not settings.api_key and not settings.keys:
            log.warning("no API key is set: the service accepts every call and listens on loopback only")
        self._follow_connections(settings, descriptors)
        self._drain = Drain(application, settings.drain_min_seconds, settings.drain_seconds)
        self._drain.before_end.append(self._accept_no_more)
        self._drain.install()
        for one in own_listeners:
            own = OwnPort(one, application, settings.keep_alive_seconds)
            await own.open()
            self._own_ports.append(own)
        loop = asyncio.get_running_loop()
        self._loading = loop.create_task(self._load(self._runtime, self._drain))
        self._tasks.append(loop.create_task(_follow_keys()))

    def _follow_connections(self, settings: Settings, descriptors: set[int]) -> None:
        protocol.keep_alive_seconds = settings.keep_alive_seconds
        protocol.on_first = lambda make: self._acceptors.extend(Acceptor(one, make) for one in descriptors)

    def _accept_no_more(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()

    async def _load(self, runtime: AnyRuntime, drain: Drain) -> None:
        try:
            await runtime.prepare()
            runtime.begin()
        except Exception:
            log.critical("the service cannot start", exc_info=True)
            application.failed = True
            _end_supervisor()
            drain.end()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Write the state and close the ledger."""
        self._accept_no_more()
        for own in self._own_ports:
            own.close()
        for task in self._tasks:
            task.cancel()
        if self._loading is not None:
            await asyncio.wait([self._loading])
        if self._runtime is not None:
            await self._runtime.end()
            self._runtime = None


async def _follow_keys() -> None:
    while application.door is not None:
        await asyncio.sleep(1.0)
        application.door.refresh()


def _refuse_to_start() -> None:
    """Leave it at the one sentence: no traceback from the server, no restart by BentoML's supervisor."""
    logging.getLogger("uvicorn.error").disabled = True
    _end_supervisor()


def _end_supervisor() -> None:
    if server_context.worker_index is not None:  # only under `bentoml serve`: its parent would start us again and again
        os.kill(os.getppid(), signal.SIGTERM)


# The decorator has made the class a Service, which mypy cannot see: bentoml brings no types.
service: Any = Riskgate
service.add_asgi_middleware(Claimed)
