"""Whatever is reported about whatever was imported: it is refused and not written, or it folds again to the same."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue.catalogue import catalogue
from features.domain.payment import LABEL_SOURCES, LABELS, OUTCOMES
from features.errors import InvalidHistory, RiskgateError
from features.history.schema import own_schema
from features.intake.parse import payment_from
from features.state.memory import State
from features.state.profiles import ProfileFile
from features.state.remote import EntityStrings
from serving.audit.import_history import store_history
from serving.decision.clock import ReplayClock
from serving.decision.decider import Decided
from serving.engine.embedded.engine import EmbeddedEngine
from serving.feedback.reports import LabelReport, OutcomeReport
from serving.ledger import history_segment
from serving.ledger.event_bodies import HistoryEvent, encode
from serving.ledger.sqlite.ledger import Ledger
from serving.messages import refusal
from serving.settings import Settings
from serving.state.feedback import EmbeddedFeedback
from serving.state.fold import Fold
from serving.state.startup import append_profiles, fold_ledger, open_bundle
from serving.store_config import LedgerConfig
from tests.serving.scoring_world import PARAMETERS, START_MS, payment

KNOWN = catalogue(PARAMETERS)
STRINGS = EntityStrings(KNOWN)
IDS = ("t-1", "t 2", "t\x1f3", "té", "t" * 200, "")

rows = st.fixed_dictionaries(
    {
        "event_time": st.sampled_from((START_MS, START_MS - 1, 0, -1, -62_135_596_800_000, 253_402_300_799_999)),
        "amount_minor": st.sampled_from((0, 1, 10**12, 10**12 + 1, -5, 2**53, 2**62)),
        "currency": st.sampled_from(("INR", "usd", " Eur ", "KWD", "XTS", "")),
        "rail": st.sampled_from(("upi", "sepa", "")),
        "channel": st.sampled_from(("online", "moto")),
        "payer_id": st.sampled_from(("u-1", "u\x1f1", "ü", "")),
        "instrument_id": st.sampled_from(("c-1", "c" * 300)),
        "payee_id": st.sampled_from(("m-1", "1\x1fm", "")),
        "device_id": st.sampled_from((None, "d-1", "")),
        "ip": st.sampled_from((None, "203.0.113.9", "nowhere")),
        "mcc": st.sampled_from((None, "5411", "742")),
        "payer_country": st.sampled_from((None, "IN", "in", "uk")),
        "payee_country": st.sampled_from((None, "SG")),
        "latitude": st.sampled_from((None, 12.5, float("nan"), float("inf"))),
        "attr_basket_items": st.sampled_from((None, 3.0, float("nan"), float("-inf"))),
        "attr_sign_in": st.sampled_from((None, "otp", "")),
    }
)
reports = st.tuples(
    st.sampled_from((*IDS, "nobody")),
    st.sampled_from((*LABELS, *OUTCOMES)),
    st.sampled_from((START_MS, START_MS + 1, 0, 4_102_444_800_000)),
    st.sampled_from(LABEL_SOURCES),
)


def history_of(found: list[dict[str, Any]]) -> pa.Table:
    given_rows = [one | {"transaction_id": name} for name, one in zip(IDS, found, strict=False)]
    given_rows.sort(key=lambda one: one["event_time"])
    fields = [pa.field("attr_basket_items", pa.float64()), pa.field("attr_sign_in", pa.string())]
    return pa.Table.from_pylist(given_rows, schema=own_schema(pa.table({f.name: pa.array([], f.type) for f in fields})))


@contextlib.contextmanager
def started(var: Path) -> Iterator[tuple[Ledger, Fold]]:
    ledger = Ledger(var / "ledger.sqlite")
    try:
        yield ledger, fold_ledger(ledger, KNOWN, LedgerConfig(var))
    finally:
        ledger.close()


def packed(state: State) -> dict[tuple[int, str], bytes]:
    return {(kind, key): record for kind, key, record in STRINGS.pack_state(state)}


def words(state: State) -> bytes:
    return state.heap[: state.heap[0]].tobytes()


@given(st.lists(rows, min_size=1, max_size=len(IDS)), st.lists(reports, max_size=12), st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_a_report_is_refused_and_not_written_or_folds_again_to_the_same_state(
    found: list[dict[str, Any]], reported: list[tuple[str, str, int, str]], older: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder)
        source = var / "history.parquet"
        pq.write_table(history_of(found), source)
        if older:  # an older release kept what it was given
            event = HistoryEvent(
                history_segment.keep(source, var / "segments"), len(found), 0, 0, START_MS, source.name
            )
        else:
            try:
                event = store_history(var / "segments", source, None, None)
            except InvalidHistory as refused:
                assert "row " in str(refused)
                return
        with started(var) as (ledger, _):
            ledger.append_now("history", "", START_MS, START_MS, encode(event))
        with contextlib.suppress(InvalidHistory), started(var) as (ledger, fold):
            feedback = EmbeddedFeedback(ledger, fold, ReplayClock())
            for name, word, at_ms, source_of in reported:
                before, state = ledger.last_seq(), words(fold.state)
                try:
                    if word in LABELS:
                        feedback.label(LabelReport(name, word, source_of, at_ms))
                    else:
                        feedback.outcome(OutcomeReport(name, word, at_ms))
                except RiskgateError as error:
                    assert 400 <= refusal(error)[0] < 500 and str(error)
                    assert (ledger.last_seq(), words(fold.state)) == (before, state)
            live = packed(fold.state)
            with started(var) as (_, again):
                assert packed(again.state) == live
                assert again.set_aside.count == 0


def test_rows_of_the_profile_file_that_cannot_be_folded_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = ProfileFile(tmp_path / "profiles.sqlite")
    insert = "INSERT INTO profiles(entity, entity_id, event_time_ms, created_time_ms, body) VALUES (?, ?, ?, ?, ?)"
    bodies = [
        ("payer", 5, b'{"entity":"payer","event_time_ms":5,"created_time_ms":5,"home_country":"I"}'),
        ("payer", 5, b"no json"),
        ("payee", 5, b'{"entity":"payer","event_time_ms":5,"created_time_ms":5}'),
        ("device", 5, b'{"entity":"payer","event_time_ms":6,"created_time_ms":5}'),
        ("payer", "soon", b'{"entity":"payer","event_time_ms":7,"created_time_ms":5}'),
        ("payer", 5, b'{"entity":"payer","event_time_ms":5,"created_time_ms":5,"known_since_ms":1' + b"0" * 400 + b"}"),
        ("payer", 5, b'{"entity":"payer","event_time_ms":8,"created_time_ms":5,"home_country":"IN"}'),
        ("payer", 5, b'{"entity":"payer","event_time_ms":9,"created_time_ms":5,"home_country":"1"}'),
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "profiles.sqlite", isolation_level=None)) as other:
        for entity, created, body in bodies:
            other.execute(insert, (entity, "u-1", 5, created, body))
    with started(tmp_path / "var") as (ledger, fold):
        assert append_profiles(file, ledger, fold) == 1
        assert append_profiles(file, ledger, fold) == 0
        assert (fold.profile_row, len(fold.profiles)) == (8, 1)
        assert caplog.text.count("cannot be folded and is skipped") == 7
    with started(tmp_path / "var") as (_, again):
        assert (len(again.profiles), again.set_aside.count) == (1, 0)
    file.close()


def test_a_payment_that_cannot_be_decided_leaves_no_trace_in_the_state(tmp_path: Path, bundle: Path) -> None:
    own = Settings(var=tmp_path / "var", clock="replay")
    opened = open_bundle(bundle, own.ledger)

    def broken(_: Decided) -> None:
        raise RuntimeError("a listener failed")

    async def run() -> None:
        ledger = Ledger(own.ledger.sqlite)
        fold = fold_ledger(ledger, opened.catalogue, own.ledger)
        engine = EmbeddedEngine(
            catalogue=opened.catalogue, fold=fold, evaluator=opened.evaluator,
            ledger=ledger, clock=ReplayClock(), code="test",
        )  # fmt: skip
        await engine.answer(payment_from(payment("t-1"), opened.catalogue), time.perf_counter_ns())
        engine.decider.notice = broken
        answer = await engine.answer(payment_from(payment("t-2"), opened.catalogue), time.perf_counter_ns())
        assert b'"receipt_id":null' in answer.answer
        assert not engine.ledger_works  # the runtime folds the ledger again, and until then nothing is recorded
        engine.decider.notice = None
        engine.ledger_restored(fold_ledger(ledger, opened.catalogue, own.ledger))
        await engine.answer(payment_from(payment("t-3"), opened.catalogue), time.perf_counter_ns())
        assert [event.transaction_id for event in ledger.walk()] == ["t-1", "t-3"]
        live = packed(engine.fold.state)
        assert live == packed(fold_ledger(ledger, opened.catalogue, own.ledger).state)
        ledger.close()

    asyncio.run(run())
