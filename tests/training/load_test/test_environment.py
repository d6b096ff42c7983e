"""The rehearsal borrows a database and keys of its own from both servers and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.serving.servers import PrivateCluster, servers_here
from training.client.service_process import ServiceTrouble, free_port, free_ports, refuse_busy_ports
from training.load_test.environment import profile_of, servers
from training.settings import Settings


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with servers_here(tmp_path_factory.mktemp("redis")) as (redis_url, postgres):
        yield Settings(redis_url=redis_url, postgres_url=f"{postgres}/not_there_and_not_needed")


def databases(url: str) -> set[str]:
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl()) as session:
        return {name for (name,) in session.execute("SELECT datname FROM pg_database")}


def test_without_servers_the_children_are_told_to_be_embedded() -> None:
    with servers(Settings()) as place:
        assert profile_of(Settings()) == "embedded"
        assert place == {"REDIS_URL": "", "POSTGRES_URL": ""}


def test_one_server_alone_is_refused_by_the_name_of_the_other() -> None:
    with pytest.raises(ServiceTrouble, match="RISKGATE_POSTGRES_URL is not set"):
        profile_of(Settings(redis_url="redis://127.0.0.1:6379/0"))


def test_database_and_keys_are_the_rehearsals_own_and_gone_afterwards(both: Settings) -> None:
    with (
        redis.Redis.from_url(both.redis_url) as client,
        pytest.raises(KeyboardInterrupt),
        servers(both) as place,
    ):
        assert profile_of(both) == "production"
        name = urlsplit(place["POSTGRES_URL"]).path.removeprefix("/")
        assert name in databases(both.postgres_url)
        prefix = place["REDIS_PREFIX"]
        client.mset({f"{prefix}:{{u:{number}}}": b"x" for number in range(3_000)})
        client.set(f"{prefix}-of-another:kept", b"x")
        raise KeyboardInterrupt  # whatever ends it
    with redis.Redis.from_url(both.redis_url) as client:
        assert list(client.scan_iter(f"{prefix}*", count=1000)) == [f"{prefix}-of-another:kept".encode()]
        client.delete(f"{prefix}-of-another:kept")
    assert name not in databases(both.postgres_url)


def test_keys_are_removed_from_every_node_of_a_cluster(both: Settings, tmp_path: Path) -> None:
    cluster = PrivateCluster(tmp_path)
    try:
        settings = Settings(redis_url=cluster.url, postgres_url=both.postgres_url)
        with redis.RedisCluster.from_url(cluster.url) as client:
            with servers(settings) as place:
                for number in range(300):
                    client.set(f"{place['REDIS_PREFIX']}:{{u:{number}}}", b"x")
            assert client.dbsize(target_nodes=redis.RedisCluster.PRIMARIES) == 0
    finally:
        cluster.stop()


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = f"postgresql://risk:hush@127.0.0.1:{free_port()}/risk"
    with (
        pytest.raises(ServiceTrouble) as refused,
        servers(Settings(redis_url="redis://127.0.0.1:1/0", postgres_url=url)),
    ):
        pass
    assert "RISKGATE_POSTGRES_URL" in refused.value.repair
    assert "hush" not in f"{refused.value.message} {refused.value.repair}"


def test_ports_in_a_row_are_free() -> None:
    first = free_ports(4)
    refuse_busy_ports({str(port): port for port in range(first, first + 4)})
