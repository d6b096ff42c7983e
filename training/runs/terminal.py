"""Terminal output of training: progress of a run, and a report as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from features.domain.money import minor_per_major
from features.progress import Stages
from features.progress import progress as stages_shown
from training.evaluation.report import EvaluationReport
from training.html import number, share
from training.runs.run import Listener


class _Shown:
    """A training run as stages that are shown; `payments` is the number of payments to replay."""

    def __init__(self, stages: Stages, payments: int) -> None:
        self.stages, self.payments, self.replayed = stages, payments, 0

    def stage(self, name: str) -> None:
        self.replayed = 0
        self.stages.stage(name)

    def advance(self, done: int) -> None:
        self.replayed += done
        self.stages.update(self.replayed, self.payments or None)

    def trees(self, done: int, at_most: int) -> None:
        self.stages.update(done, at_most)


@contextmanager
def progress(console: Console, payments: int = 0) -> Iterator[Listener]:
    """A listener that shows a run while the block lasts; `payments` is the number of payments to replay."""
    with stages_shown(console) as stages:
        shown = _Shown(stages, payments)
        yield Listener(shown.stage, shown.advance, shown.trees)


def table_of_figures(title: str, words: Sequence[str], figures: Sequence[str]) -> Table:
    """A table with columns of words, then of figures."""
    table = Table(*words, title=title, title_justify="left")
    for name in figures:
        table.add_column(name, justify="right")
    return table


def show_report(console: Console, report: EvaluationReport, title: str, currency: str) -> None:
    """A report as four short tables: ranking, decisions, calibration, segments; `currency` is the reference."""
    major = minor_per_major(currency)
    head = table_of_figures(f"{title}: {report.first_day} to {report.last_day}", ["figure"], ["value"])
    head.add_row("payments / frauds", f"{report.payments:,} / {report.frauds:,}")
    head.add_row("AUC", number(report.auc))
    head.add_row("average precision", number(report.average_precision))
    head.add_row("card precision at 100", number(report.card_precision_100))
    for recall in report.recalls:
        limit = recall.limit.replace("_", " ").replace("pct", " %")
        head.add_row(f"recall at {limit}", f"{share(recall.by_count)} (by value {share(recall.by_value)})")
    head.add_row("Brier score", number(report.brier, 5))
    head.add_row("calibration error", number(report.expected_calibration_error, 5))
    head.add_row("cases a day", f"{report.cases_per_day:,.1f}")
    head.add_row("cost of the test", f"{report.cost_minor / major:,.0f} {currency}")
    head.add_row("cost of approving everything", f"{report.cost_without_scoring_minor / major:,.0f} {currency}")
    console.print(head)

    figures = ["payments", "frauds", f"fraud {currency}"]
    decisions = table_of_figures("Decisions by the thresholds alone", ["decision"], figures)
    for row in report.decisions:
        decisions.add_row(row.decision, f"{row.payments:,}", f"{row.frauds:,}", f"{row.fraud_minor / major:,.0f}")
    console.print(decisions)

    figures = ["payments", "frauds", "AUC", "AP", "legitimate disturbed"]
    segments = table_of_figures("By segment", ["segment", "part"], figures)
    for part in report.segments:
        segments.add_row(
            part.segment.replace("_", " "), part.value, f"{part.payments:,}", f"{part.frauds:,}",
            number(part.auc), number(part.average_precision), share(part.disturbed),
        )  # fmt: skip
    console.print(segments)
