"""Names for the arrays that travel through training, so that a signature says what it holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Scores, margins, features: float64."""
Flags = NDArray[np.bool_]
"""One truth per payment, e.g. is it a fraud."""
Integers = NDArray[np.int64]
"""Counts, day numbers, amounts in minor units."""
