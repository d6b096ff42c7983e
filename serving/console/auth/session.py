"""Sessions in the memory of the process, named by signed cookies.

A cookie holds only a random identifier and its signature, so signing out ends a session on the server too. Sessions and
the signing key live as long as the process: a restart signs every user out.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer

COOKIE = "riskgate_desk"
#: Ties the sign-in form to the browser that requested it, before there is a session.
VISIT_COOKIE = "riskgate_visit"
IDLE_SECONDS = 60 * 60.0
LONGEST_SECONDS = 12 * 60 * 60.0


@dataclass
class Session:
    """One signed-in browser; times in seconds, monotonic.

    `password_salt` is the salt of the password at sign-in: a changed password ends the session.
    """

    identifier: str
    name: str
    password_salt: bytes
    csrf: str
    opened_at: float
    seen_at: float
    confirmation: str | None = None

    def take_confirmation(self) -> str | None:
        """The confirmation for the next page; returned once."""
        confirmation, self.confirmation = self.confirmation, None
        return confirmation


class Sessions:
    """The sessions of this process."""

    def __init__(self) -> None:
        self._signer = Signer(secrets.token_bytes(32), salt="riskgate-desk")
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open(self, name: str, password_salt: bytes, now: float) -> tuple[Session, str]:
        """A new session with a new identifier, and the value of its cookie."""
        session = Session(secrets.token_urlsafe(24), name, password_salt, secrets.token_urlsafe(24), now, now)
        with self._lock:
            for old in [s for s in self._sessions.values() if _is_over(s, now)]:
                del self._sessions[old.identifier]
            self._sessions[session.identifier] = session
        return session, self._signer.sign(session.identifier).decode()

    def find(self, cookie: str | None, now: float) -> Session | None:
        """The session that a cookie names, if its signature is valid and the session has not expired."""
        identifier = self._unsigned(cookie)
        session = None if identifier is None else self._sessions.get(identifier)
        if session is None or _is_over(session, now):
            return None
        session.seen_at = now
        return session

    def close(self, session: Session) -> None:
        """End a session; its cookie is no longer accepted."""
        with self._lock:
            self._sessions.pop(session.identifier, None)

    def new_visit(self) -> str:
        """A new value of the visit cookie, which the sign-in form must repeat."""
        return self._signer.sign(secrets.token_urlsafe(24)).decode()

    def same_visit(self, cookie: str | None, token: str) -> bool:
        """Whether a sign-in form came from the browser that requested it."""
        return self._unsigned(cookie) is not None and hmac.compare_digest((cookie or "").encode(), token.encode())

    def _unsigned(self, cookie: str | None) -> str | None:
        if cookie is None:
            return None
        try:
            return self._signer.unsign(cookie).decode()
        except BadSignature:
            return None


def _is_over(session: Session, now: float) -> bool:
    return now - session.seen_at > IDLE_SECONDS or now - session.opened_at > LONGEST_SECONDS
