"""What a million list entries cost: a payment (beside empty lists), memory, a start, one change.

    python -m tests.bench.lists [entries]

Half of the entries are payers and payees, the rest the other kinds, a sixth of them networks of many
lengths. Payments of both books are measured in turns, so that a busy machine slows both.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network
from operator import attrgetter

import msgspec

from features.domain.payment import Payment
from serving.engine.profile_runtime import WARMUP_PAYMENT
from serving.ledger.reader import Event
from serving.lists.book import ListBook
from serving.lists.changes import apply
from serving.lists.entry import ADD, LIST, MOST_IN_EVENT, Change, NewEntry, encode_change
from serving.output import out

_fields = attrgetter("payer_id", "instrument_id", "payee_id", "device_id", "ip", "mcc", "payer_country")
ROUNDS, PAYMENTS = 20, 2_000


def entries(count: int, draw: random.Random) -> Iterator[NewEntry]:
    """Entries of every kind; each is another value."""
    kinds = ("payer", "payee", "payer", "instrument", "device", "ip")
    for number in range(count):
        kind = kinds[number % len(kinds)]
        value = f"{kind}-{number:09d}"
        if kind == "ip":
            bits = draw.choice((20, 22, 23, 24, 25, 26, 27, 28, 29, 30)) if number > 300 else draw.choice((10, 12, 16))
            value = str(ip_network((draw.getrandbits(32), bits), strict=False))
        yield NewEntry(kind, value, f"ticket {number % 997}", None if number % 3 else 1_900_000_000_000)


def events(count: int) -> list[Event]:
    """The events that add as many entries to the block list."""
    draw, found = random.Random(7), []
    batch: list[NewEntry] = []
    for one in entries(count, draw):
        batch.append(one)
        if len(batch) == MOST_IN_EVENT:
            found.append(_event(len(found) + 1, tuple(batch)))
            batch = []
    return [*found, _event(len(found) + 1, tuple(batch))] if batch else found


def _event(seq: int, batch: tuple[NewEntry, ...]) -> Event:
    return Event(seq, LIST, "", 1_700_000_000_000, 0, encode_change(Change("block", ADD, "bench", batch)))


def payments() -> list[Payment]:
    """Payments that no exact entry names, with every field that a list may look at."""
    draw = random.Random(11)
    return [
        msgspec.structs.replace(
            WARMUP_PAYMENT,
            payer_id=f"u-{number}",
            instrument_id=f"vpa-{number}",
            device_id=f"d-{number}",
            ip=f"{draw.randrange(1, 224)}.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}",
            mcc="5411",
            payer_country="IN",
            payee_country="IN",
        )
        for number in range(PAYMENTS)
    ]


def main(count: int = 1_000_000) -> dict[str, float]:
    """Measure and print."""
    bodies = events(count)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    empty, full = ListBook(), ListBook()
    began = time.perf_counter()
    slowest = 0.0
    for event in bodies:
        first = time.perf_counter()
        apply(full, event)
        slowest = max(slowest, time.perf_counter() - first)
    load = time.perf_counter() - began
    memory_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    one = _event(len(bodies) + 1, (NewEntry("payer", "one-more", "bench"),))
    began = time.perf_counter()
    apply(full, one)
    change_us = (time.perf_counter() - began) * 1e6
    asked = payments()
    costs: dict[str, list[int]] = {"empty": [], "full": []}
    for _ in range(ROUNDS):
        for payment in asked:
            for name, book in (("empty", empty), ("full", full)):
                hash(_fields(payment))  # a payment was just parsed when the lists are asked
                began_ns = time.perf_counter_ns()
                book.find(payment)
                costs[name].append(time.perf_counter_ns() - began_ns)
    hits = sum(full.find(payment) is not None for payment in asked)
    figures = {
        "entries": float(count),
        "empty_us": statistics.median(costs["empty"]) / 1e3,
        "full_us": statistics.median(costs["full"]) / 1e3,
        "full_quickest_tenth_us": statistics.quantiles(costs["full"], n=10)[0] / 1e3,
        "hits": hits / PAYMENTS,
        "load_s": load,
        "slowest_event_ms": slowest * 1e3,
        "one_change_us": change_us,
        "memory_mb": memory_mb,
    }
    for name, value in figures.items():
        out.print(f"{name:18} {value:,.2f}")
    return figures


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
