"""Score, rules, decision and reasons as one pure step, shared by the service and `verify`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from features.bundle.bundle import Bundle
from features.bundle.policy import MODEL
from features.catalogue.catalogue import Catalogue
from features.domain.money import UNKNOWN_AMOUNT, reference_minor
from features.domain.payment import Payment
from features.errors import BrokenBundle, ContractMismatch
from features.intake.pseudonyms import Pseudonyms
from serving.decision import reasons as why
from serving.decision.decision import Decision
from serving.decision.reasons import Reason
from serving.decision.rules import CompiledLists, Hit, Listed, compile_rules, matching
from serving.decision.thresholds import (
    below_decline,
    bounded,
    by_amount,
    by_band,
    by_limit,
    by_score,
    decide,
    decides_alone,
    least_of_last_band,
    of_list,
    softened,
)
from serving.model.scorer import Scorer

Vector = npt.NDArray[np.float64]

FULL, STALE, RULES_ONLY, DEFAULT = "full", "stale", "rules_only", "default"
#: Prefix of a name in `missing`: the open breaker of that rule or model softened a decline.
OPEN_BREAKER = "breaker:"
#: For `listed`: the bundle's own lists decide, as in receipts of older releases.
OF_BUNDLE = Listed("", "")
#: How complete the scoring was, best first (docs/design.md §8).
TIERS = (FULL, STALE, RULES_ONLY, DEFAULT)


class Evaluation(msgspec.Struct, frozen=True):
    """The decision about one payment and its reasons; `margin` is the raw score (log-odds).

    `exposed_minor` is the amount approved without a score, reference minor units; `declining` names the rules (and
    `model`) that asked for a decline, whatever their breakers; `softened` names those whose open breakers alone
    prevented the decline.
    """

    decision: Decision
    score: float | None
    margin: float | None
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    exposed_minor: int = 0
    declining: tuple[str, ...] = ()
    softened: tuple[str, ...] = ()

    @property
    def softened_by(self) -> tuple[str, ...]:
        """The entries of `missing` for the open breakers that softened the decision."""
        return tuple([f"{OPEN_BREAKER}{name}" for name in self.softened])


class Evaluator:
    """A bundle prepared to evaluate payments of a catalogue; with `names` their identifiers are pseudonyms."""

    def __init__(self, bundle: Bundle, catalogue: Catalogue, names: Pseudonyms | None = None) -> None:
        check_contract(bundle, catalogue)
        problems = bundle.policy.problems(catalogue.names, catalogue.channels)
        if problems:
            raise BrokenBundle(f"The policy of {bundle.model_name} is not sound: {' '.join(problems)}", "Correct it.")
        self.bundle = bundle
        self.policy = bundle.policy
        self.decline_as = below_decline(bundle.policy)
        self.scorer = Scorer(bundle.model_text)
        check_columns(bundle, self.scorer.names, catalogue)
        self.calibrator = bundle.calibrator
        self.rules = compile_rules(bundle.policy.rules, catalogue.index)
        # The first call compiles, which must not delay the first payment.
        matching(self.rules, np.full(len(catalogue.names), np.nan), None)
        self.lists = CompiledLists(bundle.policy, names)
        sentences = {**catalogue.reasons, **bundle.reasons}
        codes = [feature.reason for feature in catalogue.features]
        self.families = why.Families(catalogue.names, codes, sentences)
        self._weights, self._amount_column = catalogue.weights, catalogue.index["amount_reference_minor"]
        #: Stands for an unknown amount wherever the policy limits amounts.
        self.assumed_minor = least_of_last_band(bundle.policy)

    def reference_minor(self, payment: Payment) -> int | None:
        """The payment's amount in minor units of the reference currency; None for a currency without a weight."""
        amount = reference_minor(payment.amount_minor, payment.currency, self._weights)
        return None if amount == UNKNOWN_AMOUNT else amount

    def limited_minor(self, payment: Payment) -> int:
        """The amount that limits, exposure and money at risk count, reference minor units.

        An unknown amount counts as the least of the policy's last band: it is never treated more mildly than a known
        one, and a junk currency cannot use up the exposure of a minute with one payment.
        """
        amount = reference_minor(payment.amount_minor, payment.currency, self._weights)
        return self.assumed_minor if amount == UNKNOWN_AMOUNT else amount

    def score(self, vector: Vector) -> tuple[float, float]:
        """(margin, score): raw log-odds and calibrated probability of one feature vector."""
        margin = self.scorer.margin(vector)
        return margin, self.calibrator.probability(margin)

    def evaluate(
        self,
        payment: Payment,
        vector: Vector | None,
        scored: tuple[float, float] | None,
        *,
        explain: bool,
        explain_approved: bool = False,
        spent_minor: int = 0,
        open_breakers: Collection[str] = (),
        decline_as: Decision | None = None,
        listed: Listed | None = OF_BUNDLE,
    ) -> Evaluation:
        """Decide from vector and score, the vector alone, or neither.

        `explain` allows exact contributions; an approved payment gets none unless `explain_approved`. `spent_minor` is
        the amount approved without a score earlier in this minute. Declines of rules (or the model) in `open_breakers`
        become `decline_as` (None: the severest decision of a lower score under this policy).
        `listed` is what the lists in force say of the payment.
        """
        decline_as = self.decline_as if decline_as is None else decline_as
        margin, score = scored if scored is not None else (None, None)
        if listed is OF_BUNDLE:
            listed = None if self.lists.empty else self.lists.find(payment)
        list_kind = None if listed is None else listed.kind
        alone = decides_alone(list_kind)
        limited_minor = self.limited_minor(payment)
        hits: list[Hit] = [] if vector is None else matching(self.rules, self._for_rules(payment, vector), score)
        declining: tuple[str, ...] = ()
        if hits:
            declining = tuple([hit.name for hit in hits if hit.action is Decision.DECLINE])
            if open_breakers:
                hits = [
                    hit._replace(action=softened(hit.action, decline_as)) if hit.name in open_breakers else hit
                    for hit in hits
                ]
        if score is not None and score >= self.policy.decline_at:
            declining = (*declining, MODEL)
        model_decline_as = decline_as if MODEL in open_breakers else Decision.DECLINE
        if vector is None:
            decision = by_amount(limited_minor, self.policy, listed=list_kind, spent_minor=spent_minor)
        else:
            actions = [hit.action for hit in hits]
            decision = decide(
                score,
                actions,
                self.policy,
                limited_minor,
                listed=list_kind,
                spent_minor=spent_minor,
                model_decline_as=model_decline_as,
            )
        names = tuple([hit.name for hit in hits])
        if listed is not None:
            names = (listed.name, *names)
        exposed = limited_minor if decision is Decision.APPROVE and score is None and not alone else 0
        spared = declining if not alone and decision is not Decision.DECLINE else ()
        if decision is Decision.APPROVE and not explain_approved:
            return Evaluation(decision, score, margin, names, (), exposed, declining, spared)
        values: list[float] = [] if vector is None else vector.tolist()
        found: list[Reason] = []
        # Lists and rules that raised the decision above the score's own come first: they decided.
        by_model = Decision.APPROVE if score is None else softened(by_score(score, self.policy), model_decline_as)
        if listed is not None and (alone or of_list(listed.kind, self.policy) == decision > by_model):
            found.append(why.of_list(listed))
        if not alone:
            found += [self.families.of_rule(h, values) for h in hits if h.action == decision > by_model]
        if explain and vector is not None and scored is not None:
            found += self.families.strongest(self.scorer.contributions(vector), values)
        if not found and decision is not Decision.APPROVE:
            if score is None and not hits and self._exposure_used_up(limited_minor, spent_minor, vector is None):
                found.append(why.EXPOSURE_USED_UP)
            else:
                found += self._without_contributions(hits, values, vector is None)
        return Evaluation(decision, score, margin, names, tuple(found[: why.MOST_REASONS]), exposed, declining, spared)

    def _for_rules(self, payment: Payment, vector: Vector) -> Vector:
        """The vector that rules read: an unknown amount is above every bound, so that it cannot pass beneath a rule."""
        if payment.currency in self._weights:
            return vector
        largest = vector.copy()
        largest[self._amount_column] = np.inf
        return largest

    def _exposure_used_up(self, limited_minor: int, spent_minor: int, banded: bool) -> bool:
        alone = by_band(limited_minor, self.policy) if banded else by_limit(limited_minor, self.policy)
        return alone is not bounded(alone, limited_minor, spent_minor, self.policy)

    def _without_contributions(self, hits: Sequence[Hit], values: Sequence[float], banded: bool) -> list[Reason]:
        if hits:
            return [self.families.of_rule(hit, values) for hit in hits]
        return [why.BY_AMOUNT_BAND if banded else why.WITHOUT_MODEL]


def check_contract(bundle: Bundle, catalogue: Catalogue) -> None:
    """Refuse a bundle that was trained on another catalogue.

    Raises: ContractMismatch naming every difference and the repair.
    """
    trained, computed = bundle.contract, catalogue.contract()
    if trained.hash != computed.hash:
        differences = "; ".join(trained.differences(computed)) + "."
        raise ContractMismatch(
            f"Model {bundle.model_name} was trained on catalogue {trained.hash[:8]}, this service "
            f"computes {computed.hash[:8]}: {differences}",
            "Retrain, or deploy the release of the service that matches the model.",
        )


def check_columns(bundle: Bundle, names: tuple[str, ...], catalogue: Catalogue) -> None:
    """Refuse a model whose columns are not the catalogue's, in order: features are fed by position.

    Raises: ContractMismatch naming the first column that differs.
    """
    if names == tuple(catalogue.names):
        return
    pairs = zip(names, catalogue.names, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(names), len(catalogue.names)))
    there = names[place] if place < len(names) else "nothing"
    here = catalogue.names[place] if place < len(catalogue.names) else "nothing"
    raise ContractMismatch(
        f"Column {place} of model {bundle.model_name} is `{there}`, the catalogue's is `{here}`.",
        "Retrain, or deploy the release of the service that matches the model.",
    )
