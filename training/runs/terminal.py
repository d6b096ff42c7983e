"""Terminal output of training: progress of a run, and a report as tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from training.evaluation.report import EvaluationReport
from training.runs.run import Listener


class _Bars:
    """One line per stage: a bar where the end is known, a spinner where it is not."""

    def __init__(self, bars: Progress, payments: int) -> None:
        self.bars, self.payments = bars, payments
        self.now: TaskID | None = None

    def stage(self, name: str) -> None:
        self.finish()
        self.now = self.bars.add_task(name, total=None)

    def events(self, done: int) -> None:
        if self.now is not None:
            self.bars.update(self.now, total=self.payments or None)
            self.bars.advance(self.now, done)

    def trees(self, done: int, at_most: int) -> None:
        if self.now is not None:
            self.bars.update(self.now, total=at_most, completed=done)

    def finish(self) -> None:
        if self.now is not None:
            total = self.bars.tasks[self.now].total or 1
            self.bars.update(self.now, total=total, completed=total)


@contextmanager
def progress(console: Console, payments: int = 0) -> Iterator[Listener]:
    """A listener that draws bars while the block runs; `payments` is the expected number of events."""
    columns = (SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        drawn = _Bars(bars, payments)
        yield Listener(drawn.stage, drawn.events, drawn.trees)
        drawn.finish()


def show_report(console: Console, report: EvaluationReport, title: str, currency: str) -> None:
    """A report as four short tables: ranking, decisions, calibration, segments."""
    head = Table(title=f"{title}: {report.first_day} to {report.last_day}", title_justify="left")
    head.add_column("figure")
    head.add_column("value", justify="right")
    head.add_row("payments / frauds", f"{report.payments:,} / {report.frauds:,}")
    head.add_row("AUC", _number(report.auc))
    head.add_row("average precision", _number(report.average_precision))
    head.add_row("card precision at 100", _number(report.card_precision_100))
    for recall in report.recalls:
        limit = recall.limit.replace("_", " ").replace("pct", " %")
        head.add_row(f"recall at {limit}", f"{_share(recall.by_count)} (by value {_share(recall.by_value)})")
    head.add_row("Brier score", _number(report.brier, 5))
    head.add_row("calibration error", _number(report.expected_calibration_error, 5))
    head.add_row("cases a day", f"{report.cases_per_day:,.1f}")
    head.add_row("cost of the test", f"{report.cost_minor / 100:,.0f} {currency}")
    head.add_row("cost of approving everything", f"{report.cost_without_scoring_minor / 100:,.0f} {currency}")
    console.print(head)

    decisions = Table("decision", title="Decisions by the thresholds alone", title_justify="left")
    for name in ("payments", "frauds", f"fraud {currency}"):
        decisions.add_column(name, justify="right")
    for row in report.decisions:
        decisions.add_row(row.decision, f"{row.payments:,}", f"{row.frauds:,}", f"{row.fraud_minor / 100:,.0f}")
    console.print(decisions)

    segments = Table("segment", "part", title="By segment", title_justify="left")
    for name in ("payments", "frauds", "AUC", "AP", "legitimate disturbed"):
        segments.add_column(name, justify="right")
    for part in report.segments:
        segments.add_row(
            part.segment.replace("_", " "), part.value, f"{part.payments:,}", f"{part.frauds:,}",
            _number(part.auc), _number(part.average_precision), _share(part.disturbed),
        )  # fmt: skip
    console.print(segments)


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
