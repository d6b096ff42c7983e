"""The border to Numba: one decorator, typed, so that compiled functions keep their signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile to machine code on first call and keep the result in the on-disk cache.

    `fastmath` stays off and no parallel reductions are used: results must be the same bit for bit at
    both speeds.
    """
    return cast(F, numba.njit(cache=True, nogil=True)(function))
