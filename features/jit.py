"""The border to Numba: one decorator, typed, so that compiled functions keep their signatures.

Compiled code is kept on disk, in a folder named by the sources of all compiled modules: Numba itself looks
only at the file of the outermost function and would keep using a stale kernel when a part of it changed.

Numba unpickles what it finds there, so a file that another user planted would run as ours. The folder therefore
is one that no other user can write to, or nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from features.errors import RiskgateError
from features.private_folder import own_folder
from features.settings import var_folder

log = logging.getLogger("riskgate.compiled")

F = TypeVar("F", bound=Callable[..., object])

_HERE = Path(__file__).parent
_SOURCES = (
    *("jit", "domain/payment", "catalogue/aggregate", "catalogue/payment_features"),
    *("kernel/counterparties", "kernel/heap", "kernel/step", "kernel/tiles", "state/codec", "state/remote"),
)


def _candidates() -> Iterator[tuple[Path, str]]:
    """Where compiled code may be kept, (folder, name in it), best first."""
    digest = hashlib.sha256(b"".join((_HERE / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()[:16]
    yield _HERE / "__pycache__", f"kernel-{digest}"
    yield var_folder(), f"kernel-{digest}"
    with contextlib.suppress(FileNotFoundError):  # a system without a temporary directory that can be written
        yield Path(tempfile.gettempdir()), f"riskgate-{os.geteuid()}-kernel-{digest}"


def _cache_folder() -> Path | None:
    """The first candidate that no other user can write to; None (and one warning) where there is none."""
    refused = []
    for parent, name in _candidates():
        try:
            parent.mkdir(parents=True, exist_ok=True)
            return own_folder(parent, name)
        except RiskgateError as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(f"{parent / name} cannot be used: {error.strerror}.")
    log.warning(
        "compiled code is not kept on disk, each start compiles it again (about 10 s): %s "
        "Set RISKGATE_VAR to a folder that only the user of the service can write to.",
        " ".join(refused),
    )
    return None


_FOLDER = _cache_folder()
if _FOLDER is not None:
    numba.config.CACHE_DIR = str(_FOLDER)


def compiled(function: F) -> F:
    """Compile to machine code on first call and keep the result on disk.

    Compiled functions borrow their arrays and make none: without reference counts, each an atomic operation that
    makes the processor wait for all memory under way, replay took 7.1 instead of 4.0 µs a payment.

    `fastmath` stays off and no parallel reductions are used: results must be the same bit for bit at
    both speeds.
    """
    if _FOLDER is not None:
        with contextlib.suppress(RuntimeError):  # Numba found no folder that it can write to
            kept = numba.njit(cache=True, nogil=True, _nrt=False)(function)
            # Numba goes on to folders of its own choice where ours cannot be written any more.
            if _FOLDER in Path(kept.stats.cache_path).parents:
                return cast(F, kept)
    return cast(F, numba.njit(nogil=True, _nrt=False)(function))


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
