"""The handlers of the HTTP contract: each reads a request, calls engine or feedback, and returns a reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from features.domain.payment import FieldWarning
from features.errors import RiskgateError
from features.intake.parse import payment_from, read_payment
from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from serving.access.authenticator import Authenticator, Caller
from serving.api import docs_page, openapi
from serving.api.asgi import JSON, REPLAYED, Receive, Reply, html_reply, json_reply
from serving.api.bodies.batch_body import read_batch
from serving.api.bodies.batch_pace import BatchPace
from serving.api.bodies.body_timeout import BodyTimeout
from serving.api.bodies.reading import read_body
from serving.api.query_flags import Flags
from serving.api.schemas import Decisions
from serving.decision.evaluator import DEFAULT, FULL
from serving.decision.receipt import decode_record, readable
from serving.engine.protocols import Engine, Runtime
from serving.engine.scored import Scored
from serving.errors import UnknownTransaction
from serving.feedback.intake import read_label, read_outcome, transaction_id_of
from serving.feedback.view import status_of, unknown_payment
from serving.messages import Error, Live, Ready, refusal
from serving.state.report_events import FeedbackResult
from serving.telemetry.metrics import CONTENT_TYPE

#: Payments of a batch that are scored before other requests get their turn.
BATCH_SLICE = 8


class Request(msgspec.Struct):
    """What a handler needs of a request; `started_ns` (monotonic) is when it arrived."""

    path: str
    flags: Flags
    receive: Receive
    length: bytes | None
    coding: bytes
    started_ns: int
    caller: Caller | None
    best_tier: str
    server: tuple[str, int | None] | None
    query: bytes = b""


class Backend(Protocol):
    """What the handlers need of the application."""

    runtime: Runtime | None
    names: Pseudonyms | None
    tokens: Tokens | None
    authenticator: Authenticator | None

    def engine(self) -> tuple[Runtime, Engine]:
        """The runtime and its engine.

        Raises: Overloaded before the engine is ready.
        """
        ...


class Handlers:
    """The handlers of one application."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._body_timeout = BodyTimeout()
        self._batch_pace = BatchPace()

    def read(self, request: Request, limit_bytes: int) -> Coroutine[Any, Any, bytes]:
        """The body of a request, in time."""
        return self._body_timeout.wait_for(read_body(request.receive, request.length, limit_bytes, request.coding))

    # -- payments ------------------------------------------------------------------------------

    async def score(self, request: Request) -> Reply:
        """`POST /v1/score`: decide about one payment."""
        runtime, engine = self.backend.engine()
        body = await self.read(request, runtime.settings.body_limit_bytes)
        backend, flags = self.backend, request.flags
        payment = read_payment(body, engine.catalogue, backend.names, backend.tokens, strict=flags.strict)
        if payment.warnings:
            runtime.metrics.warned(payment.warnings)
        if flags.dry_run:
            return Reply(200, (await engine.dry_run(payment)).answer)
        scored = await engine.answer(
            payment, request.started_ns, explain_approved=request.flags.explain, best_tier=request.best_tier
        )
        if scored.replayed:
            runtime.metrics.replayed()
            return Reply(200, scored.answer, REPLAYED)
        seconds = (time.perf_counter_ns() - request.started_ns) * 1e-9
        if not scored.test:
            runtime.metrics.decided(scored.decision, scored.tier, seconds)
        return Reply(200, scored.answer, timings_us=scored.timings_us)

    async def batch(self, request: Request) -> Reply:
        """`POST /v1/score/batch`: decide about many payments, in order."""
        runtime, engine = self.backend.engine()
        body = await self.read(request, runtime.settings.batch_limit_bytes)
        batch = read_batch(body)
        payments, deadline_ns = batch.payments, request.started_ns + batch.deadline_ms * 1_000_000
        self._batch_pace.check(len(payments), deadline_ns - time.perf_counter_ns())
        if self.backend.authenticator is not None and request.caller is not None:
            self.backend.authenticator.charge(request.caller, len(payments))
        decisions: list[msgspec.Raw | Error] = []
        began_ns = time.perf_counter_ns()
        for first in range(0, len(payments), BATCH_SLICE):
            # Past the deadline of the batch the rest is decided by amount, which costs least: all of it, or nothing.
            best_tier = FULL if time.perf_counter_ns() < deadline_ns else DEFAULT
            part = payments[first : first + BATCH_SLICE]
            decisions += await self._slice(runtime, engine, part, request.flags, best_tier)
            await asyncio.sleep(0)
        self._batch_pace.learn(len(payments), time.perf_counter_ns() - began_ns)
        return json_reply(Decisions(decisions))

    async def _slice(
        self, runtime: Runtime, engine: Engine, raw: Sequence[msgspec.Raw], flags: Flags, best_tier: str
    ) -> list[msgspec.Raw | Error]:
        decisions: list[msgspec.Raw | Error] = []
        under_way: list[tuple[int, int, asyncio.Task[Scored]]] = []
        backend = self.backend
        for place, one in enumerate(raw):
            began_ns = time.perf_counter_ns()
            decisions.append(msgspec.Raw(b""))
            try:
                payment = read_payment(bytes(one), engine.catalogue, backend.names, backend.tokens, strict=flags.strict)
            except RiskgateError as error:
                decisions[place] = refusal(error)[1]
                continue
            if payment.warnings:
                runtime.metrics.warned(payment.warnings)
            # Tasks take their first step in the order in which they are made: the order of the batch.
            answer = (
                engine.dry_run(payment)
                if flags.dry_run
                else engine.answer(payment, began_ns, explain_approved=flags.explain, best_tier=best_tier)
            )
            under_way.append((place, began_ns, asyncio.create_task(answer)))
        for place, began_ns, task in under_way:
            try:
                scored = await task
            except RiskgateError as error:
                decisions[place] = refusal(error)[1]
                continue
            if not (scored.replayed or scored.test or flags.dry_run):
                seconds = (time.perf_counter_ns() - began_ns) * 1e-9
                runtime.metrics.decided(scored.decision, scored.tier, seconds)
            decisions[place] = msgspec.Raw(scored.answer)
        return decisions

    # -- reports, receipts and decisions -------------------------------------------------------

    async def outcome(self, request: Request) -> Reply:
        """`POST /v1/outcomes`: record what became of a payment."""
        runtime, _ = self.backend.engine()
        report = read_outcome(await self.read(request, runtime.settings.body_limit_bytes), runtime.tokens)
        assert runtime.feedback is not None
        return self._reported(runtime, await runtime.feedback.take_outcome(report), "outcome", report.warnings)

    async def label(self, request: Request) -> Reply:
        """`POST /v1/labels`: record whether a payment was fraud."""
        runtime, engine = self.backend.engine()
        body = await self.read(request, runtime.settings.body_limit_bytes)
        names, tokens = self.backend.names, runtime.tokens
        report = read_label(body, tokens, lambda raw: payment_from(raw, engine.catalogue, names, tokens))
        assert runtime.feedback is not None
        return self._reported(runtime, await runtime.feedback.take_label(report), "label", report.warnings)

    def _reported(
        self, runtime: Runtime, taken: FeedbackResult, kind: str, warnings: tuple[FieldWarning, ...]
    ) -> Reply:
        runtime.metrics.warned(warnings)
        if not taken.replayed:
            runtime.metrics.reported(kind, taken.reply.recorded)
        return json_reply(
            msgspec.structs.replace(taken.reply, warnings=warnings),
            202 if taken.waits else 200,
            REPLAYED if taken.replayed else (JSON,),
        )

    async def receipt(self, request: Request) -> Reply:
        """`GET /v1/receipts/{transaction_id}`: the record of one decision."""
        runtime, engine = self.backend.engine()
        sent = request.path.removeprefix("/v1/receipts/")
        stored = transaction_id_of(sent, runtime.tokens)
        event = await engine.payment_event(stored)
        if event is None and stored != sent:
            # An older ledger: some of these spellings were kept as they came by the release that wrote it.
            event = await engine.payment_event(sent)
        if event is None:
            raise UnknownTransaction(
                "No payment of this transaction_id was scored here.", "Correct the transaction_id.", "transaction_id"
            )
        return json_reply(
            {"seq": str(event.seq), **readable(decode_record(event.seq, event.body), engine.catalogue.names)}
        )

    async def decision(self, request: Request) -> Reply:
        """`GET /v1/decisions/{transaction_id}`: decision, case, outcomes and label of one payment."""
        runtime, engine = self.backend.engine()
        transaction_id = transaction_id_of(request.path.removeprefix("/v1/decisions/"), runtime.tokens)
        assert runtime.feedback is not None
        known = await runtime.feedback.known(transaction_id)
        if known is None:
            raise unknown_payment(await runtime.feedback.reports_waiting(transaction_id))
        event = await engine.payment_event(transaction_id)
        answer = None if event is None else bytes(decode_record(event.seq, event.body).answer)
        return json_reply(status_of(known, answer))

    # -- about the service ---------------------------------------------------------------------

    async def livez(self, request: Request) -> Reply:
        """`GET /livez`: the process answers."""
        return json_reply(Live(True))

    async def readyz(self, request: Request) -> Reply:
        """`GET /readyz`: whether payments are scored in full."""
        if self.backend.runtime is None:
            return json_reply(Ready(False, {"service": "The service is starting."}), 503)
        ready = self.backend.runtime.ready()
        return json_reply(ready, 200 if ready.ready else 503)

    async def metrics(self, request: Request) -> Reply:
        """`GET /metrics`: the metrics in Prometheus' text format."""
        text = b"" if self.backend.runtime is None else self.backend.runtime.metrics.text()
        return Reply(200, text, ((b"content-type", CONTENT_TYPE.encode()),))

    async def openapi(self, request: Request) -> Reply:
        """`GET /openapi.json`: the OpenAPI document."""
        return json_reply(self._document())

    async def page(self, request: Request) -> Reply:
        """`GET /docs`: the OpenAPI document as a page."""
        return html_reply(docs_page.render(request.server))

    async def page_file(self, request: Request) -> Reply:
        """`GET /docs/{file}`: a file that the page loads."""
        content, kind = docs_page.file(request.path.removeprefix("/docs/"))
        return Reply(200, content, ((b"content-type", kind),))

    def _document(self) -> dict[str, Any]:
        runtime, authenticator = self.backend.runtime, self.backend.authenticator
        parameters = None if runtime is None else runtime.opened.catalogue.parameters
        return openapi.document(parameters, keyed=authenticator is not None and not authenticator.keyless)
