"""The Handbook job's figures compared with the published table, and as a file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console

from training.demo.handbook import ProtocolResult
from training.html import number
from training.runs.terminal import table_of_figures

PUBLISHED = (
    ("logistic regression, single week", 0.871, 0.606, 0.291),
    ("random forest, single week", 0.867, 0.658, 0.287),
    ("XGBoost, single week", 0.862, 0.639, 0.273),
    ("XGBoost, prequential", 0.869, 0.687, 0.303),
    ("balanced bagging, prequential", 0.879, 0.680, 0.305),
    ("LSTM with attention, prequential", 0.874, 0.667, 0.295),
    ("LightGBM on the book's 15 features, long", 0.906, 0.755, None),
)
"""Le Borgne et al.; the last row was measured with the same protocol as our long one."""


def show(console: Console, served: tuple[ProtocolResult, ...]) -> None:
    """Print the published rows, ours, and the limits of the comparison."""
    table = table_of_figures("Handbook, simulated card payments", [""], ["AUC", "AP", "CP@100"])
    for name, *figures in PUBLISHED:
        table.add_row(name, *(number(figure) for figure in figures))
    for one in served:
        table.add_row(f"[bold]riskgate as served, {one.protocol}[/bold]", *map(number, (one.auc, one.ap, one.cp100)))
    console.print(table)
    for one in served:
        console.print(
            f"{one.protocol}: {one.payments_sent:,} payments and {one.labels_sent:,} labels over HTTP, "
            f"{one.requests_per_second:,.0f} requests/s in order, {one.mismatches} mismatches, {one.seconds:.0f} s."
        )
    console.print("Simulated data: these figures say that the machinery is right, not what real traffic would give.")


def write(path: Path, served: tuple[ProtocolResult, ...], seconds: float) -> None:
    """`var/handbook.json`: both protocols, mismatches summed, requests a second over everything sent."""
    requests = [one.payments_sent + one.labels_sent for one in served]
    took = sum(n / one.requests_per_second for n, one in zip(requests, served, strict=True))
    figures = {one.protocol: msgspec.to_builtins(one) for one in served} | {
        "mismatches": sum(one.mismatches for one in served),
        "requests_per_second": sum(requests) / took,
        "seconds": seconds,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))
