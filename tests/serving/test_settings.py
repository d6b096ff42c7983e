"""The settings of the service: refused with every problem at once, and never with a password in the sentence."""

from __future__ import annotations

import pytest

from serving.errors import CannotStart
from serving.settings import read_settings

REDIS = {"RISKGATE_REDIS_URL": "redis://:hush-redis@127.0.0.1:6379/0"}
POSTGRES = {"RISKGATE_POSTGRES_URL": "postgresql://risk:hush-postgres@127.0.0.1/risk"}


def test_without_urls_the_profile_is_embedded() -> None:
    assert not read_settings({}).production


def test_with_both_urls_the_profile_is_production() -> None:
    assert read_settings({**REDIS, **POSTGRES}).production


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (REDIS, "RISKGATE_REDIS_URL is set and RISKGATE_POSTGRES_URL is not"),
        (POSTGRES, "RISKGATE_POSTGRES_URL is set and RISKGATE_REDIS_URL is not"),
        ({**REDIS, "RISKGATE_POSTGRES_URL": "mysql://risk:hush-postgres@db/risk"}, "does not begin with postgresql://"),
        ({**POSTGRES, "RISKGATE_REDIS_URL": "hush-redis@127.0.0.1"}, "does not begin with redis://"),
        ({**REDIS, **POSTGRES, "RISKGATE_REDIS_PREFIX": "a{b}"}, "RISKGATE_REDIS_PREFIX is not a word"),
        ({**REDIS, **POSTGRES, "RISKGATE_WORKERS": "0"}, "RISKGATE_WORKERS is 0"),
        ({**REDIS, **POSTGRES, "RISKGATE_STREAM_LIMIT": "many"}, "not a whole number of events"),
    ],
)
def test_wrong_settings_of_the_production_profile_are_refused_without_the_password(
    environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings(environment)
    assert sentence in refused.value.message
    assert "hush" not in refused.value.message + refused.value.repair


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(CannotStart) as refused:
        read_settings({**REDIS, "RISKGATE_PORT": "web", "RISKGATE_CLOCK": "sundial"})
    for name in ("RISKGATE_POSTGRES_URL", "RISKGATE_PORT", "RISKGATE_CLOCK"):
        assert name in refused.value.message
