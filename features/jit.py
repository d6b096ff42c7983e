"""The wrapper of Numba: one typed decorator, so that compiled functions keep their signatures.

Compiled code is cached on disk, in a folder named by a digest of the sources of all compiled modules: Numba compares
only the file of the outermost function and would use a stale kernel after a change elsewhere.

Numba unpickles the cached files, so a file planted by another user would run with our rights. The cache is therefore
a folder that no other user can write to; without such a folder nothing is cached.
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
    *("jit", "domain/money", "domain/payment", "catalogue/aggregate", "catalogue/payment_features"),
    *("kernel/counterparties", "kernel/heap", "kernel/step", "kernel/tiles", "state/codec"),
    *("state/remote", "state/varint"),
)


def _candidates() -> Iterator[tuple[Path, str]]:
    """Possible cache folders as (parent, name), best first."""
    digest = hashlib.sha256(b"".join((_HERE / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()[:16]
    yield _HERE / "__pycache__", f"kernel-{digest}"
    yield var_folder(), f"kernel-{digest}"
    with contextlib.suppress(FileNotFoundError):  # the system has no writable temporary directory
        yield Path(tempfile.gettempdir()), f"riskgate-{os.geteuid()}-kernel-{digest}"


def _cache_folder() -> Path | None:
    """The first candidate that no other user can write to; None, with one warning, if there is none."""
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
    """Compile to machine code on first call and cache the result on disk.

    Compiled functions create no arrays, so Numba's reference counting is off (`_nrt=False`): each count is an atomic
    operation that waits for all memory accesses in flight, and with it replay took 7.1 instead of 4.0 µs a payment.

    `fastmath` stays off and reductions are sequential: serving and replay must agree bit for bit.
    """
    if _FOLDER is not None:
        with contextlib.suppress(RuntimeError):  # Numba found no folder that it can write to
            cached = numba.njit(cache=True, nogil=True, _nrt=False)(function)
            # When our folder is no longer writable, Numba falls back to folders of its own choice.
            if _FOLDER in Path(cached.stats.cache_path).parents:
                return cast(F, cached)
    return cast(F, numba.njit(nogil=True, _nrt=False)(function))


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Prefetch the cache line of `array[index]` (LLVM's `llvm.prefetch`): no effect on values, no wait."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [place, number(0), number(3), number(1)])  # for reading, keep near, data
        return context.get_dummy_value()

    return types.void(array, index), generate
