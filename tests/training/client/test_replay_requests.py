"""What is sent to a live service comes in order of time, each report when it became known, and nothing early."""

from __future__ import annotations

import json
import socket
from datetime import datetime

import numpy as np
import pytest

from features.catalogue.catalogue import catalogue
from features.history.schema import check_history, times_ms, valid
from features.intake.parse import read_payment
from training.client.replay_requests import LABELS, OUTCOMES, SCORE, before, stream
from training.client.service_process import HOST, ServiceTrouble, free_port, refuse_busy_ports
from training.demo.demo import a_busy_moment
from training.simulator.parameters import World
from training.simulator.simulate import Simulation, simulate

DAY_MS = 86_400_000
WORLD = World(
    payments=3_000, days=30, payers=200, stores=120, local_brands=40, international_brands=20, new_merchants_per_day=3,
    fraud_share=0.03, seed=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def lived() -> Simulation:
    return simulate(WORLD)


@pytest.fixture(scope="module")
def sent(lived: Simulation) -> list[tuple[str, dict[str, object]]]:
    from_ms = WORLD.start_ms + 20 * DAY_MS
    messages = stream(lived.history, from_ms, from_ms + 5 * DAY_MS, ("outcome", "label"))
    return [(path, json.loads(body)) for path, body in messages]


def _moment(path: str, body: dict[str, object]) -> datetime:
    return datetime.fromisoformat(str(body["reported_at" if path == LABELS else "event_time"]))


def test_everything_is_sent_in_order_of_time(sent: list[tuple[str, dict[str, object]]]) -> None:
    moments = [_moment(path, body) for path, body in sent]
    assert moments == sorted(moments)


def test_every_payment_label_and_outcome_of_the_period_is_sent_once(
    lived: Simulation, sent: list[tuple[str, dict[str, object]]]
) -> None:
    start, end = WORLD.start_ms + 20 * DAY_MS, WORLD.start_ms + 25 * DAY_MS
    for path, column in ((SCORE, "event_time"), (LABELS, "label_time"), (OUTCOMES, "outcome_time")):
        times = times_ms(lived.history[column])
        expected = int(((times >= start) & (times < end)).sum())
        ids = [body["transaction_id"] for one, body in sent if one == path]
        assert len(ids) == len(set(ids)) == expected > 0


def test_a_sent_payment_is_valid_and_carries_nothing_that_became_known_later(lived: Simulation) -> None:
    start = WORLD.start_ms + 20 * DAY_MS
    for path, body in stream(lived.history, start, start + DAY_MS):
        if path == SCORE:
            read_payment(body, catalogue())
            assert b"label" not in body
            assert b"outcome" not in body


def test_the_past_before_a_moment_knows_nothing_that_came_at_it_or_after(lived: Simulation) -> None:
    moment = WORLD.start_ms + 20 * DAY_MS
    past = before(lived.history, moment)
    check_history(past)
    assert times_ms(past["event_time"]).max() < moment
    assert times_ms(past["label_time"]).max() < moment
    assert times_ms(past["outcome_time"]).max() < moment
    assert (valid(past["label"]) == valid(past["label_time"])).all()
    already = times_ms(lived.history["label_time"])
    assert valid(past["label"]).sum() == int(((already >= 0) & (already < moment)).sum())


def test_the_busy_moment_of_the_demo_holds_fraud(lived: Simulation) -> None:
    first, end = a_busy_moment(lived)
    times = times_ms(lived.history["event_time"])
    inside = (times >= first) & (times < end)
    assert 0 < inside.sum() <= 601
    assert np.asarray(lived.typologies[inside] != None).any()  # noqa: E711


def test_a_port_in_use_is_named_with_its_purpose_and_a_repair() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceTrouble, match=f"{port} \\(the service\\)") as refused:
            refuse_busy_ports({"the service": port, "the review console": free_port()})
    assert "PORT=" in refused.value.repair
