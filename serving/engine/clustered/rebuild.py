"""Rebuilds the state in Redis from the ledger, or compares the two: online state is a fold of the ledger.

The catalogue's key is overwritten first: every worker sees that within a second, decides by amount and appends
nothing, so the state can be replaced while they run; they resume when the key is back.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from features.catalogue.catalogue import Catalogue
from features.errors import BrokenState
from features.state.remote import EntityStrings, header
from serving.decision import receipt as receipts
from serving.engine.clustered.startup_checks import REBUILDING, contract_of
from serving.engine.retry_identity import content_digest
from serving.errors import CannotStart
from serving.feedback.reports import encode_reports
from serving.feedback.waiting import LONGEST_WAIT_SECONDS, WaitingReports
from serving.ledger.event_bodies import decode_report
from serving.ledger.reader import LedgerReader
from serving.redis_store.idempotency_record import NEVER_DUE_MS, answered_record, lost_record
from serving.redis_store.keys import Keys
from serving.redis_store.server_checks import redis_client
from serving.redis_store.stream_entry import stream_id_of
from serving.state.fold import Fold
from serving.state.set_aside import SetAside, encode_shared
from serving.store_config import RedisConfig

#: Wait before the state is replaced: every worker reads that key once a second.
FENCE_SECONDS = 2.5
DRAIN_SECONDS = 60.0
_PAGE = 500


class Rebuilt(NamedTuple):
    """The result of a rebuild: entities with a string, bytes of all strings, payments whose retries are replayed.

    `set_aside` are the events that cannot be folded.
    """

    entities: int
    string_bytes: int
    payments: int
    set_aside: SetAside


class StateComparison(NamedTuple):
    """Live state against the ledger's: number of entities in either, and sentences about the first that differ.

    `set_aside` are the events that cannot be folded: no state holds them.
    """

    entities: int
    differing: int
    sentences: tuple[str, ...]
    set_aside: SetAside


def rebuild(
    redis: RedisConfig,
    ledger: LedgerReader,
    segments: Path,
    catalogue: Catalogue,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Rebuilt:
    """Replace every string by the fold of the ledger, and restore the idempotency records of the last days.

    `segments` is the folder of imported histories. `sleep` waits for workers and recorder, `clock` says for how long it
    did; both in seconds.
    Raises: CannotStart when events of the stream are not in PostgreSQL yet.
    """
    client, keys = redis_client(redis.url), Keys(redis.prefix)
    strings = EntityStrings(catalogue)
    if client.getset(keys.contract, REBUILDING) is not None:
        sleep(FENCE_SECONDS)
    _wait_until_recorded(client, keys, sleep, clock)
    fold, payments, waiting = Fold(catalogue, segments), 0, WaitingReports()
    undecided: dict[str, bytes] = {}
    since_ms = time.time_ns() // 1_000_000 - redis.keep_seconds * 1000
    pipe = client.pipeline(transaction=False)
    for event in ledger.walk():
        folded = fold.apply(event)
        if folded:
            waiting.fold(event)
        if folded and event.kind == "label" and event.transaction_id in undecided:
            report = decode_report(event.body)
            if report.brought:
                record = lost_record(
                    content_digest(bytes(report.payment)), undecided[event.transaction_id], NEVER_DUE_MS
                )
                pipe.set(keys.transaction(event.transaction_id), record, keepttl=True, xx=True)
        if folded and event.kind == "payment" and event.arrival_time_ms >= since_ms:
            record = _record(event.body, stream_id_of(event.seq))
            left = redis.keep_seconds - max(0, time.time_ns() // 1_000_000 - event.arrival_time_ms) // 1000
            pipe.set(keys.transaction(event.transaction_id), record, ex=max(1, left), nx=True)
            if event.body.endswith(receipts.UNDECIDED):
                undecided[event.transaction_id] = stream_id_of(event.seq).encode()
            payments += 1
            _send(pipe, _PAGE)
    _send(pipe, 0)
    for name in _entity_names(client, keys):
        pipe.delete(name)
        _send(pipe, _PAGE)
    _send(pipe, 0)
    entities = size = 0
    for kind, key, packed in strings.pack_state(fold.state):
        string = header(1, packed) + packed
        pipe.set(keys.entity(kind, key), string)
        entities, size = entities + 1, size + len(string)
        _send(pipe, _PAGE)
    _put_waiting(client, keys, waiting)
    if fold.profile_row:
        pipe.set(keys.profile_row, str(fold.profile_row))
    pipe.set(keys.set_aside, encode_shared(fold.set_aside))
    pipe.set(keys.contract, contract_of(catalogue.contract().hash))
    _send(pipe, 0)
    client.close()
    return Rebuilt(entities, size, payments, fold.set_aside)


def _put_waiting(client: Any, keys: Keys, waiting: WaitingReports) -> None:
    """Restore the reports that wait; a worker applies those whose payment is known by now."""
    now_ms = time.time_ns() // 1_000_000
    waiting.forget_old(now_ms)
    pipe = client.pipeline(transaction=False)
    pipe.delete(keys.waiting_index)
    for name in waiting:
        arrival_ms = waiting.arrival_ms(name)
        left = LONGEST_WAIT_SECONDS - (now_ms - arrival_ms) // 1000
        pipe.set(keys.waiting(name), encode_reports(waiting.about(name)), ex=max(1, left))
        pipe.zadd(keys.waiting_index, {name: arrival_ms})
        _send(pipe, _PAGE)
    _send(pipe, 0)


def compare(
    redis: RedisConfig, ledger: LedgerReader, segments: Path, catalogue: Catalogue, max_sentences: int = 5
) -> StateComparison:
    """Compare every string, compacted, with the fold of the ledger byte for byte; changes nothing.

    Raises: CannotStart when events of the stream are not in PostgreSQL yet.
    """
    client, keys = redis_client(redis.url), Keys(redis.prefix)
    _wait_until_recorded(client, keys)
    strings = EntityStrings(catalogue)
    fold = Fold(catalogue, segments)
    for event in ledger.walk():
        fold.apply(event)
    expected = {(kind, key): packed for kind, key, packed in strings.pack_state(fold.state)}
    differing, sentences = 0, list[str]()
    live: set[tuple[int, str]] = set()
    for names in _pages(_entity_names(client, keys)):
        for name, string in zip(names, _values(client, names), strict=True):
            entity = keys.entity_of(name)
            if entity is None or string is None:
                continue
            live.add(entity)
            try:
                same = strings.canonical(entity[0], string) == expected.get(entity)
            except BrokenState:
                same = False
            if not same:
                differing += 1
                if len(sentences) < max_sentences:
                    sentences.append(f"{name.decode()} differs from the ledger")
    for entity in expected:
        if entity not in live:
            differing += 1
            if len(sentences) < max_sentences:
                sentences.append(f"{keys.entity(*entity).decode()} is missing in Redis")
    client.close()
    return StateComparison(len(live | expected.keys()), differing, tuple(sentences), fold.set_aside)


def _wait_until_recorded(
    client: Any, keys: Keys, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> None:
    last = clock() + DRAIN_SECONDS
    while waiting := client.xlen(keys.events):
        if clock() > last:
            raise CannotStart(
                f"{waiting} events of the stream are not in PostgreSQL yet.",
                "Let the recorder run (python -m serving recorder), then try again.",
            )
        sleep(0.1)


def _record(body: bytes, stream_id: str) -> bytes:
    content = bytes(receipts.payment_in(body))
    decided = receipts.decided(body)
    if decided is None:
        return lost_record(content_digest(content), stream_id.encode())
    return answered_record(content_digest(content), stream_id.encode(), b"", bytes(decided.answer))


def _entity_names(client: Any, keys: Keys) -> Iterator[bytes]:
    for name in client.scan_iter(f"{keys.prefix}:{{*", count=_PAGE):
        if keys.entity_of(name) is not None:
            yield name


def _pages(names: Iterator[bytes]) -> Iterator[list[bytes]]:
    while page := list(itertools.islice(names, _PAGE)):
        yield page


def _values(client: Any, names: list[bytes]) -> list[bytes | None]:
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.get(name)
    found: list[bytes | None] = pipe.execute()
    return found


def _send(pipe: Any, least: int) -> None:
    if len(pipe) > least:
        pipe.execute()
