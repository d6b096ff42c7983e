"""The environment of the load test: embedded, or on the Redis and PostgreSQL servers of the settings.

On servers it uses a database and a key prefix of its own and removes both afterwards. It loads their processors, so
do not use servers that score live payments.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from training.client.service_process import ServiceTrouble, free_ports
from training.settings import Settings

WORKERS = 2
EMBEDDED, PRODUCTION = "embedded", "production"
_ROOT = "postgres"
_KEYS_AT_ONCE = 2_000


def profile_of(settings: Settings) -> str:
    """The profile under test.

    Raises:
        ServiceTrouble: one server is named and the other is not.
    """
    named = {"RISKGATE_REDIS_URL": settings.redis_url, "RISKGATE_POSTGRES_URL": settings.postgres_url}
    absent = [name for name, url in named.items() if not url]
    if len(absent) == 1:
        raise ServiceTrouble(
            f"{absent[0]} is not set, and the production profile needs both servers.",
            f"Set {absent[0]} too, or unset the other for the embedded profile.",
        )
    return EMBEDDED if absent else PRODUCTION


@contextmanager
def servers(settings: Settings) -> Iterator[dict[str, str]]:
    """Settings (without prefix) of the service's processes; the database and the keys exist inside the block.

    Raises:
        ServiceTrouble: a server does not answer, or refuses to create a database.
    """
    if profile_of(settings) == EMBEDDED:
        yield {"REDIS_URL": "", "POSTGRES_URL": ""}
        return
    name = f"riskgate_festival_{secrets.token_hex(4)}"
    _create(settings.postgres_url, name)
    try:
        first = free_ports(1 + WORKERS)
        yield {
            "REDIS_URL": settings.redis_url, "REDIS_PREFIX": name, "WORKERS": str(WORKERS),
            "POSTGRES_URL": _database(settings.postgres_url, name), "RECORDER_PORT": str(first),
        }  # fmt: skip
    finally:
        _delete_keys(settings.redis_url, name)
        _drop(settings.postgres_url, name)


def _database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _create(url: str, name: str) -> None:
    try:
        with psycopg.connect(_database(url, _ROOT), autocommit=True, connect_timeout=3) as session:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise ServiceTrouble(
            f"PostgreSQL makes no database for the rehearsal ({type(error).__name__}).",
            "Start it, correct RISKGATE_POSTGRES_URL, or let its user create databases (ALTER ROLE ... CREATEDB).",
        ) from None


def _drop(url: str, name: str) -> None:
    with psycopg.connect(_database(url, _ROOT), autocommit=True, connect_timeout=3) as session:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _delete_keys(url: str, prefix: str) -> None:
    """Delete every key with the prefix, on every node."""
    client: Any = redis.Redis.from_url(url)
    if client.info("cluster").get("cluster_enabled"):
        client.close()
        client = redis.RedisCluster.from_url(url)
    with client:
        gone: list[bytes] = []
        for key in client.scan_iter(match=f"{prefix}:*", count=_KEYS_AT_ONCE):
            gone.append(key)
            if len(gone) >= _KEYS_AT_ONCE:
                _unlink(client, gone)
                gone.clear()
        _unlink(client, gone)


def _unlink(client: Any, keys: list[bytes]) -> None:
    with client.pipeline(transaction=False) as together:
        for key in keys:
            together.unlink(key)
        together.execute()
