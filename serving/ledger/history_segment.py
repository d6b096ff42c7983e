"""An imported history: a parquet file stored next to the ledger under its own digest.

A sorted, memory-mapped table of hashed transaction ids finds the row of a payment when a late label arrives; it is
derived from the segment and rebuilt when missing.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rbloom import Bloom

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import InvalidHistory
from features.history.normalise import normalised_payment
from features.history.schema import complete, own_schema
from features.intake.parse import milliseconds
from features.state.memory import State
from features.state.replay import fold
from serving.ledger.sqlite.bloom_filter import FALSE_POSITIVES

#: Raised by a damaged file, and by values that no encoder knows.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, OverflowError)

#: Decoded row groups in the cache: late labels come roughly in time order, so neighbours are read next.
CACHED_GROUPS = 4


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(transaction_id: str) -> int:
    """The 64-bit hash of a transaction id in the index; equal in every process."""
    return int.from_bytes(hashlib.blake2b(transaction_id.encode(), digest_size=8).digest(), "little")


def keep(source: Path, folder: Path) -> str:
    """Copy a history parquet next to the ledger under its digest, with its index; returns the digest."""
    sha256 = digest_of(source)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{sha256}.parquet"
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
    _index(target)
    return sha256


def _index(path: Path) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """(sorted hashes, row of each), memory-mapped; built if missing."""
    hashes_path, rows_path = path.with_suffix(".hashes.npy"), path.with_suffix(".rows.npy")
    if not hashes_path.exists() or not rows_path.exists():
        ids = pq.read_table(path, columns=["transaction_id"])["transaction_id"].to_pylist()
        hashes = np.fromiter((hash_of(one) for one in ids), dtype=np.uint64, count=len(ids))
        order = np.argsort(hashes, kind="stable")
        np.save(rows_path, order.astype(np.int64))
        np.save(hashes_path, hashes[order])
    return np.load(hashes_path, mmap_mode="r"), np.load(rows_path, mmap_mode="r")


class Segment:
    """One imported history, opened by its digest.

    Raises: InvalidHistory when the file is missing or cannot be read.
    """

    def __init__(self, folder: Path, sha256: str, until_ms: int) -> None:
        self.path = folder / f"{sha256}.parquet"
        self.sha256 = sha256
        #: What became known at or after this moment (ms UTC) is not part of the state: law 3.
        self.until_ms = until_ms
        if not self.path.exists():
            raise InvalidHistory(
                f"The ledger refers to the history {self.path.name}, which is not in {folder}.",
                "Put the file back from a backup: without it the online state cannot be rebuilt.",
            )
        try:
            self._hashes, self._rows = _index(self.path)
            self._file = pq.ParquetFile(self.path, memory_map=True)
        except _UNREADABLE as error:
            raise self._damaged() from error
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]) if sizes else np.zeros(1, dtype=np.int64)
        self._groups: OrderedDict[int, pa.Table] = OrderedDict()
        self._seen: Bloom | None = None

    def fold(self, catalogue: Catalogue) -> State:
        """The state after every payment and report before `until_ms`, by bulk replay.

        Raises: InvalidHistory when the file is damaged.
        """
        try:
            return fold(pq.read_table(self.path, memory_map=True), catalogue, until_ms=self.until_ms)
        except _UNREADABLE as error:
            raise self._damaged() from error

    def _damaged(self) -> InvalidHistory:
        return InvalidHistory(
            f"The history {self.path.name} cannot be read: it is damaged, or holds words that nothing can encode.",
            f"Put the file back in {self.path.parent} from a backup, or import a repaired history into a new ledger.",
        )

    def __contains__(self, transaction_id: str) -> bool:
        if self._seen is None:  # built on first use: a binary search in ten million hashes misses every CPU cache
            self._seen = Bloom(max(1, len(self._hashes)), FALSE_POSITIVES)
            self._seen.update(self._hashes.data)
        return hash_of(transaction_id) in self._seen and self.row(transaction_id) is not None

    def row(self, transaction_id: str) -> dict[str, Any] | None:
        """The row of a transaction in HISTORY_SCHEMA's columns, or None."""
        wanted = np.uint64(hash_of(transaction_id))
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            row = self._row(int(self._rows[place]))
            if row["transaction_id"] == transaction_id:
                return row
            place += 1
        return None

    def _row(self, number: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._starts, number, side="right")) - 1
        if group not in self._groups:
            found = self._file.read_row_group(group)
            # Older releases stored columns of other types.
            self._groups[group] = complete(found, own_schema(found))
            if len(self._groups) > CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        (row,) = self._groups[group].slice(number - int(self._starts[group]), 1).to_pylist()
        return dict(row)


def payment_of_row(row: dict[str, Any]) -> Payment:
    """A row of HISTORY_SCHEMA as the payment it records, normalised."""
    values: dict[str, Any] = {name: row.get(name) for name in Payment.__struct_fields__ if row.get(name) is not None}
    values["event_time_ms"] = milliseconds(row["event_time"])
    values["attributes"] = {
        name.removeprefix("attr_"): value
        for name, one in row.items()
        if name.startswith("attr_") and (value := _attribute(one)) is not None
    }
    return normalised_payment(Payment(**values))


def _attribute(value: Any) -> float | str | None:
    """A declared extra field as JSON can carry it; pandas writes NaN for a field that was not sent."""
    if isinstance(value, bool | int | float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str) else None
