"""From the ledger to the next training run: every payment with what became known about it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.catalog import Catalog
from features.history import history_schema
from features.history_words import normalised
from features.payment import Payment
from serving.archive import opened
from serving.foldable import CannotFold, Imported, Paid, Reported, Step, whole_step_of
from serving.ledger_reading import Event, LedgerReading
from serving.promotions import latest_catalog
from serving.settings import Settings

log = logging.getLogger("riskgate.export")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_PAYMENT = tuple(
    name for name in Payment.__struct_fields__ if name not in ("event_time_ms", "attributes", "deadline_ms")
)

Row = dict[str, Any]


def export(settings: Settings, target: Path) -> int:
    """Write imported history and scored payments in HISTORY_SCHEMA, sorted by event time; the number of rows.

    The latest reported label of a payment is its label, whoever gave it; the target appears whole or not
    at all.
    Raises: CannotStart when there is no ledger.
    """
    with opened(settings) as ledger:
        known = latest_catalog(settings, ledger)
        schema = history_schema(known.parameters)
        reports = _reports(ledger, known)
        past = [_segment(settings, ledger, known, schema, reports)]
        live = pa.Table.from_pylist(list(_payments(ledger, known, reports)), schema=schema)
    table = pa.concat_tables([*[one for one in past if one is not None], live])
    # Stable: payments of the same millisecond keep their order of arrival.
    table = table.append_column("arrival", pa.array(range(table.num_rows)))
    table = table.sort_by([("event_time", "ascending"), ("arrival", "ascending")]).drop_columns(["arrival"])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    pq.write_table(table, partial, row_group_size=1 << 15)
    partial.replace(target)
    return int(table.num_rows)


def _steps(events: Iterable[Event], known: Catalog) -> Iterator[tuple[Event, Step]]:
    """What can be folded of these events; what is set aside is named in the log."""
    for event in events:
        try:
            yield event, whole_step_of(event, known)
        except CannotFold as error:
            log.warning("event %d is not exported, it is set aside: %s", event.seq, error.reason)


def _reports(ledger: LedgerReading, known: Catalog) -> dict[str, Row]:
    """What became known of each transaction; of several labels the one reported last, of outcomes the last."""
    found: dict[str, Row] = {}
    for kind in ("outcome", "label"):
        for _, step in _steps(ledger.of_kind(kind), known):
            assert isinstance(step, Reported)
            report = step.report
            row = found.setdefault(report.transaction_id, {})
            latest = row.get(f"{kind}_time")
            moment = _moment(report.reported_at_ms)
            if latest is not None and moment < latest:
                continue
            row[kind], row[f"{kind}_time"] = report.value, moment
            if kind == "label":
                row["label_source"] = report.source
    return found


def _payments(ledger: LedgerReading, known: Catalog, reports: dict[str, Row]) -> Iterator[Row]:
    for event, step in _steps((one for one in ledger.walk() if one.kind == "payment"), known):
        assert isinstance(step, Paid)
        payment = step.payment
        row: Row = {name: getattr(payment, name) for name in _FROM_PAYMENT}
        row["event_time"] = _moment(payment.event_time_ms)
        row |= {f"attr_{name}": value for name, value in payment.attributes.items()}
        yield row | _not_before(reports.get(event.transaction_id, {}), row["event_time"])


def _segment(
    settings: Settings, ledger: LedgerReading, known: Catalog, schema: pa.Schema, reports: dict[str, Row]
) -> pa.Table | None:
    histories = [step.body for _, step in _steps(ledger.of_kind("history"), known) if isinstance(step, Imported)]
    if not histories:
        return None
    body = histories[0]
    table = pq.read_table(settings.var / "segments" / f"{body.sha256}.parquet")
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    # What an older release kept as it came is exported as the next training run must read it.
    table = normalised(pa.table(columns, schema=schema))
    ids = table["transaction_id"].to_pylist()
    told = [place for place, one in enumerate(ids) if one in reports]
    if not told:
        return table
    times = table["event_time"].to_pylist()
    for name in ("outcome", "outcome_time", "label", "label_source", "label_time"):
        values = table[name].to_pylist()
        for place in told:
            said = _not_before(reports[ids[place]], times[place])
            values[place] = said.get(name, values[place])
        at = schema.get_field_index(name)
        table = table.set_column(at, schema.field(at), pa.array(values, schema.field(at).type))
    return table


def _not_before(report: Row, event_time: datetime) -> Row:
    """A report dated before its own payment (a caller's clock) counts from the payment on."""
    times = {name: max(value, event_time) for name, value in report.items() if name.endswith("_time")}
    return report | times


def _moment(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)
