"""The logistic curve from a margin to a score, for one served payment and for the rows of a training set.

Both forms agree bit for bit. NumPy's `exp` differs from the C library's in the last bit of most values, so the array
form calls `math.exp` too; IEEE 754 rounds every other operation correctly.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def probability(margin: float, slope: float, intercept: float) -> float:
    """1 / (1 + exp(-(slope * margin + intercept))), in [0, 1]; NaN stays NaN.

    >>> probability(0.0, 1.0, 0.0), probability(-1e308, 10.0, 0.0)
    (0.5, 0.0)
    """
    z = slope * margin + intercept
    power = math.exp(-abs(z))  # at most 1: a large positive exponent would overflow
    return (1.0 if z >= 0.0 else power) / (1.0 + power)


def probabilities(margins: Floats, slope: float, intercept: float) -> Floats:
    """`probability` of each margin, float64[n], bit for bit.

    >>> probabilities(np.array([0.0, np.inf, -np.inf]), 1.0, 0.0).tolist()
    [0.5, 1.0, 0.0]
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # plain floats do not warn either
        z = slope * np.asarray(margins, np.float64) + intercept
        powers = np.fromiter(map(math.exp, (-np.abs(z)).data), np.float64, z.size)
        return np.asarray(np.where(z >= 0.0, 1.0, powers) / (1.0 + powers))
