"""Checks of Redis and PostgreSQL before a process of the production profile starts."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlsplit

import redis

from serving.errors import CannotStart, LedgerError
from serving.ledger.postgres.session import first_session, ledger_errors, place_of

#: Every error of the Redis client, including a cluster without a reachable node.
REDIS_ERRORS = (redis.RedisError, redis.exceptions.RedisClusterException)

OLDEST_REDIS = (6, 2)
OLDEST_POSTGRES = 13


def redis_place_of(url: str) -> str:
    """Host, port and database of a URL without user and password: `127.0.0.1:6379/0`."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
    except ValueError:
        raise CannotStart(
            "RISKGATE_REDIS_URL cannot be read as a URL.",
            "Write redis://user:password@host:6379/0; percent-encode characters of the password: @ as %40, / as %2F.",
        ) from None


def redis_client(url: str) -> Any:
    """A client for everything but the hot path; it connects on first use and reconnects by itself.

    Raises: CannotStart when the URL cannot be read.
    """
    redis_place_of(url)
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=10)
    except ValueError:
        raise CannotStart("RISKGATE_REDIS_URL cannot be read as a URL.", "Write redis://host:6379/0.") from None
    # A node of a cluster needs the client of a cluster.
    with contextlib.suppress(redis.RedisError):
        if client.info("cluster").get("cluster_enabled"):
            client.close()
            return redis.RedisCluster.from_url(url, socket_connect_timeout=3, socket_timeout=10)
    return client


def check_redis(url: str) -> list[str]:
    """Refuse a Redis that would lose data by design; returns warnings about what is allowed but unsafe.

    Raises: CannotStart.
    """
    place = redis_place_of(url)
    client = redis_client(url)
    try:
        servers = _servers_of(client)
    except redis.AuthenticationError:
        raise CannotStart(
            f"Redis at {place} refuses the user or password.", "Correct RISKGATE_REDIS_URL: redis://user:password@host"
        ) from None
    except REDIS_ERRORS as error:
        raise CannotStart(
            f"Redis at {place} does not answer ({type(error).__name__}).",
            "Start it (redis-server --appendonly yes), or correct RISKGATE_REDIS_URL.",
        ) from None
    finally:
        client.close()
    warnings = [sentence for name, info in servers.items() for sentence in _warnings_about(name or place, info)]
    return list(dict.fromkeys(warnings))


def _servers_of(client: Any) -> dict[str, dict[str, Any]]:
    """INFO of each server by address; a single server has the empty address."""
    if not isinstance(client, redis.RedisCluster):
        return {"": _server_info(client)}
    primaries: Any = client.get_primaries  # redis-py has no type for it
    return {node.name: _server_info(client, target_nodes=node) for node in primaries()}


def _server_info(client: Any, **where: Any) -> dict[str, Any]:
    info = {k: v for section in ("server", "memory", "persistence") for k, v in client.info(section, **where).items()}
    with contextlib.suppress(redis.ResponseError):  # a hosted Redis may forbid CONFIG
        info |= client.config_get("appendfsync", **where)
    return info


def _warnings_about(place: str, info: dict[str, Any]) -> list[str]:
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotStart(
            f"Redis at {place} is version {version}; streams are trimmed by id only from 6.2 on.",
            "Install a newer version.",
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise CannotStart(
            f"Redis at {place} evicts keys when its memory is full (maxmemory-policy {policy}): payments get lost.",
            "Switch eviction off: redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf.",
        )
    if not int(info.get("aof_enabled", 0)):
        return [
            f"Redis at {place} writes no append-only file: events not yet in PostgreSQL are lost when Redis ends. "
            "Switch it on: redis-cli CONFIG SET appendonly yes, and in redis.conf."
        ]
    if info.get("appendfsync", "always") != "always":
        return [
            f"Redis at {place} acknowledges before its append-only file is on disk (appendfsync "
            f"{info['appendfsync']}): a crash can lose the last two seconds. To lose nothing: "
            "redis-cli CONFIG SET appendfsync always, and in redis.conf."
        ]
    return []


def check_postgres(url: str) -> list[str]:
    """Refuse a PostgreSQL that is missing or too old; returns warnings about what is allowed but unsafe.

    Raises: CannotStart.
    """
    place = place_of(url)
    with first_session(url) as session:
        try:
            with ledger_errors():
                version = session.info.server_version // 10_000
                row = session.execute("SHOW synchronous_commit").fetchone()
        except LedgerError as error:
            raise CannotStart(f"PostgreSQL at {place} does not answer.", "Look at its log.") from error
    if version < OLDEST_POSTGRES:
        raise CannotStart(f"PostgreSQL at {place} is version {version}.", f"Install {OLDEST_POSTGRES} or newer.")
    if row == ("off",):
        return [
            f"PostgreSQL at {place} acknowledges commits before they are on disk (synchronous_commit off): a crash "
            "loses events that were already trimmed from Redis. Switch it on for this database."
        ]
    return []
