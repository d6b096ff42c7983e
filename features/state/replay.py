"""Bulk replay of a history through the kernel, bit for bit equal to the live path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.catalogue.aggregate import FILTERS
from features.catalogue.catalogue import Catalogue
from features.catalogue.payment_features import PROFILE_WORDS
from features.domain.payment import Payment
from features.history.normalise import normalised
from features.history.parquet import read_table
from features.history.schema import check_history, complete, dictionary_of, history_schema, times_ms
from features.kernel import step
from features.kernel.heap import new_heap, with_room
from features.kernel.plan import plan_of
from features.state.columns import amounts_of, encode_profiles, extras_of
from features.state.memory import SEPARATOR, State
from features.state.profiles import Profiles

Ints = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float64]
Progress = Callable[[int], None]  # called with the number of payments replayed since the last call

CHUNK = 1 << 15
KEYS = ("transaction_id", "event_time", "payer_id", "instrument_id", "device_id", "ip", "payee_id")
_ENTITY_COLUMNS = ("payer_id", "instrument_id", "device_id", "ip", "payee_id")
_KNOWN_LATER = (("label", "fraud"), ("label", "legitimate"), ("outcome", "declined"), ("outcome", "reversed"))


class Events:
    """The events of a history in order: each payment at its row, each label and outcome when it became known.

    A label or outcome known at or before a payment's event time comes before that payment; one that is dated at the
    time of its own payment comes directly after it.
    """

    def __init__(self, history: pa.Table, until_ms: int | None = None) -> None:
        self.times = times_ms(history["event_time"])
        n = len(self.times)
        rows, whats = [np.arange(n)], [np.zeros(n, np.int64)]
        # rows are in order of arrival; a late payment is processed at the latest event time before it
        arrivals = np.maximum.accumulate(self.times) if n else self.times
        whens, orders = [arrivals], [np.ones(n, np.int64)]
        for kind, value in _KNOWN_LATER:
            about = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(history[kind], value), False)))
            known = np.maximum(times_ms(history[f"{kind}_time"])[about], arrivals[about] + 1)
            rows.append(about)
            whats.append(np.full(about.size, FILTERS[value].bit))
            whens.append(known)
            orders.append(np.zeros(about.size, np.int64))
        when, order = np.concatenate(whens), np.concatenate(orders)
        sequence = np.lexsort((order, when))  # stable: ties keep row order
        if until_ms is not None:
            sequence = sequence[when[sequence] < until_ms]
        self.rows: Ints = np.concatenate(rows)[sequence].astype(np.int64)
        self.whats: Ints = np.concatenate(whats)[sequence].astype(np.int64)
        self.payments = int((self.whats == 0).sum())

    def __len__(self) -> int:
        return len(self.rows)


class _Run:
    """One pass of the kernel over a history."""

    def __init__(
        self, history: pa.Table, catalogue: Catalogue, profiles: Profiles | None, until_ms: int | None, *, as_kept: bool
    ) -> None:
        history = complete(history, history_schema(catalogue.parameters))
        if not as_kept:
            history = normalised(history)
        check_history(history)
        self.catalogue, self.plan, self.history = catalogue, plan_of(catalogue), history
        self.events = Events(history, until_ms)
        self.amounts = amounts_of(history, catalogue)
        self.extra = extras_of(history, catalogue)
        self.profile = _profiles_of(history, profiles)
        self.codes, self.keys = _codes_of(history, catalogue)
        self.table = np.zeros(int(self.codes.max(initial=0)) + 1, np.int64)
        self.heap = new_heap()

    def chunks(self) -> Iterator[tuple[int, Vector]]:
        """(first row, features of the rows from there) of each chunk; the array is reused."""
        begin, row, columns = 0, 0, len(self.catalogue.names)
        plan = self.plan
        cum = np.zeros(plan.scratch, np.int64)
        recs, seen = np.zeros(step.ENTITY_COUNT, np.int64), np.zeros(step.ENTITY_COUNT, np.int64)
        room = np.empty((min(CHUNK, self.events.payments), columns))  # one buffer: the consumer copies it
        while begin < len(self.events):
            end = min(begin + CHUNK, len(self.events))
            payments = int((self.events.whats[begin:end] == 0).sum())
            out = room[:payments]
            done = begin
            while done < end:
                self.heap = with_room(self.heap, 4 * plan.slack_words)
                done = step.replay_events(
                    self.heap, *plan[:8], cum, self.table, self.events.rows, self.events.whats, done, end,
                    self.codes, recs, seen, self.events.times, self.amounts, self.extra, self.profile, out, row,
                    plan.slack_words,
                )  # fmt: skip
            yield row, out
            begin, row = end, row + payments

    def state(self) -> State:
        """The state after the events replayed."""
        records: tuple[dict[str, int], ...] = tuple(
            {
                key: int(offset)
                for key, offset in zip(keys, self.table[start : start + len(keys)], strict=True)
                if offset
            }
            for start, keys in self.keys
        )
        state = State(self.catalogue)
        state.adopt(with_room(self.heap, self.plan.slack_words), records, 0)
        return state


def replay(
    history: pa.Table,
    catalogue: Catalogue,
    profiles: Profiles | None = None,
    until_ms: int | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Features of every payment of a history: the keys, then one float64 column per feature, NaN = missing.

    history: a table in HISTORY_SCHEMA, rows in order of arrival. until_ms: events from this time on are left out,
    ms UTC.
    Raises: InvalidHistory.
    """
    run = _Run(history, catalogue, profiles, until_ms, as_kept=False)
    return pa.Table.from_batches(list(_batches(run, progress)), schema=features_schema(catalogue))


def replay_some(
    history: pa.Table,
    catalogue: Catalogue,
    keep: npt.NDArray[np.bool_],
    profiles: Profiles | None = None,
    progress: Progress | None = None,
) -> Vector:
    """Features of the payments marked in `keep` (bool per row of the history), float64[kept, columns].

    The windows see every payment; memory grows with the marked rows only.
    Raises: InvalidHistory.
    """
    run, at = _Run(history, catalogue, profiles, None, as_kept=False), 0
    kept = np.empty((int(keep.sum()), len(catalogue.names)))
    for row, out in run.chunks():
        chosen = out[keep[row : row + len(out)]]
        kept[at : at + len(chosen)] = chosen
        at += len(chosen)
        if progress:
            progress(len(out))
    return kept


def replay_to_parquet(
    source: Path,
    target: Path,
    catalogue: Catalogue,
    profiles: Profiles | None = None,
    progress: Progress | None = None,
) -> int:
    """Replay a parquet history into a parquet file of features, in bounded memory; returns the number of payments.

    The target is written whole or not at all.
    Raises: InvalidHistory.
    """
    run = _Run(read_table(source), catalogue, profiles, None, as_kept=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with ThreadPoolExecutor(1) as writing, pq.ParquetWriter(
        partial, features_schema(catalogue), compression="lz4", use_dictionary=["payer_id", "payee_id"],
        write_statistics=["transaction_id", "event_time"],
    ) as writer:  # fmt: skip
        written: Future[None] | None = None
        columns = len(catalogue.names)
        rooms = [np.empty((columns, CHUNK)) for _ in range(2)]  # one is compressed while the other is filled
        for batch in _batches(run, progress, rooms):
            if written is not None:
                written.result()
            written = writing.submit(writer.write_batch, batch)
        if written is not None:
            written.result()
    partial.replace(target)
    return run.events.payments


def fold(
    history: pa.Table, catalogue: Catalogue, until_ms: int | None = None, progress: Progress | None = None
) -> State:
    """The online state after a stored history (its events before `until_ms`), by bulk replay."""
    run = _Run(history, catalogue, None, until_ms, as_kept=True)
    for _, out in run.chunks():
        if progress:
            progress(len(out))
    return run.state()


def features_schema(catalogue: Catalogue) -> pa.Schema:
    """The schema of replayed features."""
    keys = [pa.field(k, pa.timestamp("ms", tz="UTC") if k == "event_time" else pa.string()) for k in KEYS]
    return pa.schema([*keys, *(pa.field(name, pa.float64()) for name in catalogue.names)])


def _batches(run: _Run, progress: Progress | None, rooms: Sequence[Vector] = ()) -> Iterator[pa.RecordBatch]:
    """The features as record batches; `rooms`, float64[columns, CHUNK] each, are used in turn as buffers."""
    schema = features_schema(run.catalogue)
    turns = cycle(rooms)
    for row, out in run.chunks():
        keys = run.history.slice(row, len(out))
        columns = [keys[k].combine_chunks() for k in KEYS]
        room = next(turns)[:, : len(out)] if rooms else np.empty((out.shape[1], len(out)))
        np.copyto(room, out.T)
        columns += [pa.array(column) for column in room]
        if progress:
            progress(len(out))
        yield pa.record_batch(columns, schema=schema)


def _codes_of(history: pa.Table, catalogue: Catalogue) -> tuple[Ints, list[tuple[int, list[str]]]]:
    """Entity codes int64[n, 6] into one table, -1 = not sent, and per entity kind (first code, keys)."""
    n, start = history.num_rows, 0
    codes = np.full((n, step.ENTITY_COUNT), -1, np.int64)
    keys: list[tuple[int, list[str]]] = []
    parties: dict[str, tuple[Ints, list[str]]] = {}
    for e, name in enumerate(_ENTITY_COLUMNS):
        own, values = _factorised(history[name], catalogue.address_key if name == "ip" else None)
        parties[name] = (own, values)
        codes[:, e] = np.where(own >= 0, own + start, -1)
        keys.append((start, values))
        start += len(values)
    (payers, payer_keys), (payees, payee_keys) = parties["payer_id"], parties["payee_id"]
    width, both = max(len(payee_keys), 1), (payers >= 0) & (payees >= 0)
    pairs, inverse = np.unique(payers[both] * width + payees[both], return_inverse=True)
    codes[both, 5] = inverse.reshape(-1) + start
    keys.append((start, _PairKeys(pairs, payer_keys, payee_keys, width)))  # type: ignore[arg-type]
    return codes, keys


class _PairKeys:
    """The keys of the pairs, built on iteration only: there are many and replay itself needs none."""

    def __init__(self, pairs: Ints, payers: list[str], payees: list[str], width: int) -> None:
        self.pairs, self.payers, self.payees, self.width = pairs, payers, payees, width

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[str]:
        for payer, payee in zip(*np.divmod(self.pairs, self.width), strict=True):
            yield self.payers[payer] + SEPARATOR + self.payees[payee]


def _factorised(column: Any, key_of: Callable[[str], str] | None) -> tuple[Ints, list[str]]:
    """The code of each row, -1 where the entity was not sent, and the keys of the codes."""
    coded = dictionary_of(column)
    indices = pc.fill_null(coded.indices.cast(pa.int64()), -1).to_numpy()
    sent: list[str] = coded.dictionary.to_pylist()
    wanted = [key_of(one) for one in sent] if key_of else sent
    if "" not in wanted and len(set(wanted)) == len(wanted):
        return indices, wanted
    keys = {key: code for code, key in enumerate(dict.fromkeys(key for key in wanted if key))}
    # The last entry stands for -1, a row without the entity.
    renamed = np.array([*(keys.get(key, -1) for key in wanted), -1], np.int64)
    return renamed[indices], list(keys)


def _profiles_of(history: pa.Table, profiles: Profiles | None) -> Vector:
    """The profiles of each payment's parties as known at its time, float64[n, words]; all NaN without profiles."""
    n = history.num_rows
    if profiles is None or len(profiles) == 0:
        return np.broadcast_to(np.full(PROFILE_WORDS, np.nan), (n, PROFILE_WORDS))
    out = np.full((n, PROFILE_WORDS), np.nan)
    parties = zip(
        times_ms(history["event_time"]).tolist(),
        *(history[c].to_pylist() for c in ("payer_id", "instrument_id", "payee_id")),
        strict=True,
    )
    for i, (at, payer, instrument, payee) in enumerate(parties):
        moment = Payment(
            transaction_id="", event_time_ms=at, amount_minor=0, currency="", rail="", channel="",
            payer_id=payer, instrument_id=instrument, payee_id=payee,
        )  # fmt: skip
        encode_profiles(moment, profiles, out[i])
    return out
