"""Reads parquet files of payments; an absent file or one of another kind raises an error with its repair."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InvalidHistory


def read_table(path: Path) -> pa.Table:
    """The whole table of a parquet file.

    Raises: InvalidHistory if there is no such file or it is not parquet.
    """
    _refuse_absent(path)
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as problem:
        raise _not_parquet(path) from problem


def count_rows(path: Path) -> int:
    """The number of rows of a parquet file, without reading them.

    Raises: InvalidHistory if there is no such file or it is not parquet.
    """
    _refuse_absent(path)
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowInvalid as problem:
        raise _not_parquet(path) from problem


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise InvalidHistory(
            f"There is no file {path}.",
            "Name a parquet file of payments; python -m training history makes one from a source file.",
        )


def _not_parquet(path: Path) -> InvalidHistory:
    return InvalidHistory(
        f"{path} is not a parquet file.",
        "Write it as parquet, or map it first: python -m training history DATASET --data FOLDER.",
    )
