"""The plots of a training run: precision-recall, calibration, score histogram, cost of a threshold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter
from sklearn.metrics import precision_recall_curve

from features.bundle.policy import Policy
from features.domain.money import minor_per_major
from training.data.arrays import Flags, Floats
from training.html import quiet_figure
from training.model.calibrate import Bin
from training.model.thresholds import decision_costs
from training.recipe import Costs
from training.runs.pipeline import Trained

INK, QUIET, BLUE, RED, GREEN, AMBER = "#1f2933", "#9aa5b1", "#2563a8", "#c2413b", "#2f855a", "#c27803"
_CUTS = (("challenge_at", "challenge", GREEN), ("review_at", "review", AMBER), ("decline_at", "decline", RED))
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g}%")
Drawing = Callable[[Axes], None]


def draw_all(trained: Trained, folder: Path) -> list[Path]:
    """Write the four plots of one training run as PNG files into `folder`; returns their paths."""
    report, scores, fraud, amounts = trained.report, trained.test_scores, trained.test.fraud, trained.test.amounts
    currency = trained.catalogue.parameters.reference_currency
    period = f"test {report.first_day} to {report.last_day}: {report.payments:,} payments, {report.frauds:,} frauds"
    drawings: dict[str, Drawing] = {
        "precision_recall": lambda axes: precision_over_recall(axes, scores, fraud, report.average_precision),
        "calibration": lambda axes: calibration(axes, report.reliability, report.expected_calibration_error),
        "scores": lambda axes: score_histogram(axes, scores, fraud, trained.policy),
        "cost": lambda axes: cost_curve(axes, scores, amounts, fraud, trained.recipe.costs, currency),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [_drawn(drawing, period, folder / f"{name}.png") for name, drawing in drawings.items()]


def precision_over_recall(axes: Axes, scores: Floats, fraud: Flags, average: float | None) -> None:
    """The precision-recall curve, with the fraud rate as the line of random guessing."""
    precision, recall, _ = precision_recall_curve(fraud, scores)
    base = float(fraud.mean())
    axes.plot(recall, precision, drawstyle="steps-post", color=BLUE, lw=1.8, label=f"model, AP {_three(average)}")
    axes.axhline(base, color=QUIET, ls="--", lw=1, label=f"guessing, {base:.2%}")
    axes.set(xlabel="recall: share of frauds caught", ylabel="precision: share of alerts that are fraud")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), title="Precision over recall")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="upper right")


def calibration(axes: Axes, table: tuple[Bin, ...], error: float | None) -> None:
    """Observed over promised fraud rate, both logarithmic, with 95 % Wilson intervals."""
    promised = np.array([max(b.mean_score, 1e-6) for b in table])
    low, high = zip(*(_wilson(b.frauds, b.payments) for b in table), strict=True) if table else ((), ())
    observed = np.array([b.fraud_rate for b in table])
    seen = observed > 0
    edge = max(min(promised.min(initial=1.0) / 2, 1e-3), 1e-6)
    axes.plot([edge, 1], [edge, 1], color=QUIET, ls="--", lw=1, label="perfect")
    axes.vlines(promised, np.maximum(low, edge), np.maximum(high, edge), color=BLUE, lw=1.2, alpha=0.6)
    axes.plot(promised[seen], observed[seen], "o", color=BLUE, ms=5, label=f"bins, mean error {_three(error, 4)}")
    axes.set(xscale="log", yscale="log", xlim=(edge, 1.1), ylim=(edge, 1.1), title="Calibration")
    axes.set(xlabel="promised: mean score of the bin", ylabel="observed: share of fraud (95 % interval)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    axes.legend(loc="upper left")


def score_histogram(axes: Axes, scores: Floats, fraud: Flags, policy: Policy) -> None:
    """Payments by score (logarithmic both ways), fraud and legitimate, with the policy's thresholds."""
    lowest = max(float(np.quantile(scores, 0.001)), 1e-6) if len(scores) else 1e-6
    bins = np.geomspace(min(lowest, 0.1), 1, 60).tolist()
    shown = np.clip(scores, bins[0], 1)
    axes.hist(shown[~fraud], bins=bins, color=BLUE, alpha=0.55, label="legitimate")
    axes.hist(shown[fraud], bins=bins, color=RED, alpha=0.75, label="fraud")
    for name, text, colour in _CUTS:
        at = getattr(policy, name)
        if bins[0] < at < 1:
            axes.axvline(at, color=colour, lw=1.6, label=f"{text} from {at:.3g}")
    axes.set(xscale="log", yscale="log", xlabel="score: probability of fraud", ylabel="payments")
    axes.set(title="Scores", xlim=(bins[0], 1.05))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="upper right")


def cost_curve(axes: Axes, scores: Floats, amounts: Floats, fraud: Flags, costs: Costs, currency: str) -> None:
    """Total cost of the test if every payment above one threshold got the same decision."""
    order = np.argsort(-scores, kind="stable")
    per_decision = decision_costs(amounts, fraud, costs)[:, order]
    approved = per_decision[0].sum() - np.concatenate([[0.0], np.cumsum(per_decision[0])])
    share = np.arange(len(scores) + 1) / max(len(scores), 1)
    keep = np.unique(np.geomspace(1, len(scores), 500).astype(np.int64)) if len(scores) else np.array([0])
    for place, (_, text, colour) in enumerate(_CUTS, start=1):
        total = (approved + np.concatenate([[0.0], np.cumsum(per_decision[place])])) / minor_per_major(currency)
        best = int(np.argmin(total))
        axes.plot(share[keep], total[keep], color=colour, lw=1.8, label=f"{text}: least at {share[best]:.2%}")
        axes.plot(max(share[best], share[keep[0]]), total[best], "o", color=colour, ms=5)
    nothing = approved[0] / minor_per_major(currency)
    axes.axhline(nothing, color=QUIET, ls="--", lw=1, label="approve everything")
    axes.set(xscale="log", ylim=(0, 1.6 * nothing or 1), title="Cost of one threshold")
    axes.set(xlabel="share of payments above the threshold", ylabel=f"total cost of the test, {currency}")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="upper left")


def _drawn(drawing: Drawing, period: str, path: Path) -> Path:
    figure, axes = quiet_figure(7.2, 4.6, 120)
    drawing(axes)
    axes.set_title(axes.get_title(), loc="left", fontweight="bold", color=INK)
    axes.set_title("", loc="center")
    figure.supxlabel(period, fontsize=8, color="#616e7c", x=0.99, ha="right")
    figure.savefig(path)
    return path


def _three(value: float | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, share = 1.96, hits / of
    centre = share + z * z / (2 * of)
    half = z * float(np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)))
    return (centre - half) / (1 + z * z / of), (centre + half) / (1 + z * z / of)
