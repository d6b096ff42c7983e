"""Features of the payment alone, of its profiles, and ratios, for many rows at once and from named columns.

Feast calls `compute` from its on-demand view, online and offline. It fills the kernel's own inputs and calls
the kernel's own compiled functions, so the values are the hot path's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features import request
from features.catalog import Catalog, CatalogParameters, catalog
from features.compiled import compiled
from features.encode import amounts_of, country_code, extras_of
from features.views import PAYMENT_COLUMNS, computed_on_demand, windows_in_ratios

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]]

MISSING = float("nan")


def compute(columns: Columns, parameters: str) -> dict[str, list[float]]:
    """One list of float64 per on-demand feature, NaN where missing, from lists of equal length.

    columns: PAYMENT_COLUMNS, the caller's attributes, the profile columns and the windows that ratios are
    made of (features/views.py), None where missing. parameters: the catalogue's parameters as JSON.
    """
    known = _catalog_of(parameters)
    rows = len(columns["payment_event_time_ms"])
    out = np.full((rows, len(known.names)), np.nan)
    for name in windows_in_ratios(known):
        out[:, known.index[name]] = _numbers(columns[name])
    payments = _payments(columns, known)
    plan = known.plan
    fill_rows(
        plan.ratios, plan.layout, _whole(columns["payment_event_time_ms"]), amounts_of(payments, known),
        extras_of(payments, known), _profiles(columns), out,
    )  # fmt: skip
    return {name: out[:, known.index[name]].tolist() for name in computed_on_demand(known)}


@compiled
def fill_rows(
    ratios: Ints, layout: Ints, ts: Ints, amounts: Ints, extra: Vectors, profile: Vectors, out: Vectors
) -> None:
    """What `kernel.step` does around the windows, row by row; `out`: float64[rows, catalogue columns]."""
    for i in range(ts.size):
        request.fill_request(layout, ts[i], amounts[i], extra[i], out[i])
        request.fill_profile(layout, ts[i], extra[i], profile[i], out[i])
        request.fill_ratios(ratios, amounts[i], out[i])


@lru_cache(maxsize=8)
def _catalog_of(parameters: str) -> Catalog:
    return catalog(msgspec.json.decode(parameters, type=CatalogParameters))


def _payments(columns: Columns, known: Catalog) -> pa.Table:
    """The columns under the names of a history, which is what the encoders of the bulk path read."""
    named: dict[str, pa.Array] = {
        name.removeprefix("payment_"): _arrow(columns[name], kind) for name, kind in PAYMENT_COLUMNS.items()
    }
    sent = columns["payment_has_device"]
    named["device_id"] = pa.array(["sent" if has else None for has in sent], pa.string())
    for attribute in known.parameters.attributes:
        kind = "float" if attribute.kind == "numeric" else "str"
        named[f"attr_{attribute.name}"] = _arrow(columns[f"payment_attr_{attribute.name}"], kind)
    return pa.table(named)


def _profiles(columns: Columns) -> Vectors:
    """float64[rows, PROFILE_WORDS], as `encode_profiles` writes it."""
    profile = np.full((len(columns["payment_event_time_ms"]), request.PROFILE_WORDS), np.nan)
    profile[:, request.PAYER_SINCE] = _numbers(columns["payer_profile_known_since_ms"])
    profile[:, request.PAYER_HOME] = [_country(value) for value in columns["payer_profile_home_country"]]
    profile[:, request.PAYER_LEVEL] = _numbers(columns["payer_profile_verification_level"])
    profile[:, request.INSTRUMENT_SINCE] = _numbers(columns["instrument_profile_known_since_ms"])
    profile[:, request.INSTRUMENT_ISSUER] = [_country(value) for value in columns["instrument_profile_issuer_country"]]
    profile[:, request.PAYEE_SINCE] = _numbers(columns["payee_profile_known_since_ms"])
    profile[:, request.PAYEE_MCC] = [float(value) if value else MISSING for value in columns["payee_profile_mcc"]]
    profile[:, request.PAYEE_SIZE] = _numbers(columns["payee_profile_size"])
    return profile


def _country(value: str | None) -> float:
    return country_code(value or None)


def _arrow(values: Sequence[Any], kind: str) -> pa.Array:
    """A column as Arrow; what pandas made of a missing value (NaN) is missing again."""
    kinds = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.array(values, kinds[kind], from_pandas=True)


def _numbers(values: Sequence[Any]) -> Vectors:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _whole(values: Sequence[Any]) -> Ints:
    return np.array(values, dtype=np.int64)
