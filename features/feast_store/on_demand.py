"""Computes the features of the payment alone, of its profiles, and the ratios for many rows of named columns.

Feast calls `compute` from its on-demand view, online and offline. It fills the kernel's inputs and calls the kernel's
compiled functions, so the values equal the hot path's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import payment_features
from features.catalogue.catalogue import Catalogue, CatalogueParameters
from features.feast_store.views import PAYMENT_COLUMNS, computed_on_demand, windows_in_ratios
from features.history.schema import TIME, each_word
from features.jit import compiled
from features.kernel.plan import plan_of
from features.state.columns import amounts_of, country_code, extras_of

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float64]
Columns = Mapping[str, Sequence[Any] | pa.Array]


def compute(columns: Columns, parameters: str) -> dict[str, Any]:
    """One column of float64 per on-demand feature, NaN where missing.

    columns: PAYMENT_COLUMNS, the caller's attributes, the profile columns and the windows that ratios use
    (features/feast_store/views.py), None where missing. parameters: the catalogue's parameters as JSON.
    Lists give lists (Feast online), Arrow columns give arrays (our offline store).
    """
    catalogue = _catalogue_of(parameters)
    ts = _whole(columns["payment_event_time_ms"])
    out = np.full((len(ts), len(catalogue.names)), np.nan)
    for name in windows_in_ratios(catalogue):
        out[:, catalogue.index[name]] = _numbers(columns[name])
    payments, plan = _payments(columns, catalogue), plan_of(catalogue)
    fill_rows(
        plan.ratios, plan.layout, ts, amounts_of(payments, catalogue), extras_of(payments, catalogue),
        _profiles(columns, len(ts)), out,
    )  # fmt: skip
    as_lists = isinstance(columns["payment_event_time_ms"], list)
    computed = {name: np.ascontiguousarray(out[:, catalogue.index[name]]) for name in computed_on_demand(catalogue)}
    return {name: column.tolist() if as_lists else column for name, column in computed.items()}


@compiled
def fill_rows(
    ratios: Ints, layout: Ints, ts: Ints, amounts: Ints, extra: Vectors, profile: Vectors, out: Vectors
) -> None:
    """The part of `step` that does not read windows, row by row; `out`: float64[rows, catalogue columns]."""
    for i in range(ts.size):
        payment_features.fill_request(layout, ts[i], amounts[i], extra[i], out[i])
        payment_features.fill_profile(layout, ts[i], extra[i], profile[i], out[i])
        payment_features.fill_ratios(ratios, amounts[i], out[i])


@lru_cache(maxsize=8)
def _catalogue_of(parameters: str) -> Catalogue:
    return Catalogue(msgspec.json.decode(parameters, type=CatalogueParameters))


def _payments(columns: Columns, catalogue: Catalogue) -> pa.Table:
    """The columns under a history's names, as input of the encoders of bulk replay."""
    named: dict[str, pa.Array] = {
        name.removeprefix("payment_"): _arrow(columns[name], kind) for name, kind in PAYMENT_COLUMNS.items()
    }
    named["device_id"] = pc.if_else(named.pop("has_device").fill_null(False), "sent", None)
    for attribute in catalogue.parameters.attributes:
        kind = "float" if attribute.kind == "numeric" else "str"
        named[f"attr_{attribute.name}"] = _arrow(columns[f"payment_attr_{attribute.name}"], kind)
    named["event_time"] = named["event_time_ms"].cast(TIME)
    return pa.table(named)


def _profiles(columns: Columns, rows: int) -> Vectors:
    """float64[rows, PROFILE_WORDS], as `encode_profiles` writes it."""
    profile = np.full((rows, payment_features.PROFILE_WORDS), np.nan)
    profile[:, payment_features.PAYER_SINCE] = _numbers(columns["payer_profile_known_since_ms"])
    profile[:, payment_features.PAYER_HOME] = _codes(columns["payer_profile_home_country"], country_code)
    profile[:, payment_features.PAYER_LEVEL] = _numbers(columns["payer_profile_verification_level"])
    profile[:, payment_features.INSTRUMENT_SINCE] = _numbers(columns["instrument_profile_known_since_ms"])
    profile[:, payment_features.INSTRUMENT_ISSUER] = _codes(columns["instrument_profile_issuer_country"], country_code)
    profile[:, payment_features.PAYEE_SINCE] = _numbers(columns["payee_profile_known_since_ms"])
    profile[:, payment_features.PAYEE_MCC] = _codes(columns["payee_profile_mcc"], float)
    profile[:, payment_features.PAYEE_SIZE] = _numbers(columns["payee_profile_size"])
    return profile


def _codes(values: Sequence[Any] | pa.Array, code: Callable[[str], float]) -> Vectors:
    """The code of each text; NaN for null."""
    return each_word(_arrow(values, "str"), code, np.nan)


def _arrow(values: Sequence[Any] | pa.Array, kind: str) -> pa.Array:
    kinds = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
    return values.cast(kinds[kind]) if isinstance(values, pa.Array) else pa.array(values, kinds[kind])


def _numbers(values: Sequence[Any] | pa.Array) -> Vectors:
    """float64, NaN where missing."""
    return np.asarray(_arrow(values, "float").to_numpy(zero_copy_only=False), np.float64)


def _whole(values: Sequence[Any] | pa.Array) -> Ints:
    return np.asarray(_arrow(values, "int").to_numpy(), np.int64)
