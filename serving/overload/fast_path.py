"""The short way of a plain payment: parsed, decided, recorded and answered without uvicorn's parser and ASGI.

In place these take as long as the decision itself. An engine that decides without waiting needs no task either;
over Redis, which answers later, a payment has one unless it is shed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from features.domain.payment import Payment
from features.errors import RiskgateError
from features.intake.parse import read_payment
from serving.api.app import Application
from serving.api.asgi import REPLAYED, Reply, error_reply, raw_reply
from serving.decision.evaluator import DEFAULT
from serving.engine.embedded.engine import Engine, Scored
from serving.engine.protocols import AnyEngine, AnyRuntime
from serving.errors import LedgerError
from serving.ledger.sqlite.commit_ticket import Recorded
from serving.ledger.sqlite.ledger import NotYetWritten
from serving.overload.admission_queue import Backlog
from serving.overload.load_shedding import Admitted

if TYPE_CHECKING:
    from serving.engine.clustered.engine import RedisEngine

_ROUTE = "/v1/score"

Take = Callable[[bytes], None]


class ShortWay:
    """Answers `POST /v1/score` like the application."""

    def __init__(self, application: Application, backlog: Backlog) -> None:
        self.application, self.backlog = application, backlog
        self._under_way: set[asyncio.Task[None]] = set()
        self._head = raw_reply(Reply(200, b""), application.always).removesuffix(b"0\r\n\r\n")

    def __call__(self, key: bytes | None, body: bytes, admitted: Admitted, take: Take) -> None:
        """Decide one payment; `take` is given the whole reply, once, when the decision is recorded."""
        try:
            runtime, engine = self.application.engine()
            self.application.admit(key, "score")
            payment = read_payment(body, engine.catalogue, self.application.names)
            if not isinstance(engine, Engine):
                self._ask(runtime, engine, payment, admitted, take)
                return
            scored = engine.score(payment, admitted.arrived_ns, most=admitted.most)
        except Exception as error:
            self._send(error_reply(error), take)
        else:
            written = partial(self._written, runtime, engine, payment, admitted, scored, take)
            if scored.recorded is None:
                written(None)
            else:
                scored.recorded.when_done(written)

    def turn_away(self, key: bytes | None) -> bytes | None:
        """The whole reply to a caller who may not score, None for one who may; takes nothing of its rate."""
        application = self.application
        if application.door is None or application.runtime is None:
            return None
        try:
            application.door.identify(key, "score")
        except RiskgateError as error:
            reply = error_reply(error)
            application.runtime.metrics.answered(_ROUTE, reply.status)
            return raw_reply(reply, application.always)
        return None

    def _ask(self, runtime: AnyRuntime, engine: RedisEngine, payment: Payment, admitted: Admitted, take: Take) -> None:
        """Behind a server the answer comes later: a callback sends what is plainly shed, a task everything else."""
        application, loop = self.application, asyncio.get_running_loop()
        told = partial(self._told, runtime, admitted, take, loop)
        if admitted.most == DEFAULT and engine.by_amount(payment, admitted.arrived_ns, told):
            application.under_way += 1
        else:
            task = loop.create_task(self._awaited(runtime, engine, payment, admitted, take))
            self._under_way.add(task)
            task.add_done_callback(self._done)
        self.backlog.goes_on()

    def _told(
        self,
        runtime: AnyRuntime,
        admitted: Admitted,
        take: Take,
        loop: asyncio.AbstractEventLoop,
        scored: Scored | Exception,
    ) -> None:
        self.application.under_way -= 1
        try:
            if isinstance(scored, Exception):
                self._send(error_reply(scored), take)
            else:
                self._answered(runtime, admitted, scored, take)
        finally:
            self.backlog.ended(loop)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.backlog.ended(task.get_loop())

    async def _awaited(
        self, runtime: AnyRuntime, engine: AnyEngine, payment: Payment, admitted: Admitted, take: Take
    ) -> None:
        self.application.under_way += 1
        try:
            scored = await engine.answer(payment, admitted.arrived_ns, most=admitted.most)
        except Exception as error:
            self._send(error_reply(error), take)
        else:
            self._answered(runtime, admitted, scored, take)
        finally:
            self.application.under_way -= 1

    def _written(
        self,
        runtime: AnyRuntime,
        engine: Engine,
        payment: Payment,
        admitted: Admitted,
        scored: Scored,
        take: Take,
        recorded: Recorded | None,
    ) -> None:
        error = None if recorded is None else recorded.error()
        if isinstance(error, NotYetWritten):
            scored = engine.not_yet(scored)
        elif error is not None:
            assert isinstance(error, LedgerError)
            scored = engine.ledger_failed(payment, error)
        self._answered(runtime, admitted, scored, take)

    def _answered(self, runtime: AnyRuntime, admitted: Admitted, scored: Scored, take: Take) -> None:
        if scored.replayed:
            runtime.metrics.replayed()
            self._send(Reply(200, scored.answer, REPLAYED), take)
            return
        runtime.metrics.decided(scored.decision, scored.tier, (time.perf_counter_ns() - admitted.arrived_ns) * 1e-9)
        runtime.metrics.answered(_ROUTE, 200)
        take(b"%b%d\r\n\r\n%b" % (self._head, len(scored.answer), scored.answer))

    def _send(self, reply: Reply, take: Take) -> None:
        runtime = self.application.runtime
        if runtime is not None:
            runtime.metrics.answered(_ROUTE, reply.status)
        take(raw_reply(reply, self.application.always))
