"""The error page: one presenter for every refusal and failure."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from features.errors import RiskgateError
from serving.console.auth.throttle import TooManyAttempts
from serving.console.gate import Gate, NotSignedIn, SignedIn, frame_of
from serving.console.pages.pages import ErrorPage
from serving.console.render import render
from serving.errors import ServiceError

log = logging.getLogger("riskgate.console")

_HEADINGS = {
    400: "That cannot be read",
    401: "Your session has ended",
    403: "Not allowed",
    404: "Not found",
    405: "Not that way",
    408: "Too slow",
    409: "Already decided",
    413: "Too large",
    429: "Please wait",
    503: "Not available just now",
}


def _page(request: Request, status: int, message: str, repair: str, code: str) -> Response:
    signed_in = _signed_in(request)
    heading = _HEADINGS.get(status, "Something went wrong")
    known = signed_in is not None
    return render(
        ErrorPage(
            frame=frame_of(heading, signed_in, confirm=False),
            heading=heading,
            message=message,
            repair=repair,
            code=code,
            back="/cases" if known else "/sign-in",
            back_text="Back to the queue" if known else "To the sign-in",
        ),
        status,
    )


def _signed_in(request: Request) -> SignedIn | None:
    """The session and actor of a request; None also while the users cannot be read."""
    gate: Gate = request.app.state.gate
    try:
        return gate.signed_in(request)
    except RiskgateError:
        return None


async def known_refusal(request: Request, error: Exception) -> Response:
    """An expected error; a GET without a session is redirected to the sign-in form and back afterwards.

    An error that is not meant for browsers (such as a damaged users file) is shown like an unknown failure.
    """
    if not isinstance(error, ServiceError):
        return await unknown_failure(request, error)
    if isinstance(error, NotSignedIn) and request.method == "GET":
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        there = f"?next={quote(wanted, safe='')}" if wanted != "/cases" else ""
        return RedirectResponse(f"/sign-in{there}", 303)
    response = _page(request, error.status, error.message, error.repair, error.code)
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


async def page_not_found(request: Request, error: Exception) -> Response:
    """A path or method that the console does not have."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _page(request, status, "This page cannot be used that way.", "Use its form.", "wrong_method")
    return _page(request, status, "There is no such page.", "Check the address, or begin at the queue.", "unknown_page")


async def unknown_failure(request: Request, error: Exception) -> Response:
    """An unexpected error: its text goes to the log and never to the browser."""
    log.error("unexpected failure", exc_info=error)
    response = _page(
        request, 500, "The review desk failed; nothing was recorded.", "Try again; if it stays, report it.", "failure"
    )
    # This reply does not pass through the middleware that adds the headers.
    response.headers.update(request.app.state.headers)
    return response
