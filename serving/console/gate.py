"""Signing in and out, the actor of a request, and the CSRF token of its forms."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from serving.console.auth.permission import Actor
from serving.console.auth.session import COOKIE, LONGEST_SECONDS, VISIT_COOKIE, Session, Sessions
from serving.console.auth.throttle import Throttle
from serving.console.auth.users import Users
from serving.console.forms import ForeignForm
from serving.console.pages.pages import PageFrame
from serving.errors import ServiceError

#: Concurrent password checks: each takes 32 MiB and a tenth of a second of one core.
MAX_CONCURRENT_CHECKS = 2


class NotSignedIn(ServiceError):
    """A request that needs a session; a GET is redirected to the sign-in form."""

    status = 401


@dataclass(frozen=True)
class SignedIn:
    """A session and its actor."""

    session: Session
    actor: Actor


class Gate:
    """Opens, finds and closes the sessions of users."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._sessions = Sessions()
        self._throttle = Throttle()
        self._checks: anyio.CapacityLimiter | None = None

    async def sign_in(self, request: Request, fields: Mapping[str, str]) -> str | None:
        """The session cookie for a correct name and password, else None.

        Raises: ForeignForm, TooManyAttempts.
        """
        refuse_foreign(request)
        if not self._sessions.same_visit(request.cookies.get(VISIT_COOKIE), fields.get("visit", "")):
            raise ForeignForm
        name, password = fields.get("name", "").strip().lower(), fields.get("password", "")
        address = request.client.host if request.client else "unknown"
        self._throttle.admit(name, address, time.monotonic())
        if self._checks is None:
            self._checks = anyio.CapacityLimiter(MAX_CONCURRENT_CHECKS)
        user = await run_sync(self._users.authenticate, name, password, limiter=self._checks)
        if user is None:
            return None
        self._throttle.succeeded(name, address)
        _, cookie = self._sessions.open(user.name, user.password.salt, time.monotonic())
        return cookie

    def new_visit(self, request: Request) -> str:
        """The visit cookie of this browser: its own or a new one."""
        cookie = request.cookies.get(VISIT_COOKIE)
        return cookie if cookie and self._sessions.same_visit(cookie, cookie) else self._sessions.new_visit()

    def signed_in(self, request: Request) -> SignedIn | None:
        """The session and actor of a request, or None; the role is read again for each request."""
        session = self._sessions.find(request.cookies.get(COOKIE), time.monotonic())
        if session is None:
            return None
        user = self._users.find(session.name)
        if user is None or user.password.salt != session.password_salt:
            self._sessions.close(session)
            return None
        return SignedIn(session, Actor(user.name, user.role))

    def required(self, request: Request) -> SignedIn:
        """The session and actor of a request.

        Raises: NotSignedIn.
        """
        signed_in = self.signed_in(request)
        if signed_in is None:
            raise NotSignedIn(
                "Nothing was recorded.", "Go back to copy what you wrote, then sign in and send it again."
            )
        return signed_in

    def sign_out(self, signed_in: SignedIn) -> None:
        """End the session."""
        self._sessions.close(signed_in.session)


def refuse_foreign(request: Request) -> None:
    """Refuse a form that was sent from another site, according to the browser (`Sec-Fetch-Site`).

    Raises: ForeignForm.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise ForeignForm


def check_token(request: Request, session: Session, fields: Mapping[str, str]) -> None:
    """Refuse a form without the session's CSRF token.

    Raises: ForeignForm.
    """
    refuse_foreign(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):
        raise ForeignForm


def frame_of(title: str, signed_in: SignedIn | None, *, confirm: bool = True) -> PageFrame:
    """The frame of a page; `confirm` False keeps the confirmation for a later page."""
    if signed_in is None:
        return PageFrame(title, None, None, "", None)
    confirmation = signed_in.session.take_confirmation() if confirm else None
    return PageFrame(title, signed_in.actor.name, signed_in.actor.role, signed_in.session.csrf, confirmation)


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Set a cookie that is HttpOnly and SameSite=Lax."""
    response.set_cookie(
        name,
        value,
        max_age=int(LONGEST_SECONDS),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
