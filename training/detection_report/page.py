"""The evaluation report as a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data.arrays import Flags, Floats
from training.detection_report.operating_point import BUDGET, Share, threshold_at
from training.detection_report.report import DetectionReport, DetectionResult
from training.html import heading, page, paragraph, picture, share, table
from training.runs.plots import BLUE, GREEN, PERCENT, QUIET, RED

_BUDGETS = np.geomspace(0.0002, 0.02, 25)


def report_page(judged: DetectionResult, fraud: Flags, amounts: Floats) -> str:
    """The report of `make evaluate-world`.

    Args:
        judged: figures and scores.
        fraud: the truth of the test.
        amounts: reference minor units of the test.
    """
    report = judged.report
    parts = [
        paragraph(report.notice, notice=True),
        paragraph(
            f"World {report.world_version} ({report.world_digest[:12]}), {report.world_payments:,} payments. Tested on "
            f"{report.payments:,} payments of {report.first_day} to {report.last_day} with {report.frauds:,} frauds, "
            f"judged by what really happened; learned from {report.learned_from:,} payments before, with the labels "
            "known then and the label delay as a gap."
        ),
        *(paragraph(f"Doubt: {doubt}", notice=True) for doubt in report.doubts),
        heading(f"Caught when {BUDGET:.1%} of good payments may be challenged or worse"),
        _first_table(report),
        picture(lambda axes: _over_budget(axes, judged, fraud, amounts), "Fraud value caught over the budget"),
        heading("By story"),
        table(
            ("story", "payments", "of all fraud value", "value caught", "95 %", "by count", "in training"),
            [
                (s.typology, f"{s.payments:,}", share(s.value_share), share(s.value_caught.value),
                 _span(s.value_caught), share(s.count_caught.value), "yes" if s.seen_in_training else "never")
                for s in report.by_typology
            ],
        ),
        picture(lambda axes: _typologies(axes, report), "Value caught by story, with and without having seen it"),
        heading("A story never seen before"),
        paragraph(
            "A smaller model is learned once with each story and once without it. A story that began after everything "
            "that could be learned from has no figure with it."
        ),
        table(
            ("story", "payments", "seen", "never seen", "95 %", "gap"),
            [
                (u.typology, f"{u.payments:,}", _value(u.value_caught_seen), _value(u.value_caught_unseen),
                 _span(u.value_caught_unseen), share(u.gap))
                for u in report.unseen_typology
            ],
        ),
        heading("By segment"),
        table(
            ("segment", "part", "payments", "frauds", "value caught", "95 %", "good payments disturbed"),
            [
                (p.segment.replace("_", " "), p.part, f"{p.payments:,}", f"{p.frauds:,}", _value(p.value_caught),
                 _span(p.value_caught), share(p.insulted, 2))
                for p in report.by_segment
            ],
        ),
        heading("No feature does it alone"),
        table(
            ("story", "best single feature", "AUC"),
            [(s.typology, s.feature, f"{s.auc:.3f}") for s in report.single_features],
        ),
    ]  # fmt: skip
    return page("Who is caught: a simulated payment world", parts)


def _first_table(report: DetectionReport) -> str:
    low, high = report.value_caught_interval
    rows = [("with everything", share(report.value_caught_at_budget), f"{share(low)} to {share(high)}")]
    rows += [(name.replace("_", " "), share(one.value), _span(one)) for name, one in report.baselines.items()]
    first = table(("model", "fraud value caught", "95 %"), rows)
    facts = [
        ("by count", share(report.count_caught_at_budget)),
        ("value caught at the threshold chosen before the test", share(report.value_caught_at_threshold_chosen_before)),
        ("good payments it disturbed", share(report.insulted_at_threshold_chosen_before, 2)),
    ]
    if report.festival:
        ratio = report.festival.insult_ratio
        facts += [
            ("good payments disturbed on 11/11", share(report.festival.insulted, 2)),
            ("on a day without a sale", share(report.festival.insulted_on_a_normal_day, 2)),
            ("ratio", "-" if ratio is None else f"{ratio:.2f}"),
            ("fraud value caught on 11/11", _value(report.festival.value_caught)),
            ("95 %", _span(report.festival.value_caught)),
        ]
    return first + table(("figure", "value"), facts)


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


def _value(one: Share | None) -> str:
    return share(None if one is None else one.value)


def _span(one: Share) -> str:
    return "-" if one.low is None else f"{share(one.low)} to {share(one.high)}"
