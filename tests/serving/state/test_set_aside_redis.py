"""PostgreSQL with events that cannot be folded: rebuilt, compared and verified alike; one verdict blocks no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from serving.audit.verify import Verification
from serving.engine.clustered.feedback import RedisFeedback
from serving.engine.clustered.ledger_lookup import LedgerLookup
from serving.engine.clustered.rebuild import compare, rebuild
from serving.errors import LedgerUnavailable
from serving.feedback.reports import LabelReport
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from serving.ledger.postgres.session import session
from serving.recorder.verdicts import label_verdicts
from serving.state import startup
from serving.state.foldable import CannotFold
from serving.state.set_aside import decode_shared
from tests.serving.engine.test_redis_engine import stream
from tests.serving.engine.test_redis_feedback import feedback_of, label
from tests.serving.recorder.stream_world import settings_of
from tests.serving.recorder.test_recorder import recording
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.scoring_world import START_MS
from tests.serving.servers import Servers, wait_for
from tests.serving.state.broken_events import broken_events

FAR = 1 << 62


@pytest.fixture
def shared(servers: Servers, bundle: Path, tmp_path: Path) -> Shared:
    one = Shared(servers.redis_url, servers.prefix, bundle, tmp_path)
    one.settings = settings_of(servers, RISKGATE_VAR=str(tmp_path / "var"), RISKGATE_CLOCK="replay")
    startup.open_bundle(bundle, one.settings.ledger)
    return one


@pytest.fixture
def ledger(shared: Shared, servers: Servers) -> Iterator[PostgresLedger]:
    schema.prepare(servers.postgres_url, servers.prefix)
    one = PostgresLedger(shared.settings.ledger)
    yield one
    one.release()


@pytest.fixture
def recorded(shared: Shared, servers: Servers, ledger: PostgresLedger) -> None:
    async def run() -> None:
        async with shared.worker() as engine:
            for one in stream(shared, 20):
                await answer_of(engine, one)
            await answer_of(engine, shared.payment("p-1"))
            await feedback_of(engine).take_label(label("p-1"))

    asyncio.run(run())
    with recording(servers):
        wait_for(lambda: shared.client.xlen(shared.keys.events) == 0, "the recorder")


def write_broken(servers: Servers, ledger: PostgresLedger) -> list[int]:
    """One event of each fault that the columns of PostgreSQL let in; their numbers."""
    honest = ledger.payment("p-1")
    assert honest is not None
    seqs = []
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        for place, (kind, name, event_ms, arrival_ms, body) in enumerate(broken_events(honest.body).values()):
            if not isinstance(body, bytes) or kind == "hashing":
                continue
            if kind == "payment":  # an entry is the payment alone; the view adds the decision
                body = body.removeprefix(b'{"payment":').partition(b',"receipt"')[0]
            one.execute(
                "INSERT INTO entries VALUES (%s, %s, %s, %s, %s, %b)",
                (FAR + place, kind, name, event_ms, arrival_ms, body),
            )
            seqs.append(FAR + place)
    return seqs


def test_rebuild_compare_and_verify_agree_about_what_is_set_aside(
    shared: Shared, recorded: None, servers: Servers, ledger: PostgresLedger
) -> None:
    before = shared.live_state()
    seqs = write_broken(servers, ledger)
    found = compare(*shared.stores(ledger))
    assert (found.differing, [one.seq for one in found.set_aside.named()]) == (0, seqs)
    made = rebuild(*shared.stores(ledger), sleep=lambda seconds: None)
    assert [one.seq for one in made.set_aside.named()] == seqs
    assert shared.live_state() == before
    there = decode_shared(shared.client.get(shared.keys.set_aside))
    assert there.count == len(seqs) and str(seqs[0]) in there.note()
    walk = Verification(ledger, shared.settings.ledger, 5)
    walk.start_with(shared.catalogue)
    for event in ledger.walk():
        walk.step(event)
    assert (walk.result.mismatches, walk.result.payments) == (0, 21)
    assert [one.seq for one in walk.result.set_aside.named()] == seqs


def test_a_report_about_a_broken_payment_is_refused_and_nothing_is_appended(
    shared: Shared, recorded: None, servers: Servers, ledger: PostgresLedger
) -> None:
    write_broken(servers, ledger)
    past = LedgerLookup(ledger, shared.settings.var / "segments", shared.catalogue)

    async def run() -> None:
        async with shared.worker() as engine:
            feedback = RedisFeedback(engine.state, engine.strings, engine.clock, past)
            for name in ("payment-no-json", "payment-wrong-type", "payment-missing-fields"):
                with pytest.raises(CannotFold):
                    await feedback.take_label(label(name))
            # Broken reports about a payment do not keep new ones from it.
            shared.client.delete(shared.keys.reports("p-1"))
            await feedback.take_label(label("p-1", "legitimate", START_MS + 60_000))

    asyncio.run(run())
    assert [event.kind for event in shared.events()] == ["label"]


def test_a_verdict_that_becomes_no_label_blocks_none_of_the_others(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    bodies = [b"no json", b'{"verdict":"maybe"}', b'{"verdict":"crash"}', b'{"verdict":"fraud"}']
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        for seq, body in enumerate(bodies, start=1):
            one.execute("INSERT INTO entries VALUES (%s, 'verdict', %s, 1, 1, %b)", (seq, f"t-{seq}", body))
            one.execute("INSERT INTO verdicts_to_label VALUES (%s)", (seq,))
    taken = []

    def give(report: LabelReport, verdict_seq: int) -> None:
        if report.label == "maybe":
            raise CannotFold("its value is no label")
        if report.label == "crash":
            raise KeyError("an error that was not foreseen")
        taken.append(verdict_seq)

    with caplog.at_level(logging.WARNING), session(servers.postgres_url, "test") as own:
        with pytest.raises(LedgerUnavailable):
            label_verdicts(own, give)
        assert taken == [4]
        assert own.execute("SELECT seq FROM verdicts_to_label").fetchall() == [(3,)]
    assert "verdict 1 became no label" in caplog.text and "verdict 2 became no label" in caplog.text
