"""Reads parquet files of payments; an absent file or one of another kind raises an error with its repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InvalidHistory


def read_table(path: Path) -> pa.Table:
    """The whole table of a parquet file.

    Raises: InvalidHistory if there is no such file or it is not parquet.
    """
    return _read(path, pq.read_table)


def count_rows(path: Path) -> int:
    """The number of rows of a parquet file, without reading them.

    Raises: InvalidHistory if there is no such file or it is not parquet.
    """
    return int(_read(path, pq.read_metadata).num_rows)


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    if not path.is_file():
        raise InvalidHistory(
            f"There is no file {path}.",
            "Name a parquet file of payments; python -m training history makes one from a source file.",
        )
    try:
        return read(path)
    except pa.ArrowInvalid as problem:
        raise InvalidHistory(
            f"{path} is not a parquet file.",
            "Write it as parquet, or map it first: python -m training history DATASET --data FOLDER.",
        ) from problem
