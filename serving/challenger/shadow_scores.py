"""What a challenger would have decided: `shadow.sqlite` next to the ledger, which can be rebuilt from the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    challenger TEXT NOT NULL,
    seq INTEGER NOT NULL,
    transaction_id TEXT NOT NULL,
    score REAL,
    decision TEXT NOT NULL,
    champion TEXT NOT NULL,
    champion_score REAL,
    champion_decision TEXT NOT NULL,
    PRIMARY KEY (challenger, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    challenger TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    scored INTEGER NOT NULL,
    agreed INTEGER NOT NULL,
    changed INTEGER NOT NULL
) WITHOUT ROWID;
"""


class ShadowScore(NamedTuple):
    """One payment decided by both; a score is None if there was none."""

    seq: int
    transaction_id: str
    score: float | None
    decision: str
    champion: str
    champion_score: float | None
    champion_decision: str


class Progress(NamedTuple):
    """Progress of a challenger: the last event read, payments scored, and how many were decided alike."""

    challenger: str
    seq: int
    scored: int
    agreed: int


class ShadowScores:
    """The SQLite file, for one writer or for readers."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")  # scores lost in a crash of the machine are computed again
        self._connection.executescript(_SCHEMA)

    def add(self, challenger: str, rows: Sequence[ShadowScore], seen: int) -> None:
        """Save scores, and that every event up to `seen` was read; idempotent."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        kept = agreed = 0
        for row in rows:
            cursor = execute("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (challenger, *row))
            kept += cursor.rowcount
            agreed += cursor.rowcount and row.decision == row.champion_decision
        execute(
            "INSERT INTO progress SELECT ?, ?, ?, ?, coalesce(max(changed), 0) + 1 FROM progress WHERE true"
            " ON CONFLICT (challenger) DO UPDATE SET seq = max(seq, excluded.seq), scored = scored + excluded.scored,"
            " agreed = agreed + excluded.agreed, changed = excluded.changed",
            (challenger, seen, kept, agreed),
        )
        execute("COMMIT")

    def progress(self, challenger: str | None = None) -> Progress | None:
        """The progress of one challenger, or of the one active last."""
        columns = "SELECT challenger, seq, scored, agreed FROM progress"
        if challenger is None:
            row = self._connection.execute(f"{columns} ORDER BY changed DESC LIMIT 1").fetchone()
        else:
            row = self._connection.execute(f"{columns} WHERE challenger = ?", (challenger,)).fetchone()
        return None if row is None else Progress(*row)

    def of(self, challenger: str) -> Iterator[ShadowScore]:
        """Every payment that a challenger scored, in order."""
        sql = (
            "SELECT seq, transaction_id, score, decision, champion, champion_score, champion_decision FROM scores"
            " WHERE challenger = ? ORDER BY seq"
        )
        for row in self._connection.execute(sql, (challenger,)):
            yield ShadowScore(*row)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
