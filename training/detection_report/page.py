"""The evaluation report as a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data.arrays import Flags, Floats
from training.detection_report.operating_point import BUDGET, threshold_at
from training.detection_report.report import DetectionReport, DetectionResult
from training.html import page, picture
from training.runs.plots import BLUE, GREEN, PERCENT, QUIET, RED

_BUDGETS = np.geomspace(0.0002, 0.02, 25)


def report_page(judged: DetectionResult, fraud: Flags, amounts: Floats) -> str:
    """The report of `make evaluate-world`.

    Args:
        judged: figures and scores.
        fraud: the truth of the test.
        amounts: reference minor units of the test.
    """
    return page(
        "detection.html",
        report=judged.report,
        over_budget=picture(lambda axes: _over_budget(axes, judged, fraud, amounts)),
        by_story=picture(lambda axes: _typologies(axes, judged.report)),
    )


def _over_budget(axes: Any, judged: DetectionResult, fraud: Flags, amounts: Floats) -> None:
    total = amounts[fraud].sum()
    others = judged.baseline_scores
    lines = (("with everything", judged.scores, BLUE), ("without windows", others["without_windows"], GREEN),
             ("rules", others["rules"], RED))  # fmt: skip
    for name, scores, colour in lines:
        values = [amounts[fraud & (scores > threshold_at(scores, ~fraud, b))].sum() / total for b in _BUDGETS]
        axes.plot(_BUDGETS, values, color=colour, lw=1.8, label=name)
    axes.axvline(BUDGET, color=QUIET, ls="--", lw=1, label=f"budget {BUDGET:.1%}")
    axes.set(xscale="log", ylim=(0, 1), xlabel="good payments disturbed", ylabel="fraud value caught")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="upper left", frameon=False)


def _typologies(axes: Any, report: DetectionReport) -> None:
    unseen = {u.typology: u.value_caught_unseen for u in report.unseen_typology}
    ordered = sorted(report.by_typology, key=lambda s: s.value_caught.value or 0.0)
    for place, one in enumerate(ordered):
        low, high = one.value_caught.low or 0.0, one.value_caught.high or 0.0
        axes.plot([low, high], [place + 0.12] * 2, color=BLUE, lw=3, alpha=0.4)
        axes.plot(one.value_caught.value or 0.0, place + 0.12, "o", color=BLUE, label=None if place else "as it is")
        axes.plot(
            unseen[one.typology].value or 0.0, place - 0.18, "D", color=RED, label=None if place else "never seen"
        )
    axes.set(xlim=(-0.02, 1.02), yticks=range(len(ordered)), xlabel="fraud value caught")
    axes.set_yticklabels([s.typology for s in ordered])
    axes.xaxis.set_major_formatter(PERCENT)
    axes.legend(loc="lower right", frameon=False)
