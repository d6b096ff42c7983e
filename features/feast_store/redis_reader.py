"""Reads velocity from Redis for Feast: the entity strings that the workers write, read-only.

The hot path has a faster client (serving/redis_store/connection.py); this one uses redis-py. Both give the same
values bit for bit, because keys, strings and kernel are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.errors import StoreUnavailable
from features.state.profiles import Profiles
from features.state.remote import EntityStrings, entity_prefixes

Vector = npt.NDArray[np.float64]


class RedisVelocity:
    """Reads like `State.observe`, from the Redis of the production profile; one thread."""

    def __init__(self, url: str, prefix: str, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._strings = EntityStrings(catalogue)
        self._prefixes = entity_prefixes(prefix)
        self._client = _client(url)

    def observe(self, payment: Payment, profiles: Profiles | None = None) -> Vector:
        """Features of a payment given what Redis holds now, float64[columns], NaN = missing.

        Raises: StoreUnavailable, BrokenState.
        """
        entry = self._strings.entry(payment)
        pipe = self._client.pipeline(transaction=False)  # not MGET: in a cluster the six keys are in several slots
        for kind, key in enumerate(entry.keys):
            if key is not None:
                pipe.get(f"{self._prefixes[kind]}{key}}}")
        try:
            found = iter(pipe.execute())
        except redis.RedisError as error:
            raise StoreUnavailable(
                f"The Redis of the online store does not answer ({type(error).__name__}).",
                "Start it, or correct `redis_url` of the online store.",
            ) from None
        strings = [None if key is None else next(found) for key in entry.keys]
        return self._strings.observe(payment, entry, strings, profiles, keep=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(url: str) -> Any:
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=5)
        if client.info("cluster").get("cluster_enabled"):
            client.close()
            return redis.RedisCluster.from_url(url, socket_connect_timeout=3, socket_timeout=5)
    except (redis.RedisError, ValueError) as error:
        raise StoreUnavailable(
            f"The Redis of the online store does not answer ({type(error).__name__}).",
            "Start it, or correct `redis_url` of the online store.",
        ) from None
    return client
