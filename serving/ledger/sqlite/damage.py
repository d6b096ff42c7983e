"""Says which pages of a damaged ledger are damaged, and how to go on; SQLite's own error names neither."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from serving.errors import DamagedLedger, LedgerError
from serving.ledger.reader import COLUMNS
from serving.ledger.sqlite.wal_check import steady_damage
from serving.ledger.sqlite.wal_preallocate import log_of

REPAIR = (
    "Stop the service, keep a copy of the file, and restore the last backup; without one copy what can be read with "
    '`sqlite3 ledger.sqlite .dump`: see "A damaged or shorter ledger" in docs/operate.md.'
)
WAL_REPAIR = (
    "Keep a copy of ledger.sqlite and ledger.sqlite-wal and restore the last backup, or start the service: it keeps "
    'the damaged log and goes on with what can be read. See "A damaged or shorter ledger" in docs/operate.md.'
)
#: How many findings of SQLite's own check a sentence names.
MOST_FINDINGS = 3
_CODES = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
#: Reads that a shortened file, or a file system that lost a block, answers.
_READS = frozenset((sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS))
#: What SQLite says when the bytes of page 1 that describe the file and its tables were changed.
_SCHEMA = ("no such table", "no such column", "malformed database schema", "unsupported file format")


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite says that the file holds other bytes than were written."""
    if isinstance(error, UnicodeDecodeError):  # of the driver, for a message of SQLite with damaged names
        return True
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in _CODES or code in _READS or not_text(error) or str(error).startswith(_SCHEMA)


def reason_of(error: BaseException) -> str:
    """The reason of a damage without the bytes that are no text, which may be a payment's."""
    return "a text in it is not UTF-8" if isinstance(error, UnicodeDecodeError) or not_text(error) else str(error)


def not_text(error: BaseException) -> bool:
    """Whether the driver could not decode a text; its message repeats the bytes, and it has no error code."""
    return isinstance(error, sqlite3.OperationalError) and "Could not decode to UTF-8" in str(error)


def page_findings(path: Path, *, quick: bool = False) -> list[str]:
    """What SQLite's check of all pages finds, the first few; reads the whole file. `quick` leaves the indexes out.

    Rows whose bytes changed inside a value are not found: `verify` recomputes them.
    Raises: LedgerError when the check cannot begin.
    """
    lines: list[str] = []
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as connection:
            connection.execute("PRAGMA query_only=ON")
            try:
                check = "quick_check" if quick else "integrity_check"
                for (text,) in connection.execute(f"PRAGMA {check}({MOST_FINDINGS})"):
                    lines += [line.strip() for line in str(text).splitlines()]
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the check gives up at some pages
                lines += _unreadable_events(connection) or [reason_of(error)]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise LedgerError(str(error)) from error
        lines.append(reason_of(error))
    found = [line for line in lines if line != "ok" and not line.startswith("***")]
    return list(dict.fromkeys(found))[:MOST_FINDINGS]


def _unreadable_events(connection: sqlite3.Connection) -> list[str]:
    """The events that cannot be read, the first few; the numbering has no gaps."""
    found: list[str] = []
    seq = 0
    while len(found) < MOST_FINDINGS:
        rows = connection.execute(f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq", (seq,))
        try:
            while (row := rows.fetchone()) is not None:
                seq = int(row[0])
            break
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            seq += 1
            found.append(f"event {seq} cannot be read")
    return found


def located(path: Path, error: DamagedLedger) -> DamagedLedger:
    """The same error with the damaged pages."""
    if error.located:
        return error
    try:
        found = page_findings(path)
    except LedgerError:
        return error
    if not found:
        return error
    named = f"{error.message} SQLite's check finds: {'; '.join(found)}."
    return DamagedLedger(named, error.repair, located=True)


def check_pages(path: Path) -> None:
    """Check all pages and indexes of a ledger.

    Raises: DamagedLedger.
    """
    if found := page_findings(path):
        raise pages_damaged(found)


def pages_damaged(found: list[str]) -> DamagedLedger:
    """The error of findings of SQLite's check."""
    return DamagedLedger(f"The ledger ledger.sqlite is damaged: {'; '.join(found)}.", REPAIR, located=True)


def check_wal(path: Path) -> None:
    """Check the WAL of a ledger before SQLite opens it.

    Raises: DamagedLedger.
    """
    found = steady_damage(log_of(path))
    if found is not None:
        raise DamagedLedger(found.sentence(), WAL_REPAIR, located=True)


@contextlib.contextmanager
def damage_located(path: Path) -> Iterator[None]:
    """Names the damaged pages in every DamagedLedger of the block; the check reads the whole file."""
    try:
        yield
    except DamagedLedger as error:
        raise located(path, error) from error
