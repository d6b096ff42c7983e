"""The application asked in this process, without a socket: a real runtime over a real ledger file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx

from serving.api.app import Application
from serving.engine.embedded.engine import EmbeddedEngine
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.settings import Settings
from serving.start_checks import authenticator_of
from serving.state.champion import BundleSource, open_champion

T = TypeVar("T")


def runtime_with(settings: Settings, bundle: Path) -> EmbeddedRuntime:
    """A runtime that serves this bundle."""
    source = BundleSource(lambda: bundle, settings.ledger)
    return EmbeddedRuntime(settings, open_champion(source))


class Asked:
    """One application; `load` makes it ready."""

    def __init__(self, var: Path, bundle: Path, **settings: Any) -> None:
        self.runtime = runtime_with(Settings(var=var, clock="replay", **settings), bundle)
        self.application = Application()
        self.application.serve(self.runtime, authenticator_of(self.runtime.settings))
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000")

    def load(self) -> None:
        self.runtime.load()

    @property
    def engine(self) -> EmbeddedEngine:
        assert self.runtime.engine is not None
        return self.runtime.engine

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send one request; what is no text is sent as JSON."""
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._runner.run(self._client.request(method, path, content=content, headers=names))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something of the engine in the loop of the application."""
        return self._runner.run(work)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.runtime.end())
        self._runner.close()
