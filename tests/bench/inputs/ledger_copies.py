"""A ledger of any size in PostgreSQL whose every decision verifies: real payments, repeated under other names.

A few thousand payments are scored, reported about and recorded by the production path. Every identifier in them
holds a marker; a copy replaces the marker, so its payers, devices and payees are its own, see the same past, and
get the same vectors, scores and decisions bit for bit. The copies take turns, so neighbours in the ledger touch
different entities, as they do in life.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg

from features.intake.parse import read_payment
from serving.engine.clustered import startup_checks
from serving.engine.clustered.feedback import RedisFeedback
from serving.feedback.reports import LabelReport, OutcomeReport
from serving.ledger.postgres import schema
from tests.bench.growth import EACH, parties
from tests.serving.recorder.stream_world import settings_of, take_down
from tests.serving.redis_store.redis_world import Shared, answer_of
from tests.serving.servers import Servers

#: No base64 holds a colon, so the marker stands in identifiers alone; both halves are groups of an IPv6 address.
MARKER, KEPT = "fade:cafe", ":cafe"
#: Copies are numbered from here on in hex: four digits, none of them a leading zero.
FIRST_COPY, MOST_COPIES = 0x1000, 0xE000
#: Payments between two labels, and between two outcomes.
LABEL_EVERY, OUTCOME_EVERY = 50, 10
GROUP = 8

_COPY_ENTRIES = """INSERT INTO entries
SELECT %(base)s + (s.seq - %(base)s) * %(copies)s + k, s.kind,
    replace(s.transaction_id, %(marker)s, to_hex(%(first)s + k) || %(kept)s), s.event_time_ms, s.arrival_time_ms,
    convert_to(replace(convert_from(s.body, 'UTF8'), %(marker)s, to_hex(%(first)s + k) || %(kept)s), 'UTF8')
FROM source_entries s, generate_series(0, %(copies)s::int - 1) AS k
WHERE s.transaction_id <> '' OR k = 0 ORDER BY s.seq, k"""
_COPY_DECISIONS = """INSERT INTO decisions (payment_seq, seq, transaction_id, event_time_ms, arrival_time_ms, body)
SELECT %(base)s + (s.payment_seq - %(base)s) * %(copies)s + k, %(base)s + (s.seq - %(base)s) * %(copies)s + k,
    replace(s.transaction_id, %(marker)s, to_hex(%(first)s + k) || %(kept)s), s.event_time_ms, s.arrival_time_ms,
    convert_to(replace(convert_from(s.body, 'UTF8'), %(marker)s, to_hex(%(first)s + k) || %(kept)s), 'UTF8')
FROM source_decisions s, generate_series(0, %(copies)s::int - 1) AS k ORDER BY s.seq, k"""


def bodies(count: int, start: datetime, seed: int = 7) -> list[bytes]:
    """Payments of people who pay `EACH` times, ten seconds apart, with the marker in every identifier."""
    rng = np.random.default_rng(seed)
    payers = max(10, count // EACH)
    who = parties(rng.integers(0, payers, count), rng.integers(0, 2, count), payers)
    amounts = np.round(np.exp(rng.normal(10.2, 1.3, count))).astype(int) + 100
    made = []
    for n in range(count):
        moment = (start + timedelta(seconds=10 * n)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made.append(
            f'{{"transaction_id":"t-{MARKER}-{n}","event_time":"{moment}","amount_minor":{amounts[n]},'
            f'"currency":"INR","rail":"upi","channel":"qr_static","payer_id":"u-{MARKER}-{who["payer"][n]}",'
            f'"instrument_id":"i-{MARKER}-{who["instrument"][n]}","payee_id":"m-{MARKER}-{who["payee"][n]}",'
            f'"device_id":"d-{MARKER}-{who["device"][n]}","ip":"2001:db8:{MARKER}::{int(who["ip"][n]) + 1:x}",'
            f'"mcc":"5411","payer_country":"IN","payee_country":"IN"}}'.encode()
        )
    return made


def make_source(servers: Servers, bundle: Path, folder: Path, count: int) -> None:
    """Score, report and record `count` payments, and keep them beside the tables of the ledger."""
    schema.prepare(servers.postgres_url, servers.prefix)
    shared = Shared(servers.redis_url, servers.prefix, bundle, folder)
    shared.settings = settings_of(servers, RISKGATE_VAR=str(folder / "var"), RISKGATE_CLOCK="replay")
    asyncio.run(_score(shared, count))
    take_down(servers)
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        one.execute("CREATE TABLE source_entries AS TABLE entries; CREATE TABLE source_decisions AS TABLE decisions")
    shared.client.delete(*shared.client.scan_iter(f"{servers.prefix}:*"))


async def _score(shared: Shared, count: int) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10 * count)
    payments = [read_payment(body, shared.catalogue) for body in bodies(count, start)]
    async with shared.worker() as engine:
        await startup_checks.note_promotion(engine.state, shared.opened, "code", payments[0].event_time_ms)
        feedback = RedisFeedback(engine.state, engine.strings, engine.clock, engine.lookup)
        for begin in range(0, count, GROUP):
            await asyncio.gather(*(answer_of(engine, one) for one in payments[begin : begin + GROUP]))
            for number in range(begin, min(begin + GROUP, count)):
                name, at_ms = payments[number].transaction_id, payments[number].event_time_ms
                if number % OUTCOME_EVERY == 0:
                    await feedback.take_outcome(OutcomeReport(name, "declined" if number % 3 else "settled", at_ms))
                if number % LABEL_EVERY == 0:
                    await feedback.take_label(LabelReport(name, "fraud", "chargeback", at_ms))
        while len(engine.outbox):
            await asyncio.sleep(0.02)


def repeat(servers: Servers, copies: int) -> float:
    """Fill the ledger with so many copies, event by event in turn, and vacuum as autovacuum would; seconds."""
    if copies > MOST_COPIES:
        raise ValueError(f"at most {MOST_COPIES} copies can be kept apart: score more payments as the source")
    began = time.monotonic()
    with psycopg.connect(servers.postgres_url, autocommit=True) as one:
        row = one.execute("SELECT min(seq) FROM source_entries").fetchone()
        values = {
            "marker": MARKER, "kept": KEPT, "first": FIRST_COPY, "copies": copies, "base": row[0] if row else 0,
        }  # fmt: skip
        one.execute("TRUNCATE entries, decisions, cases")
        one.execute(_COPY_ENTRIES, values)
        one.execute(_COPY_DECISIONS, values)
        one.execute("VACUUM ANALYZE entries")
        one.execute("VACUUM ANALYZE decisions")
    return time.monotonic() - began
