"""What every test of the house shares: markers, and quiet numeric libraries."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Two workers share two cores: one thread each, or the numeric libraries fight over them.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
# LightGBM has the number of its threads from the recipe. On busy cores threads that spin while they wait for each other
# take several times the processor time; asleep they compute the same.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A compiler at its first call or a busy machine is no finding: what counts is the answer, not its time.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: minutes rather than seconds; `make test` leaves these out")
    config.addinivalue_line("markers", "long: a file of half a minute; begun first, so that no core is idle at the end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
