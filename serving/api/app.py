"""The HTTP contract (docs/design.md §3) as one ASGI application: a table of routes, each a few lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import msgspec

from features.errors import RiskgateError
from features.intake.parse import payment_from, read_json, read_payment
from features.intake.pseudonyms import Pseudonyms
from serving.access.authenticator import Caller, Door, from_here
from serving.access.loopback_only import refusal_of
from serving.api import docs_page, openapi
from serving.api.asgi import (
    ADMITTED,
    JSON,
    REPLAYED,
    Receive,
    Reply,
    Scope,
    Send,
    closing,
    error_reply,
    html_reply,
    json_reply,
    read_body,
    send_reply,
)
from serving.api.body_timeout import Patience
from serving.api.query_flags import Flags, flags_of
from serving.decision.evaluator import FULL
from serving.decision.receipt import decode_record, readable
from serving.engine.embedded.engine import Scored
from serving.engine.protocols import AnyEngine, AnyRuntime
from serving.errors import Overloaded, UnknownRoute, UnknownTransaction, WrongMethod
from serving.ledger.hash_key import pseudonyms_of
from serving.messages import Error, ErrorBody, Live, Ready, refusal
from serving.server.headers import ALWAYS, security_headers
from serving.state.outcomes import read_label, read_outcome
from serving.telemetry.metrics import CONTENT_TYPE

BATCH_LARGEST = 1_000
#: Payments of a batch scored before other requests get their turn.
BATCH_SLICE = 32

Handler = Callable[["Request"], Awaitable[Reply]]


class Request(msgspec.Struct):
    """What a handler needs of a request; `started_ns` is the monotonic moment it was taken up."""

    path: str
    flags: Flags
    receive: Receive
    length: bytes | None
    started_ns: int
    caller: Caller | None
    most: str
    server: tuple[str, int | None] | None


class Admission(Protocol):
    """What stands in front of the application and decides whether a payment is taken up (serving/overload/)."""

    leaving: bool

    def serve(self, runtime: AnyRuntime) -> None:
        """Admit payments for this runtime from now on."""
        ...


class Application:
    """The ASGI application; scores once a `Runtime` is given and loaded."""

    def __init__(self) -> None:
        self.runtime: AnyRuntime | None = None
        self.failed = False  # the ledger could not be folded: the process ends
        self.door: Door | None = None
        self.names: Pseudonyms | None = None
        self.leaving = False  # the process stops: callers go elsewhere
        self._patience = Patience()
        self.always = ALWAYS
        self.admission: Admission | None = None
        self.under_way = 0
        self.requests = 0  # that came through ASGI, ever
        self._most_under_way = 0
        # What answers a path, how it is called, and the scope that a caller's key needs for it.
        self._routes: dict[str, tuple[str, Handler, str | None]] = {
            "/v1/score": ("POST", self._score, "score"),
            "/v1/score/batch": ("POST", self._batch, "score"),
            "/v1/outcomes": ("POST", self._outcome, "feedback"),
            "/v1/labels": ("POST", self._label, "feedback"),
            "/livez": ("GET", self._livez, None),
            "/readyz": ("GET", self._readyz, None),
            "/metrics": ("GET", self._metrics, "read"),
            "/openapi.json": ("GET", self._openapi, None),
            "/docs": ("GET", self._page, None),
            "/": ("GET", self._page, None),
        }

    def serve(self, runtime: AnyRuntime) -> None:
        """Answer with this runtime from now on."""
        self.runtime = runtime
        self.names = pseudonyms_of(runtime.settings)
        self.always = security_headers(runtime.settings.hsts_seconds)
        self.door = door = Door(runtime.settings)
        runtime.metrics.watch("riskgate_keys", "Keys of the key file that open something.", lambda: door.keys)
        runtime.metrics.watch(
            "riskgate_key_file_broken", "1 while the key file cannot be used.", lambda: float(door.broken is not None)
        )
        self._most_under_way = runtime.settings.in_flight_limit
        runtime.metrics.watch(
            "riskgate_requests_under_way", "Requests taken up and not yet answered.", lambda: self.under_way
        )
        if self.admission is not None:
            self.admission.serve(runtime)

    def leave(self) -> None:
        """Tell every caller to go elsewhere, and go on answering."""
        self.leaving = True
        if self.admission is not None:
            self.admission.leaving = True
        if self.runtime is not None:
            self.runtime.stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever happens, with the contract's shapes."""
        started_ns, most = scope.get(ADMITTED) or (time.perf_counter_ns(), FULL)
        path: str = scope["path"]
        self.requests += 1
        self.under_way += 1
        try:
            reply = await self._answer(scope, path, receive, started_ns, most)
        except Exception as error:
            reply = error_reply(error)
        finally:
            self.under_way -= 1
        if self.runtime is not None:
            known = path in self._routes or path.startswith("/v1/receipts/")
            self.runtime.metrics.answered(_route_name(path) if known else "other", reply.status)
        await send_reply(send, closing(reply) if self.leaving else reply, self.always)

    async def _answer(self, scope: Scope, path: str, receive: Receive, started_ns: int, most: str) -> Reply:
        if self.door is not None and self.door.keyless:
            refused = refusal_of(scope["method"], path, scope["headers"])
            if refused is not None:
                raise refused
        authorization = length = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"content-length":
                length = value
        method, handler, needed = self._find(path)
        if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
            raise WrongMethod(f"{path} is called with {method}.", f"Send {method} {path}.", method)
        caller = None
        # Metrics hold no personal data: who watches from this machine needs no key.
        if needed is not None and (path != "/metrics" or not from_here(scope.get("client"), scope["headers"])):
            caller = self.admit(authorization, needed)
        flags = flags_of(path, scope["query_string"])
        return await handler(Request(path, flags, receive, length, started_ns, caller, most, scope.get("server")))

    def _find(self, path: str) -> tuple[str, Handler, str | None]:
        if (found := self._routes.get(path)) is not None:
            return found
        if path.startswith("/v1/receipts/"):
            return "GET", self._receipt, "read"
        raise UnknownRoute("There is nothing at this path.", "See /openapi.json for what this service answers.")

    def admit(self, authorization: bytes | None, scope: str) -> Caller:
        """The caller, one request of its rate taken. Raises: Unauthorised and its like, Overloaded."""
        if self.door is None:
            raise Overloaded("The service is still starting.", "Wait for /readyz and send again.")
        caller = self.door.admit(authorization, scope)
        if self.under_way > self._most_under_way:
            raise Overloaded("More requests are under way than can be answered in time.", "Send again later.")
        return caller

    def _body(self, request: Request, limit_bytes: int) -> Coroutine[Any, Any, bytes]:
        return self._patience.wait_for(read_body(request.receive, request.length, limit_bytes))

    def engine(self) -> tuple[AnyRuntime, AnyEngine]:
        """What scores. Raises: Overloaded before it is loaded."""
        if self.runtime is None or self.runtime.engine is None:
            raise Overloaded("The service is still starting.", "Wait for /readyz and send again.")
        return self.runtime, self.runtime.engine

    # -- payments ------------------------------------------------------------------------------

    async def _score(self, request: Request) -> Reply:
        runtime, engine = self.engine()
        body = await self._body(request, runtime.settings.body_limit_bytes)
        payment = read_payment(body, engine.catalogue, self.names)
        if request.flags.dry_run:
            return Reply(200, (await engine.try_out(payment)).answer)
        scored = await engine.answer(
            payment, request.started_ns, explain_approved=request.flags.explain, most=request.most
        )
        if scored.replayed:
            runtime.metrics.replayed()
            return Reply(200, scored.answer, REPLAYED)
        seconds = (time.perf_counter_ns() - request.started_ns) * 1e-9
        runtime.metrics.decided(scored.decision, scored.tier, seconds)
        return Reply(200, scored.answer)

    async def _batch(self, request: Request) -> Reply:
        runtime, engine = self.engine()
        body = await self._body(request, runtime.settings.batch_limit_bytes)
        raw = read_json(body)
        payments = raw.get("payments") if isinstance(raw, dict) and set(raw) == {"payments"} else None
        if not isinstance(payments, list) or len(payments) > BATCH_LARGEST:
            error = ErrorBody(
                "invalid_batch",
                f'A batch is {{"payments": [...]}} with up to {BATCH_LARGEST} payments.',
                "Send fewer payments, in this shape.",
                "payments",
            )
            return json_reply(Error(error), 422)
        if self.door is not None and request.caller is not None:
            self.door.counts_as(request.caller, len(payments))
        decisions: list[msgspec.Raw | Error] = []
        for first in range(0, len(payments), BATCH_SLICE):
            decisions += await self._slice(runtime, engine, payments[first : first + BATCH_SLICE], request.flags)
            await asyncio.sleep(0)
        return json_reply({"decisions": decisions})

    async def _slice(
        self, runtime: AnyRuntime, engine: AnyEngine, raw: list[Any], flags: Flags
    ) -> list[msgspec.Raw | Error]:
        decisions: list[msgspec.Raw | Error] = []
        under_way: list[tuple[int, int, asyncio.Task[Scored]]] = []
        for place, one in enumerate(raw):
            began_ns = time.perf_counter_ns()
            decisions.append(msgspec.Raw(b""))
            try:
                payment = payment_from(one, engine.catalogue, self.names)
            except RiskgateError as error:
                decisions[place] = refusal(error)[1]
                continue
            # Tasks take their first step in the order in which they are made: the order of the batch.
            answer = (
                engine.try_out(payment)
                if flags.dry_run
                else engine.answer(payment, began_ns, explain_approved=flags.explain)
            )
            under_way.append((place, began_ns, asyncio.create_task(answer)))
        for place, began_ns, task in under_way:
            try:
                scored = await task
            except RiskgateError as error:
                decisions[place] = refusal(error)[1]
                continue
            if not scored.replayed and not flags.dry_run:
                seconds = (time.perf_counter_ns() - began_ns) * 1e-9
                runtime.metrics.decided(scored.decision, scored.tier, seconds)
            decisions[place] = msgspec.Raw(scored.answer)
        return decisions

    # -- reports and receipts ------------------------------------------------------------------

    async def _outcome(self, request: Request) -> Reply:
        runtime, _ = self.engine()
        report = read_outcome(await self._body(request, runtime.settings.body_limit_bytes))
        assert runtime.feedback is not None
        taken = await runtime.feedback.take_outcome(report)
        if not taken.replayed:
            runtime.metrics.reported("outcome", report.outcome)
        return json_reply(taken.reply, headers=REPLAYED if taken.replayed else (JSON,))

    async def _label(self, request: Request) -> Reply:
        runtime, _ = self.engine()
        report = read_label(await self._body(request, runtime.settings.body_limit_bytes))
        assert runtime.feedback is not None
        taken = await runtime.feedback.take_label(report)
        if not taken.replayed:
            runtime.metrics.reported("label", report.label)
        return json_reply(taken.reply, headers=REPLAYED if taken.replayed else (JSON,))

    async def _receipt(self, request: Request) -> Reply:
        _, engine = self.engine()
        event = await engine.recorded(request.path.removeprefix("/v1/receipts/"))
        if event is None:
            raise UnknownTransaction(
                "No payment of this transaction_id was scored here.", "Correct the transaction_id.", "transaction_id"
            )
        return json_reply({"seq": event.seq, **readable(decode_record(event.seq, event.body), engine.catalogue.names)})

    # -- about the service ---------------------------------------------------------------------

    async def _livez(self, request: Request) -> Reply:
        return json_reply(Live(True))

    async def _readyz(self, request: Request) -> Reply:
        if self.runtime is None:
            return json_reply(Ready(False, {"service": "The service is starting."}), 503)
        ready = self.runtime.ready()
        return json_reply(ready, 200 if ready.ready else 503)

    async def _metrics(self, request: Request) -> Reply:
        text = b"" if self.runtime is None else self.runtime.metrics.text()
        return Reply(200, text, ((b"content-type", CONTENT_TYPE.encode()),))

    async def _openapi(self, request: Request) -> Reply:
        return json_reply(self._document())

    async def _page(self, request: Request) -> Reply:
        return html_reply(docs_page.render(self._document(), request.server))

    def _document(self) -> dict[str, Any]:
        parameters = None if self.runtime is None else self.runtime.opened.catalogue.parameters
        return openapi.document(parameters, keyed=self.door is not None and not self.door.keyless)


def _route_name(path: str) -> str:
    return "/v1/receipts/{transaction_id}" if path.startswith("/v1/receipts/") else path
