"""A real Redis and a real PostgreSQL for tests: those on the standard local ports, or private ones.

Where there must be servers (`CI=true`) their absence is a failure, elsewhere a skip.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from training.client.service_process import free_port

POSTGRES_USERS = ("postgres", "nobody")
STANDARD_REDIS = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True)
class Servers:
    """Where this test may write: a database and a prefix of its own."""

    redis_url: str
    postgres_url: str
    prefix: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "RISKGATE_REDIS_URL": self.redis_url,
            "RISKGATE_POSTGRES_URL": self.postgres_url,
            "RISKGATE_REDIS_PREFIX": self.prefix,
        }

    def redis(self) -> Any:
        return redis.Redis.from_url(self.redis_url)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()  # type: ignore[call-overload, no-any-return]


def missing(what: str, package: str) -> Any:
    """Fail where there must be servers, skip elsewhere."""
    text = f"There is no {what} here: install it (apt-get install {package}) or start one on its standard port."
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class PrivateRedis:
    """A Redis of the test's own, with an append-only file; it may be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.binary = shutil.which("redis-server") or missing("redis-server", "redis-server")
        self.folder, self.options, self.port = folder, options, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--appendonly", "yes", "--appendfsync", "always", "--save", "", *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._answers, "redis-server")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def stop(self) -> None:
        self.kill(signal.SIGTERM)


class PrivatePostgres:
    """A PostgreSQL cluster of the test's own; it may be killed and started again."""

    def __init__(self, *options: str) -> None:
        self.binaries = postgres_binaries()
        self.user = unprivileged()
        # Not below pytest's folder: only its owner may enter that, and PostgreSQL refuses to be root.
        self.folder = Path(tempfile.mkdtemp(prefix="riskgate-postgres-"))
        if self.user is not None:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        self.options, self.port = options, free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}"
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self.binaries / name), *arguments]
        subprocess.run(command, check=True, user=self.user, cwd=self.folder, capture_output=True, timeout=60)

    def start(self) -> None:
        settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", *self.options)
        self.process = subprocess.Popen(
            [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
             *(word for setting in settings for word in ("-c", setting))],
            user=self.user, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self._answers, "postgres")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(f"{self.url}/postgres"):
            return True
        return False

    def kill(self, number: int = signal.SIGQUIT) -> None:
        """End it at once, as a crash does: SIGQUIT writes nothing, and takes the backends along."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def stop(self) -> None:
        self.kill(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)


def postgres_binaries() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else missing("PostgreSQL", "postgresql")


def unprivileged() -> str | None:
    """Whom PostgreSQL runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in POSTGRES_USERS if name in names)


def wait_for(answers: Any, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not answer within {seconds:.0f} s")
        time.sleep(0.02)


def standard_postgres() -> str | None:
    """The URL of the local server, without a database, if it lets us create some."""
    url = "postgresql://postgres@127.0.0.1:5432"
    with contextlib.suppress(psycopg.Error), psycopg.connect(f"{url}/postgres", connect_timeout=2) as one:
        row = one.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if row == (True,):
            return url
    return None


def standard_redis() -> str | None:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(STANDARD_REDIS, socket_timeout=2) as client:
        if client.info("memory")["maxmemory_policy"] == "noeviction":
            return STANDARD_REDIS
    return None


@contextlib.contextmanager
def own_database(server: str) -> Iterator[str]:
    """A new, empty database on a server; dropped at the end."""
    name = f"riskgate_test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as one:
        one.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    try:
        yield f"{server}/{name}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as one:
            one.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


@contextlib.contextmanager
def own_prefix(url: str) -> Iterator[str]:
    """A prefix that nobody else has; its keys are deleted at the end."""
    prefix = f"rgtest-{secrets.token_hex(6)}"
    try:
        yield prefix
    finally:
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url) as client:
            for key in client.scan_iter(f"{prefix}:*", count=1000):
                client.delete(key)


@contextlib.contextmanager
def servers_here(folder: Path) -> Iterator[tuple[str, str]]:
    """(URL of Redis, URL of PostgreSQL without a database): the local ones, or private ones for this block."""
    with contextlib.ExitStack() as ending:
        redis_url, postgres = standard_redis(), standard_postgres()
        if redis_url is None:
            own = PrivateRedis(folder)
            ending.callback(own.stop)
            redis_url = own.url
        if postgres is None:
            cluster = PrivatePostgres("fsync=off")
            ending.callback(cluster.stop)
            postgres = cluster.url
        yield redis_url, postgres


class PrivateCluster:
    """Three masters of a Redis Cluster of the test's own."""

    NODES = 3

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server") or missing("redis-server", "redis-server")
        self.ports = [free_port() for _ in range(self.NODES)]
        bus = [free_port() for _ in range(self.NODES)]
        self.processes = []
        for port, bus_port in zip(self.ports, bus, strict=True):
            own = folder / str(port)
            own.mkdir(parents=True)
            arguments = [
                "--port", str(port), "--bind", "127.0.0.1", "--dir", str(own), "--cluster-enabled", "yes",
                "--cluster-port", str(bus_port), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
            ]  # fmt: skip
            self.processes.append(
                subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        self.url = f"redis://127.0.0.1:{self.ports[0]}"
        try:
            self._join()
        except BaseException:
            self.stop()
            raise

    def _join(self) -> None:
        wait_for(lambda: all(map(self._answers, self.ports)), "redis-server")
        nodes = [f"127.0.0.1:{port}" for port in self.ports]
        create = ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        wait_for(lambda: all(map(self._knows_all, self.ports)), "the cluster")

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port) as client:
            return bool(client.ping())
        return False

    def _knows_all(self, port: int) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port) as client:
            info = client.cluster("info")
            return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == self.NODES
        return False

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(20)
