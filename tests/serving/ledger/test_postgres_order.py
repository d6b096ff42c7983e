"""Whatever order entries and decisions arrive in, the walk is the ordered union of them, also amid the recorder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.decision.receipt import UNDECIDED
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import Session, first_session
from serving.ledger.reader import Event
from serving.recorder import postgres_writer
from serving.redis_store.stream_entry import StreamEntry
from tests.serving.recorder.stream_world import settings_of
from tests.serving.servers import Servers, own_database

PREFIX, PAGE = "order", 4


class World(NamedTuple):
    """A reader of the ledger and a session that records."""

    ledger: PostgresLedger
    session: Session


@pytest.fixture(scope="module")
def world(server_urls: tuple[str, str]) -> Iterator[World]:
    redis_url, postgres = server_urls
    with own_database(postgres) as database:
        schema.prepare(database, PREFIX)
        ledger = PostgresLedger(settings_of(Servers(redis_url, database, PREFIX)).ledger)
        with first_session(database) as session:
            yield World(ledger, session)
        ledger.release()


def payment(seq: int) -> StreamEntry:
    return StreamEntry(seq, "payment", f"t-{seq}", seq, seq, b'{"n":%d}' % seq, None, None)


def decision(seq: int, payment_seq: int) -> StreamEntry:
    body = b'{"receipt":{"of":%d},"answer":{"at":%d},"payment_id":"0-%d"}' % (payment_seq, seq, payment_seq)
    return StreamEntry(seq, "decision", f"t-{payment_seq}", seq, seq, body, payment_seq, None)


@st.composite
def streams(draw: st.DrawFn) -> list[list[StreamEntry]]:
    """Batches of a stream: decisions right behind their payment, far behind it, twice, or never; reports between.

    A cluster delivers in the order of the stream as well, yet a stream that was lost and read again from its start
    brings a decision before its payment: batches are shuffled in some of the examples.
    """
    entries: list[StreamEntry] = []
    open_payments: list[int] = []
    for seq in range(1, draw(st.integers(1, 24)) + 1):
        what = draw(st.sampled_from(("payment", "payment", "decision", "label", "outcome", "profile")))
        if what == "decision" and open_payments:
            about = draw(st.sampled_from(open_payments))
            entries.append(decision(seq, about))
            if draw(st.booleans()):
                open_payments.remove(about)
        elif what in ("payment", "decision"):
            entries.append(payment(seq))
            open_payments.append(seq)
        else:
            entries.append(StreamEntry(seq, what, f"t-{seq}", seq, seq, b'{"r":%d}' % seq, None, None))
    if draw(st.booleans()):
        entries = draw(st.permutations(entries))
    size = draw(st.integers(1, 6))
    return [entries[at : at + size] for at in range(0, len(entries), size)]


class Union:
    """The naive ledger: everything recorded so far, put together and ordered when asked."""

    def __init__(self) -> None:
        self.entries: dict[int, StreamEntry] = {}
        self.decisions: dict[int, bytes] = {}

    def record(self, batch: list[StreamEntry]) -> None:
        for one in batch:
            if one.payment_seq is None:
                self.entries[one.seq] = one
            else:  # what is known already stays as it is
                self.decisions.setdefault(one.payment_seq, one.body)

    def events(self) -> list[Event]:
        return [Event(*one[:5], self._body(one)) for _, one in sorted(self.entries.items())]

    def _body(self, one: StreamEntry) -> bytes:
        if one.kind != "payment":
            return one.body
        decided = self.decisions.get(one.seq)
        return b'{"payment":' + one.body + (UNDECIDED if decided is None else b"," + decided[1:])


def emptied(world: World) -> None:
    world.session.execute("TRUNCATE entries, decisions")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=streams(), after=st.integers(0, 25))
def test_the_walk_is_the_ordered_union(world: World, batches: list[list[StreamEntry]], after: int) -> None:
    emptied(world)
    union = Union()
    for batch in batches:
        postgres_writer.record(world.session, batch)
        union.record(batch)
    ledger, events = world.ledger, union.events()
    assert list(ledger.walk(page=PAGE)) == events
    assert list(ledger.walk(after, page=PAGE)) == [one for one in events if one.seq > after]
    assert (ledger.count(), ledger.last_seq()) == (len(events), max((one.seq for one in events), default=0))
    assert ledger.has_past() == any(one.kind == "payment" for one in events)
    for kind in ("label", "outcome", "profile"):
        of_kind = [one for one in events if one.kind == kind]
        assert list(ledger.each_of_kind(kind, page=PAGE)) == ledger.of_kind(kind) == of_kind
        assert ledger.of_kind(kind, after) == [one for one in of_kind if one.seq > after]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=streams(), data=st.data())
def test_a_walk_amid_the_recorder_misses_nothing_and_reads_each_page_as_of_one_moment(
    world: World, batches: list[list[StreamEntry]], data: st.DataObject
) -> None:
    emptied(world)
    batches = [sorted(batch) for batch in batches]
    ordered = sorted(one for batch in batches for one in batch)
    batches = [ordered[at : at + 3] for at in range(0, len(ordered), 3)]  # one recorder, in the order of the stream
    union, walk, seen, moments = Union(), world.ledger.walk(page=PAGE), list[Event](), list[list[Event]]()
    for batch in batches:
        postgres_writer.record(world.session, batch)
        union.record(batch)
        moments.append(union.events())
        # A walk that has caught up ends; and every page must be full, for the comparison below cuts `seen` into pages..
        if len(union.events()) - len(seen) > 2 * PAGE:
            seen += islice(walk, data.draw(st.integers(1, PAGE)))
    seen += walk
    assert [one.seq for one in seen] == [one.seq for one in union.events()]
    for page in (seen[at : at + PAGE] for at in range(0, len(seen), PAGE)):
        assert any(set(page) <= set(moment) for moment in moments)


def test_the_view_of_the_first_release_has_the_same_rows(world: World) -> None:
    emptied(world)
    batch = [
        payment(1),
        payment(2),
        decision(3, 1),
        StreamEntry(4, "label", "t-1", 4, 4, b"{}", None, None),
        payment(5),
    ]
    postgres_writer.record(world.session, batch)
    joined = (
        "SELECT p.seq, p.kind, p.transaction_id, p.event_time_ms, p.arrival_time_ms, CASE WHEN p.kind <> 'payment'"
        " THEN p.body WHEN d.body IS NULL THEN '{\"payment\":'::bytea || p.body ||"
        " ',\"receipt\":null,\"answer\":null}'::bytea ELSE '{\"payment\":'::bytea || p.body || ','::bytea ||"
        " substring(d.body FROM 2) END FROM entries p LEFT JOIN decisions d ON d.payment_seq = p.seq ORDER BY p.seq"
    )
    rows = world.session.execute(joined).fetchall()
    assert [Event(*row) for row in rows] == list(world.ledger.walk(page=PAGE))
    assert world.session.execute("TABLE events ORDER BY seq").fetchall() == rows
