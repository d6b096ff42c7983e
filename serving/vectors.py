"""Every feature vector as it was served, taken out of the ledger's receipts for comparison elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serving import receipt as receipts
from serving.errors import CannotStart
from serving.ledger import Ledger
from serving.settings import Settings

ROWS_PER_GROUP = 1 << 14


def export_vectors(settings: Settings, target: Path) -> int:
    """Write transaction_id, score and vector (float64 in the order of the model's columns); the number of rows.

    Payments decided without features are left out.
    Raises: CannotStart when there is no ledger.
    """
    if not settings.ledger_path.exists():
        raise CannotStart(f"There is no ledger in {settings.var}.", "Set RISKGATE_VAR to the folder of the service.")
    schema = pa.schema([("transaction_id", pa.string()), ("score", pa.float64()), ("vector", pa.list_(pa.float64()))])
    ledger = Ledger(settings.ledger_path, read_only=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, rows = target.with_suffix(".partial"), 0
    ids: list[str] = []
    scores: list[float | None] = []
    vectors: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    try:
        with pq.ParquetWriter(partial, schema, compression="lz4", use_dictionary=False) as writer:

            def flush() -> None:
                if ids:
                    offsets = np.cumsum([0, *(len(one) for one in vectors)], dtype=np.int32)
                    values = pa.ListArray.from_arrays(offsets, np.concatenate(vectors))
                    writer.write_table(pa.table([pa.array(ids), pa.array(scores, pa.float64()), values], schema=schema))
                for column in (ids, scores, vectors):
                    column.clear()

            for event in ledger.walk():
                if event.kind != "payment":
                    continue
                receipt = receipts.decode_body(event.body).receipt
                vector = receipts.vector_of(receipt)
                if vector is None:
                    continue
                ids.append(event.transaction_id)
                scores.append(receipt.score)
                vectors.append(vector)
                rows += 1
                if len(ids) == ROWS_PER_GROUP:
                    flush()
            flush()
    finally:
        ledger.release()
    partial.replace(target)
    return rows
