"""The small world is the same each time, is honest about time, and tells every story it names."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from features.catalog import catalog
from features.errors import InvalidDeclaration
from features.history import HISTORY_SCHEMA, check_history, times_ms, valid
from features.intake import payment_from
from training.mapping import load
from training.world import Simulation, World, simulate
from training.world_frauds import STORIES

SMALL = World(payments=6_000, days=40, payers=400, payees=80, fraud_share=0.02, seed=7)


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(SMALL)


def test_the_same_seed_gives_the_same_world_to_the_bit(small: Simulation) -> None:
    again = simulate(SMALL)
    assert again.history.equals(small.history)
    assert again.profiles == small.profiles


def test_another_seed_gives_another_world(small: Simulation) -> None:
    other = simulate(World(payments=6_000, days=40, payers=400, payees=80, fraud_share=0.02, seed=8))
    assert not other.history.equals(small.history)


def test_the_history_has_the_agreed_shape_and_can_be_replayed(small: Simulation) -> None:
    assert small.history.schema == HISTORY_SCHEMA
    assert small.history.num_rows == len(small.stories) == SMALL.payments
    check_history(small.history)  # sorted, no id twice, nothing known before its payment


def test_every_payment_would_be_accepted_at_the_border(small: Simulation) -> None:
    known = catalog()
    afterwards = {f.name for f in HISTORY_SCHEMA if f.name.startswith(("label", "outcome"))}
    for row in small.history.drop_columns(sorted(afterwards)).to_pylist():
        payment_from({**row, "event_time": row["event_time"].isoformat()}, known)


def test_each_story_happens_from_its_day_on_and_is_the_only_fraud(small: Simulation) -> None:
    times = times_ms(small.history["event_time"])
    for story, day in SMALL.stories.items():
        told = times[small.stories == story]
        assert len(told) >= 30
        assert told.min() >= SMALL.start_ms + day * 86_400_000
        assert told.max() < SMALL.start_ms + SMALL.days * 86_400_000
    fraud = np.asarray(pc.fill_null(pc.equal(small.history["label"], "fraud"), False))
    assert all(small.stories[fraud] != None)  # noqa: E711
    assert set(SMALL.stories) == set(STORIES)


def test_labels_are_late_incomplete_and_never_from_after_the_end(small: Simulation) -> None:
    frauds = np.asarray([story is not None for story in small.stories])
    told = valid(small.history["label"])
    assert 0.5 < told[frauds].mean() < 0.95
    delay_days = (times_ms(small.history["label_time"]) - times_ms(small.history["event_time"]))[told] / 86_400_000
    assert delay_days.max() > 10
    assert delay_days.min() > 0
    assert times_ms(small.history["label_time"]).max() < SMALL.start_ms + SMALL.days * 86_400_000


def test_nobody_pays_a_new_merchant_before_it_is_known(small: Simulation) -> None:
    since = {key: row.known_since_ms for key, row in small.profiles if key.startswith("m-")}
    payees = small.history["payee_id"].to_pylist()
    for payee, time in zip(payees, times_ms(small.history["event_time"]).tolist(), strict=True):
        assert since.get(payee, 0) <= time, payee


def test_a_world_without_stories_has_no_fraud() -> None:
    peaceful = simulate(World(payments=500, days=5, payers=50, payees=20, stories={}))
    assert all(story is None for story in peaceful.stories)


def test_impossible_parameters_are_refused_together() -> None:
    with pytest.raises(InvalidDeclaration) as refused:
        simulate(World(payments=1, days=0, fraud_share=0.5, stories={"unheard of": 3}))
    assert len(refused.value.problems) >= 5
    assert "unheard of" in str(refused.value)


def test_the_world_has_a_data_set_of_its_own() -> None:
    known = load("world")
    assert known.source is None
    assert known.reference_currency == "INR"
    assert not known.recipe("demo").problems("demo")
