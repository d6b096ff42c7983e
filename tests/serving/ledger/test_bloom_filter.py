"""No id that was seen is ever taken for a new one, and few new ones for seen; after a restart too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

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
    ids = [f"t-{number}" for number in range(500)]
    once, one_by_one = BloomFilter(ids, len(ids)), BloomFilter()
    for one in ids:
        one_by_one.add(one)
    assert all(one in once and one in one_by_one for one in ids)


def test_an_empty_filter_has_seen_nothing() -> None:
    seen = BloomFilter([], 0)
    assert "t-7" not in seen


def test_a_filter_read_in_another_process_knows_the_same_ids_and_grows_on(small: None) -> None:
    """Python's own hash of a text differs between processes."""
    code = (
        "import sys; from serving.ledger.sqlite import bloom_filter as b; b.FIRST_IDS = 256; seen = b.BloomFilter();"
        "[seen.add(f't-{number}') for number in range(2_000)]; sys.stdout.buffer.write(seen.encoded())"
    )
    encoded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout
    seen = BloomFilter.decoded(encoded)
    assert all(f"t-{number}" in seen for number in range(2_000))
    for number in range(2_000, 10_000):
        seen.add(f"t-{number}")
    assert all(f"t-{number}" in seen for number in range(10_000))
    assert sum(f"new-{number}" in seen for number in range(5_000)) < 200


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
    known = again.ids
    again.close()
    later = Ledger(tmp_path / "ledger.sqlite")
    later.append_now("payment", "t-3", 1, 1, b"{}")
    later.learn_ids(known, after_seq=1)
    assert all(later.may_hold(one) for one in ("t-1", "t-3")) and not later.may_hold("t-2")
    later.close()
