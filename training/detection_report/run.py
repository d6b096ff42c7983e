"""`make evaluate-world`: from the folder of a world to its detection report."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from rich.console import Console

from features.catalogue.catalogue import Catalogue
from training.data.frame import Frame
from training.data.source_map import load
from training.detection_report.baselines import parameters_of
from training.detection_report.page import report_page
from training.detection_report.periods import PeriodPlan, periods
from training.detection_report.report import DetectionReport, DetectionResult, judge
from training.html import share, span
from training.recipe import ModelParameters
from training.runs.terminal import progress, table_of_figures
from training.settings import Settings
from training.simulator import storage
from training.simulator.manifest import read_manifest
from training.simulator.parameters import World

SMALL_TREES = 100
SMALL = World(
    payments=240_000, days=110, start=World().start, payers=8_000, stores=40_000, local_brands=6_000,
    international_brands=1_000, new_merchants_per_day=20, fraud_share=0.004,
)  # fmt: skip
"""A quick world, also for tests; with more fraud than the default world."""
SMALL_PLAN = PeriodPlan(warm_up_days=14, decide_days=10, gap_days=14, test_days=24, honest_share=1 / 3)


def evaluate_world(world: Path | None, small: bool, trees: int | None, settings: Settings, console: Console) -> None:
    """Evaluate detection on a world (simulated first if absent); writes `world.json` and `world.html` below var.

    Args:
        world: its folder; None: below var.
        small: a small world of its own.
        trees: of the model; None: as in the recipe.
        settings: where var is.
        console: prints the report.
    """
    began = time.monotonic()
    folder = world or settings.var / ("world-small" if small else "world")
    usual, plan = (SMALL, SMALL_PLAN) if small else (World(), PeriodPlan())
    result, test = evaluated(folder, usual, plan, parameters_of(load("world"), trees), console)
    settings.var.mkdir(parents=True, exist_ok=True)
    figures = msgspec.json.format(msgspec.json.encode(result.report), indent=1)
    (settings.var / "world.json").write_bytes(figures)
    (settings.var / "world.html").write_text(report_page(result, test.fraud, test.amounts), encoding="utf-8")
    show(console, result.report)
    console.print(f"{settings.var / 'world.html'} and {settings.var / 'world.json'}, {time.monotonic() - began:.0f} s")


def evaluated(
    folder: Path, usual: World, plan: PeriodPlan, parameters: ModelParameters, console: Console
) -> tuple[DetectionResult, Frame]:
    """Evaluate the world of a folder, simulated as `usual` if absent or incomplete; the result and the test frame."""
    found = read_manifest(folder)
    with progress(console, found.payments if found else usual.payments) as listener:
        if found is None or not found.complete:
            listener.stage("living through the world")
            on_day = listener.advance or (lambda _: None)
            found = storage.write_world(found.parameters if found else usual, folder, on_day=on_day)
        listener.stage("reading what is known of the parties")
        profiles = storage.read_profiles(folder)
        catalogue = Catalogue(load("world").catalogue_parameters())
        listener.stage("replaying the history")
        parts = periods(folder, found.parameters, catalogue, profiles, plan, listener.advance)
        result = judge(parts, catalogue, parameters, SMALL_TREES, found.world, found.payments, listener.stage)
    return result, parts.test


def show(console: Console, report: DetectionReport) -> None:
    """The report in a few lines."""
    title = f"Fraud value caught when {report.budget:.1%} of good payments may be disturbed"
    table = table_of_figures(title, [""], ["value caught", "95 %", "in training"])
    table.add_row("with everything", share(report.value_caught_at_budget), span(*report.value_caught_interval), "")
    for name, one in report.baselines.items():
        table.add_row(name.replace("_", " "), share(one.value), span(one.low, one.high), "")
    table.add_section()
    for s in report.by_typology:
        caught, seen = s.value_caught, "yes" if s.seen_in_training else "never"
        table.add_row(s.typology, share(caught.value), span(caught.low, caught.high), seen)
    console.print(table)
    if report.festival and report.festival.insult_ratio is not None:
        console.print(f"Good payments disturbed on 11/11: {report.festival.insult_ratio:.2f} times a normal day.")
    for doubt in report.doubts:
        console.print(f"[yellow]Doubt:[/yellow] {doubt}")
    console.print(report.notice)
