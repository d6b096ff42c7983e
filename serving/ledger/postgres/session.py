"""A connection to PostgreSQL that speaks the ledger's words and never repeats a password."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from serving.errors import CannotStart, LedgerUnavailable
from serving.ledger.postgres.events import READING
from serving.ledger.reader import Rows

#: How long to wait for a server that does not answer, and for one statement of a service, seconds.
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30

#: What talking to PostgreSQL may raise; nobody else needs to know the driver.
DatabaseError = psycopg.Error
Session = psycopg.Connection[tuple[Any, ...]]


def place_of(url: str) -> str:
    """Where a URL points, without user and password: `127.0.0.1:5432/risk`.

    Raises: CannotStart when it cannot be read as a URL.
    """
    try:
        known = conninfo_to_dict(url)
    except psycopg.Error:
        # The driver's own sentence would repeat the URL, password and all: it is not even kept as the cause.
        raise CannotStart(
            "RISKGATE_POSTGRES_URL cannot be read as a URL.",
            "Write postgresql://user:password@host:5432/database; signs like @ and / in the password as %40 and %2F.",
        ) from None
    return f"{known.get('host') or 'localhost'}:{known.get('port') or 5432}/{known.get('dbname') or ''}"


def session(url: str, name: str = "riskgate", statement_seconds: int = STATEMENT_SECONDS) -> Session:
    """A connection in autocommit mode; 0: a statement may take as long as it likes.

    Raises: CannotStart when the URL is wrong; psycopg.Error when the server does not let us in.
    """
    place_of(url)
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=name,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        options=f"-c statement_timeout={statement_seconds * 1000}",
    )


def first_session(url: str, name: str = "riskgate") -> Session:
    """A connection at the start of a process, where a server that is missing is a reason not to start.

    Raises: CannotStart with what the server said and what to do.
    """
    try:
        return session(url, name)
    except psycopg.Error as error:
        said = _reason(url, error)
        raise CannotStart(
            f"PostgreSQL at {place_of(url)} does not let the service in: {said}",
            "Start the server (pg_ctlcluster or pg_ctl start), create the database (createdb), or correct "
            "RISKGATE_POSTGRES_URL.",
        ) from None


def _reason(url: str, error: psycopg.Error) -> str:
    told = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    password = conninfo_to_dict(url).get("password")
    said = told[0].rstrip(".") + "."
    return said.replace(str(password), "***") if password else said


class Asking:
    """A session as a reader of the ledger sees it: `?` stands for a value."""

    def __init__(self, own: Session) -> None:
        self._session = own

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement; as text a body would come in hex, twice as long."""
        return self._session.execute(sql.replace("?", "%s"), values, binary=True)

    def close(self) -> None:
        """Let the session go."""
        self._session.close()


class Database:
    """A connection for readers: `?` stands for a value, and after a lost connection the next question makes a new one.

    `events` in a statement is what serving/ledger/postgres/events.py says.
    Safe to use from several threads, one statement at a time.
    """

    def __init__(self, url: str, name: str = "riskgate", statement_seconds: int = STATEMENT_SECONDS) -> None:
        self._url = url
        self._statement_seconds = statement_seconds
        self._name = name
        self._lock = threading.Lock()
        self._session: Session | None = None

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement.

        Raises: LedgerUnavailable when PostgreSQL does not answer.
        """
        with self._lock:
            for attempt in (1, 2):
                fresh = self._session is None or self._session.closed
                try:
                    if self._session is None or self._session.closed:
                        self._session = session(self._url, self._name, self._statement_seconds)
                    return Asking(self._session).execute(READING + sql, values)
                except psycopg.Error as error:
                    lost = self._session is None or self._session.closed
                    # A connection that broke while it rested is made anew, once; a new one that breaks is told.
                    if lost and not fresh and attempt == 1:
                        continue
                    raise LedgerUnavailable(
                        "PostgreSQL, which keeps the ledger, does not answer just now.",
                        "Try again in a moment; if it stays, ask who runs the scoring service.",
                    ) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
