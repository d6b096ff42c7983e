"""The fast path of a plain payment: parsed, decided, recorded and answered without uvicorn's parser and ASGI.

These two take as long as the decision itself. The embedded engine decides synchronously and needs no task either; over
Redis a payment has a task unless it is shed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import msgspec

from features.domain.payment import Payment
from features.errors import RiskgateError
from features.intake.parse import read_payment
from serving.api.app import Application
from serving.api.asgi import REPLAYED, Reply, error_reply, raw_head, raw_reply
from serving.api.bodies.reading import plain_json
from serving.decision.evaluator import DEFAULT
from serving.engine.embedded.engine import EmbeddedEngine
from serving.engine.protocols import Runtime, ServerEngine
from serving.engine.scored import Scored
from serving.errors import LedgerError
from serving.ledger.sqlite.commit_ticket import CommitTicket
from serving.ledger.sqlite.ledger import NotYetWritten
from serving.overload.admission_queue import AdmissionQueue
from serving.overload.load_shedding import Admitted
from serving.overload.plain_head import PlainHead
from serving.server.headers import date_line
from serving.tracing.request_trace import CURRENT, request_trace
from serving.tracing.server_timing import server_timing

_ROUTE = "/v1/score"

Send = Callable[[bytes], None]

#: How nearly every body begins; another one may begin with a byte order mark.
_OPENING = b'{"'
_DECIDED = b"%b%b%bserver-timing: %b\r\ncontent-length: %d\r\n\r\n%b"


class Asked(msgspec.Struct, frozen=True):
    """One request on the fast path: how it was admitted, the lines of its trace, and what takes the whole reply."""

    admitted: Admitted
    lines: bytes
    send: Send


class FastPath:
    """Answers `POST /v1/score` like the application."""

    def __init__(self, application: Application, queue: AdmissionQueue) -> None:
        self.application, self.queue = application, queue
        self._tasks: set[asyncio.Task[None]] = set()
        self._head = raw_head(Reply(200, b""), application.always)

    def __call__(self, head: PlainHead, body: bytes, admitted: Admitted, send: Send) -> None:
        """Decide one payment; `send` is called once with the whole reply, when the decision is recorded."""
        trace = request_trace(head.request_id, head.traceparent)
        request = CURRENT.set(trace)
        try:
            self._decide(head, body, Asked(admitted, trace.lines(), send))
        finally:
            CURRENT.reset(request)

    def _decide(self, head: PlainHead, body: bytes, asked: Asked) -> None:
        admitted = asked.admitted
        try:
            runtime, engine = self.application.engine()
            self.application.authenticate(head.authorization, "score")
            if not body.startswith(_OPENING):
                body = plain_json(body)
            payment = read_payment(body, engine.catalogue, self.application.names, self.application.tokens)
            if payment.warnings:
                runtime.metrics.warned(payment.warnings)
            if not isinstance(engine, EmbeddedEngine):
                server: ServerEngine = engine  # type: ignore[assignment]  # every other engine is one
                self._begin(runtime, server, payment, asked)
                return
            scored = engine.score(payment, admitted.arrived_ns, best_tier=admitted.best_tier)
        except Exception as error:
            self._reply(error_reply(error), asked)
        else:
            on_recorded = partial(self._on_recorded, runtime, engine, payment, asked, scored)
            if scored.ticket is None:
                on_recorded(None)
            else:
                scored.ticket.add_done_callback(on_recorded)

    def reject(self, head: PlainHead) -> bytes | None:
        """The whole reply to a caller who may not score, None for one who may; does not count against the rate."""
        application = self.application
        if application.authenticator is None or application.runtime is None:
            return None
        try:
            application.authenticator.identify(head.authorization, "score")
        except RiskgateError as error:
            reply = error_reply(error)
            application.runtime.metrics.answered(_ROUTE, reply.status)
            return raw_reply(reply, application.always, request_trace(head.request_id, head.traceparent).lines())
        return None

    def _begin(self, runtime: Runtime, engine: ServerEngine, payment: Payment, asked: Asked) -> None:
        """Begin a payment whose answer comes in a later turn: a callback sends it if it is shed, else a task."""
        application, loop, admitted = self.application, asyncio.get_running_loop(), asked.admitted
        on_scored = partial(self._on_scored, runtime, asked, loop)
        if admitted.best_tier == DEFAULT and engine.begin_by_amount(payment, admitted.arrived_ns, on_scored):
            application.under_way += 1
        else:
            task = loop.create_task(self._score_in_task(runtime, engine, payment, asked))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)
        self.queue.acquire_slot()

    def _on_scored(
        self,
        runtime: Runtime,
        asked: Asked,
        loop: asyncio.AbstractEventLoop,
        scored: Scored | Exception,
    ) -> None:
        self.application.under_way -= 1
        try:
            if isinstance(scored, Exception):
                self._reply(error_reply(scored), asked)
            else:
                self._send_answer(runtime, asked, scored)
        finally:
            self.queue.release_slot(loop)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.queue.release_slot(task.get_loop())

    async def _score_in_task(self, runtime: Runtime, engine: ServerEngine, payment: Payment, asked: Asked) -> None:
        admitted = asked.admitted
        self.application.under_way += 1
        try:
            scored = await engine.answer(payment, admitted.arrived_ns, best_tier=admitted.best_tier)
        except Exception as error:
            self._reply(error_reply(error), asked)
        else:
            self._send_answer(runtime, asked, scored)
        finally:
            self.application.under_way -= 1

    def _on_recorded(
        self,
        runtime: Runtime,
        engine: EmbeddedEngine,
        payment: Payment,
        asked: Asked,
        scored: Scored,
        recorded: CommitTicket | None,
    ) -> None:
        error = None if recorded is None else recorded.error()
        if isinstance(error, NotYetWritten):
            scored = engine.without_receipt(scored)
        elif error is not None:
            assert isinstance(error, LedgerError)
            scored = engine.ledger_failed(payment, error)
        self._send_answer(runtime, asked, scored)

    def _send_answer(self, runtime: Runtime, asked: Asked, scored: Scored) -> None:
        if scored.replayed:
            runtime.metrics.replayed()
            self._reply(Reply(200, scored.answer, REPLAYED), asked)
            return
        took_ns = time.perf_counter_ns() - asked.admitted.arrived_ns
        if not scored.test:
            runtime.metrics.decided(scored.decision, scored.tier, took_ns * 1e-9)
        runtime.metrics.answered(_ROUTE, 200)
        answer, timing = scored.answer, server_timing(took_ns, scored.timings_us)
        asked.send(_DECIDED % (self._head, date_line(), asked.lines, timing, len(answer), answer))

    def _reply(self, reply: Reply, asked: Asked) -> None:
        runtime = self.application.runtime
        if runtime is not None:
            runtime.metrics.answered(_ROUTE, reply.status)
        timing = server_timing(time.perf_counter_ns() - asked.admitted.arrived_ns)
        lines = b"%bserver-timing: %b\r\n" % (asked.lines, timing)
        asked.send(raw_reply(reply, self.application.always, lines))
