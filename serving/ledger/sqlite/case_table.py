"""The table of cases in the SQLite ledger: a case is opened in the transaction that appends its decision."""

from __future__ import annotations

import sqlite3

from serving.decision.case_row import FORMER_REFERENCE, CaseRow, risk_minor

SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
    transaction_id TEXT PRIMARY KEY,
    opened_ms INTEGER NOT NULL,
    decision TEXT NOT NULL,
    score REAL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    payer_id TEXT NOT NULL,
    device_id TEXT,
    payee_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'open',
    risk_minor INTEGER NOT NULL,
    verdict TEXT,
    verdict_by TEXT,
    verdict_at INTEGER,
    note TEXT
);
CREATE INDEX IF NOT EXISTS cases_by_risk ON cases (status, risk_minor DESC, transaction_id);
"""


def create_schema(connection: sqlite3.Connection) -> None:
    """Create the table of cases and its index if they are missing."""
    for statement in SCHEMA.split(";"):
        if statement.strip():
            connection.execute(statement)


def open_case(connection: sqlite3.Connection, case: CaseRow) -> None:
    """Open a case; without `at_risk_minor` (a row of an older release) the reference currency is FORMER_REFERENCE."""
    at_risk_minor = case.at_risk_minor
    if at_risk_minor is None:
        at_risk_minor = risk_minor(case.score, case.amount_minor, case.currency, FORMER_REFERENCE)
    connection.execute(
        "INSERT INTO cases (transaction_id, opened_ms, decision, score, amount_minor, currency, payer_id,"
        " device_id, payee_id, status, risk_minor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            case.transaction_id, case.opened_ms, case.decision, case.score, case.amount_minor, case.currency,
            case.payer_id, case.device_id, case.payee_id, at_risk_minor,
        ),
    )  # fmt: skip
