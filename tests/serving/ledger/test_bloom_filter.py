"""No id that was seen is ever taken for a new one, and few new ones for seen; after a restart too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from serving.ledger.sqlite import bloom_filter
from serving.ledger.sqlite.bloom_filter import BloomFilter
from serving.ledger.sqlite.ledger import Ledger


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bloom_filter, "FIRST_IDS", 256)


def test_what_was_added_is_found_however_often_the_filter_grew(small: None) -> None:
    seen = BloomFilter()
    ids = [f"t-{number}" for number in range(20_000)]
    for one in ids:
        seen.add(one)
    assert all(one in seen for one in ids)


def test_few_new_ids_are_taken_for_old_ones() -> None:
    seen = BloomFilter((f"t-{number}" for number in range(1_000_000)), 1_000_000)
    mistaken = sum(f"new-{number}" in seen for number in range(20_000))
    assert mistaken < 200


def test_a_bulk_add_equals_single_adds(small: None) -> None:
    hashes = np.random.default_rng(3).integers(0, 2**64, 500, np.uint64)
    once, one_by_one = BloomFilter(hashes.data, len(hashes)), BloomFilter()
    for one in hashes.tolist():
        one_by_one.add(one)
    assert all(one in once and one in one_by_one for one in hashes.tolist())
    signed = BloomFilter([-1, -(2**63), 2**63 - 1, 0], 4)
    assert all(one in signed for one in (-1, -(2**63), 2**63 - 1, 0))


def test_an_empty_filter_has_seen_nothing() -> None:
    seen = BloomFilter([], 0)
    assert 7 not in seen


def test_a_ledger_knows_its_payments_again_after_a_restart(tmp_path: Path) -> None:
    async def write() -> None:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        ledger.learn_ids()
        await ledger.append("payment", "t-1", 1, 1, b"{}")
        assert ledger.may_hold("t-1") and not ledger.may_hold("t-2")
        ledger.close()

    asyncio.run(write())
    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.may_hold("t-2")  # nothing was learnt yet: the file must be asked
    again.learn_ids()
    assert again.may_hold("t-1") and not again.may_hold("t-2")
    again.close()
