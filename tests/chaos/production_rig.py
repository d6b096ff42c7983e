"""The production profile with private servers, under load: `python -m serving up` keeps its processes running."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from features.catalogue.catalogue import Catalogue, catalogue_of
from features.state.remote import EntityStrings
from serving.audit.verify import verify_ledger
from serving.ledger import open
from serving.ledger.event_bodies import decode_promotion
from serving.ledger.reader import LedgerReader
from serving.model import bundle_archive
from serving.redis_store.keys import Keys
from serving.settings import Settings
from serving.state.fold import Fold
from tests.chaos.proof import Proof, apart, packed, recorded_answers, unlike
from tests.chaos.proxy import Proxy
from tests.chaos.served import Served
from tests.serving.load import Callers, mixed
from tests.serving.processes.processes import ended, started, until_ready
from tests.serving.servers import PrivatePostgres, PrivateRedis

#: Payments wait this long for Redis before the amount decides.
DEADLINE_MS = 400
DRAIN_SECONDS = 60.0


class ProductionRig:
    """Redis behind a proxy, PostgreSQL, two workers, a recorder: all its own, all ended by their own ids."""

    def __init__(self, folder: Path, bundle: Path, appendfsync: str = "everysec") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.var, self.log = folder, folder / "var", folder / "up.log"
        self.bundles = Served(folder, bundle)
        self.started_callers = 0
        self._ending = contextlib.ExitStack()
        try:
            self.redis = PrivateRedis(folder / "redis", "--appendfsync", appendfsync)
            self._ending.callback(self.redis.stop)
            self.postgres = PrivatePostgres()
            self._ending.callback(self.postgres.stop)
            with psycopg.connect(f"{self.postgres.url}/postgres", autocommit=True) as one:
                one.execute("CREATE DATABASE riskgate")
            self.proxy = Proxy(self.redis.port)
            self._ending.callback(self.proxy.end)
            self.port, console, own, *workers = ports_in_a_row(5)
            self.environment = {
                "RISKGATE_VAR": str(self.var), "RISKGATE_BUNDLE": str(self.bundles.folder),
                "RISKGATE_SWAP_SECONDS": "1", "RISKGATE_CLOCK": "replay",
                "RISKGATE_REDIS_URL": f"redis://127.0.0.1:{self.proxy.port}/0",
                "RISKGATE_POSTGRES_URL": f"{self.postgres.url}/riskgate",
                "RISKGATE_WORKERS": "2", "RISKGATE_PORT": str(self.port), "RISKGATE_CONSOLE_PORT": str(console),
                "RISKGATE_RECORDER_PORT": str(own), "RISKGATE_DRAIN_SECONDS": "0",
                "BENTOML_HOME": str(folder / "bentoml"),
            }  # fmt: skip
            self.own_ports = tuple(workers)
            self.settings = Settings(
                var=self.var, redis_url=self.redis.url, postgres_url=f"{self.postgres.url}/riskgate"
            )
            self.start()
        except BaseException:
            self._ending.close()
            raise
        self.callers = Callers(self.port, lanes=4, pause=0.01)

    def start(self) -> None:
        """Bring everything up and wait until every worker is ready."""
        self.process: subprocess.Popen[bytes] = started(self.environment, self.log, "up")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until every worker is."""
        for port in self.own_ports:
            until_ready(self.process, f"http://127.0.0.1:{port}/readyz", self.log)

    def begin(self) -> Callers:
        """New callers, whose payments are new."""
        self.started_callers += 1
        prefix = f"c{self.started_callers}"
        self.callers = Callers(self.port, lanes=4, make=_hasty, pause=0.01, prefix=prefix).begin()
        return self.callers

    def child(self, *words: str) -> int:
        """The process below `up` whose command holds these words, once it has been started again."""
        deadline = time.monotonic() + 20.0  # `up` waits longer before each new start
        while time.monotonic() < deadline:
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
                for child in (thread / "children").read_text().split():
                    with contextlib.suppress(FileNotFoundError):
                        command = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                        if all(word in command for word in words):
                            return int(child)
            time.sleep(0.05)
        raise AssertionError(f"no process of {words}: {self.log.read_text()[-2000:]}")

    def end(self) -> None:
        """Leave nothing behind."""
        self.callers.end()
        try:
            ended(self.process)
        finally:
            self._ending.close()

    # -- what it shows -------------------------------------------------------------------------

    def prove(self, answers: Mapping[str, Mapping[str, Any]]) -> Proof:
        """Once everything is recorded: callers, ledger and the strings in Redis, compared."""
        self.wait_until_ready()
        self._wait_until_recorded()
        with open.opened(self.settings.ledger) as ledger:
            recorded, doubled = recorded_answers(ledger)
            lost, acknowledged = unlike(recorded, answers)
            catalogue = self._catalogue(ledger)
            fold = Fold(catalogue, self.var / "segments")
            for event in ledger.walk():
                fold.apply(event)
        with psycopg.connect(self.settings.postgres_url) as one:
            row = one.execute("SELECT count(*) - count(DISTINCT payment_seq) FROM decisions").fetchone()
        assert row is not None
        state = apart(self._live(catalogue), packed(fold.state, catalogue))
        verified = verify_ledger(self.settings.ledger)
        told = tuple(verified.differences)
        return Proof(acknowledged, lost, doubled + int(row[0]), state, verified.mismatches, len(recorded), told)

    def _wait_until_recorded(self) -> None:
        import redis

        deadline = time.monotonic() + DRAIN_SECONDS
        with redis.Redis.from_url(self.redis.url) as client:
            while time.monotonic() < deadline:
                waiting = sum(self.metric(port, "riskgate_unsettled") for port in self.own_ports)
                if waiting == 0 and client.xlen(f"{self.settings.redis_prefix}:events") == 0:
                    return
                time.sleep(0.1)
        raise AssertionError(f"not everything is recorded: {self.log.read_text()[-2000:]}")

    def metric(self, port: int, name: str) -> float:
        import httpx

        rows = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
        return next((float(row.rpartition(" ")[2]) for row in rows if row.startswith(name + " ")), 0.0)

    def until(self, name: str, value: float, port: int, patience_seconds: float = 60) -> None:
        """Wait until a worker's metric has this value."""
        deadline = time.monotonic() + patience_seconds
        while self.metric(port, name) != value:
            assert time.monotonic() < deadline, f"{name} is not {value}: {self.log.read_text()[-2000:]}"
            time.sleep(0.1)

    def _live(self, catalogue: Catalogue) -> dict[tuple[int, str], bytes]:
        import redis

        keys, strings, found = Keys(self.settings.redis_prefix), EntityStrings(catalogue), {}
        with redis.Redis.from_url(self.redis.url) as client:
            for key in client.scan_iter(f"{keys.prefix}:*", count=1_000):
                entity = keys.entity_of(key)
                if entity is not None:
                    found[entity] = strings.canonical(entity[0], client.get(key))  # type: ignore[arg-type]
        return found

    def _catalogue(self, ledger: LedgerReader) -> Catalogue:
        last = decode_promotion(ledger.of_kind("promotion")[-1].body)
        return catalogue_of(bundle_archive.kept_bundle(self.var / "bundles", last.bundle, last.policy).contract)


def ports_in_a_row(count: int) -> list[int]:
    """Neighbouring ports that nobody uses, below those that connections are given by themselves."""
    while True:
        first = random.randrange(20_000, 30_000)
        ports = list(range(first, first + count))
        with contextlib.ExitStack() as open_ones, contextlib.suppress(OSError):
            for port in ports:
                open_ones.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports


def _hasty(name: str, place: int) -> dict[str, Any]:
    return mixed(name, place) | {"deadline_ms": DEADLINE_MS}
