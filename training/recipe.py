"""The recipe of a training run: time split, size of the model, costs of decisions, capacity of the desk."""

from __future__ import annotations

import datetime as dt

import msgspec

LARGEST_DEPTH, MOST_LEAVES, MOST_TREES = 6, 31, 300
"""Above these, exact contributions (SHAP) cost more than a millisecond per payment."""


class SplitPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Periods in days, counted back from the start of the test; there is no random split.

    ```
    | learn ... | tune | decide | gap = label delay | test |
    ```
    """

    test_days: float = 14
    decide_days: float = 7
    """Labels here calibrate the score and choose the thresholds."""
    tune_days: float = 7
    """Labels here stop the boosting; 0 trains a fixed number of trees."""
    learn_days: float | None = None
    """None learns from everything before."""
    test_from: dt.date | None = None
    """First day (UTC) of the test; None tests on the last `test_days` of the history."""

    def problems(self, place: str) -> list[str]:
        """Every invalid value, one sentence each."""
        periods = {
            "test_days": self.test_days,
            "decide_days": self.decide_days,
            "learn_days": self.learn_days,
        }
        found = [f"{place}.{k} must be above 0." for k, v in periods.items() if v is not None and not v > 0]
        if self.tune_days < 0:
            found.append(f"{place}.tune_days must not be negative (0 trains a fixed number of trees).")
        return found


class ModelParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and training of the LightGBM model, under plain names; `fit` translates them."""

    trees: int = 300
    depth: int = 6
    leaves: int = 31
    learning_rate: float = 0.05
    rows_per_leaf: int = 50
    hessian_per_leaf: float = 1e-3
    features_per_tree: float = 0.5
    """Share of the features that each tree may use."""
    rows_per_tree: float = 0.8
    """Share of the rows that each tree sees."""
    l1: float = 0.0
    l2: float = 5.0
    gain_per_split: float = 0.0
    fraud_weight: float = 1.0
    """Weight of a fraud row; calibration undoes its effect on the probability."""
    bins: int = 255
    smoothing: float = 0.0
    extra_random: bool = False
    patience: int = 50
    """Trees without a gain on the tune period before boosting stops."""
    monotone: dict[str, int] = {}
    """Feature to 1 (risk may only rise with it) or -1 (only fall)."""
    use: tuple[str, ...] = ()
    """Patterns (`payee_fraud_*`) of the features the model may use; empty: all. Other columns stay, unused."""
    leave_out: tuple[str, ...] = ()
    """Patterns of features the model may not use."""
    seed: int = 20_261_111
    threads: int = 2

    def problems(self, place: str) -> list[str]:
        """Every value outside the limits, one sentence each."""
        found = [
            f"{place}.{name} is {value}: it must lie in 1..{most}, so that exact reasons stay fast."
            for name, value, most in (
                ("trees", self.trees, MOST_TREES),
                ("depth", self.depth, LARGEST_DEPTH),
                ("leaves", self.leaves, MOST_LEAVES),
            )
            if not 1 <= value <= most
        ]
        shares = {"features_per_tree": self.features_per_tree, "rows_per_tree": self.rows_per_tree}
        found += [f"{place}.{k} is a share: it must lie in (0, 1]." for k, v in shares.items() if not 0 < v <= 1]
        found += [f"{place}.monotone.{k} must be 1 or -1." for k, v in self.monotone.items() if v not in (1, -1)]
        if not self.learning_rate > 0:
            found.append(f"{place}.learning_rate must be above 0.")
        return found


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Costs of decisions, in minor units of the reference currency and in shares (0..1).

    The defaults suit rupees (paise) and are a starting point: replace them by your own figures.
    """

    chargeback_fee_minor: int = 150_000
    """Fee in addition to the amount, for each missed fraud."""
    challenge_minor: int = 400
    """Sending and handling one step-up authentication."""
    challenge_abandoned: float = 0.05
    """Share of legitimate payers who give up when challenged."""
    challenge_stops: float = 0.7
    """Share of fraud that a challenge stops."""
    review_minor: int = 20_000
    """An analyst's time for one case."""
    review_stops: float = 0.95
    """Share of fraud that a review finds."""
    review_abandoned: float = 0.05
    """Share of legitimate payers lost while they wait for a review."""
    insult_minor: int = 150_000
    """Goodwill lost when a legitimate payment fails."""
    margin: float = 0.02
    """Share of the amount earned on a legitimate payment."""

    def problems(self, place: str) -> list[str]:
        """Every value that is not a cost or not a share, one sentence each."""
        found = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name.endswith("_minor") and value < 0:
                found.append(f"{place}.{name} must not be negative.")
            if not name.endswith("_minor") and not 0 <= value <= 1:
                found.append(f"{place}.{name} is a share: it must lie in 0..1.")
        return found


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All choices of a training run other than its data."""

    split: SplitPlan = SplitPlan()
    model: ModelParameters = ModelParameters()
    costs: Costs = Costs()
    reviews_per_day: int = 100
    """Cases that the review desk can work on in a day."""
    refit: bool = False
    """Train the final model on learn, tune and decide together, with the chosen number of trees."""
    lower_tier_share: float = 0.5
    """Share of payments, smallest first, that may be approved without a score."""

    def problems(self, place: str) -> list[str]:
        """Every problem of all parts, one sentence each."""
        parts = (
            self.split.problems(f"{place}.split")
            + self.model.problems(f"{place}.model")
            + self.costs.problems(f"{place}.costs")
        )
        if self.reviews_per_day < 0:
            parts.append(f"{place}.reviews_per_day must not be negative.")
        if not 0 <= self.lower_tier_share <= 1:
            parts.append(f"{place}.lower_tier_share is a share: it must lie in 0..1.")
        return parts
