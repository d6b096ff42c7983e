"""The same payments through a Redis Cluster of three masters: the same bits, one decision each, and no key astray."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from features.domain.addresses import window_address
from features.intake.parse import payment_json
from features.state.memory import entity_keys
from serving.decision.evaluator import DEFAULT, FULL, RULES_ONLY
from serving.engine.retry_identity import content_digest
from serving.errors import CannotStart, Conflict
from serving.ledger.postgres import schema
from serving.redis_store.cluster.connections import ClusterConnections
from serving.redis_store.cluster.state import ClusterState
from serving.redis_store.connect import in_cluster
from serving.redis_store.connection import address_of
from serving.redis_store.idempotency_record import pending_record
from serving.redis_store.keys import slot_of
from serving.redis_store.scripts import APPEND
from serving.redis_store.server_checks import check_redis
from serving.redis_store.service_counts import (
    FIRST_ID,
    agree_on_shares,
    batches_after,
    last_batch,
    publish_declines,
)
from serving.redis_store.state import RedisState
from tests.serving.engine.test_redis_engine import stream
from tests.serving.engine.test_redis_feedback import feedback_of, label
from tests.serving.lists.test_shared import adding, values, worker
from tests.serving.profiles import ProductionService
from tests.serving.recorder.stream_world import settings_of
from tests.serving.recorder.test_recorder import recording
from tests.serving.redis_store.redis_world import STREAM_LIMIT, Shared, answer_of
from tests.serving.scoring_world import DAY_MS, START_MS, payment, rfc3339
from tests.serving.servers import PrivateCluster, Servers, own_database, wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCluster]:
    one = PrivateCluster(tmp_path_factory.mktemp("cluster"))
    yield one
    one.stop()


class InCluster(Shared):
    """Workers that share a cluster."""

    def __init__(self, url: str, prefix: str, bundle: Path, folder: Path) -> None:
        super().__init__(url, prefix, bundle, folder)
        self.client = redis.RedisCluster.from_url(url)

    def state(self, stream_limit: int = STREAM_LIMIT) -> RedisState:
        wires = ClusterConnections(address_of(self.url))
        return ClusterState(wires, self.keys, keep_seconds=600, stream_limit=stream_limit)


@pytest.fixture
def shared(cluster: PrivateCluster, bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    prefix = f"rgtest-{time.time_ns()}"
    one = InCluster(cluster.url, prefix, bundle, tmp_path)
    yield one
    one.client.close()


def test_a_cluster_is_told_from_a_single_redis(cluster: PrivateCluster, server_urls: tuple[str, str]) -> None:
    assert asyncio.run(in_cluster(address_of(cluster.url)))
    assert not asyncio.run(in_cluster(address_of(server_urls[0])))


def test_slots_are_those_of_redis_and_all_keys_of_an_entity_share_one(shared: Shared) -> None:
    keys = shared.keys
    for name in (keys.entity(0, "u-1"), keys.entity(5, "u-1\x1fm-2"), keys.events, keys.transaction("t{x}")):
        assert slot_of(name) == shared.client.cluster_keyslot(name)
    assert slot_of(keys.transaction("t-1")) == slot_of(keys.reports("t-1"))
    assert slot_of(keys.events) == slot_of(keys.lists)
    assert len({slot_of(keys.entity(0, f"u-{number}")) // 5462 for number in range(50)}) == 3


def test_vectors_and_decisions_in_a_cluster_are_those_of_one_process(shared: Shared) -> None:
    payments = stream(shared, 200)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            dice = random.Random(1)
            for number, one in enumerate(payments):
                assert (await answer_of(dice.choice((a, b)), one)).tier == "full"
                if number % 9 == 8:
                    await feedback_of(a).take_label(label(payments[number - 4].transaction_id))

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (200, 200, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_lists_change_in_a_cluster_and_every_worker_follows(shared: Shared) -> None:
    async def run() -> None:
        async with worker(shared) as a, worker(shared) as b:
            assert await a.change(adding("u-1", "u-2")) == ("added", "added")
            await b.follow()
            assert await b.change(adding("u-2", "u-3")) == ("replaced", "added")
            await a.follow()
            assert values(a) == values(b) == ["u-1", "u-2", "u-3"]

    asyncio.run(run())
    streams = [[one for one, _ in shared.client.xrange(key)] for key in (shared.keys.events, shared.keys.lists)]
    assert streams[0] == streams[1] and len(streams[0]) == 2


def test_fifty_retries_at_once_in_a_cluster_are_one_decision_and_one_event(shared: Shared) -> None:
    one = shared.payment("t-1", amount_minor=2_400_000, channel="online")

    async def run() -> list[bytes]:
        async with shared.worker() as a, shared.worker() as b:
            scored = await asyncio.gather(*((a, b)[n % 2].answer(one, time.perf_counter_ns()) for n in range(50)))
            assert sum(not each.replayed for each in scored) == 1
            with pytest.raises(Conflict):
                await answer_of(b, shared.payment("t-1"))
            return [each.answer for each in scored]

    assert len(set(asyncio.run(run()))) == 1
    assert shared.client.xlen(shared.keys.events) == 2
    assert shared.verified().differences == []


def test_shed_payments_in_a_cluster_are_recorded_once_and_can_be_proved(shared: Shared) -> None:
    payments = stream(shared, 60)

    async def run() -> None:
        async with shared.worker() as engine:
            for number, one in enumerate(payments):
                best_tier = (FULL, RULES_ONLY, DEFAULT)[number % 3]
                first = await engine.answer(one, engine.now_ns(), best_tier=best_tier)
                again = await engine.answer(one, engine.now_ns(), best_tier=best_tier)
                assert (first.tier, again.replayed, again.answer) == (best_tier, True, first.answer)

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.differences) == (60, [])
    assert shared.client.xlen(shared.keys.events) == 120
    assert shared.live_state() == shared.rebuilt_state()


def test_a_worker_that_dies_between_the_steps_leaves_what_the_retry_completes(shared: Shared) -> None:
    payments = stream(shared, 40)
    dice = random.Random(4)

    async def half_admitted(number: int) -> None:
        """What is left when a worker dies on its way through the entities."""
        one = payments[number]
        async with shared.worker() as engine:
            state, entry = engine.state, engine.strings.entry(one)
            claim = pending_record(content_digest(payment_json(one)), 0, [], b"")
            name = shared.keys.transaction(one.transaction_id)
            await state.connection.call(("SET", name, claim), engine.now_ns() + 10**9)
            for kind, (key, event) in enumerate(zip(entry.keys, entry.events, strict=True)):
                if key is not None and dice.random() < 0.5:
                    await state.run_script(APPEND, (shared.keys.entity(kind, key),), (event,), engine.now_ns() + 10**9)

    async def run() -> None:
        async with shared.worker() as engine:
            for number, one in enumerate(payments):
                if number % 5 == 4:
                    await half_admitted(number)
                assert (await answer_of(engine, one)).tier == "full"

    asyncio.run(run())
    result = shared.verified()
    assert (result.payments, result.vectors, result.differences) == (40, 40, [])
    assert shared.live_state() == shared.rebuilt_state()


def test_many_workers_in_a_cluster_keep_the_order_of_each_entity(shared: Shared) -> None:
    payments = stream(shared, 150)

    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            for begin in range(0, len(payments), 15):
                dice = random.Random(begin)
                chosen = payments[begin : begin + 15]
                await asyncio.gather(*(answer_of(dice.choice((a, b)), one) for one in chosen))

    asyncio.run(run())
    bodies = shared.bodies()
    assert len(bodies) == len(payments)
    places: dict[tuple[int, str], list[int]] = {}
    for one in payments:
        for kind, (key, seen) in enumerate(
            zip(entity_keys(one, window_address), bodies[one.transaction_id].receipt.seen, strict=True)
        ):
            if key is not None:
                places.setdefault((kind, key), []).append(seen)
    assert all(sorted(found) == list(range(len(found))) for found in places.values())


def test_a_cluster_that_loses_a_node_costs_no_payment_its_deadline(bundle: Path, tmp_path: Path) -> None:
    own = PrivateCluster(tmp_path / "own")
    shared = InCluster(own.url, "rg", bundle, tmp_path)

    async def run() -> None:
        async with shared.worker() as engine:
            assert (await answer_of(engine, shared.payment("t-1"))).tier == "full"
            own.processes[1].kill()
            own.processes[1].wait(10)
            for number in range(2, 6):
                began = time.monotonic()
                answer = await answer_of(engine, shared.payment(f"t-{number}", deadline_ms=400))
                assert time.monotonic() - began < 0.42
                assert (answer.tier, answer.receipt_id) == (DEFAULT, None)

    try:
        asyncio.run(run())
    finally:
        own.stop()
        shared.client.close()


def test_the_recorder_drains_the_stream_of_a_cluster(
    cluster: PrivateCluster, server_urls: tuple[str, str], shared: Shared
) -> None:
    with own_database(server_urls[1]) as database:
        servers = Servers(cluster.url, database, shared.keys.prefix)
        schema.prepare(database, servers.prefix)

        async def run() -> None:
            async with shared.worker() as engine:
                for one in stream(shared, 20):
                    assert (await answer_of(engine, one)).tier == "full"

        asyncio.run(run())
        with recording(servers):
            wait_for(lambda: shared.client.xlen(shared.keys.events) == 0, "the recorder")
        assert servers.rows("SELECT count(*) FROM entries JOIN decisions ON payment_seq = entries.seq") == [(20,)]


def test_a_service_and_its_recorder_live_on_a_cluster_and_its_state_can_be_rebuilt(
    cluster: PrivateCluster, server_urls: tuple[str, str], bundle: Path, tmp_path: Path
) -> None:
    with own_database(server_urls[1]) as database:
        servers = Servers(cluster.url, database, f"rgtest-{time.time_ns()}")
        service = ProductionService(servers, tmp_path / "service", bundle, 2, {})
        try:
            service.wait_until_ready()
            for number in range(20):
                answer = service.score(payment(f"t-{number}", payer_id=f"u-{number % 3}")).json()
                assert answer["tier"] == "full", answer
            report = {"transaction_id": "t-3", "label": "fraud", "source": "chargeback"}
            assert service.post("/v1/labels", report | {"reported_at": rfc3339(START_MS + DAY_MS)}).status_code == 200
            client = redis.RedisCluster.from_url(cluster.url)
            wait_for(lambda: client.xlen(f"{servers.prefix}:events") == 0, "the recorder")
            client.close()
            check = ("rebuild-state", "--check")
            for command in (("verify",), check, ("rebuild-state",), check):
                done = service.command(*command)
                assert done.returncode == 0, done.stderr
            assert service.score(payment("t-3", payer_id="u-0")).headers["idempotent-replay"] == "true"
        finally:
            service.stop()


def test_one_node_that_evicts_is_reason_enough_to_refuse_a_cluster(
    cluster: PrivateCluster, server_urls: tuple[str, str], shared: Shared
) -> None:
    settings = settings_of(Servers(cluster.url, f"{server_urls[1]}/postgres", "rg"))
    assert check_redis(settings.redis_url) == []
    last = shared.client.get_primaries()[-1]
    shared.client.config_set("maxmemory-policy", "allkeys-lru", target_nodes=last)
    try:
        with pytest.raises(CannotStart, match=f"{last.name} evicts keys"):
            check_redis(settings.redis_url)
    finally:
        shared.client.config_set("maxmemory-policy", "noeviction", target_nodes=last)


def test_bounds_are_shared_in_a_cluster(shared: Shared) -> None:
    async def run() -> None:
        async with shared.worker() as a, shared.worker() as b:
            found = await asyncio.gather(
                *(agree_on_shares(one.state, name, 0.0, 0.5, b"{}", b"{}") for one, name in ((a, "a"), (b, "b")))
            )
            assert [one.fraction for one in found] == [0.5, 0.5]
            await publish_declines(a.state, "a", b"counted")
            (batch,) = await batches_after(b.state, FIRST_ID)
            assert (batch.worker, batch.body) == ("a", b"counted")
            assert await last_batch(b.state) == batch.place

    asyncio.run(run())
