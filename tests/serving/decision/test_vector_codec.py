"""Vectors in receipts: shorter, and every bit of every vector comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.decision.vector_codec import vector_bytes, vector_from

PLAIN = [0.0, -0.0, 1.0, 127.0, 128.0, 16_383.0, 16_384.0, 0.5, -1.0, 125_000.0, 1e300, 5e-324, np.inf, -np.inf, np.nan]
VALUES = st.one_of(st.sampled_from(PLAIN), st.floats(), st.integers(0, 20_000).map(float))
#: Values as windows have them: a few, again and again; or any 64 bits at all, other NaNs among them.
WINDOWS = st.lists(VALUES, max_size=6).flatmap(lambda few: st.lists(st.sampled_from([*few, 0.0]), max_size=400))
BITS = st.lists(st.integers(0, 2**64 - 1), max_size=200).map(lambda words: np.array(words, np.uint64).view(np.float64))


@given(st.one_of(WINDOWS, st.lists(VALUES, max_size=300), BITS))
def test_every_bit_comes_back(values: object) -> None:
    vector = np.asarray(values, np.float64)
    data = vector_bytes(vector)
    assert vector_from(data).view(np.uint64).tolist() == vector.view(np.uint64).tolist()
    assert len(data) <= max(8 * vector.size, 1)


def test_an_encoded_vector_can_be_checked_by_hand() -> None:
    encoded = vector_bytes(np.array([3.0, 3.0, 300.0, np.nan, 0.5, -1.0, 0.5, 0.5, 0.5, 0.5]))
    assert encoded.hex(" ") == "03 c1 81 2c c0 c4 3f e0 c4 bf f0 cd c2 03"


def test_a_vector_that_stayed_as_it_was_is_read_like_those_of_older_ledgers() -> None:
    wild = np.random.default_rng(1).random(40)
    assert vector_bytes(wild) == wild.tobytes()
    older = np.array([0.0, np.nan, 125_000.0])
    assert vector_from(older.tobytes()).tobytes() == older.tobytes()


@pytest.mark.parametrize("broken", ["c4 3f", "81", "c2", "cc", "c3 01 cd 00", "c9 01"])
def test_bytes_that_were_changed_are_refused(broken: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        vector_from(bytes.fromhex(broken))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        vector_from(data)
    except ValueError:
        return


def test_the_packing_is_compiled_before_the_first_payment(bundle: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from serving.decision import vector_codec\n"
        "from serving.state import startup\n"
        "from serving.store_config import LedgerConfig\n"
        "from serving.state.bundle_watcher import warm\n"
        "warm(startup.open_bundle(Path(sys.argv[1]), LedgerConfig(Path(sys.argv[2]))))\n"
        "assert vector_codec.pack.signatures\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle), str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
