"""The servers of the production profile: found or started once per test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.production.servers import Servers, own_database, own_prefix, servers_here


@pytest.fixture(scope="session")
def server_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with servers_here(tmp_path_factory.mktemp("redis")) as urls:
        yield urls


@pytest.fixture
def servers(server_urls: tuple[str, str]) -> Iterator[Servers]:
    """A new database and a new prefix for this test."""
    redis_url, postgres = server_urls
    with own_database(postgres) as database, own_prefix(redis_url) as prefix:
        yield Servers(redis_url, database, prefix)
