"""Parses a LightGBM text model into flat tables for serving/model/tree_shap.py: two arrays of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from features.errors import BrokenBundle
from serving.model import tree_shap
from serving.model.tree_shap import LANES, Sets, Vector, Words

# LightGBM's encoding of `decision_type`.
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1
_INNER, _MISSING_LEFT = 1 << int(tree_shap.INNER_SHIFT), 1 << int(tree_shap.MISSING_LEFT_SHIFT)

_REPAIR = "Train with boosting `gbdt`, one score a row and constant leaves, or export the bundle again."


class Forest(NamedTuple):
    """The trees of a model: nodes concatenated tree by tree, each tree in breadth-first order."""

    names: tuple[str, ...]
    nodes: Words
    values: Vector  # threshold, index of a set of categories, or the value of a leaf
    covers: Vector  # training rows that reached the node
    roots: Words  # first node of each tree; the last entry ends the last tree
    depths: Words
    sets: Words  # [*, 2]: first word and number of words in `bits` of each set of categories that go left
    bits: Sets


class Paths(NamedTuple):
    """The tables of `add_contributions` that do not depend on the payment (serving/model/tree_shap.py)."""

    inner: Words
    starts: Words
    above: Words
    shares: Vector
    leaves: Vector
    points: Vector  # on [0, 1], padded to a multiple of LANES
    weights: Vector  # 0 for padding
    expected: float  # mean of the forest over its training rows


class _Row(NamedTuple):
    feature: int
    child: int
    flags: int
    value: float
    cover: float


def read_forest(model_text: str) -> Forest:
    """The tables of a model.

    Raises: BrokenBundle for a text that is no model, or an unsupported kind of model.
    """
    head, *trees = model_text.partition("\nend of trees")[0].split("\nTree=")
    header = dict(line.partition("=")[::2] for line in head.splitlines())
    if "feature_names" not in header:
        raise BrokenBundle("The model text names no features.", "Export the bundle again from training.")
    if header.get("num_tree_per_iteration", "1") != "1" or "average_output" in header:
        raise BrokenBundle("The model gives more than one score, or an average of its trees.", _REPAIR)
    rows: list[_Row] = []
    roots, depths = [0], []
    sets: list[tuple[int, int]] = []
    bits = [0]
    for number, text in enumerate(trees):
        try:
            tree = dict(line.partition("=")[::2] for line in text.splitlines()[1:])
            if int(tree.get("is_linear", "0")):
                raise ValueError("its leaves are linear")
            own = list(_rows(tree, len(sets)))
            if int(tree["num_cat"]):
                bounds = [int(v) for v in tree["cat_boundaries"].split()]
                sets += [(len(bits) + begin, end - begin) for begin, end in pairwise(bounds)]
                bits += [int(v) for v in tree["cat_threshold"].split()]
        except (KeyError, ValueError, IndexError) as problem:
            raise BrokenBundle(f"Tree {number} of the model cannot be read: {problem}.", _REPAIR) from problem
        depths.append(_depth(own))
        rows += [row._replace(child=row.child + roots[-1]) for row in own]
        roots.append(len(rows))
    shift = int(tree_shap.CHILD_SHIFT)
    return Forest(
        names=tuple(header["feature_names"].split(" ")),
        nodes=np.array([row.feature | row.child << shift | row.flags for row in rows], np.uint64),
        values=np.array([row.value for row in rows]),
        covers=np.array([row.cover for row in rows]),
        roots=np.array(roots, np.uint64),
        depths=np.array(depths, np.uint64),
        sets=np.array(sets, np.uint64).reshape(-1, 2),
        bits=np.array(bits, np.uint32),
    )


def _rows(tree: dict[str, str], first_set: int) -> Iterator[_Row]:
    """The nodes of one tree in breadth-first order."""
    leaf_values = [float(v) for v in tree["leaf_value"].split()]
    if int(tree["num_leaves"]) == 1:
        yield _Row(0, 0, 0, leaf_values[0], 1.0)
        return
    features, kinds, left, right, counts, leaf_counts = (
        [int(v) for v in tree[name].split()]
        for name in ("split_feature", "decision_type", "left_child", "right_child", "internal_count", "leaf_count")
    )
    thresholds = [float(v) for v in tree["threshold"].split()]
    queue = [0]
    for place, node in enumerate(queue):  # grows while it is read: breadth first
        if node < 0:
            yield _Row(0, place, 0, leaf_values[~node], leaf_counts[~node])
            continue
        kind, value, flags = kinds[node], thresholds[node], _INNER
        missing = kind >> _MISSING_SHIFT & 3
        if kind & _CATEGORICAL:
            flags |= int(tree_shap.IS_CATEGORICAL)
            value = float(first_set + int(value))
        elif missing == _MISSING_NONE:  # a missing value counts as zero
            flags |= _MISSING_LEFT if value >= 0.0 else 0
        else:
            flags |= _MISSING_LEFT if kind & _DEFAULT_LEFT else 0
            flags |= int(tree_shap.ZERO_IS_MISSING) if missing == _MISSING_ZERO else 0
        yield _Row(features[node], len(queue), flags, value, counts[node])
        queue += (left[node], right[node])


def _depth(rows: list[_Row]) -> int:
    """Steps from the root to the deepest leaf."""
    levels = [0] * len(rows)
    for place, row in enumerate(rows):
        if row.flags:
            levels[row.child] = levels[row.child + 1] = levels[place] + 1
    return max(levels)


def paths_of(forest: Forest) -> Paths:
    """Precompute the tables of the exact contributions."""
    above, shares = [0] * len(forest.nodes), [1.0] * len(forest.nodes)
    inner, starts, leaves, most, expected = [], [0], forest.values.copy(), 1, 0.0
    words, covers, values = forest.nodes.tolist(), forest.covers.tolist(), forest.values.tolist()
    for root, end in pairwise(forest.roots.tolist()):
        split: dict[int, dict[int, int]] = {root: {}}  # per node, the lowest edge on its path of each feature
        for node in range(root, end):
            own, word = split.pop(node), words[node]
            if not word & _INNER:
                expected += values[node] * covers[node] / covers[root]
                continue
            inner.append(node)
            leaves[node] = 0.0
            feature, child = (
                word & int(tree_shap.FEATURE_MASK),
                word >> int(tree_shap.CHILD_SHIFT) & int(tree_shap.CHILD_MASK),
            )
            upper = own.get(feature)
            for edge in (child, child + 1):
                shares[edge] = covers[edge] / covers[node]
                if upper is not None:
                    above[edge], shares[edge] = upper - root + 1, shares[edge] * shares[upper]
                split[edge] = {**own, feature: edge}
            most = max(most, len(split[child]))
        starts.append(len(inner))
    points, weights = gauss_legendre((most + 1) // 2)
    padding = -len(points) % LANES
    return Paths(
        inner=np.array(inner, np.uint64),
        starts=np.array(starts, np.uint64),
        above=np.array(above, np.uint64),
        shares=np.array(shares),
        leaves=leaves,
        points=np.array([*points, *[0.5] * padding]),
        weights=np.array([*weights, *[0.0] * padding]),
        expected=expected,
    )


def gauss_legendre(count: int) -> tuple[list[float], list[float]]:
    """Points and weights on [0, 1], correctly rounded, hence equal on every machine: receipts depend on that.

    >>> gauss_legendre(1)
    ([0.5], [1.0])
    """
    points, weights = [], []
    with localcontext() as context:
        context.prec = 50
        for guess in np.polynomial.legendre.leggauss(count)[0].tolist():
            x = Decimal(guess)
            for _ in range(6):  # Newton's method doubles the digits that are right
                value, slope = _legendre(count, x)
                x -= value / slope
            _, slope = _legendre(count, x)
            points.append(float((1 + x) / 2))
            weights.append(float(1 / ((1 - x * x) * slope * slope)))
    return points, weights


def _legendre(degree: int, x: Decimal) -> tuple[Decimal, Decimal]:
    """The Legendre polynomial and its derivative at x (Bonnet's recursion)."""
    before, now = Decimal(1), x
    for n in range(1, degree):
        before, now = now, ((2 * n + 1) * x * now - n * before) / (n + 1)
    return now, degree * (x * now - before) / (x * x - 1)
