"""A Redis and a PostgreSQL for the benchmark alone, so that nobody else's work is measured."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.serving.servers import PrivatePostgres, PrivateRedis, own_database

#: Megabytes of log a second: to rewrite it each time it has doubled from 64 MB would be to measure Redis's child
#: process, which has a core of its own on a machine for Redis.
OPTIONS = ("--appendfsync", "everysec", "--auto-aof-rewrite-min-size", "4gb")


def are_here() -> bool:
    """Whether both servers are installed."""
    postgres = shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return bool(shutil.which("redis-server") and postgres)


@contextlib.contextmanager
def private(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """(the settings of our production profile, the URL of a Redis database for others) while both servers run.

    Redis writes its append-only file and PostgreSQL syncs, as they must in production.
    """
    redis = PrivateRedis(folder, *OPTIONS)
    try:
        postgres = PrivatePostgres()
        try:
            with own_database(postgres.url) as database:
                settings = {"RISKGATE_REDIS_URL": redis.url, "RISKGATE_POSTGRES_URL": database}
                yield settings, redis.url.removesuffix("/0") + "/1"
        finally:
            postgres.stop()
    finally:
        redis.stop()
