"""One trained bundle for all tests of the service, and one running service for each file that shares it.

A file that says `both_profiles` runs every test of its shared service embedded and in production.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving.bento.bento_world import BentoElsewhere, bento_with
from tests.serving.profiles import Embedded, Production, Profile
from tests.serving.scoring_world import BY_ITSELF, Service, make_bundle
from tests.serving.servers import PrivateRedis, Servers, own_database, own_prefix, servers_here

if TYPE_CHECKING:
    from training.runs.bento import Built


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "risk")


@pytest.fixture(scope="session")
def bento(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A bento of this repository with that bundle; its store lies above it."""
    return bento_with(bundle, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def bento_elsewhere(bento: Built, tmp_path_factory: pytest.TempPathFactory) -> BentoElsewhere:
    """That bento away from the repository; services that share it compile its kernel once."""
    return BentoElsewhere(bento.folder, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def server_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(URL of Redis, URL of PostgreSQL without a database): found, or started once per test process."""
    with servers_here(tmp_path_factory.mktemp("redis")) as urls:
        yield urls


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """A Redis of this test alone, which it may stop, fill or empty."""
    server = PrivateRedis(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def servers(server_urls: tuple[str, str]) -> Iterator[Servers]:
    """A new database and a new prefix for this test."""
    redis_url, postgres = server_urls
    with own_database(postgres) as database, own_prefix(redis_url) as prefix:
        yield Servers(redis_url, database, prefix)


@pytest.fixture(scope="module")
def profile(request: pytest.FixtureRequest) -> Iterator[Profile]:
    """Embedded, unless the file asks for both profiles, or for every way to the service."""
    base, *more = getattr(request, "param", "embedded").split("-")
    environment = {"RISKGATE_FAST_PATH": "off"} if "ordinary" in more else {}
    way = None
    if "bento" in more:
        way = request.getfixturevalue("bento_elsewhere").way()
    if base == "embedded":
        yield Embedded(way or BY_ITSELF, environment)
        return
    production = Production(request.getfixturevalue("server_urls"), way, environment)
    try:
        yield production
    finally:
        production.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path, profile: Profile) -> Iterator[Service]:
    with profile.shared(tmp_path_factory.mktemp("service"), bundle) as one:
        yield one
