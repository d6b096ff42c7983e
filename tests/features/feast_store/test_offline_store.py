"""The as-of rules of the offline side, against a slow reading of the same rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidHistory
from features.feast_store.asof import NOT_FOUND, AsOfJoin, all_rows, newest_rows

MS = pa.timestamp("ms", "UTC")
KEYS = st.sampled_from(["a", "b", ""])
KEPT = st.lists(st.tuples(KEYS, st.integers(0, 9), st.integers(0, 9)), max_size=12)
ASKED = st.lists(st.tuples(KEYS, st.integers(0, 12)), min_size=1, max_size=12)


def seen_rows(path: Path, kept: pa.Table, asked: pa.Table, created: bool = True) -> AsOfJoin:
    pq.write_table(kept, path)
    moments = asked["at"].to_numpy() * 1000
    return AsOfJoin(path, "event", "created" if created else None, asked, moments)


def versions(rows: list[tuple[str, int, int]]) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([key or None for key, _, _ in rows], pa.string()),
            "event": pa.array([event for _, event, _ in rows], pa.int64()).cast(MS),
            "created": pa.array([created for _, _, created in rows], pa.int64()).cast(MS),
        }
    )


@settings(max_examples=40)
@given(kept=KEPT, asked=ASKED, ttl_ms=st.none() | st.integers(1, 5))
def test_a_moment_sees_the_newest_event_among_the_rows_created_by_then(
    kept: list[tuple[str, int, int]],
    asked: list[tuple[str, int]],
    ttl_ms: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    table = pa.table({"key": [key for key, _ in asked], "at": [at for _, at in asked]})
    rows = seen_rows(tmp_path_factory.mktemp("asof") / "kept.parquet", versions(kept), table)
    found = rows.positions([("key", "key")], None if ttl_ms is None else ttl_ms * 1000)
    for (key, at), position in zip(asked, found.tolist(), strict=True):
        known = [(event, made, n) for n, (k, event, made) in enumerate(kept) if k == key and max(event, made) <= at]
        expected = max(known)[2] if known and key else NOT_FOUND
        if expected != NOT_FOUND and ttl_ms is not None and at - max(known)[0] > ttl_ms:
            expected = NOT_FOUND
        assert position == expected


def test_a_row_backfilled_later_is_not_seen_earlier(tmp_path: Path) -> None:
    asked = pa.table({"key": ["a", "a"], "at": [5, 8]})
    rows = seen_rows(tmp_path / "kept.parquet", versions([("a", 1, 1), ("a", 4, 7)]), asked)
    assert rows.positions([("key", "key")], None).tolist() == [0, 1]


def test_payments_of_the_same_instant_are_told_apart_by_their_transaction(tmp_path: Path) -> None:
    kept = versions([("a", 3, 3), ("a", 3, 3), ("b", 3, 3)]).append_column("transaction_id", [["x", "y", "z"]])
    asked = pa.table({"key": ["a", "a", "b"], "at": [3, 3, 3], "transaction_id": ["y", "x", "z"]})
    rows = seen_rows(tmp_path / "kept.parquet", kept, asked, created=False)
    assert rows.positions([("key", "key")], 1000).tolist() == [1, 0, 2]


def test_a_transaction_is_never_matched_across_ids_or_into_the_future(tmp_path: Path) -> None:
    kept = versions([("a", 3, 3)]).append_column("transaction_id", [["x"]])
    asked = pa.table({"key": ["b", "a"], "at": [3, 2], "transaction_id": ["x", "x"]})
    rows = seen_rows(tmp_path / "kept.parquet", kept, asked, created=False)
    assert rows.positions([("key", "key")], None).tolist() == [NOT_FOUND, NOT_FOUND]


def test_what_was_not_sent_has_a_row_of_its_own(tmp_path: Path) -> None:
    kept = versions([("", 3, 3), ("", 3, 3)]).append_column("transaction_id", [["x", "y"]])
    asked = pa.table({"key": pa.array([None], pa.string()), "at": [3], "transaction_id": ["y"]})
    rows = seen_rows(tmp_path / "kept.parquet", kept, asked, created=False)
    assert rows.positions([("key", "key")], 1000).tolist() == [1]


def test_gathered_columns_are_null_where_nothing_was_known(tmp_path: Path) -> None:
    kept = versions([("a", 1, 1)]).append_column("value", pa.array([2.5]))
    rows = seen_rows(tmp_path / "kept.parquet", kept, pa.table({"key": ["a"], "at": [2]}))
    ((_, column),) = rows.gather(["value"], np.array([NOT_FOUND, 0]))
    assert column.to_pylist() == [None, 2.5]


def test_a_column_the_file_lacks_is_named_with_its_repair(tmp_path: Path) -> None:
    rows = seen_rows(tmp_path / "kept.parquet", versions([("a", 1, 1)]), pa.table({"key": ["a"], "at": [2]}))
    with pytest.raises(InvalidHistory, match=r"no column `value`.*replay"):
        list(rows.gather(["value"], np.array([0])))


def test_the_newest_row_of_each_key_is_what_gets_materialised(tmp_path: Path) -> None:
    pq.write_table(versions([("a", 1, 1), ("a", 4, 4), ("a", 4, 6), ("b", 2, 2)]), tmp_path / "kept.parquet")
    start, end = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC)
    newest = newest_rows(tmp_path / "kept.parquet", ["key"], [], ["event", "created"], start, end)
    rows = zip(newest["key"].to_pylist(), newest["created"].cast(MS).cast(pa.int64()).to_pylist(), strict=True)
    assert sorted(rows) == [("a", 6), ("b", 2)]
    assert newest.column("key").num_chunks == 1
    everything = all_rows(tmp_path / "kept.parquet", ["key"], ["event", "created"], None, None)
    assert everything["key"].to_pylist() == ["a", "b", "a", "a"]
