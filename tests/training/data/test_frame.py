from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.catalogue.catalogue import catalogue
from features.errors import InvalidHistory
from features.history.schema import times_ms
from features.state.profiles import ProfileFile
from features.state.replay import replay
from tests.training.histories import DAY_MS, small_history
from training.data.frame import assemble, frame
from training.data.source_map import load
from training.runs.run import profiles_of_history, read_history, read_profiles, run
from training.settings import Settings
from training.simulator.parameters import World
from training.simulator.storage import write_profiles, write_world

SMALL = World(
    payments=1_500, days=20, payers=80, stores=60, local_brands=20, international_brands=20, new_merchants_per_day=3,
    fraud_share=0.02,
)  # fmt: skip


def test_asked_through_feast_the_features_are_the_kernels_to_the_bit(tmp_path: Path) -> None:
    known = catalogue()
    write_world(SMALL, tmp_path / "world")
    profiles = ProfileFile(write_profiles(tmp_path / "world")).load()
    assert profiles_of_history(tmp_path / "world") is not None
    history = read_history(tmp_path / "world")
    since = history["event_time"][700].as_py()
    direct = frame(history, known, profiles, since)
    asked = frame(history, known, profiles, since, store=tmp_path / "feast")
    assert asked.names == direct.names and asked.payments.equals(direct.payments)
    assert np.array_equal(asked.values, direct.values, equal_nan=True)


def test_features_of_other_payments_are_refused() -> None:
    known, history = catalogue(), small_history(payments=100)
    features = replay(history, known)
    with pytest.raises(InvalidHistory, match="belong to other payments"):
        assemble(history.take(np.arange(99, -1, -1)), features, known)


def test_a_label_that_is_not_known_yet_is_not_learned() -> None:
    known, history = catalogue(), small_history(payments=2_000)
    payments = frame(history, known)
    moment = payments.payments["event_time"].iloc[1_000]
    seen = payments.known_by(moment)
    known_ms = times_ms(history["event_time"]) + 7 * DAY_MS
    assert seen.fraud.sum() > 0
    assert np.array_equal(seen.fraud, payments.fraud & (known_ms <= moment.value // 1_000_000))


def test_an_absent_history_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidHistory, match="python -m training history"):
        run(load("handbook"), tmp_path / "none.parquet", Settings(var=tmp_path))


def test_no_profile_file_is_no_profiles(tmp_path: Path) -> None:
    assert profiles_of_history(tmp_path / "world.parquet") is None and read_profiles(None) is None
    with pytest.raises(InvalidHistory, match="no profile file"):
        read_profiles(tmp_path / "absent.sqlite")
