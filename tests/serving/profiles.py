"""The two profiles as the tests see them: the same service, started and asked in the same words."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import pytest

from serving.cases.postgres import PostgresCases
from serving.cases.sqlite import SqliteCases
from serving.console.desk import DeskLedger
from serving.ledger.postgres import schema
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import read_settings
from tests.serving import scoring_world
from tests.serving.processes.processes import ended, started, until_ready
from tests.serving.scoring_world import BY_ITSELF, Service, Way
from tests.serving.servers import Servers, own_database, own_prefix, wait_for
from training.client.service_process import free_port

#: For files whose tests hold in both profiles: `pytestmark = both_profiles`.
both_profiles = pytest.mark.parametrize("profile", ["embedded", "production"], indirect=True, scope="module")
#: For files that hold however requests reach the service, too: `ordinary` is without the fast path, `bento` a built
#: bento that `bentoml serve` serves elsewhere. `make ways` runs all of them.
_EVERY = ["embedded-ordinary", "production-ordinary", "embedded-bento", "embedded-bento-ordinary", "production-bento"]
_MORE = _EVERY if os.environ.get("RISKGATE_TEST_WAYS") == "all" else []
every_way = pytest.mark.parametrize(
    "profile", ["embedded", "production", *(_MORE or _EVERY[:1])], indirect=True, scope="module"
)
#: The same for requests made from the document, of which there are thousands: both profiles, all else in `make ways`.
generated_ways = pytest.mark.parametrize("profile", ["embedded", "production", *_MORE], indirect=True, scope="module")


class Profile(Protocol):
    """Where a service keeps what it writes, and how to look at it."""

    name: str

    def running(self, folder: Path, bundle: Path, **environment: str) -> contextlib.AbstractContextManager[Service]:
        """The service over what belongs to this folder until the block ends."""
        ...

    def shared(self, folder: Path, bundle: Path) -> contextlib.AbstractContextManager[Service]:
        """The same with as many scoring processes as the profile may have."""
        ...

    def environment(self, folder: Path) -> dict[str, str]:
        """What a command about that folder's ledger needs in its environment."""
        ...

    def written(self, service: Service) -> int:
        """How many events were ever written."""
        ...

    def settle(self, service: Service) -> None:
        """Wait until the ledger holds all that was acknowledged."""
        ...

    def desk(self, service: Service) -> DeskLedger:
        """Where the desk finds the cases."""
        ...

    def held(self, service: Service) -> Iterator[tuple[str, bytes]]:
        """(where, content) of everything that servers keep; what is in files the caller finds itself."""
        ...


class Embedded:
    """SQLite in the folder."""

    name = "embedded"

    def __init__(self, way: Way = BY_ITSELF, more: Mapping[str, str] = {}) -> None:
        self._way, self._more = way, more

    def running(self, folder: Path, bundle: Path, **environment: str) -> contextlib.AbstractContextManager[Service]:
        return scoring_world.running(folder, bundle, self._way, **{**self._more, **environment})

    def shared(self, folder: Path, bundle: Path) -> contextlib.AbstractContextManager[Service]:
        return self.running(folder, bundle)

    def environment(self, folder: Path) -> dict[str, str]:
        return {}

    def written(self, service: Service) -> int:
        ledger = Ledger(service.var / "ledger.sqlite", read_only=True)
        try:
            return ledger.last_seq()
        finally:
            ledger.release()

    def settle(self, service: Service) -> None:
        """Nothing: what is acknowledged is in the file."""

    def desk(self, service: Service) -> DeskLedger:
        return SqliteCases(service.var / "ledger.sqlite")

    def held(self, service: Service) -> Iterator[tuple[str, bytes]]:
        yield from ()


class Production:
    """A database and a prefix for each folder, on the servers of the machine or on private ones."""

    name = "production"

    def __init__(self, server_urls: tuple[str, str], way: Way | None = None, more: Mapping[str, str] = {}) -> None:
        """`way`: how one process that has all workers is started; None: our processes behind one port."""
        self._urls, self._way, self._more = server_urls, way, more
        self._servers: dict[Path, Servers] = {}
        self._ending = ExitStack()

    def close(self) -> None:
        self._ending.close()

    def servers(self, folder: Path) -> Servers:
        if folder not in self._servers:
            redis_url, postgres = self._urls
            database = self._ending.enter_context(own_database(postgres))
            prefix = self._ending.enter_context(own_prefix(redis_url))
            self._servers[folder] = Servers(redis_url, database, prefix)
        return self._servers[folder]

    def shared(self, folder: Path, bundle: Path) -> contextlib.AbstractContextManager[Service]:
        return self.running(folder, bundle, 2)

    def environment(self, folder: Path) -> dict[str, str]:
        return self.servers(folder).environment

    @contextlib.contextmanager
    def running(self, folder: Path, bundle: Path, workers: int = 1, **environment: str) -> Iterator[Service]:
        environment = {**self._more, **environment}
        service = ProductionService(self.servers(folder), folder, bundle, workers, environment, self._way)
        try:
            service.wait_until_ready()
            yield service
        finally:
            service.stop()

    def written(self, service: Service) -> int:
        servers = self.servers(service.var.parent)
        return int(servers.redis().xinfo_stream(f"{servers.prefix}:events")["entries-added"])

    def settle(self, service: Service) -> None:
        servers = self.servers(service.var.parent)
        client, key = servers.redis(), f"{servers.prefix}:events"
        wait_for(lambda: client.xlen(key) == 0, "the recorder")

    def desk(self, service: Service) -> DeskLedger:
        return PostgresCases(read_settings(self.environment(service.var.parent)).ledger)

    def held(self, service: Service) -> Iterator[tuple[str, bytes]]:
        servers = self.servers(service.var.parent)
        client = servers.redis()
        for key in client.scan_iter(f"{servers.prefix}:*", count=1000):
            kind = client.type(key)
            if kind == b"stream":
                value: Any = client.xrange(key)
            elif kind == b"hash":
                value = client.hgetall(key)
            elif kind == b"zset":
                value = client.zrange(key, 0, -1)
            else:
                assert kind == b"string", kind
                value = client.get(key)
            yield f"Redis {key!r}", key + b" " + b" ".join(texts(value))
        tables = servers.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in tables:
            for row in servers.rows(f'SELECT * FROM "{table}"'):
                yield f"PostgreSQL {table}", b" ".join(texts(row))


def texts(value: Any) -> Iterator[bytes]:
    """Every text in what a server answered, as bytes."""
    if isinstance(value, bytes | memoryview):
        yield bytes(value)
    elif isinstance(value, dict):
        yield from texts(list(value.items()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)
    else:
        yield str(value).encode()


class ProductionService(Service):
    """A recorder and some workers behind one port; `process` is the first worker."""

    def __init__(
        self,
        servers: Servers,
        folder: Path,
        bundle: Path,
        workers: int,
        environment: dict[str, str],
        way: Way | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.var, self.port, self.log = folder / "var", free_port(), folder / "service.log"
        self.environment = scoring_world.environment_of(
            self.var, bundle, {**servers.environment, "RISKGATE_RECORDER_PORT": str(free_port()), **environment}
        )
        self.own_ports = [free_port() for _ in range(workers)]
        # As `up` does: nobody waits for the recorder to make the tables.
        schema.prepare(servers.postgres_url, servers.prefix)
        self.recorder = started(self.environment, self.log, "recorder")
        if way is None:
            self.workers = [self._worker(port) for port in self.own_ports]
        else:
            self.own_ports = [self.port]
            self.workers = [self._all_workers(way, workers)]
        self.process = self.workers[0]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def _worker(self, own_port: int) -> subprocess.Popen[bytes]:
        arguments = ("run", "--port", str(self.port), "--share-port", "--own-port", str(own_port))
        return started(self.environment, self.log, *arguments)

    def started_again(self, place: int) -> subprocess.Popen[bytes]:
        """Another process in place of a worker that has ended."""
        return self._worker(self.own_ports[place])

    def _all_workers(self, way: Way, workers: int) -> subprocess.Popen[bytes]:
        environment = {**self.environment, **way.environment, "RISKGATE_WORKERS": str(workers)}
        with self.log.open("ab") as out:
            return subprocess.Popen(
                way.command(self.port), cwd=way.folder, env=environment, stdout=out, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self, patience_seconds: float = 180) -> None:
        for process, port in zip(self.workers, self.own_ports, strict=True):
            until_ready(process, f"http://127.0.0.1:{port}/readyz", self.log, patience_seconds)

    def kill(self) -> None:
        self.client.close()
        for process in (*self.workers, self.recorder):
            process.kill()
            process.wait(30)

    def stop(self) -> int:
        self.client.close()
        codes = [ended(process) for process in self.workers]
        codes.append(ended(self.recorder))
        return max(codes, key=abs)


def figures(service: Service, *arguments: str) -> Any:
    """The figures that `verify` writes about the ledger of a service."""
    report = service.var / "verify.json"
    done = service.command("verify", "--report", str(report), *arguments)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(report.read_bytes())
