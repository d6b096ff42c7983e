"""The world is the same each time, is honest about time, and tells every story it names."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.history.schema import HISTORY_SCHEMA, check_history, times_ms, valid
from features.intake.parse import payment_from
from tests.training.simulator.small import SMALL
from training.simulator.parameters import DAY_MS, IST_MS, START_SHARES, World
from training.simulator.simulate import Simulation, Simulator, simulate
from training.simulator.traffic.calendar import PLATEAU_MINUTES, RUSH_MINUTES, minute_shape, traffic_calendar

FROZEN = "01f3fe0a017a"


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(SMALL)


def _digest(history: pa.Table) -> str:
    return hashlib.sha256(msgspec.json.encode(history.to_pylist())).hexdigest()


def test_the_same_seed_gives_the_same_world_to_the_bit(small: Simulation) -> None:
    again = simulate(SMALL)
    assert again.history.equals(small.history)
    assert again.profiles == small.profiles
    assert (again.typologies == small.typologies).all()


def test_a_day_made_alone_equals_the_day_made_in_order(small: Simulation) -> None:
    day = 40
    alone, _ = Simulator(SMALL).tables(day)
    times = times_ms(small.history["event_time"])
    inside = (times >= SMALL.start_ms + day * DAY_MS) & (times < SMALL.start_ms + (day + 1) * DAY_MS)
    assert small.history.filter(pa.array(inside)).equals(alone)


def test_the_frozen_world_is_the_one_that_models_were_tuned_on() -> None:
    """Whoever changes the world changes VERSION and this digest, and says so: figures are no longer comparable."""
    frozen = simulate(msgspec.structs.replace(SMALL, payments=2_000, payers=300, days=30))
    assert _digest(frozen.history)[:12] == FROZEN


def test_another_seed_gives_another_world(small: Simulation) -> None:
    assert not simulate(msgspec.structs.replace(SMALL, seed=8)).history.equals(small.history)


def test_the_history_has_the_agreed_shape_and_can_be_replayed(small: Simulation) -> None:
    assert small.history.schema == HISTORY_SCHEMA
    assert small.history.num_rows == len(small.typologies) == SMALL.payments
    check_history(small.history)  # sorted, no id twice, nothing known before its payment


def test_every_payment_would_be_accepted_at_the_border(small: Simulation) -> None:
    known = catalogue()
    afterwards = {f.name for f in HISTORY_SCHEMA if f.name.startswith(("label", "outcome"))}
    for row in small.history.drop_columns(sorted(afterwards)).slice(0, 4_000).to_pylist():
        payment_from({**row, "event_time": row["event_time"].isoformat()}, known)


def test_each_story_is_told_from_its_day_on(small: Simulation) -> None:
    times = times_ms(small.history["event_time"])
    for typology in START_SHARES:
        occurrences = times[small.typologies == typology]
        assert len(occurrences) >= 4, typology
        assert occurrences.min() >= SMALL.start_ms + SMALL.first_day(typology) * DAY_MS
        assert occurrences.max() < SMALL.end_ms
    share = np.mean(small.typologies != None)  # noqa: E711
    assert 0.4 * SMALL.fraud_share < share < 1.2 * SMALL.fraud_share


def test_the_default_world_has_the_base_rate_of_real_platforms() -> None:
    simulator = Simulator(World(payments=1_000_000))
    assert 0.0005 < (simulator.episodes["typology"] > 0).sum() / 1_000_000 < 0.002


@pytest.mark.parametrize("typology", START_SHARES)
def test_a_story_switched_off_is_not_told(typology: str) -> None:
    others = tuple(name for name in START_SHARES if name != typology)
    found = simulate(msgspec.structs.replace(SMALL, payments=4_000, typologies=others)).typologies
    assert typology not in found


def test_labels_are_late_incomplete_sometimes_wrong_and_never_from_after_the_end(small: Simulation) -> None:
    frauds = small.typologies != None  # noqa: E711
    labelled = valid(small.history["label"])
    times, label_ms = times_ms(small.history["event_time"]), times_ms(small.history["label_time"])
    assert (label_ms[labelled] > times[labelled]).all() and label_ms.max() < SMALL.end_ms
    early = frauds & (times < SMALL.end_ms - 60 * DAY_MS)
    whole = frauds & (times < SMALL.start_ms + 3 * DAY_MS)
    assert early.sum() == 0 or 0.7 < labelled[early].mean() < 0.95
    assert 0.3 < labelled[frauds].mean() < 0.9 and whole.sum() > 0
    delay_days = ((label_ms - times) / DAY_MS)[labelled & frauds]
    source = np.asarray(small.history["label_source"].to_pylist(), object)[labelled & frauds]
    assert delay_days[source == "chargeback"].min() >= 10 and delay_days.max() <= 60.1
    assert delay_days[source == "customer_report"].max() <= 14.1
    label = np.asarray(small.history["label"].to_pylist(), object)
    assert (label[frauds] == "legitimate").any(), "some reports are cleared by mistake"


def test_an_instrument_belongs_to_one_payer_unless_it_was_stolen(small: Simulation) -> None:
    honest = small.history.filter(pa.array(small.typologies == None))  # noqa: E711
    pairs = set(zip(honest["instrument_id"].to_pylist(), honest["payer_id"].to_pylist(), strict=True))
    assert len({instrument for instrument, _ in pairs}) == len(pairs)
    assert all(instrument.split("-")[1] == payer.split("-")[1] for instrument, payer in pairs)
    stolen = small.history.filter(pa.array(np.isin(small.typologies, ["card testing", "stolen card"])))
    others = [
        instrument.split("-")[1] != payer.split("-")[1]
        for instrument, payer in zip(stolen["instrument_id"].to_pylist(), stolen["payer_id"].to_pylist(), strict=True)
    ]
    assert np.mean(others) > 0.3


def test_nobody_pays_the_own_account_or_a_merchant_that_is_not_open(small: Simulation) -> None:
    since = {key: row.known_since_ms for key, row in small.profiles}
    parties = zip(small.history["payer_id"].to_pylist(), small.history["payee_id"].to_pylist(), strict=True)
    for (payer, payee), time in zip(parties, times_ms(small.history["event_time"]).tolist(), strict=True):
        assert payer != payee
        if payee.startswith("m-"):
            assert (since[payee] or 0) <= time, payee


def test_devices_are_shared_by_families_and_by_kiosks_not_only_by_rings(small: Simulation) -> None:
    honest = small.history.filter(pa.array(small.typologies == None))  # noqa: E711
    users = honest.group_by("device_id").aggregate([("payer_id", "count_distinct")])["payer_id_count_distinct"]
    assert 0.02 < (users.to_numpy() >= 2).mean() < 0.4
    assert users.to_numpy().max() >= 8


def test_new_people_and_new_merchants_appear_every_week(small: Simulation) -> None:
    days = (times_ms(small.history["event_time"]) - SMALL.start_ms) // DAY_MS
    for column, prefix in (("payer_id", "u-"), ("payee_id", "m-")):
        ids = np.asarray(small.history[column].to_pylist(), object)
        seen: set[str] = set()
        for week in range(8):
            now = {i for i in ids[(days >= 7 * week) & (days < 7 * week + 7)] if i.startswith(prefix)}
            assert week == 0 or len(now - seen) > 3, (column, week)
            seen |= now


def test_a_day_has_the_two_peaks_of_upi() -> None:
    hours = minute_shape(0.0, False).reshape(24, 60).mean(axis=1)
    quiet = hours[[1, 2, 3, 4, 5, 14]]
    assert min(hours[10:13]) > 1.15 * quiet.max() and min(hours[17:21]) > 1.15 * quiet.max()
    assert hours.mean() == pytest.approx(1.0)


def test_the_festival_begins_with_ten_to_fifteen_times_the_daily_mean() -> None:
    shape = minute_shape(1.0, False)
    assert 10 <= shape[:RUSH_MINUTES].mean() <= 15
    assert 4 <= shape[RUSH_MINUTES:PLATEAU_MINUTES].mean() <= 8
    assert 1.6 <= shape[PLATEAU_MINUTES:].mean() <= 2.5
    calendar = traffic_calendar(World(payments=1_000_000))
    busiest = int(np.argmax(calendar.payments))
    assert World().dates[busiest].isoformat() == "2026-11-11"


def test_traffic_grows_by_a_third_a_year_and_knows_pay_day() -> None:
    calendar = traffic_calendar(World(payments=10_000_000, days=730, festival=False))
    first, second = calendar.payments[:365].sum(), calendar.payments[365:].sum()
    assert second / first == pytest.approx(1.32, abs=0.01)
    month_day = calendar.month_day
    assert calendar.usual[month_day <= 3].mean() > 1.08 * calendar.usual[(month_day > 8) & (month_day < 28)].mean()


def test_a_day_of_the_world_is_a_day_in_india(small: Simulation) -> None:
    assert (SMALL.start_ms + IST_MS) % DAY_MS == 0
    assert times_ms(small.history["event_time"]).min() >= SMALL.start_ms


def test_borders_are_crossed_and_currencies_differ(small: Simulation) -> None:
    abroad = pc.not_equal(small.history["payer_country"], small.history["payee_country"])
    assert 0.01 < pc.mean(abroad.cast(pa.float64())).as_py() < 0.15
    assert {"INR", "USD", "EUR"} <= set(small.history["currency"].to_pylist())


def test_fraud_adapts_to_refusals_only_when_told_to() -> None:
    world = msgspec.structs.replace(SMALL, typologies=("card testing",), fraud_share=0.05)
    bold = simulate(msgspec.structs.replace(world, adapts=False))
    wary = simulate(world)

    def spent(one: Simulation) -> float:
        fraud = one.typologies != None  # noqa: E711
        return float(one.history["amount_minor"].to_numpy()[fraud].sum())

    assert spent(wary) < 0.95 * spent(bold)


@settings(max_examples=15)
@given(
    payments=st.integers(100, 3_000), days=st.integers(2, 60), payers=st.integers(50, 400), seed=st.integers(0, 2**40),
    fraud_share=st.floats(0, 0.05), adapts=st.booleans(), festival=st.booleans(),
)  # fmt: skip
def test_any_possible_world_can_be_lived_and_replayed(
    payments: int, days: int, payers: int, seed: int, fraud_share: float, adapts: bool, festival: bool
) -> None:
    world = World(
        payments=payments, days=days, payers=payers, seed=seed, fraud_share=fraud_share, adapts=adapts,
        festival=festival, stores=50, local_brands=20, international_brands=20, new_merchants_per_day=1,
    )  # fmt: skip
    lived = simulate(world)
    check_history(lived.history)
    assert lived.history.num_rows >= payments * 0.9
    times = times_ms(lived.history["event_time"])
    assert times.min() >= world.start_ms and times.max() < world.end_ms
