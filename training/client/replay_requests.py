"""Converts a history to the requests of a payment service: payments, outcomes and labels in order of time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.history.schema import AFTERWARDS, times_ms, valid
from training.data.arrays import Integers

_LATER = tuple(field.name for field in AFTERWARDS)
SCORE, LABELS, OUTCOMES = "/v1/score", "/v1/labels", "/v1/outcomes"
CHUNK = 10_000
Message = tuple[str, bytes]
"""Path and JSON body of one POST."""


def stream(history: pa.Table, from_ms: int, until_ms: int, reports: tuple[str, ...] = ("label",)) -> Iterator[Message]:
    """Payments of [from_ms, until_ms) in order of time, interleaved with the reports that became known.

    A report with the time of a payment is sent before it, as in replay.

    Args:
        history: the normalised history, sorted by time; also of payments before `from_ms`.
        from_ms: start, ms UTC.
        until_ms: end (exclusive), ms UTC.
        reports: which reports are sent: `label`, `outcome`.
    """
    times = times_ms(history["event_time"])
    rows, whens, kinds = [], [], []
    own = np.flatnonzero((times >= from_ms) & (times < until_ms))
    for kind, (about, when) in enumerate(
        [*(_reports(history, r, from_ms, until_ms) for r in reports), (own, times[own])]
    ):
        rows.append(about)
        whens.append(when)
        kinds.append(np.full(len(about), kind))
    row, when, kind_of = np.concatenate(rows), np.concatenate(whens), np.concatenate(kinds)
    order = np.lexsort((kind_of, when))
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        for values, kind in zip(history.take(row[part]).to_pylist(), kind_of[part].tolist(), strict=True):
            yield payment_message(values) if kind == len(reports) else _report_message(values, reports[kind])


def payment_message(values: dict[str, object]) -> Message:
    """The request that scores one payment."""
    sent = {name: value for name, value in values.items() if value is not None and name not in _LATER}
    attributes = {name.removeprefix("attr_"): sent.pop(name) for name in list(sent) if name.startswith("attr_")}
    if attributes:
        sent["attributes"] = attributes
    sent["event_time"] = _text(values["event_time"])
    return SCORE, msgspec.json.encode(sent)


def before(history: pa.Table, moment_ms: int) -> pa.Table:
    """The payments before a time, with the labels and outcomes known at that time."""
    past = history.filter(pa.array(times_ms(history["event_time"]) < moment_ms))
    for kind in ("label", "outcome"):
        unknown = times_ms(past[f"{kind}_time"]) >= moment_ms
        for name in (n for n in _LATER if n.startswith(kind)):
            at = past.schema.get_field_index(name)
            column = past[name].combine_chunks()
            masked = pc.if_else(pa.array(unknown), pa.scalar(None, column.type), column)
            past = past.set_column(at, past.schema.field(at), masked)
    return past


def _reports(history: pa.Table, kind: str, from_ms: int, until_ms: int) -> tuple[Integers, Integers]:
    known = times_ms(history[f"{kind}_time"])
    about = np.flatnonzero(valid(history[kind]) & (known >= from_ms) & (known < until_ms))
    return about, known[about]


def _report_message(values: dict[str, object], kind: str) -> Message:
    report = {"transaction_id": values["transaction_id"], kind: values[kind]}
    if kind == "label":
        report |= {"source": values["label_source"] or "chargeback", "reported_at": _text(values["label_time"])}
        return LABELS, msgspec.json.encode(report)
    return OUTCOMES, msgspec.json.encode(report | {"event_time": _text(values["outcome_time"])})


def _text(moment: object) -> str:
    assert isinstance(moment, dt.datetime)
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
