"""Lists that workers share over a real Redis: order, what a late worker missed, the bundle's entries, a full stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from features.bundle.policy import Policy
from serving.decision.clock import ReplayClock
from serving.errors import LedgerUnavailable
from serving.ledger.postgres import schema
from serving.ledger.postgres.session import session
from serving.ledger.reader import Event, LedgerReader
from serving.lists.book import ListBook
from serving.lists.entry import ADD, LIST, Change, NewEntry
from serving.lists.shared import SharedLists
from serving.lists.values import EntryReader
from serving.lists.writer import opened
from serving.recorder.list_trim import ListTrimmer
from serving.redis_store.stream_entry import seq_of
from tests.serving.recorder.stream_world import settings_of
from tests.serving.redis_store.redis_world import STREAM_LIMIT, Shared
from tests.serving.servers import Servers, own_prefix


@pytest.fixture
def shared(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> Iterator[Shared]:
    with own_prefix(server_urls[0]) as prefix:
        yield Shared(server_urls[0], prefix, bundle, tmp_path)


class Recorded(LedgerReader):
    """The stream as the ledger that a recorder has written so far."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def each_of_kind(self, kind: str, *, after_seq: int = 0, page: int = 0) -> Iterator[Event]:
        return (one for one in self._shared.events() if one.kind == kind and one.seq > after_seq)


@contextlib.asynccontextmanager
async def worker(shared: Shared, stream_limit: int = STREAM_LIMIT) -> AsyncIterator[SharedLists]:
    state = shared.state(stream_limit)
    await state.open()
    try:
        yield SharedLists(state, Recorded(shared), ListBook(), EntryReader(), ReplayClock())
    finally:
        state.close()


def adding(*values: str) -> Change:
    return Change("block", ADD, "ann", tuple(NewEntry("payer", value, "seen") for value in values))


def values(lists: SharedLists) -> list[str]:
    return [one.value for one in lists.book.page("block", limit=1_000)[0]]


def test_workers_that_change_lists_at_once_end_with_the_same_and_each_learns_what_became_of_its_own(
    shared: Shared,
) -> None:
    async def run() -> None:
        async with worker(shared) as a, worker(shared) as b:
            await asyncio.gather(a.load(), b.load())
            told = await asyncio.gather(
                *[(a, b)[number % 2].change(adding(f"u-{number % 20}")) for number in range(60)], a.follow(), b.follow()
            )
            await asyncio.gather(a.follow(), b.follow())
            assert values(a) == values(b) and len(values(a)) == 20
            assert (a.book.seq, a.book.counts) == (b.book.seq, b.book.counts)
            first = [statuses[0] for statuses in told if statuses]
            assert (first.count("added"), first.count("replaced")) == (20, 40)

    asyncio.run(run())


def test_a_worker_that_missed_what_left_the_copy_reads_it_in_the_ledger(shared: Shared) -> None:
    async def run() -> None:
        async with worker(shared) as a, worker(shared) as late:
            await a.change(adding("u-0"))
            await late.load()
            for number in range(1, 6):
                await a.change(adding(f"u-{number}"))
            shared.client.xtrim(shared.keys.lists, maxlen=1, approximate=False)
            await late.follow()
            assert values(late) == values(a) == [f"u-{number}" for number in range(6)]
            # Even the whole copy may go: the next change says what came before it.
            await a.change(adding("u-6"))
            shared.client.delete(shared.keys.lists)
            await a.change(adding("u-7"))
            await late.follow()
            assert values(late) == values(a) == [f"u-{number}" for number in range(8)]

    asyncio.run(run())


def test_of_workers_that_start_at_once_one_takes_the_entries_of_the_bundle_over(shared: Shared) -> None:
    policy = msgspec.structs.replace(
        Policy(challenge_at=0.1, review_at=0.2, decline_at=0.3), block={"payer": ("u-1", "u-2")}, allow={"ip": ("::1",)}
    )

    async def run() -> None:
        async with worker(shared) as a, worker(shared) as b, worker(shared) as c:
            await asyncio.gather(*[one.load() for one in (a, b, c)])
            await asyncio.gather(*[one.take_over(policy, "risk@1") for one in (a, b, c)])
            await asyncio.gather(*[one.follow() for one in (a, b, c)])
            assert [event.kind for event in shared.events()] == [LIST, LIST]
            assert values(a) == values(b) == values(c) == ["u-1", "u-2"]
            await a.change(Change("block", "remove", "ann", (NewEntry("payer", "u-1"),)))
            more = msgspec.structs.replace(policy, block={"payer": ("u-1", "u-3")})
            await b.take_over(more, "risk@2")
            assert values(b) == ["u-2", "u-3"]  # the removed one does not come back

    asyncio.run(run())


def test_a_command_without_redis_says_what_it_wanted_and_where(servers: Servers) -> None:
    away = "redis://ann:a-secret@127.0.0.1:1/0"
    settings = msgspec.structs.replace(settings_of(servers), redis_url=away)
    schema.prepare(settings.postgres_url, settings.redis_prefix)
    with opened(settings) as lists:
        with pytest.raises(LedgerUnavailable, match=r"Redis at 127\.0\.0\.1:1/0 does not answer \(") as read:
            lists.book()
        with pytest.raises(LedgerUnavailable, match=r"Redis at 127\.0\.0\.1:1/0 does not take the change \(") as sent:
            lists.write(adding("u-1"))
    assert "a-secret" not in f"{read.value} {sent.value}" and "change" not in str(read.value)


def test_a_full_stream_takes_no_change_and_says_so(shared: Shared) -> None:
    async def run() -> None:
        async with worker(shared, stream_limit=1) as lists:
            await lists.change(adding("u-1"))
            with pytest.raises(LedgerUnavailable, match="RISKGATE_STREAM_LIMIT"):
                await lists.change(adding("u-2"))
            assert values(lists) == ["u-1"]

    asyncio.run(run())


def test_the_copy_keeps_the_last_event_and_what_is_not_recorded(servers: Servers, bundle: Path, tmp_path: Path) -> None:
    shared = Shared(servers.redis_url, servers.prefix, bundle, tmp_path)
    settings = settings_of(servers)
    schema.prepare(settings.postgres_url, settings.redis_prefix)

    async def run() -> None:
        async with worker(shared) as lists:
            for number in range(4):
                await lists.change(adding(f"u-{number}"))

    asyncio.run(run())
    ids = [seq_of(stream_id) for stream_id, _ in shared.client.xrange(shared.keys.lists)]
    hours_later = (ids[-1] >> 20) / 1000 + 7_200
    with session(settings.postgres_url) as own:
        trimmed = []
        for recorded in (0, ids[1], ids[-1]):
            own.execute("UPDATE stream_position SET seq = %s", (recorded,))
            trimmed.append(ListTrimmer(settings.redis, lambda: hours_later)(own))
        assert (trimmed, shared.client.xlen(shared.keys.lists)) == ([0, 1, 2], 1)
        again = ListTrimmer(settings.redis, lambda: hours_later)
        assert (again(own), again(own)) == (0, 0)
