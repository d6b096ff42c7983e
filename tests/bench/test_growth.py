"""The past that growth is measured over is a real history, and its people go on paying at their own pace."""

from __future__ import annotations

import numpy as np

from features.catalogue.catalogue import catalogue
from features.history.schema import check_history, complete, history_schema, times_ms
from features.intake.parse import read_payment
from features.state.replay import fold
from tests.bench import growth


def test_the_past_is_a_history_and_longer_ones_have_more_people_not_busier_ones() -> None:
    known = catalogue()
    entities = []
    for count in (1_000, 4_000):
        history = growth.past(count)
        check_history(complete(history, history_schema(known.parameters)))
        assert history.num_rows == count
        entities.append(fold(history, known).entities())
    assert 3 < entities[1] / entities[0] < 5


def test_live_payments_come_after_the_past_from_the_same_people() -> None:
    known = catalogue()
    history = growth.past(2_000)
    payers = set(history["payer_id"].to_pylist())
    live = [read_payment(body, known) for body in growth.bodies(2_000 // growth.EACH, 300, 2)]
    assert {payment.payer_id for payment in live} <= payers
    moments = [payment.event_time_ms for payment in live]
    assert moments == sorted(moments) and moments[0] > times_ms(history["event_time"]).max()
    own = growth.DAYS * 86_400_000 / 2_000  # a payment of the past each so many milliseconds
    assert np.isclose(np.diff(moments).mean(), own, rtol=0.01)
