"""LightGBM through its C interface: the reference for the scorer when a bundle is loaded, and in tests.

Only the shared library is loaded: importing the `lightgbm` package would load pandas and scikit-learn into the scoring
process for two calls.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.errors import BrokenBundle

Vector = npt.NDArray[np.float64]

_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
_RAW_SCORE = 1  # C_API_PREDICT_RAW_SCORE
_CONTRIBUTIONS = 3  # C_API_PREDICT_CONTRIB
# One thread: waking a pool costs more than the trees of a single row.
_PARAMETERS = b"num_threads=1"


@cache
def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("lightgbm")
    if found is None or not found.submodule_search_locations:
        raise BrokenBundle("LightGBM is not installed.", "Install the pinned requirements.")
    folder = Path(next(iter(found.submodule_search_locations)))
    for name in ("lib/lib_lightgbm.so", "lib/lib_lightgbm.dylib", "bin/lib_lightgbm.dll"):
        if (folder / name).exists():
            # PyDLL keeps the GIL: a call is shorter than releasing and acquiring it.
            library = ctypes.PyDLL(str(folder / name))
            library.LGBM_GetLastError.restype = ctypes.c_char_p
            return library
    raise BrokenBundle("LightGBM's shared library is missing.", "Install the pinned requirements again.")


def _check(status: int) -> None:
    if status != 0:
        reason = (_library().LGBM_GetLastError() or b"unknown").decode(errors="replace")
        raise BrokenBundle(f"LightGBM refuses: {reason}.", "Export the bundle again from training.")


class Reference:
    """A model in LightGBM, one row at a time; not thread-safe (calls share buffers)."""

    def __init__(self, model_text: str, width: int) -> None:
        library = _library()
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        _check(
            library.LGBM_BoosterLoadModelFromString(
                model_text.encode(), ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        self._row = np.zeros(width, dtype=np.float64)
        self._row_at = ctypes.c_void_p(self._row.ctypes.data)
        self._margin = ctypes.c_double()
        self._margin_at = ctypes.byref(self._margin)
        self._shares = np.zeros(width + 1, dtype=np.float64)
        self._shares_at = ctypes.c_void_p(self._shares.ctypes.data)
        self._length = ctypes.c_int64()
        self._length_at = ctypes.byref(self._length)
        self._fast_margin = self._fast(_RAW_SCORE, width)
        self._fast_shares = self._fast(_CONTRIBUTIONS, width)
        self._predict = library.LGBM_BoosterPredictForMatSingleRowFast

    def _fast(self, kind: int, width: int) -> ctypes.c_void_p:
        config = ctypes.c_void_p()
        _check(
            _library().LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, kind, 0, -1, _FLOAT64, ctypes.c_int32(width), _PARAMETERS, ctypes.byref(config)
            )
        )
        return config

    def margin(self, vector: Vector) -> float:
        """The raw score (log-odds before calibration) of one feature vector, float64[columns]."""
        self._row[:] = vector
        if self._predict(self._fast_margin, self._row_at, self._length_at, self._margin_at) != 0:
            _check(-1)
        return self._margin.value

    def contributions(self, vector: Vector) -> Vector:
        """Exact SHAP values in log-odds, float64[columns + 1]; the last is the expected value."""
        self._row[:] = vector
        if self._predict(self._fast_shares, self._row_at, self._length_at, self._shares_at) != 0:
            _check(-1)
        return self._shares.copy()

    def close(self) -> None:
        """Free the model; the reference cannot be used afterwards."""
        library = _library()
        for config in (self._fast_margin, self._fast_shares):
            library.LGBM_FastConfigFree(config)
        library.LGBM_BoosterFree(self._handle)
