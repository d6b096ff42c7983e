"""The normalised history: the table schema in which past payments are replayed, and its checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue.catalogue import CatalogueParameters
from features.domain.payment import LABELS, OUTCOMES
from features.domain.payment_fields import FIELDS, Address, Degrees, Identifier, Kind, Moment, Pattern, Whole, Word
from features.errors import InvalidHistory

TIME = pa.timestamp("ms", tz="UTC")

_TYPES: dict[type[Kind], pa.DataType] = {
    **dict.fromkeys((Identifier, Word, Pattern, Address), pa.string()),
    Moment: TIME,
    Whole: pa.int64(),
    Degrees: pa.float64(),
}


def _columns(*, required: bool) -> tuple[pa.Field, ...]:
    fields = [field for field in FIELDS if field.of_history and field.required == required]
    return tuple(pa.field(field.name, _TYPES[type(field.kind)], nullable=not required) for field in fields)


REQUIRED, OPTIONAL = _columns(required=True), _columns(required=False)
#: What became known later, and when.
AFTERWARDS = (
    pa.field("outcome", pa.string()),
    pa.field("outcome_time", TIME),
    pa.field("label", pa.string()),
    pa.field("label_source", pa.string()),
    pa.field("label_time", TIME),
)
HISTORY_SCHEMA = pa.schema([*REQUIRED, *OPTIONAL, *AFTERWARDS])


def history_schema(parameters: CatalogueParameters) -> pa.Schema:
    """The schema with the declared attributes as `attr_<name>` columns."""
    attributes = [
        pa.field(f"attr_{a.name}", pa.string() if a.categories else pa.float64()) for a in parameters.attributes
    ]
    return pa.schema([*REQUIRED, *OPTIONAL, *attributes, *AFTERWARDS])


def own_schema(history: pa.Table) -> pa.Schema:
    """The schema of a history whose declared attributes are whatever `attr_<name>` columns it has."""
    attributes = [field for field in history.schema if field.name.startswith("attr_")]
    return pa.schema([*REQUIRED, *OPTIONAL, *attributes, *AFTERWARDS])


def complete(history: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in exactly this schema: absent optional columns are empty, others are cast, strangers dropped.

    Raises: InvalidHistory if a required column is absent or a column cannot be cast.
    """
    missing = [f.name for f in REQUIRED if f.name not in history.column_names]
    if missing:
        raise InvalidHistory(
            f"The history lacks the column(s) {', '.join(missing)}.",
            "Map them in the data set's YAML under `columns:` (a constant is allowed).",
        )
    columns = []
    for field in schema:
        if field.name not in history.column_names:
            columns.append(pa.chunked_array([pa.nulls(history.num_rows, field.type)]))
            continue
        try:
            columns.append(history[field.name].cast(field.type))
        except pa.ArrowInvalid as problem:
            raise InvalidHistory(
                f"Column {field.name} cannot be read as {field.type}: {problem}.", "Repair the values named."
            ) from problem
    return pa.table(columns, schema=pa.schema([pa.field(f.name, f.type) for f in schema]))


def valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a column has a value, bool[n]."""
    return np.asarray(pc.is_valid(column).to_numpy(), bool)


def dictionary_of(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    """A string column as one dictionary-encoded array."""
    coded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()


def each_word(column: pa.ChunkedArray | pa.Array, value_of: Callable[[str], Any], empty: Any) -> npt.NDArray[Any]:
    """`value_of` each text of a string column, called once per distinct text; `empty` where there is none, [n]."""
    coded = dictionary_of(column)
    table = np.array([*map(value_of, coded.dictionary.to_pylist()), empty])
    return np.asarray(table[pc.fill_null(coded.indices.cast(pa.int64()), len(table) - 1).to_numpy()])


def times_ms(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A timestamp column as ms UTC, int64[n]; nulls become -1."""
    return np.asarray(pc.fill_null(column.cast(TIME).cast(pa.int64()), -1).to_numpy(), np.int64)


def check_history(history: pa.Table) -> None:
    """Refuse a (completed) history that cannot be replayed honestly.

    Raises: InvalidHistory naming every problem found, the first row of each, and the repair.
    """
    found = [f"column {f.name} has empty values" for f in REQUIRED if history[f.name].null_count]
    times = times_ms(history["event_time"])
    unsorted = np.flatnonzero(np.diff(times) < 0)
    if unsorted.size:
        found.append(f"row {int(unsorted[0]) + 1} is earlier than the row before it; sort by event_time")
    if len(pc.unique(history["transaction_id"])) != history.num_rows:
        counted = pc.value_counts(history["transaction_id"])
        twice = next(v["values"].as_py() for v in counted if v["counts"].as_py() > 1)
        found.append(f"transaction_id {twice!r} occurs more than once; keep one row each")
    for kind, allowed in (("label", LABELS), ("outcome", OUTCOMES)):
        strange = [v for v in pc.unique(history[kind]).to_pylist() if v is not None and v not in allowed]
        if strange:
            found.append(f"{kind} {strange[0]!r} is none of {', '.join(allowed)}")
        known = times_ms(history[f"{kind}_time"])
        given = valid(history[kind])
        early = np.flatnonzero(given & (known < times))
        if early.size:
            found.append(f"row {int(early[0])}: {kind}_time is missing or before the payment itself")
    if found:
        raise InvalidHistory("The history cannot be replayed: " + "; ".join(found) + ".", "Repair the rows named.")
