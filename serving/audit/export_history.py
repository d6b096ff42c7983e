"""Exports the ledger for the next training run: every payment with its outcome and label."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue.catalogue import Catalogue
from features.domain.payment_fields import FIELDS
from features.history.card_numbers import marked
from features.history.normalise import normalised
from features.history.schema import history_schema
from features.intake.parse import moment_of
from serving.feedback.changes import EFFECTIVE_VALUES
from serving.ledger.event_bodies import LabelInForce, ReportEvent
from serving.ledger.open import opened
from serving.ledger.promotions import latest_catalogue
from serving.ledger.reader import PAGE, Event, LedgerReader
from serving.ledger.token_key import known_tokens_of
from serving.state.foldable import CannotFold, HistoryStep, PaymentStep, ReportStep, Step, checked_step_of
from serving.store_config import LedgerConfig

log = logging.getLogger("riskgate.export")

_FROM_PAYMENT = tuple(field.name for field in FIELDS if field.of_history and field.name != "event_time")

#: Payments held as Python objects at a time.
ROWS_PER_TABLE = 1 << 14

Row = dict[str, Any]


def export(config: LedgerConfig, target: Path, *, page: int = PAGE, rows_per_table: int = ROWS_PER_TABLE) -> int:
    """Write imported history and scored payments in HISTORY_SCHEMA, sorted by event time; returns the number of rows.

    The label of a payment is the one in force, as its last event says. The target is written atomically. `page` events
    of the ledger and `rows_per_table` payments are held as Python objects at a time.
    Raises: CannotStart when there is no ledger, or it is damaged.
    """
    with opened(config, checked=True) as ledger:
        known = latest_catalogue(ledger, config.bundles)
        schema = history_schema(known.parameters)
        reports = _Reports(ledger, known, page)
        steps = _steps((event for event in ledger.walk(page=page) if event.kind == "payment"), known)
        tables = [
            _segment(config.segments, ledger, known, schema, reports),
            *_payments(steps, schema, reports, rows_per_table),
        ]
    table = pa.concat_tables([one for one in tables if one is not None], promote_options="none")
    del tables
    # Stable: payments of the same millisecond keep their order of arrival.
    table = table.append_column("arrival", pa.array(np.arange(table.num_rows)))
    table = table.sort_by([("event_time", "ascending"), ("arrival", "ascending")]).drop_columns(["arrival"])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    pq.write_table(marked(table, known_tokens_of(config)), partial, row_group_size=1 << 15)
    partial.replace(target)
    return int(table.num_rows)


def _steps(events: Iterable[Event], known: Catalogue) -> Iterator[tuple[Event, Step]]:
    """The events that can be folded, with their steps; the others are logged."""
    for event in events:
        try:
            yield event, checked_step_of(event, known)
        except CannotFold as error:
            log.warning("event %d is not exported, it is set aside: %s", event.seq, error.reason)


class _Reports:
    """Outcome and label of each transaction.

    Of several outcomes the one reported last, those that change the state before all others: a replay must see them.
    A ledger may hold an outcome of every payment: a tuple per report takes less memory than a dictionary.
    """

    def __init__(self, ledger: LedgerReader, known: Catalogue, page: int) -> None:
        self._outcomes: dict[str, tuple[int, str]] = {}
        self._labels: dict[str, tuple[int, str | None, str | None]] = {}
        for _, step in _steps(ledger.each_of_kind("outcome", page=page), known):
            assert isinstance(step, ReportStep)
            report = step.report
            outcome = self._outcomes.get(report.transaction_id)
            if outcome is None or _precedes(outcome, report):
                self._outcomes[report.transaction_id] = (report.reported_at_ms, sys.intern(report.value))
        for _, step in _steps(ledger.each_of_kind("label", page=page), known):
            assert isinstance(step, ReportStep)
            report = step.report
            label = self._labels.get(report.transaction_id)
            held = report.in_force
            if held is None:  # of a release before: the later reported label is in force
                if label is not None and report.reported_at_ms < label[0]:
                    continue
                held = LabelInForce(report.value, report.source, report.reported_at_ms)
            self._labels[report.transaction_id] = (held.reported_at_ms, _same(held.label), _same(held.source))

    def __contains__(self, transaction_id: str) -> bool:
        return transaction_id in self._labels or transaction_id in self._outcomes

    def of(self, transaction_id: str, event_time: datetime) -> Row:
        """The columns of one payment; a report dated before its payment (a caller's clock) gets the payment's time."""
        row: Row = {}
        if (outcome := self._outcomes.get(transaction_id)) is not None:
            row["outcome_time"], row["outcome"] = max(moment_of(outcome[0]), event_time), outcome[1]
        if (label := self._labels.get(transaction_id)) is not None:
            at = None if label[1] is None else max(moment_of(label[0]), event_time)
            row["label_time"], row["label"], row["label_source"] = at, *label[1:]
        return row


def _precedes(outcome: tuple[int, str], report: ReportEvent) -> bool:
    """Whether an outcome gives way to a later event."""
    effective = (outcome[1] in EFFECTIVE_VALUES, report.value in EFFECTIVE_VALUES)
    return report.reported_at_ms >= outcome[0] if effective[0] == effective[1] else effective[1]


def _same(word: str | None) -> str | None:
    return None if word is None else sys.intern(word)


def _payments(
    steps: Iterator[tuple[Event, Step]], schema: pa.Schema, reports: _Reports, rows_per_table: int
) -> Iterator[pa.Table]:
    """The scored payments in tables of `rows_per_table`: rows of Python objects take ten times the memory."""
    rows = (_row(event, step, reports) for event, step in steps)
    while part := list(itertools.islice(rows, rows_per_table)):
        yield pa.Table.from_pylist(part, schema=schema)
    yield schema.empty_table()


def _row(event: Event, step: Step, reports: _Reports) -> Row:
    assert isinstance(step, PaymentStep)
    payment = step.payment
    row: Row = {name: getattr(payment, name) for name in _FROM_PAYMENT}
    row["event_time"] = moment_of(payment.event_time_ms)
    row |= {f"attr_{name}": value for name, value in payment.attributes.items()}
    return row | reports.of(event.transaction_id, row["event_time"])


def _segment(
    segments: Path, ledger: LedgerReader, known: Catalogue, schema: pa.Schema, reports: _Reports
) -> pa.Table | None:
    histories = [step.body for _, step in _steps(ledger.of_kind("history"), known) if isinstance(step, HistoryStep)]
    if not histories:
        return None
    body = histories[0]
    table = pq.read_table(segments / f"{body.sha256}.parquet")
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    # Older releases stored histories without normalising them.
    table = normalised(pa.table(columns, schema=schema))
    ids = table["transaction_id"].to_pylist()
    reported = [place for place, one in enumerate(ids) if one in reports]
    if not reported:
        return table
    times = table["event_time"].to_pylist()
    for name in ("outcome", "outcome_time", "label", "label_source", "label_time"):
        values = table[name].to_pylist()
        for place in reported:
            values[place] = reports.of(ids[place], times[place]).get(name, values[place])
        at = schema.get_field_index(name)
        table = table.set_column(at, schema.field(at), pa.array(values, schema.field(at).type))
    return table
