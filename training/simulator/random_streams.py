"""Random streams that are selected by name, independent of the order of use.

Each day of each part of the world has a counter-based stream (Philox, Salmon et al. 2011), so a day can be simulated
alone, in any order, or again after an interruption, with the same bits. Fixed properties of a party are not drawn but
hashed from its number (SplitMix64, Steele et al. 2014).
"""

from __future__ import annotations

import hashlib

import numpy as np

from training.data.arrays import Floats, Integers


def stream(seed: int, purpose: str, place: int = 0) -> np.random.Generator:
    """The stream of a purpose at an index (such as a day); equal arguments give equal numbers."""
    key = hashlib.sha256(f"{seed}/{purpose}/{place}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))


def share_of(numbers: Integers, purpose: str) -> Floats:
    """A hash of each number and the purpose as a share in [0, 1), float64[n]."""
    salt = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    x = np.asarray(numbers, np.int64).astype(np.uint64) + np.uint64(salt)
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.asarray((x >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def power_law(draws: Floats, size: Floats | Integers | int, exponent: float, shift: float) -> Integers:
    """Ranks 0..size-1 whose frequency falls as (rank + shift) to the power of -exponent (Zipf-Mandelbrot).

    Args:
        draws: shares in [0, 1), one per rank wanted.
        size: number of ranks, for all or for each draw.
        exponent: above 0, not 1.
        shift: above 0; the larger, the flatter the head.
    """
    rise = 1.0 - exponent
    low, high = shift**rise, (np.asarray(size, np.float64) + shift) ** rise
    ranks = (low + draws * (high - low)) ** (1.0 / rise) - shift
    return np.asarray(np.clip(ranks.astype(np.int64), 0, np.asarray(size) - 1), np.int64)
