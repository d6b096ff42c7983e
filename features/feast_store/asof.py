"""As-of joins on parquet: the row of a file that was known at each asking row's time, linear in the rows.

Two rules, the same as online:

* A row is visible once both of its times have passed: the event timestamp and, where the file has one, the created
  timestamp (docs/design.md, law 3). Among visible rows the newest event wins, then the row created last, then the
  last row of the file. An equal time counts as passed.
* A velocity row is "the value just before this payment" and carries the payment's `transaction_id`. If the asking
  row carries one too, the join takes exactly that row, which distinguishes payments of the same millisecond.

Only row *positions* go through SQL (DuckDB's `ASOF JOIN`); the feature columns are then gathered from parquet a few
at a time. So 100 features cost little more than one, and memory stays near the size of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import InvalidHistory

Positions = npt.NDArray[np.int64]

TRANSACTION_ID: Final = "transaction_id"
NOT_FOUND: Final = -1
_MEMORY_LIMIT: Final = "2GB"
_COLUMNS_AT_ONCE: Final = 16


class AsOfJoin:
    """One parquet file joined to the asking rows; views on the same file share the work."""

    def __init__(
        self, path: Path, event_column: str, created_column: str | None, asked: pa.Table, moments: Positions
    ) -> None:
        self._path, self._asked, self._moments = path, asked, moments
        self._file = pq.ParquetFile(path)
        self._events = microseconds(self._read(event_column))
        self._created = microseconds(self._read(created_column)) if created_column else self._events
        self._of_same_transaction: Positions | None = None

    def positions(self, join_keys: Sequence[tuple[str, str]], ttl_us: int | None) -> Positions:
        """int64[asking rows]: the row of the file that is visible to each asking row, -1 for none.

        join_keys: (column of the asking rows, column of the file). ttl_us: for how many microseconds after its event
        a row is valid, None for unlimited.
        """
        if not len(self._events):
            return np.full(self._asked.num_rows, NOT_FOUND, np.int64)
        pairs = [(_ids(self._asked.column(asked)), _ids(self._read(kept))) for asked, kept in join_keys]
        found = self._exact().copy()
        for asked_ids, kept_ids in pairs:
            same = pc.equal(asked_ids, kept_ids.take(_nullable(found)))
            found[~same.fill_null(False).to_numpy(zero_copy_only=False)] = NOT_FOUND
        found[self._too_early(found)] = NOT_FOUND
        open_rows = np.flatnonzero(found == NOT_FOUND)
        if len(open_rows):
            found[open_rows] = self._newest_seen(open_rows, pairs)
        if ttl_us is not None:
            age = self._moments - self._events[found]
            found[(found != NOT_FOUND) & (age > ttl_us)] = NOT_FOUND
        return found

    def gather(self, names: Sequence[str], positions: Positions) -> Iterator[tuple[str, pa.Array | pa.ChunkedArray]]:
        """The named columns at these rows; null where the position is -1."""
        as_stored = np.array_equal(positions, np.arange(len(self._events)))
        indices = None if as_stored else _nullable(positions)
        for start in range(0, len(names), _COLUMNS_AT_ONCE):
            table = self._table(names[start : start + _COLUMNS_AT_ONCE])
            for name in table.column_names:
                column = table.column(name)
                yield name, column if indices is None else column.combine_chunks().take(indices)

    def _table(self, names: Sequence[str]) -> pa.Table:
        unknown = [name for name in names if name not in self._file.schema_arrow.names]
        if unknown:
            raise InvalidHistory(
                f"{self._path.name} has no column `{unknown[0]}`.",
                "It was written with another catalogue: run `python -m features replay` again.",
                field=unknown[0],
            )
        return self._file.read(columns=list(names))

    def _read(self, name: str) -> pa.Array:
        return self._table([name]).column(name).combine_chunks()

    def _exact(self) -> Positions:
        if self._of_same_transaction is None:
            found = np.full(self._asked.num_rows, NOT_FOUND, np.int64)
            if TRANSACTION_ID in self._file.schema_arrow.names and TRANSACTION_ID in self._asked.column_names:
                asked = pa.table({"row": _range(len(found)), "tx": _ids(self._asked.column(TRANSACTION_ID))})
                kept = pa.table({"n": _range(len(self._events)), "tx": _ids(self._read(TRANSACTION_ID))})
                sql = "SELECT row, n FROM asked JOIN kept USING (tx) WHERE tx <> ''"
                pairs = _query(sql, asked=asked, kept=kept)
                found[pairs.column("row").to_numpy()] = pairs.column("n").to_numpy()
            self._of_same_transaction = found
        return self._of_same_transaction

    def _too_early(self, found: Positions) -> npt.NDArray[np.bool_]:
        seen_from = np.maximum(self._events, self._created)
        early: npt.NDArray[np.bool_] = (found != NOT_FOUND) & (seen_from[found] > self._moments)
        return early

    def _newest_seen(self, rows: Positions, pairs: list[tuple[pa.Array, pa.Array]]) -> Positions:
        keys = [f"k{i}" for i in range(len(pairs))]
        asked = pa.table(
            [_range(len(rows)), self._moments[rows], *(ids.take(pa.array(rows)) for ids, _ in pairs)],
            names=["row", "at", *keys],
        )
        kept = pa.table(
            [_range(len(self._events)), self._events, self._created, *(ids for _, ids in pairs)],
            names=["n", "event", "created", *keys],
        )
        # A version is visible from `seen` on. The result at a time is the greatest (event, created, arrival) of the
        # versions visible by then: a running maximum over `seen` (peers included).
        sql = f"""
            WITH known AS (
                SELECT DISTINCT {_names(keys)}, seen, max({{'e': event, 'c': created, 'n': n}}) OVER (
                    PARTITION BY {_names(keys)} ORDER BY seen
                    RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS newest
                FROM (SELECT *, greatest(event, created) AS seen FROM kept
                      SEMI JOIN asked USING ({_names(keys)}))
            )
            SELECT asked.row, known.newest.n AS n FROM asked ASOF JOIN known
            ON {" AND ".join(f"asked.{key} = known.{key}" for key in keys)} AND asked.at >= known.seen
            WHERE {" AND ".join(f"asked.{key} <> ''" for key in keys)}
        """
        answer = _query(sql, asked=asked, kept=kept)
        found = np.full(len(rows), NOT_FOUND, np.int64)
        found[answer.column("row").to_numpy()] = answer.column("n").to_numpy()
        return found


def newest_rows(
    path: Path,
    keys: Sequence[str],
    columns: Sequence[str],
    times: Sequence[str],
    start: datetime,
    end: datetime,
) -> pa.Table:
    """The newest row of each key with an event in [start, end]; `times` is (event[, created])."""
    order = ", ".join(f"{_name(column)} DESC" for column in times)
    newest = f"QUALIFY row_number() OVER (PARTITION BY {_names(keys)} ORDER BY {order}) = 1"
    return _rows_between(path, [*keys, *columns, *times], times[0], start, end, newest)


def all_rows(
    path: Path, columns: Sequence[str], times: Sequence[str], start: datetime | None, end: datetime | None
) -> pa.Table:
    """Every row with an event in [start, end] (None: no bound), oldest first; `times`: (event[, created])."""
    return _rows_between(path, [*columns, *times], times[0], start, end, f"ORDER BY {_names(times)}")


def _rows_between(
    path: Path, columns: Sequence[str], event: str, start: datetime | None, end: datetime | None, ending: str
) -> pa.Table:
    bounds = [(sign, moment) for sign, moment in ((">=", start), ("<=", end)) if moment is not None]
    conditions = " AND ".join(["true", *(f"{_name(event)} {sign} ?" for sign, _ in bounds)])
    sql = f"SELECT {_names(columns)} FROM read_parquet(?) WHERE {conditions} {ending}"
    # Feast writes only the first batch of what it materialises, hence one chunk per column.
    return _query(sql, str(path), *(moment for _, moment in bounds)).combine_chunks()


def _query(sql: str, *values: object, **tables: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{_MEMORY_LIMIT}'")
        connection.execute("SET enable_progress_bar = false")
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql, params=list(values)).to_arrow_table()


def microseconds(times: pa.Array | pa.ChunkedArray) -> Positions:
    """Times of any unit as int64 microseconds UTC; a naive time is UTC, as in Feast."""
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks()
    micro = times.cast(pa.timestamp("us", getattr(times.type, "tz", None)), safe=False)
    values: Positions = micro.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def _ids(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as text; null and the empty text both mean "not sent" and match only each other."""
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    return pc.fill_null(ids.cast(pa.string()), "")


def _nullable(positions: Positions) -> pa.Array:
    return pa.array(positions, mask=positions == NOT_FOUND)


def _range(length: int) -> pa.Array:
    return pa.array(np.arange(length, dtype=np.int64))


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _names(columns: Iterable[str]) -> str:
    return ", ".join(_name(column) for column in columns)
