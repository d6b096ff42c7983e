"""Names of the array types of training, for signatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Scores, margins, features: float64."""
Flags = NDArray[np.bool_]
"""One boolean per payment, such as whether it is a fraud."""
Integers = NDArray[np.int64]
"""Counts, day numbers, amounts in minor units."""
