"""Sessions of PostgreSQL; errors of the driver leave this room as LedgerError, and no text repeats a password."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from serving.errors import CannotStart, LedgerError, LedgerUnavailable
from serving.ledger.postgres.events import READING
from serving.ledger.reader import Rows

#: Time-outs of a connection attempt and of one statement of a service, seconds.
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30

Session = psycopg.Connection[tuple[Any, ...]]


@contextlib.contextmanager
def ledger_errors() -> Iterator[None]:
    """Raises errors of psycopg as LedgerError, whose text is the kind: the driver's own may repeat values."""
    try:
        yield
    except psycopg.Error as error:
        raise LedgerError(type(error).__name__) from error


def place_of(url: str) -> str:
    """Server and database of a URL, without user and password: `127.0.0.1:5432/risk`.

    Raises: CannotStart when it cannot be read as a URL.
    """
    try:
        known = conninfo_to_dict(url)
    except psycopg.Error:
        # The driver's own message repeats the URL with its password: it is not even kept as the cause.
        raise CannotStart(
            "RISKGATE_POSTGRES_URL cannot be read as a URL.",
            "Write postgresql://user:password@host:5432/database; signs like @ and / in the password as %40 and %2F.",
        ) from None
    return f"{known.get('host') or 'localhost'}:{known.get('port') or 5432}/{known.get('dbname') or ''}"


def session(url: str, name: str = "riskgate", statement_seconds: int = STATEMENT_SECONDS) -> Session:
    """A connection in autocommit mode; `statement_seconds` 0: no time-out.

    Raises: CannotStart when the URL is wrong; psycopg.Error when the server refuses (see `ledger_errors`).
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
    """A connection at the start of a process, which does not start without the server.

    Raises: CannotStart with the server's message and the repair.
    """
    try:
        return session(url, name)
    except psycopg.Error as error:
        reason = _reason(url, error)
        raise CannotStart(
            f"PostgreSQL at {place_of(url)} does not let the service in: {reason}",
            "Start the server (pg_ctlcluster or pg_ctl start), create the database (createdb), or correct "
            "RISKGATE_POSTGRES_URL.",
        ) from None


def _reason(url: str, error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    password = conninfo_to_dict(url).get("password")
    first = lines[0].rstrip(".") + "."
    return first.replace(str(password), "***") if password else first


class QmarkSession:
    """A session with parameters in qmark style (`?`), as the queries of the ledger are written."""

    def __init__(self, own: Session) -> None:
        self._session = own

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement; in the text protocol a body would come in hex, twice as long."""
        return self._session.execute(sql.replace("?", "%s"), values, binary=True)

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class PostgresReader:
    """A connection for readers that reconnects; parameters in qmark style.

    `events` in a statement is the query of serving/ledger/postgres/events.py. Thread-safe, one statement at a time.
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
                    return QmarkSession(self._session).execute(READING + sql, values)
                except psycopg.Error as error:
                    lost = self._session is None or self._session.closed
                    # A connection that broke while idle is replaced once; a failure of a new one is raised.
                    if lost and not fresh and attempt == 1:
                        continue
                    raise LedgerUnavailable(
                        "PostgreSQL, which holds the ledger, does not answer.",
                        "Try again in a moment; if it persists, ask the operator of the scoring service.",
                    ) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
