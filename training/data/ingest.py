"""Converts a source file by its mapping into the normalised history, column by column and vectorised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from features.errors import InvalidHistory
from features.history.card_numbers import marked, tokenised
from features.history.schema import TIME, check_history, complete, history_schema
from features.intake.tokens import Tokens
from training.data.source_map import Column, Dataset, Label, Source

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ROUNDING_NOISE = 1e-6
"""Largest distance of a product from a whole minor unit that counts as floating point noise."""


class _UnreadableError(Exception):
    """One column cannot be converted; the text is a sentence with the repair."""


def history(dataset: Dataset, folder: Path, tokens: Tokens | None = None) -> pa.Table:
    """The data set's payments as a history (features.history.schema), in order of event time.

    Args:
        dataset: a data set with a `source`.
        folder: where the source file lies.
        tokens: replaces clear card numbers (docs/design.md, law 7); None: they are refused.

    Raises:
        InvalidHistory: the file is absent, a mapped column is missing, a value cannot be converted, rows are
            unsorted or occur twice; the message names every problem.
    """
    source = _source_of(dataset)
    table = _read(dataset, source, folder)
    columns: dict[str, Any] = {}
    problems: list[str] = []
    wanted = dict(source.columns) | {f"attr_{a.name}": a.column for a in dataset.attributes}
    for name, column in wanted.items():
        try:
            columns[name] = _convert(column, table, name)
        except _UnreadableError as problem:
            problems.append(f"{name}: {problem}")
    if problems:
        raise InvalidHistory(f"{source.file} cannot become a history: " + " ".join(problems), "")
    columns |= _labels(source.label, table, columns["event_time"])
    payments = complete(pa.table(columns), history_schema(dataset.catalogue_parameters()))
    return _in_order(tokenised(payments, tokens, source.file), source)


def write_history(dataset: Dataset, folder: Path, target: Path, tokens: Tokens | None = None) -> int:
    """Write the history as parquet, atomically; returns the number of payments.

    Raises:
        InvalidHistory: as `history`.
    """
    payments = marked(history(dataset, folder, tokens), tokens)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    pq.write_table(payments, partial, compression="lz4")
    partial.replace(target)
    return int(payments.num_rows)


def _source_of(dataset: Dataset) -> Source:
    if dataset.source is None:
        raise InvalidHistory(
            f"The data set {dataset.name} has no `source`: it expects a history that is normalised already.",
            "Pass that history with --history.",
        )
    return dataset.source


def _read(dataset: Dataset, source: Source, folder: Path) -> pa.Table:
    path = folder / source.file
    if not path.is_file():
        raise InvalidHistory(f"There is no {path}.", f"{source.where} Then pass its folder with --data.")
    is_csv = path.suffix == ".csv"
    everything = pyarrow.csv.read_csv(path) if is_csv else None
    present = everything.column_names if everything is not None else pq.read_schema(path).names
    places: dict[str, str] = {source.label.column: "label"}
    for name, column in source.columns.items():
        places |= {c: f"columns.{name}" for c in (column.source, column.hours_since) if c is not None}
    for attribute in dataset.attributes:
        used = (attribute.column.source, attribute.column.hours_since)
        places |= {c: f"attributes.{attribute.name}" for c in used if c is not None}
    missing = [f"{path.name} has no column {c} ({where})." for c, where in places.items() if c not in present]
    if missing:
        raise InvalidHistory(" ".join(missing), f"Map one of its own columns instead: {', '.join(sorted(present))}.")
    return everything.select(list(places)) if everything is not None else pq.read_table(path, columns=list(places))


def _convert(column: Column, table: pa.Table, name: str) -> Any:
    if column.source is None:
        return pa.repeat(pa.scalar(column.constant), table.num_rows)
    values = table[column.source].combine_chunks()
    if column.hours_since is not None:
        since = _time(table[column.hours_since].combine_chunks(), column.zone or "UTC", column.hours_since)
        until = _time(values, column.zone or "UTC", column.source)
        return pc.divide(pc.cast(pc.subtract(until.cast("int64"), since.cast("int64")), "float64"), HOUR_MS)
    if name == "event_time":
        return _time(values, column.zone, column.source)
    if column.times is not None:
        return _minor_units(values, column.times, column.source)
    if column.values is not None:
        return _translated(values, column.values, column.source)
    if column.ipv4_number:
        return _ipv4(values)
    if column.prefix is not None:
        return pc.binary_join_element_wise(pa.scalar(column.prefix), values.cast("string"), pa.scalar(""))
    return values if name.startswith("attr_") or pa.types.is_floating(values.type) else _text_or_number(values)


def _text_or_number(values: Any) -> Any:
    return values.cast("string") if pa.types.is_dictionary(values.type) else values


def _time(values: Any, zone: str | None, column: str) -> Any:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        try:
            values = values.cast(pa.timestamp("ms"))
        except pa.ArrowInvalid as problem:
            raise _UnreadableError(f"{column} is no ISO 8601 time: {problem}. Repair the values named.") from problem
    if not pa.types.is_timestamp(values.type):
        raise _UnreadableError(f"{column} is {values.type}, not a time: map a time column.")
    if values.type.tz is None:
        if zone is None:
            raise _UnreadableError(f"{column} has no time zone: say which it is in with `zone:`, for example UTC.")
        values = pc.assume_timezone(values, zone)
    return pc.cast(values, TIME, safe=False)


def _minor_units(values: Any, times: int, column: str) -> Any:
    exact = values.cast("float64").to_numpy(zero_copy_only=False) * times
    whole = np.rint(exact)
    if np.isnan(exact).any():
        raise _UnreadableError(
            f"{column} is empty in row {int(np.flatnonzero(np.isnan(exact))[0])}: repair or drop it."
        )
    off = np.flatnonzero(np.abs(exact - whole) > ROUNDING_NOISE * np.maximum(1.0, np.abs(exact)))
    if off.size:
        first = int(off[0])
        raise _UnreadableError(
            f"{column} times {times} is no whole number of minor units in {off.size} rows, first in row"
            f" {first} ({exact[first]}): correct `times:` or round the source."
        )
    return pa.array(whole.astype(np.int64))


def _translated(values: Any, words: dict[str, str], column: str) -> Any:
    as_text = values.cast("string")
    place = pc.index_in(as_text, pa.array(list(words)))
    unknown = pc.and_(pc.is_valid(as_text), pc.is_null(place))
    if pc.any(unknown).as_py():
        strange = ", ".join(sorted(pc.unique(as_text.filter(unknown)).to_pylist())[:5])
        raise _UnreadableError(f"{column} holds {strange}, which `values:` does not translate: add it there.")
    return pc.take(pa.array(list(words.values())), place)


def _ipv4(values: Any) -> Any:
    given = values.cast("float64").to_numpy(zero_copy_only=False)
    known = ~np.isnan(given)
    number = np.where(known, given, 0).astype(np.int64)
    parts = [pa.array((number >> shift) & 255).cast("string") for shift in (24, 16, 8, 0)]
    return pc.if_else(pa.array(known), pc.binary_join_element_wise(*parts, "."), pa.scalar(None, pa.string()))


def _labels(label: Label, table: pa.Table, event_time: Any) -> dict[str, Any]:
    """The label of each row, its source and the time it became known; null where the source has none."""
    values = table[label.column].combine_chunks()
    fraud = pc.is_in(values, value_set=pa.array(list(label.fraud_values)).cast(values.type))
    given = pc.is_valid(values)
    none = pa.scalar(None, pa.string())
    known = pc.add(event_time.cast("int64"), label.delay_days * DAY_MS).cast(TIME)
    return {
        "label": pc.if_else(given, pc.if_else(fraud, "fraud", "legitimate"), none),
        "label_source": pc.if_else(given, label.source, none),
        "label_time": pc.if_else(given, known, pa.scalar(None, TIME)),
    }


def _in_order(payments: pa.Table, source: Source) -> pa.Table:
    if source.sort:
        order = pc.sort_indices(payments, sort_keys=[("event_time", "ascending")])
        payments = payments.take(order)  # stable: equal times keep the order of the file
    times = payments["event_time"].cast("int64").to_numpy()
    backward = np.flatnonzero(np.diff(times) < 0)
    if backward.size:
        raise InvalidHistory(
            f"{source.file}: row {int(backward[0]) + 1} is earlier than the row before it.",
            "Add `sort: true` under `source:` to sort the rows by event time, or sort the file.",
        )
    check_history(payments)
    return payments
