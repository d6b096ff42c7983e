"""Builds the console in one expression: routes, middleware, exception handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.errors import RiskgateError
from serving.console.auth.users import Users
from serving.console.desk import Desk
from serving.console.gate import Gate
from serving.console.headers import SecurityHeaders, headers_of
from serving.console.pages.catalogues import Catalogues
from serving.console.refusals import known_refusal, page_not_found, unknown_failure
from serving.console.render import FOLDER
from serving.console.routes import Routes
from serving.errors import LedgerUnavailable

log = logging.getLogger("riskgate.console")

FOLD_EVERY_SECONDS = 1.0
#: Pause between slices of a long ledger, which leaves processor time to a scoring service on the same machine.
BETWEEN_SLICES_SECONDS = 0.02


def create_app(desk: Desk, users: Users, catalogues: Catalogues, hsts_seconds: int = 0) -> Starlette:
    """The console over one ledger."""
    headers = headers_of(hsts_seconds)
    gate = Gate(users)
    routes = Routes(desk, gate, catalogues)
    app = Starlette(
        routes=[
            Route("/", home),
            Route("/livez", alive),
            Route("/sign-in", routes.show_sign_in, methods=["GET"]),
            Route("/sign-in", routes.sign_in, methods=["POST"]),
            Route("/sign-out", routes.sign_out, methods=["POST"]),
            Route("/cases", routes.queue, methods=["GET"]),
            Route("/case", routes.case, methods=["GET"]),
            Route("/case", routes.resolve, methods=["POST"]),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
        ],
        middleware=[Middleware(SecurityHeaders, headers=headers)],
        exception_handlers={
            RiskgateError: known_refusal,
            HTTPException: page_not_found,
            Exception: unknown_failure,
        },
        lifespan=lambda _: _folding(desk),
    )
    app.state.gate = gate
    app.state.headers = headers
    return app


async def home(request: Request) -> Response:
    """Redirect to the queue."""
    return RedirectResponse("/cases", 303)


async def alive(request: Request) -> Response:
    """Answer that the process is alive."""
    return PlainTextResponse("ok\n")


@contextlib.asynccontextmanager
async def _folding(desk: Desk) -> AsyncIterator[None]:
    """Fold the ledger into the desk's index in the background, a slice at a time."""
    task = asyncio.create_task(_fold(desk))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _fold(desk: Desk) -> None:
    while True:
        try:
            folded = await run_sync(desk.fold_index)
        except LedgerUnavailable as error:
            log.info("the index waits for the ledger: %s", error.message)
            folded = 0
        await asyncio.sleep(BETWEEN_SLICES_SECONDS if folded else FOLD_EVERY_SECONDS)
