"""A database and a prefix for each test of the production profile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.production.servers import Servers, own_database, own_prefix


@pytest.fixture
def servers(server_urls: tuple[str, str]) -> Iterator[Servers]:
    """A new database and a new prefix for this test."""
    redis_url, postgres = server_urls
    with own_database(postgres) as database, own_prefix(redis_url) as prefix:
        yield Servers(redis_url, database, prefix)
