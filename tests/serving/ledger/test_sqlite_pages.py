"""Commands over a long ledger hold one page of it, and SQLite finds each page by its key."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from features.intake.parse import payment_json
from serving.audit import export_history
from serving.ledger.event_bodies import ReportEvent, encode
from serving.ledger.sqlite.bloom_filter import BloomFilter
from serving.ledger.sqlite.ledger import Ledger
from serving.settings import Settings
from tests.serving.console.desk_world import START_MS, payment

UNDECIDED = b',"receipt":null,"answer":null}'


def filled(var: Path, count: int) -> Settings:
    """An embedded ledger of payments with an outcome of each; every ninth is a fraud that became known later."""
    ledger, rows = Ledger(var / "ledger.sqlite"), []
    for n in range(count):
        at = START_MS + n * 1_000 - (n % 7) * 5_000
        content = payment_json(payment(f"t-{n}", event_time_ms=at, payer_id=f"u-{n % 90}"))
        rows.append(("payment", f"t-{n}", at, at, b'{"payment":' + content + UNDECIDED))
        reports = [("outcome", "settled", None), *([("label", "fraud", "chargeback")] if n % 9 == 0 else [])]
        for kind, value, source in reports:
            report = ReportEvent(f"t-{n}", value, source, at + 60_000, (), msgspec.Raw(content))
            rows.append((kind, f"t-{n}", at + 60_000, at + 60_000, encode(report)))
    ledger.append_many(rows)
    ledger.close()
    return Settings(var=var)


def test_an_export_in_many_pages_has_the_rows_of_one(tmp_path: Path) -> None:
    settings = filled(tmp_path, 100)
    assert export_history.export(settings.ledger, tmp_path / "whole.parquet") == 100
    assert export_history.export(settings.ledger, tmp_path / "pages.parquet", page=5, rows_per_table=7) == 100
    whole = pq.read_table(tmp_path / "whole.parquet")
    assert whole.equals(pq.read_table(tmp_path / "pages.parquet"))
    times = whole["event_time"].to_pylist()
    assert times == sorted(times)
    assert (whole["outcome"].null_count, whole["label"].null_count) == (0, 88)


def test_an_export_keeps_no_object_for_each_payment(tmp_path: Path) -> None:
    export_history.export(filled(tmp_path / "warm", 10).ledger, tmp_path / "warm.parquet", page=250, rows_per_table=250)
    peaks = []
    for count in (1_000, 3_000):
        settings = filled(tmp_path / str(count), count)
        tracemalloc.start()
        export_history.export(settings.ledger, tmp_path / f"{count}.parquet", page=250, rows_per_table=250)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # An identifier and a report remain; a payment as Python objects takes kilobytes.
    assert (peaks[1] - peaks[0]) / 2_000 < 500


def test_sqlite_finds_every_page_by_a_key(tmp_path: Path) -> None:
    filled(tmp_path, 200)
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    asked: list[str] = []
    ledger._sqlite.set_trace_callback(asked.append)
    assert len(list(ledger.walk(20))) == 200 + 200 + 23 - 20
    assert len(list(ledger.each_of_kind("label"))) == len(ledger.of_kind("label")) == 23
    assert len(ledger.reports("t-9", "label")) == 1
    assert ledger.payment("t-9") is not None
    assert ledger.has_past()
    assert ledger.last_seq() == 423
    ledger.learn_ids(BloomFilter(), after_seq=400)
    assert not ledger.may_hold("t-0") and ledger.may_hold("t-199")
    assert len(ledger.since("label", START_MS)) == 23
    ledger._sqlite.set_trace_callback(None)
    for statement in asked:
        plan = [row[3] for row in ledger._connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        # The last number and one entry of an index: SQLite calls the first step of an ordered scan a scan.
        first_row_only = statement.endswith("LIMIT 1")
        assert first_row_only or all(step.startswith("SEARCH") for step in plan), (statement, plan)
        assert not any("TEMP B-TREE" in step for step in plan), (statement, plan)
    ledger.release()


def test_what_arrived_since_a_moment_is_read_from_the_end_backwards(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.append_many([("waiting", f"t-{n}", n, n - n % 3, b"{}") for n in range(100)])
    asked: list[str] = []
    ledger._sqlite.set_trace_callback(asked.append)
    late = ledger.since("waiting", 81, page=10)
    assert [event.transaction_id for event in late] == [f"t-{n}" for n in range(81, 100)]
    assert len(asked) == 3  # two pages, and one without any that is late enough
    assert len(ledger.since("waiting", 0, page=10)) == len(ledger.since("waiting", 0)) == 100
    ledger.close()
