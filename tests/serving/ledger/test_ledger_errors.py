"""Errors of a database driver leave the ledger as LedgerError, with the driver's own error as cause."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest

from serving.errors import LedgerError
from serving.ledger.postgres import session
from serving.ledger.sqlite.ledger import Ledger
from serving.telemetry.logs import safe_text


def test_a_file_that_is_no_database_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(LedgerError, match="not a database") as refused:
        Ledger(tmp_path / "ledger.sqlite")
    assert isinstance(refused.value.__cause__, sqlite3.DatabaseError)


def test_a_query_that_fails_raises_a_ledger_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger._sqlite.execute("ALTER TABLE events RENAME TO elsewhere")
    for query in (lambda: ledger.payment("t-1"), ledger.last_seq, lambda: list(ledger.walk()), ledger.learn_ids):
        with pytest.raises(LedgerError, match="no such table: events") as refused:
            query()
        assert isinstance(refused.value.__cause__, sqlite3.OperationalError)


def test_a_row_that_cannot_be_read_raises_a_ledger_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for fetch in (lambda rows: rows.fetchone(), lambda rows: rows.fetchall(), list):
        rows = ledger._connection.execute("SELECT 1 UNION ALL SELECT abs(-9223372036854775808)")
        with pytest.raises(LedgerError, match="integer overflow"):
            fetch(rows)


def test_a_commit_that_fails_settles_its_ticket_with_a_ledger_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.append_now("payment", "t-1", 1, 1, b"{}")

    async def twice() -> None:
        await ledger.append("payment", "t-1", 1, 1, b"{}")

    with pytest.raises(LedgerError) as refused:
        asyncio.run(twice())
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
    ledger.resume_writes()
    with pytest.raises(LedgerError) as refused:
        ledger.append_now("payment", "t-1", 1, 1, b"{}")
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)


def test_an_error_of_postgres_is_logged_without_the_values_in_its_text() -> None:
    with pytest.raises(LedgerError) as refused, session.ledger_errors():
        raise psycopg.errors.UniqueViolation("Key (transaction_id)=(t-1042) already exists.")
    assert isinstance(refused.value.__cause__, psycopg.Error)
    assert safe_text(refused.value) == "LedgerError: UniqueViolation"
