"""The border to Numba: one decorator, typed, so that compiled functions keep their signatures.

Compiled code is kept on disk, in a folder named by the sources of all compiled modules: Numba itself looks
only at the file of the outermost function and would keep using a stale kernel when a part of it changed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., object])

_HERE = Path(__file__).parent
_SOURCES = (
    *("aggregate", "compiled", "entity_strings", "heap", "kernel", "others", "packed", "payment", "request", "tiles"),
)


def _cache_folder() -> Path:
    digest = hashlib.sha256(b"".join((_HERE / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()[:16]
    beside = _HERE / "__pycache__"
    parent = beside if os.access(beside if beside.exists() else _HERE, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"kernel-{digest}"


numba.config.CACHE_DIR = str(_cache_folder())


def compiled(function: F) -> F:
    """Compile to machine code on first call and keep the result on disk.

    Compiled functions borrow their arrays and make none: without reference counts, each an atomic operation that
    makes the processor wait for all memory under way, replay took 7.1 instead of 4.0 µs a payment.

    `fastmath` stays off and no parallel reductions are used: results must be the same bit for bit at
    both speeds.
    """
    return cast(F, numba.njit(cache=True, nogil=True, _nrt=False)(function))


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask the processor to bring the cache line of `array[index]` near; changes nothing, waits for nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [place, number(0), number(3), number(1)])  # for reading, keep near, data
        return context.get_dummy_value()

    return types.void(array, index), generate
