"""Whatever is reported, before or after its payment and across restarts, the ledger folds to the live state."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.domain.payment import LABELS, OUTCOMES, REPORTING_SOURCES, RETRACTED
from features.errors import RiskgateError
from features.intake.parse import payment_from
from features.state.remote import EntityStrings
from serving.audit.export_history import export
from serving.audit.verify import verify_ledger
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.errors import Overloaded, UnknownTransaction
from serving.feedback.changes import Change
from serving.feedback.label_precedence import label_by_precedence
from serving.feedback.reports import KnownReport, LabelReport, OutcomeReport, of_kind
from serving.feedback.waiting import MOST_ABOUT_ONE, WaitingReports
from serving.ledger.event_bodies import Effect
from serving.settings import Settings
from serving.state.fold import Fold
from serving.state.report_events import report_event
from serving.state.startup import fold_ledger
from tests.serving.asgi import runtime_with
from tests.serving.scoring_world import START_MS, payment

NAMES = ("p-0", "p-1", "p-2")
names, times = st.sampled_from(NAMES), st.integers(START_MS - 5, START_MS + 5)
steps = st.one_of(
    st.tuples(st.just("score"), names),
    st.tuples(st.just("bring"), names),
    st.builds(OutcomeReport, names, st.sampled_from(OUTCOMES), times, st.sampled_from((None, 100, 12_500))),
    st.builds(LabelReport, names, st.sampled_from((*LABELS, RETRACTED)), st.sampled_from(REPORTING_SOURCES), times),
    st.just(("restart", "")),
)


def packed(fold: Fold) -> dict[tuple[int, str], bytes]:
    return {(kind, key): record for kind, key, record in EntityStrings(fold.catalogue).pack_state(fold.state)}


async def taken(runtime: EmbeddedRuntime, step: object) -> None:
    engine, feedback = runtime.engine, runtime.feedback
    assert engine is not None and feedback is not None
    try:
        if isinstance(step, OutcomeReport):
            await feedback.take_outcome(step)
        elif isinstance(step, LabelReport):
            await feedback.take_label(step)
        else:
            what, name = step  # type: ignore[misc]
            own = payment_from(payment(name), engine.catalogue)
            if what == "score":
                await engine.answer(own, time.perf_counter_ns())
            else:
                await feedback.take_label(LabelReport(name, "fraud", "network_alert", START_MS, own))
    except RiskgateError:
        pass


async def lived(var: Path, bundle: Path, done: list[object]) -> None:
    runtime = runtime_with(Settings(var=var, clock="replay"), bundle)
    await runtime.prepare()
    for step in done:
        if step == ("restart", ""):
            await runtime.end()
            runtime = runtime_with(Settings(var=var, clock="replay"), bundle)
            await runtime.prepare()
        else:
            await taken(runtime, step)
    feedback = runtime.feedback
    assert feedback is not None
    try:
        folded = fold_ledger(runtime.ledger, feedback.fold.catalogue, runtime.config)
        assert packed(folded) == packed(feedback.fold)
        for name in NAMES:
            known = await feedback.known(name)
            if known is None:
                continue
            assert name not in feedback.waiting
            labels = of_kind(known.reports, "label")
            if labels:
                assert labels[-1].in_force == label_by_precedence(labels, feedback.precedence())
    finally:
        await runtime.end()


@given(st.lists(steps, max_size=10))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_folds_to_the_live_state_and_verifies(bundle: Path, done: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder) / "var"
        asyncio.run(lived(var, bundle, done))
        result = verify_ledger(Settings(var=var, clock="replay").ledger)
        assert (result.differences, result.set_aside.count) == ([], 0)


def test_an_export_has_the_label_in_force_and_none_that_was_retracted(bundle: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    done: list[object] = [("score", name) for name in NAMES]
    for name, word, source in (
        ("p-0", "fraud", "chargeback"), ("p-0", "legitimate", "customer_report"),
        ("p-1", "fraud", "customer_report"), ("p-1", RETRACTED, "customer_report"),
    ):  # fmt: skip
        done.append(LabelReport(name, word, source, START_MS + len(done)))
    done += [OutcomeReport("p-2", "reversed", START_MS, 100), OutcomeReport("p-2", "voided", START_MS + 1)]
    asyncio.run(lived(tmp_path / "var", bundle, done))
    export(Settings(var=tmp_path / "var").ledger, tmp_path / "out.parquet")
    rows = {one["transaction_id"]: one for one in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    assert [(rows[one]["label"], rows[one]["label_source"]) for one in NAMES] == [
        ("fraud", "chargeback"), (None, None), (None, None),
    ]  # fmt: skip
    assert rows["p-1"]["label_time"] is None
    assert rows["p-2"]["outcome"] == "reversed"  # the one that the state holds


def test_what_waits_is_bounded_in_number_and_age(bundle: Path, tmp_path: Path) -> None:
    async def run() -> None:
        runtime = runtime_with(Settings(var=tmp_path / "var", clock="replay"), bundle)
        await runtime.prepare()
        feedback = runtime.feedback
        assert feedback is not None
        feedback.waiting = WaitingReports(most=2)
        for name in ("w-0", "w-1"):
            await feedback.take_label(LabelReport(name, "fraud", "chargeback", START_MS))
        before = runtime.ledger.last_seq()
        with pytest.raises(Overloaded):
            await feedback.take_label(LabelReport("w-2", "fraud", "chargeback", START_MS))
        with pytest.raises(UnknownTransaction):
            feedback.label(LabelReport("w-0", "fraud", "review", START_MS), verdict_seq=1)
        assert runtime.ledger.last_seq() == before
        for more in range(1, MOST_ABOUT_ONE):
            await feedback.take_label(LabelReport("w-0", "fraud", "chargeback", START_MS - more))
        with pytest.raises(Overloaded):
            await feedback.take_label(LabelReport("w-0", "fraud", "chargeback", START_MS - MOST_ABOUT_ONE))
        feedback.waiting.forget_old(time.time_ns() // 1_000_000 + 40 * 86_400_000)
        assert len(feedback.waiting) == 0
        await runtime.end()

    asyncio.run(run())


def test_outcomes_that_an_earlier_release_took_still_fold_and_verify(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(var=tmp_path / "var", clock="replay")
    old = [
        KnownReport("outcome", "declined", None, START_MS, None, "51"),
        KnownReport("outcome", "declined", None, START_MS + 1, None, "05"),
        KnownReport("outcome", "reversed", None, START_MS + 2, 99_999_999),
        KnownReport("outcome", "captured", None, START_MS - 40 * 86_400_000, 10**12),
    ]

    async def run() -> None:
        runtime = runtime_with(settings, bundle)
        await runtime.prepare()
        await taken(runtime, ("score", "p-0"))
        assert runtime.feedback is not None
        known = await runtime.feedback.known("p-0")
        assert known is not None
        for one in old:
            effects = (Effect(one.value, 1),) if one in (old[0], old[2]) else ()
            event = report_event(known.original.payment, one, Change(effects, None), None)
            runtime.ledger.append_now(*event[1:])
        await runtime.end()
        runtime = runtime_with(settings, bundle)
        await runtime.prepare()
        assert runtime.feedback is not None
        again = await runtime.feedback.known("p-0")
        assert again is not None and list(again.reports) == old
        await runtime.end()

    asyncio.run(run())
    result = verify_ledger(settings.ledger)
    assert (result.differences, result.set_aside.count) == ([], 0)
