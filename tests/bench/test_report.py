"""The report says what was measured and nothing else."""

from __future__ import annotations

from tests.bench import machine, report
from tests.bench.generators.test_load import summary_of
from tests.bench.rounds import Round, typical
from tests.bench.stitched.comparison import Figures, compared

NAMES = ("stitched", "stitched_redis", "empty", "embedded", "redis")


def figures(*names: str) -> Figures:
    seen = {
        "stitched": Round(summary_of(requests=100, latency_ms=20.0), 4_000.0),
        "stitched_redis": Round(summary_of(requests=200, latency_ms=10.0), 3_000.0),
        "empty": Round(summary_of(requests=4000, latency_ms=1.0), 100.0),
        "embedded": Round(summary_of(requests=2000, latency_ms=2.0), 200.0),
        "redis": Round(summary_of(requests=1000, latency_ms=4.0), 300.0),
    }
    measured: Figures = {"date": machine.date(), "machine": machine.machine(), "versions": machine.versions()}
    measured["load"] = {"connections": 8, "rounds": 1, "seconds": 1.0, "warm_seconds": 0.0}
    return measured | compared({name: typical([seen[name]]) for name in names})


def test_ratios_compare_each_of_ours_with_its_own_rival() -> None:
    measured = figures(*NAMES)
    assert measured["embedded"]["ratio_to_stitched"] == 20.0
    assert measured["embedded"]["p99_ratio_to_stitched"] == 0.1
    assert measured["embedded"]["cpu_ratio_to_stitched"] == 20.0
    assert measured["embedded"]["share_of_empty"] == 0.5
    assert measured["redis"]["ratio_to_stitched"] == 5.0
    assert measured["redis"]["p99_ratio_to_stitched"] == 0.4


def test_the_page_names_machine_date_versions_and_every_contender() -> None:
    measured = figures(*NAMES)
    page = report.page(measured)
    for word in (
        measured["date"],
        measured["machine"]["processor"],
        "bentoml",
        *report.TITLES.values(),
        "20.0 times",
        "50%",
    ):
        assert word in page


def test_a_run_without_ours_claims_nothing() -> None:
    assert "answers" not in report.page(figures("stitched", "empty")).split("## Side by side")[1].split("|")[-1]


def test_parts_that_were_not_measured_are_not_told() -> None:
    page = report.page(figures("embedded"))
    for word in ("Open loop", "Cost of a payment", "Replay", "Training", "Where the time"):
        assert word not in page


def test_every_part_that_was_measured_is_told() -> None:
    measured = figures(*NAMES)
    load = {"offered_per_second": 500.0, "p50_ms": 1.0, "p99_ms": 2.5, "p999_ms": 3.0, "failed": 0}
    measured["embedded"]["open_loop"] = {"50": load | {"generator_late_p99_ms": 0.1}}
    measured["stages"] = {"rules": 1.5}
    size = {"entities": 10, "state_bytes_per_entity": 99, "ready_seconds": 1.0}
    measured["growth"] = {"1e4": size | {"us_per_payment": 100.0}, "1e7": size | {"us_per_payment": 110.0}}
    page = report.page(measured)
    assert "| embedded | 50 % | 500 | 1.00 | 2.50 | 3.00 | 0 | 0.10 |" in page
    assert "| rules | 1.5 |" in page
    assert "| 1e7 | 10 | 110.0 | 1.10 | 99 | 1.0 |" in page
