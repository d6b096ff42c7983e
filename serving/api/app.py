"""The HTTP contract as one ASGI application: a table of routes, authentication and limits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from features.intake.pseudonyms import Pseudonyms
from features.intake.tokens import Tokens
from serving.access.authenticator import Authenticator, Caller, is_local
from serving.access.loopback_only import refusal_of
from serving.api.asgi import ADMITTED, Receive, Reply, Scope, Send, closing, error_reply, send_reply
from serving.api.docs_page import FILES
from serving.api.handlers import Handlers, Request
from serving.api.list_handlers import ListHandlers
from serving.api.query_flags import NONE, flags_of
from serving.decision.evaluator import FULL
from serving.engine.protocols import Engine, Runtime
from serving.engine.sandbox import with_sandbox
from serving.errors import Overloaded, UnknownRoute, WrongMethod
from serving.ledger.hash_key import pseudonyms_of
from serving.lists.addresses import noting
from serving.server.bounded_http import LAST
from serving.server.headers import ALWAYS, security_headers
from serving.tracing.request_trace import CURRENT, trace_of_headers
from serving.tracing.server_timing import server_timing

RECEIPTS, DECISIONS = "/v1/receipts/", "/v1/decisions/"
LISTS = "/v1/lists/"


class Route(NamedTuple):
    """How a path is called, what answers it, and the scope that a key needs for it (None: no key is needed).

    `reads_query`: the handler reads the query itself, which holds more than flags.
    """

    method: str
    handler: Callable[[Request], Awaitable[Reply]]
    scope: str | None
    reads_query: bool = False


class Admission(Protocol):
    """Stands in front of the application and decides whether a payment is taken up (serving/overload/)."""

    draining: bool

    def serve(self, runtime: Runtime) -> None:
        """Admit payments to this runtime from now on."""
        ...


class Application:
    """The ASGI application; scores once it is given a `Runtime` that is ready."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.failed = False  # the runtime could not be prepared: the process ends
        self.authenticator: Authenticator | None = None
        self.names: Pseudonyms | None = None
        self.tokens: Tokens | None = None
        self.draining = False  # the process stops: replies close their connections
        self.always = ALWAYS
        self.admission: Admission | None = None
        self.under_way = 0
        self.requests = 0  # ever received through ASGI
        self._most_under_way = 0
        handlers = Handlers(self)
        self._routes = {
            "/v1/score": Route("POST", handlers.score, "score"),
            "/v1/score/batch": Route("POST", handlers.batch, "score"),
            "/v1/outcomes": Route("POST", handlers.outcome, "feedback"),
            "/v1/labels": Route("POST", handlers.label, "feedback"),
            "/livez": Route("GET", handlers.livez, None),
            "/readyz": Route("GET", handlers.readyz, None),
            "/metrics": Route("GET", handlers.metrics, "read"),
            "/openapi.json": Route("GET", handlers.openapi, None),
            "/docs": Route("GET", handlers.page, None),
            "/": Route("GET", handlers.page, None),
            **{f"/docs/{name}": Route("GET", handlers.page_file, None) for name in FILES},
        }
        self._of_transaction = {
            RECEIPTS: Route("GET", handlers.receipt, "read"),
            DECISIONS: Route("GET", handlers.decision, "score"),
        }
        lists = ListHandlers(self, handlers.read)
        self._lists = {
            "GET": Route("GET", lists.page, "admin", reads_query=True),
            "POST": Route("POST", lists.add, "admin"),
            "DELETE": Route("DELETE", lists.remove, "admin"),
        }

    def serve(self, runtime: Runtime, authenticator: Authenticator) -> None:
        """Answer with this runtime, for the callers that the authenticator accepts, from now on."""
        if runtime.settings.sandbox == "1":
            runtime = with_sandbox(runtime)
        self.runtime, self.authenticator = runtime, authenticator
        authenticator.share_rates(runtime.bounds)
        settings, watch = runtime.settings, runtime.metrics.watch
        self.names = noting(pseudonyms_of(settings.hash_key), runtime.book)
        self.tokens = runtime.tokens
        self.always = security_headers(settings.hsts_seconds)
        self._most_under_way = settings.in_flight_limit
        watch("riskgate_keys", "Valid keys of the key file.", lambda: authenticator.keys)
        watch(
            "riskgate_key_file_broken",
            "1 while the key file cannot be used.",
            lambda: float(bool(authenticator.broken)),
        )
        watch("riskgate_requests_under_way", "Requests taken up and not yet answered.", lambda: self.under_way)
        if self.admission is not None:
            self.admission.serve(runtime)

    def drain(self) -> None:
        """Ask every caller to go elsewhere, and keep answering."""
        self.draining = True
        if self.admission is not None:
            self.admission.draining = True
        if self.runtime is not None:
            self.runtime.stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; every error becomes a reply of the contract."""
        started_ns, best_tier = scope.get(ADMITTED) or (time.perf_counter_ns(), FULL)
        path: str = scope["path"]
        self.requests += 1
        self.under_way += 1
        trace = trace_of_headers(scope["headers"])
        request = CURRENT.set(trace)
        try:
            reply = await self._answer(scope, path, receive, started_ns, best_tier)
        except Exception as error:
            reply = error_reply(error)
        finally:
            self.under_way -= 1
            CURRENT.reset(request)
        if self.runtime is not None:
            self.runtime.metrics.answered(self._route_name(path), reply.status)
        timing = (b"server-timing", server_timing(time.perf_counter_ns() - started_ns, reply.timings_us))
        reply = closing(reply) if self.draining or LAST in scope else reply
        await send_reply(send, reply, (*self.always, *trace.headers(), timing))

    async def _answer(self, scope: Scope, path: str, receive: Receive, started_ns: int, best_tier: str) -> Reply:
        if self.authenticator is not None and self.authenticator.keyless:
            refused = refusal_of(scope["method"], path, scope["headers"])
            if refused is not None:
                raise refused
        authorization = length = None
        coding = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"content-length":
                length = value
            elif name == b"content-encoding":
                coding = value if not coding else coding + b"," + value
        method, handler, needed, reads_query = self._find(path, scope["method"])
        if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
            if path.startswith(LISTS):
                method = ", ".join(("HEAD", *self._lists))
            raise WrongMethod(f"{path} is called with {method}.", f"Send {method} {path}.", method)
        caller = None
        # Metrics hold no personal data: a scraper on this machine needs no key.
        if needed is not None and (path != "/metrics" or not is_local(scope.get("client"), scope["headers"])):
            caller = self.authenticate(authorization, needed)
        query: bytes = scope["query_string"]
        flags = NONE if reads_query else flags_of(path, query)
        server = scope.get("server")
        return await handler(
            Request(path, flags, receive, length, coding, started_ns, caller, best_tier, server, query)
        )

    def _find(self, path: str, method: str) -> Route:
        found = self._routes.get(path)
        if found is not None:
            return found
        for start, route in self._of_transaction.items():
            if path.startswith(start):
                return route
        if path == "*":  # the server as a whole (RFC 9110 §9.3.7)
            raise WrongMethod("The service as a whole answers no OPTIONS.", "Ask for a path.", "GET, HEAD, POST")
        if path.startswith(LISTS):
            return self._lists.get(method, self._lists["GET"])
        raise UnknownRoute("There is nothing at this path.", "See /openapi.json for what this service answers.")

    def _route_name(self, path: str) -> str:
        if path in self._routes:
            return path
        if path.startswith(LISTS):
            return LISTS + "{list}"
        return next((f"{start}{{transaction_id}}" for start in self._of_transaction if path.startswith(start)), "other")

    def authenticate(self, authorization: bytes | None, scope: str) -> Caller:
        """The caller of a request that needs `scope`; counts the request against the caller's rate.

        Raises: Unauthorised, Forbidden, TooManyRequests; Overloaded while starting, or beyond the requests under way.
        """
        if self.authenticator is None:
            raise Overloaded("The service is still starting.", "Wait for /readyz and send again.")
        caller = self.authenticator.authenticate(authorization, scope)
        if self.under_way > self._most_under_way:
            raise Overloaded("More requests are under way than can be answered in time.", "Send again later.")
        return caller

    def engine(self) -> tuple[Runtime, Engine]:
        """The runtime and its engine.

        Raises: Overloaded before the engine is ready.
        """
        if self.runtime is None or self.runtime.engine is None:
            raise Overloaded("The service is still starting.", "Wait for /readyz and send again.")
        return self.runtime, self.runtime.engine
