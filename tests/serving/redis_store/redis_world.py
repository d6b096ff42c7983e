"""Workers over a real Redis, and the stream they write read as a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis

from features.catalogue.catalogue import Catalogue
from features.domain.payment import Payment
from features.intake.parse import payment_from
from features.state.remote import EntityStrings
from serving.audit.verify import Verification, VerifyResult
from serving.decision.clock import ReplayClock
from serving.decision.decider import Decider
from serving.decision.receipt import Answer, Body, decode_answer, decode_body
from serving.engine.clustered.engine import RedisEngine
from serving.engine.clustered.runtime import warm_up
from serving.ledger.reader import LedgerReader
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.redis_store.connection import RedisConnection, address_of
from serving.redis_store.keys import Keys
from serving.redis_store.state import RedisState
from serving.redis_store.stream_entry import seq_of
from serving.settings import Settings, read_settings
from serving.state import startup
from serving.state.fold import Fold
from serving.store_config import RedisConfig
from tests.serving.scoring_world import payment
from tests.serving.servers import Servers

STREAM_LIMIT = 100_000


class NoPast:
    """Nothing was ever recorded elsewhere."""

    def case(self, transaction_id: str) -> None:
        return None

    def imported(self, transaction_id: str) -> bool:
        return False

    def payment(self, transaction_id: str) -> Event | None:
        return None

    def content(self, transaction_id: str) -> bytes | None:
        return None

    def original(self, transaction_id: str) -> None:
        return None

    def reports(self, transaction_id: str) -> tuple[()]:
        return ()


class Shared:
    """What the workers of one test share: a Redis, a prefix, a bundle, a folder."""

    def __init__(self, url: str, prefix: str, bundle: Path, folder: Path) -> None:
        self.url, self.keys = url, Keys(prefix)
        self.settings = Settings(var=folder / "var", clock="replay")
        self.opened = startup.open_bundle(bundle, self.settings.ledger)
        warm_up(self.opened)
        self.client: Any = redis.Redis.from_url(url)

    @property
    def catalogue(self) -> Catalogue:
        return self.opened.catalogue

    def payment(self, name: str, **changes: Any) -> Payment:
        return payment_from(payment(name, **changes), self.catalogue)

    @contextlib.asynccontextmanager
    async def worker(self, stream_limit: int = STREAM_LIMIT) -> AsyncIterator[RedisEngine]:
        state = self.state(stream_limit)
        await state.open()
        engine = RedisEngine(
            catalogue=self.catalogue,
            decider=Decider(self.opened.evaluator, self.catalogue, "code"),
            state=state,
            clock=ReplayClock(),
            lookup=NoPast(),
        )
        following = asyncio.create_task(engine.outbox.run())
        try:
            yield engine
        finally:
            following.cancel()
            state.close()

    def state(self, stream_limit: int = STREAM_LIMIT) -> RedisState:
        return RedisState(RedisConnection(address_of(self.url)), self.keys, keep_seconds=600, stream_limit=stream_limit)

    # -- what they wrote -----------------------------------------------------------------------

    def events(self) -> list[Event]:
        """The stream as a ledger: each payment with what was decided about it."""
        return list(merged(self.client.xrange(self.keys.events)))

    def bodies(self) -> dict[str, Body]:
        return {
            event.transaction_id: decode_body(event.body)
            for event in self.events()
            if event.kind == "payment" and b'"receipt":null' not in event.body
        }

    def verified(self) -> VerifyResult:
        """Every decision recomputed in the order of the stream."""
        ledger = Ledger(self.settings.var / f"copy-{time.time_ns()}.sqlite")
        ledger.append_many([event[1:] for event in self.events()])
        walk = Verification(ledger, self.settings.ledger, 5)
        walk.start_with(self.catalogue)
        for event in ledger.walk():
            walk.step(event)
        ledger.close()
        return walk.result

    def stores(self, ledger: LedgerReader) -> tuple[RedisConfig, LedgerReader, Path, Catalogue]:
        """What a rebuild of the state needs, in its order."""
        return self.settings.redis, ledger, self.settings.ledger.segments, self.catalogue

    def live_state(self) -> dict[tuple[int, str], bytes]:
        """Every entity's record as Redis has it, packed after all its tail."""
        strings, found = EntityStrings(self.catalogue), {}
        for key in self.client.scan_iter(f"{self.keys.prefix}:*", count=1000):
            entity = self.keys.entity_of(key)
            if entity is not None:
                found[entity] = strings.canonical(entity[0], self.client.get(key))
        return found

    def rebuilt_state(self) -> dict[tuple[int, str], bytes]:
        """The same out of the stream, by the embedded fold."""
        fold = Fold(self.catalogue, self.settings.var / "segments")
        for event in self.events():
            fold.apply(event)
        strings = EntityStrings(self.catalogue)
        return {(kind, key): record for kind, key, record in strings.pack_state(fold.state)}


def on_servers(servers: Servers, bundle: Path, folder: Path) -> Shared:
    """What workers share whose stream a recorder writes into PostgreSQL."""
    one = Shared(servers.redis_url, servers.prefix, bundle, folder)
    environment = {"RISKGATE_VAR": str(folder / "var"), "RISKGATE_CLOCK": "replay"}
    one.settings = read_settings({**servers.environment, **environment})
    return one


def merged(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[Event]:
    decisions = {}
    for _, fields in entries:
        if fields[b"k"] == b"decision":
            about = msgspec.json.decode(fields[b"b"])["payment_id"].encode()
            assert about not in decisions, "a payment was decided twice"
            decisions[about] = fields[b"b"]
    for stream_id, fields in entries:
        kind, body = fields[b"k"].decode(), fields[b"b"]
        if kind == "decision":
            continue
        if kind == "payment":
            decided = decisions.get(stream_id)
            rest = b'"receipt":null,"answer":null}' if decided is None else decided[1:]
            body = b'{"payment":' + body + b"," + rest
        yield Event(seq_of(stream_id), kind, fields[b"t"].decode(), int(fields[b"e"]), int(fields[b"a"]), body)


async def answer_of(engine: RedisEngine, one: Payment) -> Answer:
    scored = await engine.answer(one, engine.now_ns())
    return decode_answer(scored.answer)
