"""The BentoML service: settings as measured, and the contract's application in front of BentoML's own routes.

BentoML would answer `/livez`, `/readyz`, `/metrics` and `/` itself, before anything mounted. The contract
says what these answer, so the application stands as a middleware: every HTTP request is its own.
Nothing is opened at import: BentoML imports this module in the parent process and in each worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

import bentoml

from features.errors import RiskgateError
from serving.app import Application
from serving.either import AnyRuntime
from serving.http import Receive, Scope, Send
from serving.image import LockedImage
from serving.listener import make_room_for_connections
from serving.model_store import bundle_folder
from serving.runtime import Runtime
from serving.settings import Settings, make_places_absolute, read_settings

log = logging.getLogger("riskgate")

application = Application()


class Front:
    """Hands every HTTP request to the contract's application, the rest (lifespan) to BentoML."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http":
            await application(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def runtime_of(settings: Settings) -> AnyRuntime:
    """What the profile of the settings needs to serve, its checks passed.

    Raises: CannotStart, BrokenBundle, ContractMismatch.
    """
    folder = bundle_folder(settings)
    if settings.production:
        # Only here: the embedded profile needs no driver of a server.
        from serving.production.runtime import RedisRuntime

        return RedisRuntime(settings, folder, lambda: bundle_folder(settings))
    runtime = Runtime(settings, folder, lambda: bundle_folder(settings))
    runtime.pressed = lambda: application.backlog.waiting > 0
    return runtime


@bentoml.service(
    name="riskgate",
    workers=1,  # one ledger, one order of events
    traffic={"timeout": 1},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": [".*"]},
    image=LockedImage(),
)
class Riskgate:
    """Scores a payment for fraud before it is authorised."""

    def __init__(self) -> None:
        self._runtime: AnyRuntime | None = None
        self._loading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Run once in BentoML's parent process: a refusal ends it with a sentence, where a worker would be restarted.

        Its workers start in the folder of the bento, so relative places of the settings are fixed here.
        """
        make_places_absolute()
        try:
            bundle_folder(read_settings())
        except RiskgateError as error:
            raise bentoml.exceptions.BentoMLException(str(error)) from error

    @bentoml.on_startup
    async def open(self) -> None:
        """Check what must be right, then fold the ledger while `/livez` and `/readyz` already answer."""
        settings = read_settings()
        make_room_for_connections()
        try:
            self._runtime = runtime_of(settings)
            application.serve(self._runtime)
        except RiskgateError as error:
            log.critical("%s", error)
            raise
        if not settings.api_key and not settings.keys:
            log.warning("no API key is set: the service accepts every call and listens on loopback only")
        loop = asyncio.get_running_loop()
        self._loading = loop.create_task(self._load(self._runtime))
        self._following = loop.create_task(self._follow_keys())

    async def _follow_keys(self) -> None:
        while application.door is not None:
            await asyncio.sleep(1.0)
            application.door.refresh()

    async def _load(self, runtime: AnyRuntime) -> None:
        try:
            await runtime.prepare()
            runtime.begin()
        except Exception:
            log.critical("the service cannot start", exc_info=True)
            application.failed = True
            os.kill(os.getpid(), signal.SIGTERM)

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Write the state and close the ledger."""
        if self._following is not None:
            self._following.cancel()
        if self._loading is not None:
            await asyncio.wait([self._loading])
        if self._runtime is not None:
            await self._runtime.end()
            self._runtime = None


# The decorator has made the class a Service, which mypy cannot see: bentoml brings no types.
service: Any = Riskgate
service.add_asgi_middleware(Front)
