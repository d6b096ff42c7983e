"""The report says what was measured and nothing else."""

from __future__ import annotations

from tests.bench import machine, report
from tests.bench.rounds import typical
from tests.bench.test_load import summary_of


def figures() -> report.Figures:
    contenders = {
        "stitched": typical([summary_of(requests=100, latency_ms=20.0)]),
        "empty": typical([summary_of(requests=4000, latency_ms=1.0)]),
        "embedded": typical([summary_of(requests=2000, latency_ms=2.0)]),
    }
    told: report.Figures = {"date": machine.date(), "machine": machine.machine(), "versions": machine.versions()}
    told["load"] = {"connections": 8, "rounds": 1, "seconds": 1.0, "warm_seconds": 0.0}
    return told | report.compared(contenders)


def test_ratios_compare_ours_with_the_others() -> None:
    ours = figures()["embedded"]
    assert ours["ratio_to_stitched"] == 20.0
    assert ours["p99_ratio_to_stitched"] == 0.1
    assert ours["share_of_empty"] == 0.5


def test_the_page_names_machine_date_versions_and_every_contender() -> None:
    told = figures()
    page = report.page(told, {name: f"title of {name}" for name in ("stitched", "empty", "embedded")})
    for word in (told["date"], told["machine"]["processor"], "bentoml", "title of stitched", "20.0 times", "50%"):
        assert word in page


def test_a_run_without_ours_claims_nothing() -> None:
    told = figures()
    del told["embedded"]
    assert "riskgate answers" not in report.page(told, {"stitched": "s", "empty": "e", "embedded": "o"})
