"""The short way of a payment whose tier was shed: parsed, decided and recorded without a task or ASGI."""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from features.errors import RiskgateError
from features.intake import read_payment
from features.payment import Payment
from serving.either import AnyRuntime
from serving.engine import Engine, Scored
from serving.http import REPLAYED, Reply, json_reply, raw_reply, refusal_reply
from serving.ledger import LedgerError
from serving.messages import unexpected
from serving.shed import Admitted

if TYPE_CHECKING:
    from serving.app import Application

log = logging.getLogger("riskgate.http")

_ROUTE = "/v1/score"

Take = Callable[[bytes], None]


class ShortWay:
    """Answers `POST /v1/score` like the application, for an engine that decides without waiting."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._head = raw_reply(Reply(200, b""), application.always).removesuffix(b"0\r\n\r\n")

    def __call__(self, key: bytes | None, body: bytes, admitted: Admitted, take: Take) -> None:
        """Decide one payment; `take` is given the whole reply, once, when the decision is recorded."""
        try:
            runtime, engine = self.application.engine()
            assert isinstance(engine, Engine)
            self.application.admit(key, "score")
            payment = read_payment(body, engine.catalog, self.application.names)
            scored = engine.score(payment, admitted.arrived_ns, most=admitted.most)
        except RiskgateError as error:
            self._send(refusal_reply(error), take)
        except Exception as error:  # as in the application: the text of an unknown error stays inside
            status, told = unexpected(error)
            self._send(json_reply(told, status), take)
        else:
            if scored.recorded is None or scored.recorded.done():
                self._written(runtime, engine, payment, admitted, scored, take, scored.recorded)
            else:
                scored.recorded.add_done_callback(
                    partial(self._written, runtime, engine, payment, admitted, scored, take)
                )

    def _written(
        self,
        runtime: AnyRuntime,
        engine: Engine,
        payment: Payment,
        admitted: Admitted,
        scored: Scored,
        take: Take,
        recorded: Future[None] | None,
    ) -> None:
        if recorded is not None and recorded.exception() is not None:
            error = recorded.exception()
            assert isinstance(error, LedgerError)
            scored = engine.ledger_failed(payment, error)
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
