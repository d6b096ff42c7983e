"""Entries as the scoring processes write them to the stream, for tests of who reads it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from features.domain.payment import Payment
from features.intake.parse import payment_json
from serving.decision.case_row import CaseRow
from serving.decision.receipt import Answer, Receipt
from serving.ledger.event_bodies import ReportEvent, encode
from serving.ledger.postgres.session import first_session
from serving.recorder import postgres_writer
from serving.recorder.metrics import RecorderMetrics
from serving.recorder.recorder import Recorder
from serving.settings import read_settings
from tests.serving.console.desk_world import REASONS, START_MS, payment
from tests.serving.servers import Servers


def settings_of(servers: Servers, **more: Any) -> Any:
    """The settings of a process that works on these servers."""
    return read_settings({**servers.environment, **more})


class Stream:
    """Writes to the stream of one prefix."""

    def __init__(self, servers: Servers) -> None:
        self.client = servers.redis()
        self.client.set(f"{servers.prefix}:contract", "of these tests")  # else the recorder heals a lost state
        self.key = f"{servers.prefix}:events"

    def add(self, kind: str, transaction_id: str, body: bytes, at_ms: int = START_MS, **more: bytes) -> str:
        fields = {"k": kind, "t": transaction_id, "e": at_ms, "a": at_ms + 4, "b": body, **more}
        return str(self.client.xadd(self.key, fields).decode())

    def admitted(self, transaction_id: str, **changes: Any) -> tuple[Payment, str]:
        one = payment(transaction_id, **changes)
        return one, self.add("payment", transaction_id, payment_json(one), one.event_time_ms)

    def decided(self, one: Payment, stream_id: str, decision: str = "approve", score: float = 0.01) -> str:
        answer = Answer(
            transaction_id=one.transaction_id, decision=decision, score=score,
            reasons=REASONS if decision != "approve" else (), rules=(), tier="full", missing=(), model="risk@12",
            policy="7c1e" * 16, features="f" * 64, receipt_id=f"R{one.transaction_id}",
        )  # fmt: skip
        vector = np.full(3, math.nan).astype("<f8").tobytes()
        receipt = Receipt(
            receipt_id=f"R{one.transaction_id}", tier="full", missing=(), vector=vector, seen=(0, 0, 0, 0, 0, 0),
            margin=score, score=score, explained=False, explain_approved=False, folded=True, bundle="b" * 64,
            policy=answer.policy, features=answer.features, code="c" * 16, event_time_ms=one.event_time_ms,
            arrival_time_ms=one.event_time_ms + 4, timings_us={},
        )  # fmt: skip
        body = msgspec.json.encode({"receipt": receipt, "answer": answer, "payment_id": stream_id})
        more = {}
        if decision in ("review", "decline"):
            case = CaseRow(
                one.transaction_id, one.event_time_ms + 4, decision, score, one.amount_minor, one.currency,
                one.payer_id, one.device_id, one.payee_id,
            )  # fmt: skip
            more["c"] = msgspec.json.encode(case)
        return self.add("decision", one.transaction_id, body, one.event_time_ms, **more)

    def scored(self, transaction_id: str, decision: str = "approve", **changes: Any) -> Payment:
        one, stream_id = self.admitted(transaction_id, **changes)
        self.decided(one, stream_id, decision)
        return one

    def reported(self, kind: str, one: Payment, value: str, source: str | None = None) -> str:
        at_ms = one.event_time_ms + 60_000
        body = encode(ReportEvent(one.transaction_id, value, source, at_ms, (), msgspec.Raw(payment_json(one))))
        return self.add(kind, one.transaction_id, body, at_ms)

    def length(self) -> int:
        return int(self.client.xlen(self.key))


def take_down(servers: Servers) -> None:
    """Record all that stands in the stream, as the recorder does, and return."""
    settings = settings_of(servers)
    one = Recorder(settings.ledger, settings.redis, RecorderMetrics())
    with first_session(servers.postgres_url) as session:
        while batch := one.read(postgres_writer.position(session)):
            postgres_writer.record(session, batch)
