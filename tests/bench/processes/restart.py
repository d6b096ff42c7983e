"""How long a killed service of the embedded profile needs until it is ready, and whether that grows with the ledger.

`python -m tests.bench.processes.restart` makes a ledger of each size with a snapshot and a tail behind it, starts the
service, kills it with SIGKILL and measures the next start, size by size in turn. The payments before the snapshot are
stand-ins, which a start does not read: their number, their index and the size of the state are what counts. The tail
consists of payments that the service decided, under other names. It prints a table and judges nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from features.catalogue.catalogue import catalogue
from features.domain.payment import Payment
from serving.ledger.sqlite.ledger import Event, Ledger
from serving.state import snapshots
from serving.state.fold import Fold
from tests.bench.inputs import bundle, payments
from tests.serving.asgi import Asked
from training.client.service_process import free_port

SOURCE = 1_000
ROWS = 100_000
#: Each payment of the snapshot makes three entities: payer, instrument and pair.
NEW_ENTITIES = 3
OURS = re.compile(r"ready: .* ([0-9.]+) s\b")
START_MS = 1_794_355_200_000
INSERT = "INSERT INTO events(kind, transaction_id, event_time_ms, arrival_time_ms, body) VALUES (?, ?, ?, ?, ?)"


def stand_ins(count: int) -> Iterator[tuple[str, str, int, int, bytes]]:
    """Events that a start does not read; one in fifty is a label, one in thirty an outcome."""
    for number in range(count):
        kind = "label" if number % 50 == 1 else "outcome" if number % 30 == 2 else "payment"
        yield kind, f"o-{number:010d}", START_MS, START_MS, b"{}"


def decided(var: Path, model: Path) -> list[Event]:
    """Payments as the service records them."""
    service = Asked(var, model, log_decisions="none")
    service.load()
    for body in payments.bodies(SOURCE, 5):
        assert service.ask("POST", "/v1/score", body.decode()).status_code == 200
    service.close()
    ledger = Ledger(var / "ledger.sqlite", read_only=True)
    found = [event for event in ledger.walk() if event.kind == "payment"]
    ledger.release()
    return found


def make(var: Path, model: Path, events: int, entities: int, tail: int) -> None:
    """A ledger of `events` with a snapshot of so many entities, `tail` events before its end."""
    source = decided(var, model)
    shutil.rmtree(var / "snapshots")
    with sqlite3.connect(var / "ledger.sqlite") as connection:
        connection.execute("PRAGMA synchronous=OFF")
        (known,) = connection.execute("SELECT count(*) FROM events").fetchone()
        connection.executemany(INSERT, stand_ins(events - tail - known))
    connection.close()
    ledger = Ledger(var / "ledger.sqlite")
    fold = Fold(catalogue(), var / "segments")
    for number in range(entities // NEW_ENTITIES):
        fold.state.apply(
            Payment(
                transaction_id="", event_time_ms=START_MS - 86_400_000 + 40 * number, amount_minor=1_000,
                currency="INR", rail="upi", channel="online", payer_id=f"w-{number:08d}",
                instrument_id=f"vpa-{number:08d}", payee_id=f"m-{number % 20_000}",
                device_id=f"d-{number % 100_000}", ip=f"10.{number % 200}.1.7",
            )
        )  # fmt: skip
    ledger.learn_ids()
    snapshots.save(fold, ledger, var / "snapshots")
    rows = []
    for number in range(tail):
        event = source[number % len(source)]
        name = f"t-{number:08d}"
        body = event.body.replace(event.transaction_id.encode(), name.encode())
        rows.append(("payment", name, event.event_time_ms, event.arrival_time_ms, body))
    ledger.append_many(rows)
    ledger.close()


def start(var: Path, model: Path) -> tuple[float, float]:
    """Start the service and kill it when it is ready: seconds until then, and those of them for state and tail."""
    port, log = free_port(), var / "start.log"
    environment = os.environ | {
        "RISKGATE_VAR": str(var), "RISKGATE_BUNDLE": str(model), "RISKGATE_CLOCK": "replay",
        "BENTOML_HOME": str(var / "bentoml"),
    }  # fmt: skip
    with log.open("wb") as out, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "run", "--port", str(port)], env=environment, stdout=out, stderr=out
        )
        try:
            while not ready(client):
                if process.poll() is not None:
                    raise RuntimeError(f"the service ended:\n{log.read_text()}")
                time.sleep(0.02)
            seconds = time.monotonic() - began
            while not OURS.search(log.read_text()):  # written just after
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return seconds, float(OURS.findall(log.read_text())[-1])


def ready(client: httpx.Client) -> bool:
    """Whether the service scores."""
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def main(
    sizes: Annotated[str, typer.Option(help="Events in the ledger.")] = "1000000,10000000",
    entities: Annotated[int, typer.Option(help="Entities in the state.")] = 3_000_000,
    tail: Annotated[int, typer.Option(help="Events behind the snapshot.")] = 25_000,
    rounds: Annotated[int, typer.Option(help="Starts at each size, in turn; the quickest counts.")] = 3,
) -> None:
    """Measure starts after SIGKILL at several sizes of the ledger."""
    say, folder = Console(), Path(tempfile.mkdtemp(prefix="riskgate-restart-"))
    numbers = [int(size) for size in sizes.split(",")]
    try:
        model = bundle.make(folder / "bundle")
        found: dict[int, list[tuple[float, float]]] = {size: [] for size in numbers}
        for size in numbers:
            began = time.monotonic()
            make(folder / f"{size}", model, size, entities, tail)
            start(folder / f"{size}", model)  # warm: compiled code, promotion
            say.print(f"{size:,} events are there after {time.monotonic() - began:.0f} s")
        for _ in range(rounds):
            for size in numbers:
                found[size].append(start(folder / f"{size}", model))
                say.print(f"{size:,}: {found[size][-1]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table()
    for name in ("events", "ready after s", "of it state and tail s"):
        table.add_column(name, justify="right")
    for size, times in found.items():
        table.add_row(f"{size:,}", *(f"{min(one):.1f}" for one in zip(*times, strict=True)))
    say.print(table)


if __name__ == "__main__":
    typer.run(main)
