"""What is done to the ledger of a stopped service: let a history in, write a snapshot."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue.catalogue import catalogue
from features.errors import InvalidHistory
from features.history.normalise import check_words, normalised
from features.history.parquet import read_table
from features.history.schema import check_history, complete, own_schema, times_ms
from features.intake.pseudonyms import Pseudonyms
from serving.errors import CannotStart
from serving.ledger import history_segment
from serving.ledger.hash_key import settle_hashing
from serving.ledger.promotions import latest_catalogue
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.settings import Settings
from serving.state.fold import HistoryEvent, encode
from serving.state.foldable import step_of
from serving.state.startup import fold_ledger, lock, save_snapshot

#: A late label reads one row group of a hashed segment.
ROWS_PER_GROUP = 1 << 15


def take_history(settings: Settings, source: Path, until_ms: int | None = None) -> HistoryEvent:
    """Append one `history` event to a ledger without payments and keep the parquet beside it.

    `until_ms`: what became known at or after this moment (ms UTC) stays unknown; default: right after the
    last payment.
    Raises: InvalidHistory, CannotStart when the service runs or has scored payments already.
    """
    held = lock(settings)
    try:
        ledger = Ledger(settings.ledger_path, settings.ledger_sync)
        try:
            if ledger.has_past():
                raise CannotStart(
                    "The ledger already holds payments or a history: the past comes first, and once.",
                    "Set RISKGATE_VAR to a new folder, import there, and start the service on it.",
                )
            event = kept_history(settings, source, until_ms, settle_hashing(ledger, settings))
            ledger.append_now("history", "", event.last_ms, time.time_ns() // 1_000_000, encode(event))
        finally:
            ledger.close()
    finally:
        held.close()
    return event


def kept_history(settings: Settings, source: Path, until_ms: int | None, names: Pseudonyms | None) -> HistoryEvent:
    """Check a history, keep it beside the ledger (hashed when `names` says so), and what the ledger says of it.

    Raises: InvalidHistory, CannotFold for an `until_ms` out of range.
    """
    if not source.exists():
        raise InvalidHistory(f"There is no file {source}.", "Make it with `python -m training history`.")
    given = read_table(source)
    complete_table = complete(given, own_schema(given))
    table = normalised(complete_table)
    check_history(table)
    check_words(table)
    if table.num_rows == 0:
        raise InvalidHistory(f"{source} holds no payment.", "Import a history that does, or start without one.")
    times = times_ms(table["event_time"])
    last_ms = int(times.max())
    folder = settings.var / "segments"
    # A file of other types, words or columns is kept as what was checked: labels read its rows one by one.
    if names is None and table is complete_table and _as_given(table, given):
        sha256 = history_segment.keep(source, folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "kept.partial"
        pq.write_table(table if names is None else names.of_history(table), kept, row_group_size=ROWS_PER_GROUP)
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


def write_snapshot(settings: Settings) -> Path:
    """Fold the ledger of a stopped service and write the state; production keeps its state in Redis.

    Raises: CannotStart when the service runs, and in production.
    """
    if settings.production:
        raise CannotStart(
            "In production the state lives in Redis; there is no snapshot to write.",
            "Unset RISKGATE_REDIS_URL and RISKGATE_POSTGRES_URL for an embedded ledger.",
        )
    held = lock(settings)
    try:
        ledger = Ledger(settings.ledger_path, settings.ledger_sync)
        try:
            return save_snapshot(fold_ledger(ledger, latest_catalogue(settings, ledger), settings), ledger, settings)
        finally:
            ledger.close()
    finally:
        held.close()
