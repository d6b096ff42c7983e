"""Who is signed in: signed cookies that name a session kept in the process.

The cookie holds a random identifier and its signature, nothing else, so signing out truly ends a session.
Sessions and the signing key live as long as the process: a restart signs everybody out.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer

COOKIE = "riskgate_desk"
#: Ties the sign-in form to the browser it was shown to, before there is a session.
VISIT_COOKIE = "riskgate_visit"
IDLE_SECONDS = 60 * 60.0
LONGEST_SECONDS = 12 * 60 * 60.0


@dataclass
class Session:
    """One signed-in browser; times in seconds, monotonic.

    `password_salt` is the one the password had at sign-in: a changed password ends the session.
    """

    identifier: str
    name: str
    password_salt: bytes
    csrf: str
    opened_at: float
    seen_at: float
    confirmation: str | None = None

    def take_confirmation(self) -> str | None:
        """What the next page should confirm; told once."""
        said, self.confirmation = self.confirmation, None
        return said


class Sessions:
    """The sessions of this process."""

    def __init__(self) -> None:
        self._signer = Signer(secrets.token_bytes(32), salt="riskgate-desk")
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open(self, name: str, password_salt: bytes, now: float) -> tuple[Session, str]:
        """A new session and the value of its cookie; always a fresh identifier."""
        session = Session(secrets.token_urlsafe(24), name, password_salt, secrets.token_urlsafe(24), now, now)
        with self._lock:
            for old in [s for s in self._sessions.values() if _is_over(s, now)]:
                del self._sessions[old.identifier]
            self._sessions[session.identifier] = session
        return session, self._signer.sign(session.identifier).decode()

    def find(self, cookie: str | None, now: float) -> Session | None:
        """The session a cookie names, if its signature is ours and it is not over."""
        identifier = self._unsigned(cookie)
        session = None if identifier is None else self._sessions.get(identifier)
        if session is None or _is_over(session, now):
            return None
        session.seen_at = now
        return session

    def close(self, session: Session) -> None:
        """End a session: its cookie is worth nothing from now on."""
        with self._lock:
            self._sessions.pop(session.identifier, None)

    def new_visit(self) -> str:
        """The value of a visit cookie, which the sign-in form must repeat."""
        return self._signer.sign(secrets.token_urlsafe(24)).decode()

    def same_visit(self, cookie: str | None, token: str) -> bool:
        """Whether a sign-in form was shown to the browser that sends it."""
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
