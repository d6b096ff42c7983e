"""The three ways agree on real input as well: the first payments of the Handbook, with their labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalogue.catalogue import CatalogueParameters, catalogue
from features.history.schema import HISTORY_SCHEMA, TIME, complete, times_ms
from features.state.replay import Events, fold, replay
from tests.features.feast_store.test_feast import WHATS, differences, payment_of

pytestmark = [
    pytest.mark.handbook,
    pytest.mark.filterwarnings("ignore"),  # Feast and its dependencies warn on import and on use
]

DATA = Path(os.environ.get("RISKGATE_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
KNOWN = catalogue(CatalogueParameters(reference_currency="EUR"))
PAYMENTS, LOOKED_AT = 100_000, 40
WEEK_MS = 7 * 86_400_000


@pytest.fixture(scope="module")
def history() -> pa.Table:
    path = DATA / "handbook_raw" / "transactions.parquet"
    if not path.exists():
        pytest.skip(f"HANDBOOK DATA ABSENT: no {path}; set RISKGATE_DATA to the folder that holds it")
    raw = pa.Table.from_batches([next(pq.ParquetFile(path).iter_batches(PAYMENTS))])
    times = raw["TX_DATETIME"].cast(pa.timestamp("ms")).cast(pa.int64())
    payers = raw["CUSTOMER_ID"].cast(pa.string())
    columns = {
        "transaction_id": raw["TRANSACTION_ID"].cast(pa.string()),
        "event_time": times.cast(TIME),
        "amount_minor": pc.round(pc.multiply(raw["TX_AMOUNT"], 100)).cast(pa.int64()),
        "payer_id": payers,
        "instrument_id": payers,
        "payee_id": raw["TERMINAL_ID"].cast(pa.string()),
        "label": pc.if_else(pc.equal(raw["TX_FRAUD"].cast(pa.int64()), 1), "fraud", "legitimate"),
        "label_time": pc.add(times, WEEK_MS).cast(TIME),
    }
    constants = {"currency": "EUR", "rail": "card", "channel": "pos"}
    columns |= {name: pa.array([text] * raw.num_rows) for name, text in constants.items()}
    return complete(pa.table(columns), HISTORY_SCHEMA)


def test_real_payments_get_the_same_features_three_ways(history: pa.Table, tmp_path: Path) -> None:
    from features.feast_store import client

    store = client.open_store(tmp_path, KNOWN)
    client.apply(store, KNOWN)
    replayed = replay(history, KNOWN)
    pq.write_table(replayed, tmp_path / "velocity.parquet")
    offline = client.historical_frame(store, KNOWN, history)[list(KNOWN.names)].to_numpy()
    kernel = np.column_stack([replayed[name].to_numpy() for name in KNOWN.names])
    assert differences(np.ascontiguousarray(kernel), np.ascontiguousarray(offline), KNOWN) == []

    times = times_ms(history["event_time"])
    first = int(np.searchsorted(times, times[-LOOKED_AT]))  # the first payment of its instant
    state, now = fold(history, KNOWN, until_ms=int(times[first])), [0]
    client.attach(store, state, lambda: now[0])
    events = Events(history)
    begin = int(np.flatnonzero((events.rows == first) & (events.whats == 0))[0])
    hot, online = [], []
    for row, what in zip(events.rows[begin:].tolist(), events.whats[begin:].tolist(), strict=True):
        if what and len(hot) == history.num_rows - first:
            break  # only labels are left
        payment = payment_of(history.slice(row, 1).to_pylist()[0], int(times[row]))
        if what:
            state.annotate(payment, WHATS[what])
            continue
        now[0] = payment.event_time_ms
        online.append(client.online_vectors(store, KNOWN, [payment])[0])
        hot.append(state.observe_and_apply(payment))
    assert differences(np.array(hot), np.array(online), KNOWN) == []
    assert differences(np.array(hot), np.ascontiguousarray(offline[first:]), KNOWN) == []
    client.close(store)
