"""One trained bundle for all tests of the service, and one running service for each file that shares it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.scoring_world import Service, make_bundle, running


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "risk")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), bundle) as one:
        yield one
