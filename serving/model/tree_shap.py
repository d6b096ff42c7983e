"""Evaluates a forest for one payment, compiled: its margin, and the exact SHAP contribution of each column.

The margin is bit-identical to `Booster.predict`: every comparison and addition is LightGBM's own, in its order. The
contributions are the path-dependent values of Lundberg et al. (2018), LightGBM's `pred_contrib`, computed with the
polynomials of Linear TreeSHAP (Yu et al. 2022). Take a leaf of value v whose path splits on d different features. The
k-th passes a share z_k of the training rows when its value is unknown, and all (o_k = 1) or none (o_k = 0) when it is
known. The leaf adds to feature j

    v (o_j - z_j) * integral over t in [0, 1] of  prod_{k != j} (z_k (1 - t) + o_k t) dt,

because Shapley's weight s! (d-1-s)! / d! is the integral of t^s (1-t)^(d-1-s). The integrand is a polynomial
of degree d - 1, so Gauss-Legendre with ceil(d / 2) points integrates it exactly, from positive numbers alone.
All leaves below an edge share the products along the path: each edge of a tree is visited twice, once down and once
up. The values differ from LightGBM's by rounding (tests: less than 1e-9).

All compiled functions are in this one file, because Numba's cache only checks the file of the function
(serving/model/tree_tables.py builds their tables).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from features.jit import compiled

Vector = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
Sets = npt.NDArray[np.uint32]

# A node in one word: column of the vector, index of its left child (its own for a leaf), flags.
FEATURE_MASK = np.uint64(0xFFFF)
CHILD_SHIFT, CHILD_MASK = np.uint64(16), np.uint64(0xFFFFFFFF)
INNER_SHIFT, MISSING_LEFT_SHIFT = np.uint64(48), np.uint64(49)
ZERO_IS_MISSING, IS_CATEGORICAL = np.uint64(1 << 50), np.uint64(1 << 51)
SPECIAL = np.uint64(1 << 50 | 1 << 51)
#: LightGBM's threshold for zero (`kZeroThreshold`, a float32).
ZERO = float(np.float32(1e-35))
#: Quadrature points per pass: three suffice for paths of up to six features.
LANES = 3

_NONE, _ONE, _TWO, _THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
_BEYOND_CATEGORIES = 2.0**31


@compiled
def read_like_lightgbm(vector: Vector, row: Vector) -> None:
    """Copy a vector to `row` and round values within ZERO to zero."""
    for i in range(vector.size):
        row[i] = 0.0 if abs(vector[i]) <= ZERO else vector[i]


@compiled
def goes_left(word: Any, value: float, sets: Words, bits: Sets, x: float) -> Any:
    """1 if `x` goes to the left child, else 0 (LightGBM: `Tree::NumericalDecision`, `Tree::CategoricalDecision`).

    value: the node's threshold, or the index of its set of categories in `sets` (first word, number of words).
    """
    if word & SPECIAL:
        if word & IS_CATEGORICAL:
            if not (x > -1.0 and x < _BEYOND_CATEGORIES):
                return _NONE
            category = np.uint64(x)
            own = sets[np.uint64(value)]
            if (category >> np.uint64(5)) >= own[1]:
                return _NONE
            return np.uint64(bits[own[0] + (category >> np.uint64(5))] >> (category & np.uint64(31))) & _ONE
        if x == 0.0:
            return (word >> MISSING_LEFT_SHIFT) & _ONE
    # Branchless: the processor cannot predict which child a payment goes to.
    return np.uint64(x <= value) | (np.uint64(x != x) & (word >> MISSING_LEFT_SHIFT) & _ONE)


@compiled
def next_node(node: Any, nodes: Words, values: Vector, sets: Words, bits: Sets, row: Vector) -> Any:
    """The child that a payment goes to; a leaf points to itself."""
    word = nodes[node]
    left = goes_left(word, values[node], sets, bits, row[word & FEATURE_MASK])
    return ((word >> CHILD_SHIFT) & CHILD_MASK) + ((word >> INNER_SHIFT) & _ONE & (left ^ _ONE))


@compiled
def margin_of(
    nodes: Words, values: Vector, roots: Words, depths: Words, sets: Words, bits: Sets, row: Vector, vector: Vector
) -> float:
    """The sum of the leaf values, in the order of trees; row: float64[columns], scratch.

    Four trees are walked in parallel, because each step waits for memory.
    """
    read_like_lightgbm(vector, row)
    total, last = 0.0, depths.size // 4 * 4
    for tree in range(0, last, 4):
        a, b, c, d = roots[tree], roots[tree + 1], roots[tree + 2], roots[tree + 3]
        for _ in range(max(max(depths[tree], depths[tree + 1]), max(depths[tree + 2], depths[tree + 3]))):
            a = next_node(a, nodes, values, sets, bits, row)
            b = next_node(b, nodes, values, sets, bits, row)
            c = next_node(c, nodes, values, sets, bits, row)
            d = next_node(d, nodes, values, sets, bits, row)
        total += values[a]
        total += values[b]
        total += values[c]
        total += values[d]
    for tree in range(last, depths.size):
        a = roots[tree]
        for _ in range(depths[tree]):
            a = next_node(a, nodes, values, sets, bits, row)
        total += values[a]
    return total


@compiled
def add_contributions(
    nodes: Words, values: Vector, roots: Words, sets: Words, bits: Sets, inner: Words, starts: Words, above: Words,
    shares: Vector, leaves: Vector, points: Vector, weights: Vector, row: Vector, room: Vector,
    vector: Vector, out: Vector,
) -> None:  # fmt: skip
    """Add each column's contribution to `out`, for LANES quadrature points.

    inner, starts: the inner nodes, parents first, and the index of each tree's first one. above: per node, the index
    in its tree plus one of the nearest edge above that splits on the same feature (0: none). shares: the share of rows
    that pass all edges of that feature down to the node. leaves: the value of a leaf, 0 for other nodes. row:
    float64[columns] and room: float64[5, LANES * (nodes of the largest tree + 1)], scratch.
    """
    read_like_lightgbm(vector, row)
    reach, inverse, gain, below, followed = room[0], room[1], room[2], room[3], room[4]
    followed[0] = 1.0  # index 0 means "no edge above"
    for q in range(LANES):
        inverse[q], gain[q] = 1.0, 0.0
    t0, t1, t2 = points[0], points[1], points[2]
    for tree in range(roots.size - 1):
        before = roots[tree] - _ONE
        reach[3], reach[4], reach[5] = weights[0], weights[1], weights[2]
        for k in range(starts[tree], starts[tree + 1]):
            node = inner[k]
            word = nodes[node]
            left = goes_left(word, values[node], sets, bits, row[word & FEATURE_MASK])
            at = (node - before) * _THREE
            r0, r1, r2 = reach[at], reach[at + _ONE], reach[at + _TWO]
            child = (word >> CHILD_SHIFT) & CHILD_MASK
            for side in range(2):
                upper, z, leaf = above[child], shares[child], leaves[child]
                o = followed[upper] * np.float64(left if side == 0 else left ^ _ONE)
                place, u = (child - before) * _THREE, upper * _THREE
                followed[child - before] = o
                f0, f1, f2 = z * (1.0 - t0) + o * t0, z * (1.0 - t1) + o * t1, z * (1.0 - t2) + o * t2
                r = r0 * f0 * inverse[u]
                reach[place], below[place] = r, r * leaf
                r = r1 * f1 * inverse[u + _ONE]
                reach[place + _ONE], below[place + _ONE] = r, r * leaf
                r = r2 * f2 * inverse[u + _TWO]
                reach[place + _TWO], below[place + _TWO] = r, r * leaf
                f0, f1, f2 = 1.0 / f0, 1.0 / f1, 1.0 / f2
                inverse[place], inverse[place + _ONE], inverse[place + _TWO] = f0, f1, f2
                g = o - z
                gain[place], gain[place + _ONE], gain[place + _TWO] = g * f0, g * f1, g * f2
                child += _ONE
        k = starts[tree + 1]
        while k > starts[tree]:
            k -= _ONE
            node = inner[k]
            word = nodes[node]
            child = (word >> CHILD_SHIFT) & CHILD_MASK
            total = s0 = s1 = s2 = 0.0
            for _ in range(2):
                place, u = (child - before) * _THREE, above[child] * _THREE
                b0, b1, b2 = below[place], below[place + _ONE], below[place + _TWO]
                total += b0 * (gain[place] - gain[u])
                total += b1 * (gain[place + _ONE] - gain[u + _ONE])
                total += b2 * (gain[place + _TWO] - gain[u + _TWO])
                s0 += b0
                s1 += b1
                s2 += b2
                child += _ONE
            at = (node - before) * _THREE
            below[at], below[at + _ONE], below[at + _TWO] = s0, s1, s2
            out[word & FEATURE_MASK] += total
