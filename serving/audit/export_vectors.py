"""Exports every feature vector as served, from the receipts of the ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serving.decision import receipt as receipts
from serving.errors import BrokenReceipt
from serving.ledger.open import opened
from serving.ledger.promotions import latest_catalogue
from serving.state.foldable import CannotFold, PaymentStep, checked_step_of
from serving.store_config import LedgerConfig

ROWS_PER_GROUP = 1 << 14


def export_vectors(config: LedgerConfig, target: Path) -> int:
    """Write transaction_id, score and vector (float64, in the model's column order); returns the number of rows.

    Payments decided without features are left out.
    Raises: CannotStart when there is no ledger, or it is damaged.
    """
    schema = pa.schema([("transaction_id", pa.string()), ("score", pa.float64()), ("vector", pa.list_(pa.float64()))])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, rows = target.with_suffix(".partial"), 0
    ids: list[str] = []
    scores: list[float | None] = []
    vectors: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    with (
        opened(config, checked=True) as ledger,
        pq.ParquetWriter(partial, schema, compression="lz4", use_dictionary=False) as writer,
    ):

        def flush() -> None:
            if ids:
                offsets = np.cumsum([0, *(len(one) for one in vectors)], dtype=np.int32)
                values = pa.ListArray.from_arrays(offsets, np.concatenate(vectors))
                writer.write_table(pa.table([pa.array(ids), pa.array(scores, pa.float64()), values], schema=schema))
            for column in (ids, scores, vectors):
                column.clear()

        known = latest_catalogue(ledger, config.bundles)
        for event in ledger.walk():
            if event.kind != "payment":
                continue
            try:
                step = checked_step_of(event, known)
                body = step.body if isinstance(step, PaymentStep) else None
                vector = None if body is None else receipts.vector_of(body.receipt)
            except (CannotFold, BrokenReceipt):
                continue  # `verify` reports it
            if body is None or vector is None:
                continue
            ids.append(event.transaction_id)
            scores.append(body.receipt.score)
            vectors.append(vector)
            rows += 1
            if len(ids) == ROWS_PER_GROUP:
                flush()
        flush()
    partial.replace(target)
    return rows
