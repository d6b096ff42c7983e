"""A policy's rules, compiled to column indices, and what a list says of a payment; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from features.bundle.policy import Policy, Rule
from features.domain.payment import Payment
from features.errors import BrokenBundle
from features.intake.pseudonyms import Pseudonyms
from features.jit import compiled
from serving.decision.decision import Decision, decision_named

Vector = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_COMPARISONS = ("<", "<=", ">", ">=", "==")

#: The index that stands for the score in a compiled condition.
SCORE = -1
_MISSING = float("nan")

#: The lists, in the order in which they decide.
BLOCK, ALLOW, WATCH = LISTS = ("block", "allow", "watch")
#: The field of a payment that each kind of a bundle's own list is matched with.
LISTED_FIELDS = {
    "payer": "payer_id",
    "instrument": "instrument_id",
    "payee": "payee_id",
    "device": "device_id",
    "ip": "ip",
}


class Hit(NamedTuple):
    """A rule that matched: its action, its sentence, and its first column (or -1)."""

    name: str
    action: Decision
    sentence: str
    column: int


class CompiledRules(NamedTuple):
    """A policy's rules; their conditions are concatenated."""

    hits: tuple[Hit, ...]
    columns: Ints
    comparisons: Ints  # places in _COMPARISONS
    limits: Vector
    ends: Ints  # per rule, the index after its last condition


def compile_rules(rules: Sequence[Rule], index: dict[str, int]) -> CompiledRules:
    """Rules over names as rules over columns of the feature vector.

    Raises: BrokenBundle when a rule names a feature the catalogue does not have.
    """
    hits, ends = [], []
    conditions: list[tuple[int, int, float]] = []
    for rule in rules:
        columns = []
        for name, comparison, value in rule.when:
            if name != "score" and name not in index:
                raise BrokenBundle(
                    f"Rule `{rule.name}` asks for the feature `{name}`, which the catalogue does not have.",
                    "Correct the policy, or deploy the release whose catalogue has it.",
                )
            columns.append(SCORE if name == "score" else index[name])
            conditions.append((columns[-1], _COMPARISONS.index(comparison), float(value)))
        features = [column for column in columns if column != SCORE]
        hits.append(Hit(rule.name, decision_named(rule.action), rule.sentence, features[0] if features else SCORE))
        ends.append(len(conditions))
    return CompiledRules(
        tuple(hits),
        np.array([column for column, _, _ in conditions], np.int64),
        np.array([comparison for _, comparison, _ in conditions], np.int64),
        np.array([limit for _, _, limit in conditions], np.float64),
        np.array(ends, np.int64),
    )


def matching(rules: CompiledRules, vector: Vector, score: float | None) -> list[Hit]:
    """The rules whose conditions all hold; a missing value (NaN, or no score) never matches.

    An unknown amount is no missing value here: the evaluator gives it as infinite.
    """
    given = _MISSING if score is None else score
    hits: list[Hit] = []
    place = 0
    while (place := next_match(rules.columns, rules.comparisons, rules.limits, rules.ends, vector, given, place)) >= 0:
        hits.append(rules.hits[place])
        place += 1
    return hits


@compiled
def next_match(
    columns: Ints, comparisons: Ints, limits: Vector, ends: Ints, vector: Vector, score: float, first: int
) -> int:
    """The first rule from `first` on whose conditions all hold; -1 if there is none."""
    for rule in range(first, ends.size):
        begin = ends[rule - 1] if rule > 0 else 0
        holds = True
        for c in range(begin, ends[rule]):
            x = score if columns[c] == SCORE else vector[columns[c]]
            limit, comparison = limits[c], comparisons[c]
            if comparison == 0:
                holds = x < limit
            elif comparison == 1:
                holds = x <= limit
            elif comparison == 2:
                holds = x > limit
            elif comparison == 3:
                holds = x >= limit
            else:
                holds = x == limit
            if not holds:
                break
        if holds:
            return rule
    return -1


class Listed(NamedTuple):
    """A list that holds a party of the payment."""

    kind: str  # one of LISTS
    entity: str
    #: The network (CIDR) that holds the payment's address, if one matched; else empty.
    network: str = ""

    @property
    def name(self) -> str:
        """The list among the `rules` of an answer, where it comes first."""
        return f"{self.kind}_list_{self.entity}"


def listed_in(rules: Sequence[str]) -> Listed | None:
    """The list that the `rules` of an answer name first, or None.

    >>> listed_in(("block_list_payer", "payer_burst_10m")), listed_in(("payer_burst_10m",))
    (Listed(kind='block', entity='payer', network=''), None)
    """
    kind, named, entity = (rules[0] if rules else "").partition("_list_")
    return Listed(kind, entity) if named and kind in LISTS else None


class Lists(Protocol):
    """The lists in force: `ListBook` of serving/lists/book.py."""

    #: The last `list` event of the ledger that they hold.
    seq: int

    def find(self, payment: Payment) -> Listed | None:
        """The list that decides about the payment, at its event time; None if no entry in force names it."""


class CompiledLists:
    """A bundle's own allow and block lists as sets; block wins over allow.

    They decide where no lists are kept in the ledger: receipts of older releases are verified with them.

    With `names` payments carry pseudonyms, so the instruments and IP addresses of a list are hashed too.
    """

    def __init__(self, policy: Policy, names: Pseudonyms | None = None) -> None:
        self._block = _as_sets(policy.block, names)
        self._allow = _as_sets(policy.allow, names)
        self.empty = not self._block and not self._allow

    def find(self, payment: Payment) -> Listed | None:
        """The first list that holds a party of the payment, or None."""
        for kind, lists in ((BLOCK, self._block), (ALLOW, self._allow)):
            for entity, field, members in lists:
                if getattr(payment, field) in members:
                    return Listed(kind, entity)
        return None


def _as_sets(lists: dict[str, tuple[str, ...]], names: Pseudonyms | None) -> list[tuple[str, str, frozenset[str]]]:
    return [
        (entity, LISTED_FIELDS[entity], frozenset(ids if names is None else [names.of(entity, one) for one in ids]))
        for entity, ids in lists.items()
        if ids
    ]
