"""Changes to the ledger of a stopped service: import a history, write a snapshot."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue.catalogue import catalogue
from features.errors import InvalidHistory
from features.history.card_numbers import is_marked, tokenised
from features.history.normalise import check_words, normalised, pseudonymised
from features.history.parquet import read_table
from features.history.schema import check_history, complete, own_schema, times_ms
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from serving.errors import CannotStart
from serving.ledger import history_segment
from serving.ledger.event_bodies import HistoryEvent, encode
from serving.ledger.hash_key import bind_hash_key
from serving.ledger.open import damage_refused
from serving.ledger.promotions import latest_catalogue
from serving.ledger.sqlite.damage import check_wal
from serving.ledger.sqlite.guard import LedgerGuard
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.ledger.sqlite.process_lock import lock
from serving.ledger.token_key import tokens_of
from serving.state import snapshots
from serving.state.foldable import step_of
from serving.state.startup import fold_ledger
from serving.store_config import LedgerConfig

#: A late label decodes one row group of a hashed segment.
ROWS_PER_GROUP = 1 << 15


def append_history(config: LedgerConfig, source: Path, until_ms: int | None = None) -> HistoryEvent:
    """Append one `history` event to a ledger without payments and store the parquet next to it.

    `until_ms`: outcomes and labels from this time on (ms UTC) are left out; default: right after the last payment.
    Raises: InvalidHistory, CannotStart when the service runs or has scored payments already.
    """
    with _stopped(config) as ledger:
        if ledger.has_past():
            raise CannotStart(
                "The ledger already holds payments or a history: a history is imported once, before all payments.",
                "Set RISKGATE_VAR to a new folder, import there, and start the service on it.",
            )
        names, tokens = bind_hash_key(ledger, config.hash_key), tokens_of(config, ledger)
        event = store_history(config.segments, source, until_ms, names, tokens)
        ledger.append_now("history", "", event.last_ms, time.time_ns() // 1_000_000, encode(event))
    return event


@contextlib.contextmanager
def _stopped(config: LedgerConfig) -> Iterator[Ledger]:
    """The ledger of a stopped service, locked until the end of the block.

    Raises: CannotStart when the service runs, or the file is damaged.
    """
    with lock(config.var), damage_refused(config.sqlite):
        check_wal(config.sqlite)
        guard = LedgerGuard(config.sqlite)
        ledger = Ledger(config.sqlite, config.sync)
        try:
            guard.begin(ledger)
            yield ledger
            guard.end(ledger)
        finally:
            ledger.close()


def store_history(
    folder: Path, source: Path, until_ms: int | None, names: Pseudonyms | None, tokens: Tokens | None = None
) -> HistoryEvent:
    """Check a history and store it in a folder (hashed if there are `names`); returns its event body.

    `tokens` replaces clear card numbers; without it they are refused.
    Raises: InvalidHistory, CannotFold for an `until_ms` out of range.
    """
    if not source.exists():
        raise InvalidHistory(f"There is no file {source}.", "Make it with `python -m training history`.")
    given = read_table(source)
    complete_table = complete(given, own_schema(given))
    table = normalised(complete_table)
    is_marked(given, tokens, source.name)
    table = tokenised(table, tokens, source.name)
    check_history(table)
    check_words(table)
    if table.num_rows == 0:
        raise InvalidHistory(f"{source} has no payments.", "Import a history with payments, or start without one.")
    times = times_ms(table["event_time"])
    last_ms = int(times.max())
    # A file with other types, words or columns is stored as the table that was checked: late labels read its rows.
    if names is None and table is complete_table and _as_given(table, given):
        sha256 = history_segment.keep(source, folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "kept.partial"
        pq.write_table(table if names is None else pseudonymised(table, names), kept, row_group_size=ROWS_PER_GROUP)
        sha256 = history_segment.keep(kept, folder)
        kept.unlink()
    event = HistoryEvent(
        sha256=sha256,
        rows=table.num_rows,
        first_ms=int(times.min()),
        last_ms=last_ms,
        until_ms=last_ms + 1 if until_ms is None else until_ms,
        source=source.name,
    )
    step_of(Event(0, "history", "", last_ms, last_ms, encode(event)), catalogue())
    return event


def _as_given(table: pa.Table, given: pa.Table) -> bool:
    return bool(table.schema.names == given.schema.names and table.schema.types == given.schema.types)


def write_snapshot(config: LedgerConfig) -> Path:
    """Fold the ledger of a stopped service and write the state; in production the state is in Redis.

    Raises: CannotStart when the service runs, and in production.
    """
    if config.postgres_url:
        raise CannotStart(
            "In production the state is in Redis; there is no snapshot to write.",
            "Unset RISKGATE_REDIS_URL and RISKGATE_POSTGRES_URL for an embedded ledger.",
        )
    with _stopped(config) as ledger:
        fold = fold_ledger(ledger, latest_catalogue(ledger, config.bundles), config)
        ledger.learn_ids(fold.ids, fold.snapshot_seq)
        return snapshots.save(fold, ledger, config.snapshots)
