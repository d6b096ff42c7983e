"""A history as people export it: without optional columns, or broken and then refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.errors import InvalidHistory
from features.history.schema import AFTERWARDS, HISTORY_SCHEMA, OPTIONAL
from serving.audit.import_history import store_history
from tests.training.histories import small_history


def test_a_history_without_optional_columns_is_kept_whole(tmp_path: Path) -> None:
    source = tmp_path / "history.parquet"
    bare = small_history(200).drop_columns([field.name for field in (*OPTIONAL, *AFTERWARDS)])
    pq.write_table(bare, source)
    event = store_history(tmp_path / "segments", source, None, None)
    kept = pq.read_table(tmp_path / "segments" / f"{event.sha256}.parquet")
    assert event.rows == 200 and kept.schema.names == HISTORY_SCHEMA.names
    assert kept.select(bare.schema.names).equals(bare)
    assert kept["label"].null_count == 200


def test_a_whole_history_is_kept_byte_for_byte(tmp_path: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(small_history(200), source)
    event = store_history(tmp_path / "segments", source, None, None)
    assert (tmp_path / "segments" / f"{event.sha256}.parquet").read_bytes() == source.read_bytes()


def test_a_history_that_lacks_what_is_required_is_refused_in_a_sentence(tmp_path: Path) -> None:
    source = tmp_path / "history.parquet"
    pq.write_table(small_history(20).drop_columns(["payee_id"]), source)
    with pytest.raises(InvalidHistory, match="payee_id"):
        store_history(tmp_path / "segments", source, None, None)
    assert not (tmp_path / "segments").exists()
