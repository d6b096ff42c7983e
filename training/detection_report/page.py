"""The evaluation report as a page."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data.arrays import Flags, Floats
from training.detection_report.operating_point import BUDGET, Share, threshold_at
from training.detection_report.report import Judged, Judgement
from training.html import heading, page, paragraph, picture, share, table
from training.runs.plots import BLUE, GREEN, PERCENT, QUIET, RED

_BUDGETS = np.geomspace(0.0002, 0.02, 25)


def report_page(judged: Judged, fraud: Flags, amounts: Floats) -> str:
    """The report of `make evaluate-world`.

    Args:
        judged: figures and scores.
        fraud: the truth of the test.
        amounts: reference minor units of the test.
    """
    told = judged.judgement
    parts = [
        paragraph(told.notice, notice=True),
        paragraph(
            f"World {told.world_version} ({told.world_digest[:12]}), {told.world_payments:,} payments. Tested on "
            f"{told.payments:,} payments of {told.first_day} to {told.last_day} with {told.frauds:,} frauds, judged by "
            f"what really happened; learned from {told.learned_from:,} payments before, with the labels known then and "
            "the label delay as a gap."
        ),
        *(paragraph(f"Doubt: {doubt}", notice=True) for doubt in told.doubts),
        heading(f"Caught when {BUDGET:.1%} of good payments may be challenged or worse"),
        _first_table(told),
        picture(lambda axes: _over_budget(axes, judged, fraud, amounts), "Fraud value caught over the budget"),
        heading("By story"),
        table(
            ("story", "payments", "of all fraud value", "value caught", "95 %", "by count", "in training"),
            [
                (s.story, f"{s.payments:,}", share(s.value_share), share(s.value_caught.value), _span(s.value_caught),
                 share(s.count_caught.value), "yes" if s.seen_in_training else "never")
                for s in told.by_story
            ],
        ),
        picture(lambda axes: _stories(axes, told), "Value caught by story, with and without having seen it"),
        heading("A story never seen before"),
        paragraph(
            "A smaller model is learned once with each story and once without it. A story that began after everything "
            "that could be learned from has no figure with it."
        ),
        table(
            ("story", "payments", "seen", "never seen", "95 %", "gap"),
            [
                (u.story, f"{u.payments:,}", _value(u.value_caught_seen), _value(u.value_caught_unseen),
                 _span(u.value_caught_unseen), share(u.gap))
                for u in told.unseen_story
            ],
        ),
        heading("By segment"),
        table(
            ("segment", "part", "payments", "frauds", "value caught", "95 %", "good payments disturbed"),
            [
                (p.segment.replace("_", " "), p.part, f"{p.payments:,}", f"{p.frauds:,}", _value(p.value_caught),
                 _span(p.value_caught), share(p.insulted, 2))
                for p in told.by_segment
            ],
        ),
        heading("No feature does it alone"),
        table(
            ("story", "best single feature", "AUC"),
            [(s.story, s.feature, f"{s.auc:.3f}") for s in told.single_features],
        ),
    ]  # fmt: skip
    return page("Who is caught: a simulated payment world", parts)


def _first_table(told: Judgement) -> str:
    low, high = told.value_caught_interval
    rows = [("with everything", share(told.value_caught_at_budget), f"{share(low)} to {share(high)}")]
    rows += [(name.replace("_", " "), share(one.value), _span(one)) for name, one in told.baselines.items()]
    first = table(("model", "fraud value caught", "95 %"), rows)
    facts = [
        ("by count", share(told.count_caught_at_budget)),
        ("value caught at the threshold chosen before the test", share(told.value_caught_at_threshold_chosen_before)),
        ("good payments it disturbed", share(told.insulted_at_threshold_chosen_before, 2)),
    ]
    if told.festival:
        ratio = told.festival.insult_ratio
        facts += [
            ("good payments disturbed on 11/11", share(told.festival.insulted, 2)),
            ("on a day without a sale", share(told.festival.insulted_on_a_normal_day, 2)),
            ("ratio", "-" if ratio is None else f"{ratio:.2f}"),
            ("fraud value caught on 11/11", _value(told.festival.value_caught)),
            ("95 %", _span(told.festival.value_caught)),
        ]
    return first + table(("figure", "value"), facts)


def _over_budget(axes: Any, judged: Judged, fraud: Flags, amounts: Floats) -> None:
    total = amounts[fraud].sum()
    lines = (("with everything", judged.scores, BLUE), ("without windows", judged.rivals["without_windows"], GREEN),
             ("rules", judged.rivals["rules"], RED))  # fmt: skip
    for name, scores, colour in lines:
        values = [amounts[fraud & (scores > threshold_at(scores, ~fraud, b))].sum() / total for b in _BUDGETS]
        axes.plot(_BUDGETS, values, color=colour, lw=1.8, label=name)
    axes.axvline(BUDGET, color=QUIET, ls="--", lw=1, label=f"budget {BUDGET:.1%}")
    axes.set(xscale="log", ylim=(0, 1), xlabel="good payments disturbed", ylabel="fraud value caught")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="upper left", frameon=False)


def _stories(axes: Any, told: Judgement) -> None:
    unseen = {u.story: u.value_caught_unseen for u in told.unseen_story}
    ordered = sorted(told.by_story, key=lambda s: s.value_caught.value or 0.0)
    for place, story in enumerate(ordered):
        low, high = story.value_caught.low or 0.0, story.value_caught.high or 0.0
        axes.plot([low, high], [place + 0.12] * 2, color=BLUE, lw=3, alpha=0.4)
        axes.plot(story.value_caught.value or 0.0, place + 0.12, "o", color=BLUE, label=None if place else "as it is")
        axes.plot(unseen[story.story].value or 0.0, place - 0.18, "D", color=RED, label=None if place else "never seen")
    axes.set(xlim=(-0.02, 1.02), yticks=range(len(ordered)), xlabel="fraud value caught")
    axes.set_yticklabels([s.story for s in ordered])
    axes.xaxis.set_major_formatter(PERCENT)
    axes.legend(loc="lower right", frameon=False)


def _value(one: Share | None) -> str:
    return share(None if one is None else one.value)


def _span(one: Share) -> str:
    return "-" if one.low is None else f"{share(one.low)} to {share(one.high)}"
