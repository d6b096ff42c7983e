"""A policy's rules and lists, compiled to column indices; pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

from features.errors import BrokenBundle
from features.payment import Payment
from features.policy import Policy, Rule
from features.pseudonyms import Pseudonyms
from serving.decision import Decision, decision_named

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}

#: The index that stands for the score in a compiled condition.
SCORE = -1

#: Which field of a payment each kind of list speaks about.
LISTED_FIELDS = {
    "payer": "payer_id",
    "instrument": "instrument_id",
    "payee": "payee_id",
    "device": "device_id",
    "ip": "ip",
}


class Hit(NamedTuple):
    """A rule that matched: what it asks for, in which words, and the column that tells it best (or -1)."""

    name: str
    action: Decision
    sentence: str
    column: int


class CompiledRule(NamedTuple):
    """One rule with its conditions as (column, comparison, value)."""

    hit: Hit
    conditions: tuple[tuple[int, Callable[[float, float], bool], float], ...]


def compile_rules(rules: Sequence[Rule], index: dict[str, int]) -> tuple[CompiledRule, ...]:
    """Rules over names as rules over columns of the feature vector.

    Raises: BrokenBundle when a rule names a feature the catalogue does not have.
    """
    compiled = []
    for rule in rules:
        conditions = []
        for name, comparison, value in rule.when:
            if name != "score" and name not in index:
                raise BrokenBundle(
                    f"Rule `{rule.name}` asks for the feature `{name}`, which the catalogue does not have.",
                    "Correct the policy, or deploy the release whose catalogue has it.",
                )
            conditions.append((SCORE if name == "score" else index[name], _OPERATORS[comparison], value))
        columns = [column for column, _, _ in conditions if column != SCORE]
        hit = Hit(rule.name, decision_named(rule.action), rule.sentence, columns[0] if columns else SCORE)
        compiled.append(CompiledRule(hit, tuple(conditions)))
    return tuple(compiled)


def matching(rules: Sequence[CompiledRule], values: Sequence[float], score: float | None) -> list[Hit]:
    """The rules whose every condition holds; a missing value (NaN, or no score) never matches."""
    given = float("nan") if score is None else score
    hits = []
    for hit, conditions in rules:
        for column, compare, value in conditions:
            if not compare(given if column == SCORE else values[column], value):
                break
        else:
            hits.append(hit)
    return hits


class Listed(NamedTuple):
    """A list that names a party of the payment."""

    kind: str  # "block" or "allow"
    entity: str


class CompiledLists:
    """Allow and block lists as sets; block wins over allow.

    With `names` payments carry pseudonyms: clear instruments and IP addresses of a list become theirs.
    """

    def __init__(self, policy: Policy, names: Pseudonyms | None = None) -> None:
        self._block = _as_sets(policy.block, names)
        self._allow = _as_sets(policy.allow, names)
        self.empty = not self._block and not self._allow

    def find(self, payment: Payment) -> Listed | None:
        """The first list that names a party of the payment, or None."""
        for kind, lists in (("block", self._block), ("allow", self._allow)):
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
