"""Receipt ids are unique, sort by the time of arrival, and hold its millisecond exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ulid_transform import ulid_to_timestamp

from serving.decision.receipt import new_receipt_id


@given(st.integers(0, 2**45))  # the year 3084
def test_an_id_holds_its_millisecond(time_ms: int) -> None:
    assert ulid_to_timestamp(new_receipt_id(time_ms)) == time_ms


@given(st.integers(0, 2**45), st.integers(1, 2**40))
def test_a_later_id_sorts_after_an_earlier_one(time_ms: int, later_ms: int) -> None:
    assert new_receipt_id(time_ms) < new_receipt_id(time_ms + later_ms)


def test_no_two_ids_of_one_millisecond_are_equal() -> None:
    assert len({new_receipt_id(1) for _ in range(100_000)}) == 100_000
