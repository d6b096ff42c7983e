"""Who is at the desk: signing in and out, the actor of a request, and the token of its forms."""

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
from serving.console.pages.pages import Frame
from serving.errors import ServiceError

#: One password check takes 32 MiB and a tenth of a second of one core: no more than this many at once.
CHECKS_AT_ONCE = 2


class NotSignedIn(ServiceError):
    """Something that needs somebody signed in; who only wanted to look is led to the sign-in form."""

    code = "not_signed_in"
    status = 401


@dataclass(frozen=True)
class Entrant:
    """A session and the actor it belongs to."""

    session: Session
    actor: Actor


class Gate:
    """Keeps sessions and users together."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._sessions = Sessions()
        self._throttle = Throttle()
        self._checks: anyio.CapacityLimiter | None = None

    async def sign_in(self, request: Request, fields: Mapping[str, str]) -> str | None:
        """The session cookie for right words, None for wrong ones.

        Raises: ForeignForm, TooManyAttempts.
        """
        refuse_foreign(request)
        if not self._sessions.same_visit(request.cookies.get(VISIT_COOKIE), fields.get("visit", "")):
            raise ForeignForm
        name, password = fields.get("name", "").strip().lower(), fields.get("password", "")
        address = request.client.host if request.client else "unknown"
        self._throttle.admit(name, address, time.monotonic())
        if self._checks is None:
            self._checks = anyio.CapacityLimiter(CHECKS_AT_ONCE)
        user = await run_sync(self._users.signed_in, name, password, limiter=self._checks)
        if user is None:
            return None
        self._throttle.succeeded(name, address)
        _, cookie = self._sessions.open(user.name, user.password.salt, time.monotonic())
        return cookie

    def new_visit(self, request: Request) -> str:
        """The visit of this browser, the one it has or a new one."""
        cookie = request.cookies.get(VISIT_COOKIE)
        return cookie if cookie and self._sessions.same_visit(cookie, cookie) else self._sessions.new_visit()

    def entrant(self, request: Request) -> Entrant | None:
        """Who sends this request, with the role of this very moment, or None."""
        session = self._sessions.find(request.cookies.get(COOKIE), time.monotonic())
        if session is None:
            return None
        user = self._users.find(session.name)
        if user is None or user.password.salt != session.password_salt:
            self._sessions.close(session)
            return None
        return Entrant(session, Actor(user.name, user.role))

    def required(self, request: Request) -> Entrant:
        """Who sends this request.

        Raises: NotSignedIn.
        """
        entrant = self.entrant(request)
        if entrant is None:
            raise NotSignedIn(
                "Nothing was recorded.", "Go back to copy what you wrote, then sign in and send it again."
            )
        return entrant

    def sign_out(self, entrant: Entrant) -> None:
        """End the session."""
        self._sessions.close(entrant.session)


def refuse_foreign(request: Request) -> None:
    """Refuse a form that the browser says was sent from another site.

    Raises: ForeignForm.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise ForeignForm


def check_token(request: Request, session: Session, fields: Mapping[str, str]) -> None:
    """Refuse a form that does not carry the session's token.

    Raises: ForeignForm.
    """
    refuse_foreign(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):
        raise ForeignForm


def frame_of(title: str, entrant: Entrant | None, *, confirm: bool = True) -> Frame:
    """What surrounds a page; `confirm` False keeps the confirmation for a later page."""
    if entrant is None:
        return Frame(title, None, None, "", None)
    said = entrant.session.take_confirmation() if confirm else None
    return Frame(title, entrant.actor.name, entrant.actor.role, entrant.session.csrf, said)


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Give the browser a cookie that no script sees and no other site sends."""
    response.set_cookie(
        name,
        value,
        max_age=int(LONGEST_SECONDS),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
