"""A snapshot is the state that was saved, to the last bit, or it is refused: nothing between the two."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import CatalogueParameters, catalogue
from features.domain.payment import Payment
from features.errors import BrokenState, ContractMismatch
from features.state import snapshot
from features.state.memory import Position, State

KNOWN = catalogue()
START_MS = 1_794_355_203_120
HERE = Position(17, "the digest of event 17")


def a_payment(place: int) -> Payment:
    return Payment(
        transaction_id=f"t-{place}",
        event_time_ms=START_MS + place * 1_000,
        amount_minor=100 + place,
        currency="INR",
        rail="upi",
        channel="qr_static",
        payer_id=f"u-{place % 5}",
        instrument_id=f"i-{place % 5}",
        payee_id=f"m-{place % 3}",
        device_id=f"d-{place % 4}",
        ip="203.0.113.9",
    )


def small_state(payments: int = 40) -> State:
    state = State(KNOWN)
    for place in range(payments):
        state.apply(a_payment(place))
    return state


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "state-000000000017.state"
    small_state().save(path, HERE)
    return path


def test_what_was_saved_comes_back_with_its_position(saved: Path) -> None:
    state, position, _ = State.load_at(saved, KNOWN)
    assert position == HERE
    before = small_state()
    np.testing.assert_array_equal(state.heap[: state.heap[0]], before.heap[: before.heap[0]])
    assert [dict(one.items()) for one in state.records] == [dict(one.items()) for one in before.records]
    for place in range(40, 60):
        np.testing.assert_array_equal(
            state.observe_and_apply(a_payment(place)), before.observe_and_apply(a_payment(place))
        )


def test_none_of_a_thousand_random_bits_may_differ(saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / saved.name
    path.write_bytes(data)
    chosen = random.Random(20_261_111)
    # The digest and the lengths are a small part of the file: they get a share of their own.
    places = [chosen.randrange(8 * len(data)) for _ in range(1_000)]
    places += [*range(8 * 24), *range(8 * (len(data) - 32), 8 * len(data))]
    with path.open("r+b", buffering=0) as file:
        for place in places:
            at = place // 8
            os.pwrite(file.fileno(), bytes([data[at] ^ 1 << place % 8]), at)
            with pytest.raises(BrokenState):
                State.load(path, KNOWN)
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert State.load_at(path, KNOWN).position == HERE


def test_no_part_of_a_snapshot_is_taken_for_all_of_it(saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / saved.name
    lengths = {*range(64), *range(0, len(data), 997), *range(len(data) - 64, len(data))}
    for length in lengths:
        path.write_bytes(data[:length])
        with pytest.raises(BrokenState):
            State.load(path, KNOWN)
    for more in (b"\0", b"\0" * 8, data):
        path.write_bytes(data + more)
        with pytest.raises(BrokenState):
            State.load(path, KNOWN)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_is_found(saved: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes replaced, taken out, put in or exchanged, anywhere."""
    whole, path = saved.read_bytes(), tmp_path / "state"
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, min(len(whole), first + 64)))
    changed = whole[:first] + data.draw(st.binary(max_size=64)) + whole[last:]
    path.write_bytes(changed)
    if changed == whole:
        State.load(path, KNOWN)
    else:
        with pytest.raises(BrokenState):
            State.load(path, KNOWN)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(5_000))


def zeros_of_a_lost_write(path: Path) -> None:
    path.write_bytes(bytes(100_000))


def text(path: Path) -> None:
    path.write_text("state")


def of_the_release_before(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(100))
        file.write(b"\x93")


def pickled(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{"os": "system"}], dtype=object), allow_pickle=True)


def lengths_beyond_memory(path: Path) -> None:
    path.write_bytes(snapshot._START.pack(snapshot._MAGIC, 2**63, 2**60) + bytes(32))


def pipe(path: Path) -> None:
    os.mkfifo(path)


FAULTS = (
    empty, garbage, zeros_of_a_lost_write, text, of_the_release_before, pickled, lengths_beyond_memory, pipe,
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_snapshot_is_refused_with_one_sentence_and_a_repair(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    path = tmp_path / "state-000000000001.state"
    fault(path)
    with pytest.raises(BrokenState) as refused:
        State.load(path, KNOWN)
    assert refused.value.repair
    assert "\n" not in str(refused.value)


def test_a_whole_snapshot_of_another_catalogue_is_refused_by_name(saved: Path) -> None:
    with pytest.raises(ContractMismatch, match="was made with catalogue"):
        State.load(saved, catalogue(CatalogueParameters(label_delay_days=14)))


def test_the_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path: Path) -> None:
    path, partial = tmp_path / "one.state", tmp_path / "one.partial"
    seen: list[tuple[Path, bool, int]] = []

    def sync(descriptor: int) -> None:
        synced = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append((synced, path.exists(), (path if path.exists() else partial).stat().st_size))

    snapshot.write(path, b"head", np.arange(1_000), sync=sync)
    size = path.stat().st_size
    assert seen == [(partial, False, size), (tmp_path, True, size)]


def test_a_snapshot_that_cannot_be_written_leaves_nothing_and_the_one_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "one.state"
    small_state().save(path, HERE)
    full = Path("/dev/full")
    (tmp_path / "one.partial").symlink_to(full)
    with pytest.raises(OSError, match="No space left"):
        small_state(80).save(path, Position(18))
    assert [one.name for one in tmp_path.iterdir()] == ["one.state"]
    assert State.load_at(path, KNOWN).position == HERE
