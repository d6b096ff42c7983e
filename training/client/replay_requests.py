"""A history as the requests of a payment service, sent in order of time: payments, outcomes and labels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.domain.payment import REVIEW
from features.history.schema import AFTERWARDS, times_ms, valid
from training.client.service_process import HOST, ServiceTrouble
from training.data.arrays import Integers

_LATER = tuple(field.name for field in AFTERWARDS)
SCORE, LABELS, OUTCOMES = "/v1/score", "/v1/labels", "/v1/outcomes"
CHUNK = 10_000
Message = tuple[str, bytes]
"""Path and JSON body of one POST."""


def stream(
    history: pa.Table,
    from_ms: int,
    until_ms: int,
    reports: tuple[str, ...] = ("label",),
    deadline_ms: int | None = None,
) -> Iterator[Message]:
    """Payments of [from_ms, until_ms) in order of time, interleaved with the reports that became known.

    A report with the time of a payment is sent before it, as in replay.

    Args:
        history: the normalised history, sorted by time; also of payments before `from_ms`.
        from_ms: start, ms UTC.
        until_ms: end (exclusive), ms UTC.
        reports: which reports are sent: `label`, `outcome`.
        deadline_ms: how long each payment waits for its decision; the service's own default without it.
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
            yield (
                payment_message(values, deadline_ms) if kind == len(reports) else _report_message(values, reports[kind])
            )


def replay(port: int, messages: Iterable[Message], log: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Send each message once the one before it is answered; yields its path, its body and the body of its answer.

    Over the standard library's connection: one of our own with requests in a pipeline was no faster, httpx takes twice
    the time.

    Args:
        port: of the service on this machine.
        messages: in the order in which the service shall decide about them.
        log: what the service writes, for the message of an error.

    Raises:
        ServiceTrouble: the service answered another status than 200, or not at all.
    """
    with closing(HTTPConnection(HOST, port, timeout=60)) as connection:
        for path, body in messages:
            try:
                connection.request("POST", path, body, {"content-type": "application/json"})
                reply = connection.getresponse()
                answer = reply.read()
            except (OSError, HTTPException) as broken:
                raise ServiceTrouble(f"{path} was not answered: {broken!r}.", f"See {log}.") from broken
            if reply.status != 200:
                raise ServiceTrouble(f"{path} answered {reply.status}: {answer.decode()[:300]}", f"See {log}.")
            yield path, body, answer


def payment_message(values: dict[str, object], deadline_ms: int | None = None) -> Message:
    """The request that scores one payment."""
    sent = {name: value for name, value in values.items() if value is not None and name not in _LATER}
    attributes = {name.removeprefix("attr_"): sent.pop(name) for name in list(sent) if name.startswith("attr_")}
    if attributes:
        sent["attributes"] = attributes
    sent["event_time"] = _text(values["event_time"])
    if deadline_ms is not None:
        sent["deadline_ms"] = deadline_ms
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
        # A verdict comes from the desk alone: what is nearest to it is what the payer says.
        source = values["label_source"] or "chargeback"
        source = "customer_report" if source == REVIEW else source
        report |= {"source": source, "reported_at": _text(values["label_time"])}
        return LABELS, msgspec.json.encode(report)
    return OUTCOMES, msgspec.json.encode(report | {"event_time": _text(values["outcome_time"])})


def _text(moment: object) -> str:
    assert isinstance(moment, dt.datetime)
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
