"""The recorder: everything in the stream reaches PostgreSQL once, in order, whatever is killed on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from features.intake.parse import payment_json
from serving.ledger.postgres import schema
from serving.ledger.postgres.ledger import PostgresLedger
from serving.recorder.metrics import RecorderMetrics
from serving.recorder.recorder import Chore, Recorder
from serving.redis_store.stream_entry import seq_of
from tests.serving.recorder.stream_world import Stream, settings_of
from tests.serving.servers import PrivatePostgres, PrivateRedis, Servers, own_database, wait_for
from training.client.service_process import free_port

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def recording(servers: Servers, *chores: Chore) -> Iterator[Recorder]:
    """A recorder in a thread of this process."""
    schema.prepare(servers.postgres_url, servers.prefix)
    one = Recorder(settings_of(servers).ledger, settings_of(servers).redis, RecorderMetrics(), chores)
    thread = threading.Thread(target=one.run, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.stopping.set()
        thread.join(10)
        assert not thread.is_alive()


@contextlib.contextmanager
def recorder_process(servers: Servers, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **servers.environment, "RISKGATE_RECORDER_PORT": str(free_port())}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "recorder"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def recorded(servers: Servers) -> int:
    (count,) = servers.rows("SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM decisions)")[0]
    return int(count)


def test_a_payment_and_its_decision_become_one_event_of_the_ledger(servers: Servers) -> None:
    stream = Stream(servers)
    one, stream_id = stream.admitted("t-1")
    stream.decided(one, stream_id)
    with recording(servers):
        wait_for(lambda: recorded(servers) == 2, "the recorder")
        wait_for(lambda: stream.length() == 0, "the trimming of what is recorded")
    ledger = PostgresLedger(settings_of(servers).ledger)
    event = ledger.payment("t-1")
    ledger.release()
    assert event is not None
    assert event.seq == seq_of(stream_id)
    body = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
    assert bytes(body["payment"]) == payment_json(one)
    assert msgspec.json.decode(body["answer"])["transaction_id"] == "t-1"
    assert msgspec.json.decode(body["receipt"])["receipt_id"] == "Rt-1"


def test_an_undecided_payment_is_in_the_ledger_without_an_answer(servers: Servers) -> None:
    Stream(servers).admitted("t-undecided")
    with recording(servers):
        wait_for(lambda: recorded(servers) == 1, "the recorder")
    ledger = PostgresLedger(settings_of(servers).ledger)
    (event,) = ledger.walk()
    ledger.release()
    body = msgspec.json.decode(event.body)
    assert (body["receipt"], body["answer"]) == (None, None)


def test_the_ledger_answers_as_the_embedded_one_does(servers: Servers) -> None:
    stream = Stream(servers)
    ones = [stream.scored(f"t-{n}") for n in range(5)]
    stream.reported("outcome", ones[0], "declined")
    stream.reported("label", ones[1], "fraud", "chargeback")
    with recording(servers):
        wait_for(lambda: recorded(servers) == 12, "the recorder")
    ledger = PostgresLedger(settings_of(servers).ledger)
    walked = list(ledger.walk())
    assert [event.transaction_id for event in walked] == ["t-0", "t-1", "t-2", "t-3", "t-4", "t-0", "t-1"]
    assert [event.seq for event in walked] == sorted(event.seq for event in walked)
    assert (ledger.count(), ledger.last_seq()) == (7, walked[-1].seq)
    assert list(ledger.walk(walked[4].seq)) == walked[5:]
    assert ledger.reports("t-0", "outcome") == [walked[5]]
    assert ledger.of_kind("label") == [walked[6]]
    assert ledger.of_kind("label", walked[6].seq) == []
    assert ledger.payment("t-none") is None
    ledger.release()


def test_a_decision_that_people_must_see_opens_its_case_once(servers: Servers) -> None:
    Stream(servers).scored("t-case", "review", amount_minor=40_000)
    with recording(servers):
        wait_for(lambda: recorded(servers) == 2, "the recorder")
    assert servers.rows("SELECT transaction_id, decision, status, risk_minor FROM cases") == [
        ("t-case", "review", "open", 400)
    ]


def test_an_entry_that_is_no_event_is_stored_and_blocks_nothing(servers: Servers) -> None:
    stream = Stream(servers)
    stream.client.xadd(stream.key, {"k": "payment", "nonsense": "x"})
    stream.scored("t-behind")
    with recording(servers) as one:
        wait_for(lambda: recorded(servers) == 2, "the recorder")
        wait_for(lambda: stream.length() == 0, "the trimming of what is recorded")
        assert one.metrics.entries.labels("unreadable")._value.get() == 1
    ((fields, reason),) = servers.rows("SELECT fields, reason FROM unreadable")
    assert b"nonsense" in fields
    assert reason.startswith("KeyError")


def test_an_entry_that_the_tables_refuse_is_stored_and_blocks_nothing(servers: Servers) -> None:
    stream = Stream(servers)
    stream.scored("t-before")
    stream.add("promotion", "", b"{}", 10**30)
    one, stream_id = stream.admitted("t-case", currency="XXX")  # no weight: a case like any other
    stream.decided(one, stream_id, "review")
    stream.scored("t-behind")
    with recording(servers):
        wait_for(lambda: stream.length() == 0, "the recorder")
    kept = servers.rows("SELECT transaction_id FROM entries ORDER BY seq")
    assert kept == [("t-before",), ("t-case",), ("t-behind",)]
    ((_, reason),) = servers.rows("SELECT seq, reason FROM unreadable")
    assert reason.startswith("NumericValueOutOfRange")
    assert servers.rows("SELECT transaction_id, currency FROM cases") == [("t-case", "XXX")]


def test_of_two_recorders_one_records_and_the_other_takes_over_when_it_is_killed(
    servers: Servers, tmp_path: Path
) -> None:
    stream = Stream(servers)
    for n in range(50):
        stream.scored(f"t-a{n}")
    with recorder_process(servers, tmp_path / "a.log") as first:
        wait_for(lambda: stream.length() == 0, "the first recorder")
        with recording(servers) as second:
            stream.scored("t-b")
            wait_for(lambda: recorded(servers) == 102, "the first recorder")
            assert second.metrics.active._value.get() == 0
            first.send_signal(signal.SIGKILL)
            stream.scored("t-c")
            wait_for(lambda: recorded(servers) == 104, "the second recorder")
            assert second.metrics.active._value.get() == 1
            wait_for(lambda: stream.length() == 0, "the trimming of what is recorded")


def test_a_recorder_killed_again_and_again_loses_and_doubles_nothing(servers: Servers, tmp_path: Path) -> None:
    stream, fed, ending = Stream(servers), [], threading.Event()

    def feed() -> None:
        while not ending.is_set():
            fed.append(stream.scored(f"t-{len(fed)}").transaction_id)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        for _ in range(2):
            before = recorded(servers) if fed and servers.rows("SELECT to_regclass('entries')")[0][0] else 0
            with recorder_process(servers, tmp_path / "log"):
                wait_for(
                    lambda: servers.rows("SELECT to_regclass('entries')")[0][0] and recorded(servers) > before,  # noqa: B023
                    "the recorder",
                )
    finally:
        ending.set()
        thread.join()
    with recording(servers):
        wait_for(lambda: recorded(servers) == 2 * len(fed), "the last recorder")
    walked = servers.rows("SELECT transaction_id FROM events ORDER BY seq")
    assert [name for (name,) in walked] == fed
    decided = "SELECT count(*) FROM entries JOIN decisions ON payment_seq = entries.seq"
    assert servers.rows(decided) == [(len(fed),)]


def test_a_stopped_recorder_ends_in_order(servers: Servers, tmp_path: Path) -> None:
    stream = Stream(servers)
    stream.scored("t-1")
    with recorder_process(servers, tmp_path / "log") as process:
        wait_for(lambda: stream.length() == 0, "the recorder")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "stopped gracefully" in (tmp_path / "log").read_text()


def test_while_postgres_is_away_the_stream_waits_and_nothing_is_lost(servers: Servers) -> None:
    own = PrivatePostgres("fsync=off")
    try:
        with own_database(own.url) as database:
            mine = Servers(servers.redis_url, database, servers.prefix)
            stream = Stream(mine)
            with recording(mine) as one:
                stream.scored("t-before")
                wait_for(lambda: stream.length() == 0, "the recorder")
                own.kill()
                for n in range(20):
                    stream.scored(f"t-{n}")
                wait_for(lambda: one.metrics.failures._value.get() > 0, "the recorder's first failure")
                assert stream.length() == 40
                own.start()
                wait_for(lambda: stream.length() == 0, "the recorder after the return of PostgreSQL")
            assert recorded(mine) == 42
    finally:
        own.stop()


def test_a_redis_killed_and_returned_is_recorded_on(servers: Servers, tmp_path: Path) -> None:
    own = PrivateRedis(tmp_path)
    mine = Servers(own.url, servers.postgres_url, servers.prefix)
    stream = Stream(mine)
    try:
        with recording(mine) as one:
            stream.scored("t-before")
            wait_for(lambda: recorded(mine) == 2, "the recorder")
            own.kill()
            wait_for(lambda: one.metrics.failures._value.get() > 0, "the recorder's first failure")
            own.start()
            stream.scored("t-after")
            wait_for(lambda: recorded(mine) == 4, "the recorder after the return of Redis")
    finally:
        own.stop()
        stream.client.close()


def test_a_lost_stream_continues_after_the_recorded_ids_even_if_clocks_are_behind(servers: Servers) -> None:
    stream = Stream(servers)
    stream.scored("t-before")
    with recording(servers):
        wait_for(lambda: recorded(servers) == 2, "the recorder")
        wait_for(lambda: stream.length() == 0, "the trimming of what is recorded")
    stream.client.delete(stream.key)
    ahead = seq_of(f"{int(time.time() * 1000) + 3_600_000}-0")
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("UPDATE stream_position SET seq = %s", (ahead,))
    with recording(servers):
        wait_for(lambda: stream.client.exists(stream.key), "a new stream")
        wait_for(lambda: stream.client.xinfo_stream(stream.key)["last-generated-id"] != b"0-0", "its first id")
        _, stream_id = stream.admitted("t-after")
        assert seq_of(stream_id) > ahead
        wait_for(lambda: recorded(servers) == 3, "the recorder")


def test_a_new_stream_with_lower_ids_is_read_from_its_start(servers: Servers) -> None:
    schema.prepare(servers.postgres_url, servers.prefix)
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("UPDATE stream_position SET seq = %s", (seq_of(f"{int(time.time() * 1000) + 3_600_000}-0"),))
    stream = Stream(servers)
    stream.scored("t-1")
    with recording(servers):
        wait_for(lambda: recorded(servers) == 2, "the recorder")


@pytest.mark.parametrize("missing", ["RISKGATE_REDIS_URL", "RISKGATE_POSTGRES_URL"])
def test_a_server_that_is_down_at_the_start_is_reported_in_a_sentence(servers: Servers, missing: str) -> None:
    scheme, port = ("redis", free_port()) if "REDIS" in missing else ("postgresql", free_port())
    environment = {**os.environ, **servers.environment, missing: f"{scheme}://risk:hush@127.0.0.1:{port}/0"}
    ended = subprocess.run(
        [sys.executable, "-m", "serving", "recorder"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert missing in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stderr
