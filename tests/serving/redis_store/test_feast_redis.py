"""Feast reads from Redis what the workers wrote there: the values of the hot path, bit for bit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.errors import StoreUnavailable
from features.state.memory import State
from tests.serving.engine.test_redis_engine import stream
from tests.serving.engine.test_redis_feedback import feedback_of, label
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.servers import own_prefix
from training.client.service_process import free_port

pytestmark = pytest.mark.filterwarnings("ignore")  # Feast and its dependencies warn on import and on use


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


def test_feast_over_redis_gives_the_vectors_of_the_hot_path(shared: Shared, tmp_path: Path) -> None:
    from features.feast_store import client

    payments, known = stream(shared, 80), shared.catalogue

    async def run() -> None:
        async with shared.worker() as engine:
            for one in payments:
                await answer_of(engine, one)
            await feedback_of(engine).take_label(label(payments[5].transaction_id))

    asyncio.run(run())
    state = State(known)
    for one in payments:
        state.apply(one)
    state.annotate(payments[5], "fraud")
    before = {key: shared.client.dump(key) for key in shared.client.scan_iter(f"{shared.keys.prefix}:*")}
    store = client.open_store(tmp_path / "feast", known)
    client.apply(store, known)
    client.read_redis(store, shared.url, shared.keys.prefix)
    try:
        for one in (payments[-1], payments[40], shared.payment("t-new", payer_id="u-nobody", device_id=None)):
            client.set_clock(store, lambda at_ms=one.event_time_ms: at_ms)  # type: ignore[misc]
            found = client.online_vectors(store, known, [one])[0]
            assert np.array_equal(found, state.observe(one), equal_nan=True)
    finally:
        client.close(store)
    assert before == {key: shared.client.dump(key) for key in shared.client.scan_iter(f"{shared.keys.prefix}:*")}


def test_a_redis_that_is_not_there_is_told_with_a_repair(shared: Shared, tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path / "feast", shared.catalogue)
    client.apply(store, shared.catalogue)
    client.read_redis(store, f"redis://127.0.0.1:{free_port()}/0", "rg")
    try:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            client.online_vectors(store, shared.catalogue, [shared.payment("t-1")])
    finally:
        client.close(store)
