"""One service on the system clock for each profile, with and without a hash key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.profiles import Profile
from tests.serving.scoring_world import Service

HASH_KEY = "k" * 40


@pytest.fixture(scope="module")
def hash_key(request: pytest.FixtureRequest) -> str:
    key: str = getattr(request, "param", "")
    return key


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, profile: Profile, hash_key: str
) -> Iterator[Service]:
    more = {"RISKGATE_CLOCK": "system"} | ({"RISKGATE_HASH_KEY": hash_key} if hash_key else {})
    with profile.running(tmp_path_factory.mktemp("cases"), bundle, **more) as one:
        yield one
