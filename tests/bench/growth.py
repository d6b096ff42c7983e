"""Whether a payment costs the same after ten million others: the whole path without HTTP, over a bulk-loaded past.

Each size is a process of its own (`python -m tests.bench.growth VAR BUNDLE EVENTS`): it makes a past, lets it into an
empty ledger as one event, folds it as the service does at its start, and then measures whenever it is told to.
All sizes are measured in turn, so that none gets the quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from features.history.schema import TIME
from features.intake.parse import read_payment
from serving.audit.import_history import append_history
from serving.engine.embedded.runtime import EmbeddedRuntime
from serving.settings import Settings
from tests.bench.processes.contenders import fresh
from tests.serving.asgi import runtime_with

SIZES = {"1e4": 10_000, "1e6": 1_000_000, "1e7": 10_000_000}
DAYS = 40
END_MS = int(datetime(2026, 11, 11, tzinfo=UTC).timestamp() * 1000)
#: Payments of one payer in the past; a larger past is one of more payers, as it is in life.
EACH = 50
BATCH, WARM = 1_000, 2_000


def parties(payer: np.ndarray, choice: np.ndarray, payers: int) -> dict[str, np.ndarray]:
    """Who a payment touches, as numbers: a payer has one instrument and device, and two payees of its choice."""
    return {
        "payer": payer,
        "instrument": payer,
        "device": payer * 7 % max(1, payers * 4 // 5),
        "ip": payer * 3 % max(1, payers * 3 // 5),
        "payee": (payer * 31 + choice * 17) % max(1, payers // 4),
    }


def past(count: int, seed: int = 5) -> pa.Table:
    """So many payments in the shape of a history, at random moments of `DAYS` days."""
    rng = np.random.default_rng(seed)
    payers = max(10, count // EACH)
    who = parties(rng.integers(0, payers, count), rng.integers(0, 2, count), payers)
    moments = np.sort(rng.integers(END_MS - DAYS * 86_400_000, END_MS - 1000, count))

    def named(letter: str, numbers: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(letter, pa.array(numbers).cast(pa.string()), "-")

    address = [pa.array(part).cast(pa.string()) for part in (who["ip"] >> 16, who["ip"] >> 8 & 255, who["ip"] & 255)]
    constant = {"currency": "INR", "rail": "upi", "channel": "qr_static", "mcc": "5411"}
    columns = {
        "transaction_id": named("g", np.arange(count)),
        "event_time": pa.array(moments).cast(TIME),
        "amount_minor": pa.array(rng.integers(1_000, 500_000, count)),
        "payer_id": named("u", who["payer"]),
        "instrument_id": named("i", who["instrument"]),
        "payee_id": named("m", who["payee"]),
        "device_id": named("d", who["device"]),
        "ip": pc.binary_join_element_wise("10", *address, "."),
        **{name: pa.repeat(pa.scalar(word), count) for name, word in constant.items()},
        **{name: pa.repeat(pa.scalar("IN"), count) for name in ("payer_country", "payee_country")},
        "outcome": pa.nulls(count, pa.string()),
        "outcome_time": pa.nulls(count, TIME),
        "label": pa.nulls(count, pa.string()),
        "label_source": pa.nulls(count, pa.string()),
        "label_time": pa.nulls(count, TIME),
    }
    return pa.table(columns)


def bodies(payers: int, count: int, seed: int) -> list[bytes]:
    """Live payments of the same people, right after their past and as often; every body another transaction."""
    rng = np.random.default_rng(seed)
    who = parties(rng.integers(0, payers, count), rng.integers(0, 2, count), payers)
    amounts = rng.integers(1_000, 500_000, count)
    step = np.timedelta64(DAYS * 86_400_000 // (payers * EACH), "ms")
    start = np.datetime64(END_MS, "ms") + seed * count * step
    made = []
    for n in range(count):
        ip = int(who["ip"][n])
        made.append(
            f'{{"transaction_id":"l{seed}-{n}","event_time":"{start + n * step}Z","amount_minor":{amounts[n]},'
            f'"currency":"INR","rail":"upi","channel":"qr_static","payer_id":"u-{who["payer"][n]}",'
            f'"instrument_id":"i-{who["instrument"][n]}","payee_id":"m-{who["payee"][n]}",'
            f'"device_id":"d-{who["device"][n]}","ip":"10.{ip >> 16}.{ip >> 8 & 255}.{ip & 255}","mcc":"5411",'
            f'"payer_country":"IN","payee_country":"IN","deadline_ms":5000}}'.encode()
        )
    return made


async def paid(runtime: EmbeddedRuntime, requests: Sequence[bytes]) -> float:
    """µs of the processor a payment: read, scored, recorded; eight at a time."""
    engine = runtime.engine
    assert engine is not None
    before = time.process_time_ns()
    for first in range(0, len(requests), 8):
        payments = [read_payment(body, engine.catalogue) for body in requests[first : first + 8]]
        await asyncio.gather(*[engine.answer(payment, time.perf_counter_ns()) for payment in payments])
    return (time.process_time_ns() - before) / 1000 / len(requests)


async def serve(runtime: EmbeddedRuntime, payers: int) -> None:
    """Answer each line of the input with a measurement; none ends it."""
    await paid(runtime, bodies(payers, WARM, 1))
    assert runtime.engine is not None
    state = runtime.engine.fold.state
    facts = {"entities": state.entities(), "bytes_per_entity": state.bytes_used() / max(1, state.entities())}
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    for number, _ in enumerate(sys.stdin, 10):
        sys.stdout.write(f"{await paid(runtime, bodies(payers, BATCH, number))}\n")
        sys.stdout.flush()


class Child:
    """One size, in a process of its own."""

    def __init__(self, folder: Path, bundle: Path, count: int) -> None:
        command = [sys.executable, "-m", "tests.bench.growth", str(folder), str(bundle), str(count)]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts: dict[str, float] = json.loads(self._line())
        self.ready_seconds = time.monotonic() - self.began

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the growth benchmark ended with {self.process.wait(60)}")
        return line

    def ask(self) -> float:
        """One more measurement, µs a payment."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(120)


def measured(folder: Path, bundle: Path, rounds: int = 9, sizes: dict[str, int] | None = None) -> dict[str, object]:
    """Cost of a payment, entities and bytes of each size; all sizes measured in turn."""
    children: dict[str, Child] = {}
    seen: dict[str, list[float]] = {}
    try:
        for name, count in (sizes or SIZES).items():
            children[name] = Child(fresh(folder / name), bundle, count)
            seen[name] = []
        for _ in range(rounds):
            for name, child in children.items():
                seen[name].append(child.ask())
        return {
            name: {
                "us_per_payment": round(median(seen[name]), 1),
                "entities": int(child.facts["entities"]),
                "state_bytes_per_entity": round(child.facts["bytes_per_entity"]),
                "ready_seconds": round(child.ready_seconds, 1),
            }
            for name, child in children.items()
        }
    finally:
        for child in children.values():
            child.end()


def main(var: Path, bundle: Path, events: int) -> None:
    """Load a past of so many events, then measure for every line of the input."""
    settings = Settings(var=var, bundle=str(bundle), clock="replay")
    source = var / "past.parquet"
    pq.write_table(past(events), source, row_group_size=1 << 15)
    append_history(settings.ledger, source)
    source.unlink()
    runtime = runtime_with(settings, bundle)
    runtime.load()
    asyncio.run(serve(runtime, max(10, events // EACH)))
    runtime.ledger.flush()
    runtime.ledger.release()


if __name__ == "__main__":
    typer.run(main)
