"""The handlers: each reads a request, calls the desk, and returns a page."""

from __future__ import annotations

import asyncio

import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console.auth.permission import may
from serving.console.auth.session import COOKIE, VISIT_COOKIE
from serving.console.desk import CaseView, Desk
from serving.console.forms import LONGEST_NOTE, VerdictInput, read_form, read_queue_query, read_verdict
from serving.console.gate import Gate, SignedIn, check_token, frame_of, set_cookie
from serving.console.pages.case_page import case_page
from serving.console.pages.catalogues import Catalogues
from serving.console.pages.pages import SignInPage, VerdictForm
from serving.console.pages.queue_page import case_href, queue_page
from serving.console.pages.wording import grouped
from serving.console.render import render

_NOTHING_SENT = VerdictInput("", "", ())


class Routes:
    """The handlers of one console."""

    def __init__(self, desk: Desk, gate: Gate, catalogues: Catalogues) -> None:
        self._desk = desk
        self._gate = gate
        self._catalogues = catalogues

    async def show_sign_in(self, request: Request) -> Response:
        """The sign-in form; with a session a redirect to the queue."""
        if self._gate.signed_in(request) is not None:
            return RedirectResponse("/cases", 303)
        return self._sign_in_page(request, "", None)

    def _sign_in_page(self, request: Request, name: str, problem: str | None) -> Response:
        visit = self._gate.new_visit(request)
        page = SignInPage(frame_of("Sign in", None), visit, name, problem)
        response = render(page, 200 if problem is None else 401)
        set_cookie(request, response, VISIT_COOKIE, visit)
        return response

    async def sign_in(self, request: Request) -> Response:
        """Check name and password: a session, or the form again with an error that does not say which was wrong."""
        fields = await read_form(request)
        cookie = await self._gate.sign_in(request, fields)
        if cookie is None:
            return self._sign_in_page(request, fields.get("name", "")[:40], "That name and password do not match.")
        response = RedirectResponse(_own_path(request.query_params.get("next", "")), 303)
        set_cookie(request, response, COOKIE, cookie)
        response.delete_cookie(VISIT_COOKIE, path="/")
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        signed_in = self._gate.required(request)
        check_token(request, signed_in.session, await read_form(request))
        self._gate.sign_out(signed_in)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    async def queue(self, request: Request) -> Response:
        """The queue, sorted by money at risk."""
        signed_in = self._gate.required(request)
        query = read_queue_query(request.query_params)
        query = msgspec.structs.replace(query, find=await run_sync(self._desk.as_kept, query.find))
        view = await run_sync(
            lambda: self._desk.queue(
                signed_in.actor,
                status=query.status_filter,
                decision=query.decision_filter,
                find=query.find_filter,
                page=query.page,
            )
        )
        reference = await asyncio.to_thread(self._catalogues.reference_currency, view.promotion)
        return render(queue_page(view, query, frame_of("Queue", signed_in), reference))

    async def case(self, request: Request) -> Response:
        """One case."""
        signed_in = self._gate.required(request)
        view = await self._view(request, signed_in)
        return await self._case_page(signed_in, view, _NOTHING_SENT, 200)

    async def resolve(self, request: Request) -> Response:
        """Record a verdict and redirect to the queue, or show the form again with its problems."""
        signed_in = self._gate.required(request)
        fields = await read_form(request)
        check_token(request, signed_in.session, fields)
        transaction_id = await self._id(request)
        sent = read_verdict(fields)
        if sent.problems:
            view = await self._view(request, signed_in)
            may(signed_in.actor).resolve(view.case)
            return await self._case_page(signed_in, view, sent, 422)
        left = await run_sync(self._desk.resolve, signed_in.actor, transaction_id, sent.verdict, sent.note)
        waiting = "1 case is" if left == 1 else f"{grouped(str(left), indian=False)} cases are"
        signed_in.session.confirmation = f"{transaction_id} is resolved as {sent.verdict}. {waiting} still open."
        return RedirectResponse("/cases", 303)

    async def _view(self, request: Request, signed_in: SignedIn) -> CaseView:
        return await run_sync(self._desk.case, signed_in.actor, await self._id(request))

    async def _id(self, request: Request) -> str:
        return await run_sync(self._desk.as_kept, request.query_params.get("id", ""))

    async def _case_page(self, signed_in: SignedIn, view: CaseView, sent: VerdictInput, status: int) -> Response:
        form = closed_note = None
        if may(signed_in.actor).may_resolve(view.case):
            form = VerdictForm(
                action=case_href(view.case.transaction_id),
                csrf=signed_in.session.csrf,
                verdict=sent.verdict,
                note=sent.note,
                problems=sent.problems,
                longest_note=LONGEST_NOTE,
            )
        elif view.case.is_open:
            closed_note = f"This case is open. The role {signed_in.actor.role} may read it but not resolve it."
        frame = frame_of(f"Case {view.case.transaction_id}", signed_in)
        page = await asyncio.to_thread(case_page, view, self._catalogues, frame, form, closed_note)
        return render(page, status)


def _own_path(wanted: str) -> str:
    """The path to redirect to after signing in: only a page of the desk.

    >>> _own_path("/case?id=t-1"), _own_path("//evil.example"), _own_path("https://evil.example")
    ('/case?id=t-1', '/cases', '/cases')
    """
    return wanted if wanted.startswith(("/case?", "/cases?")) else "/cases"
