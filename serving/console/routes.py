"""The handlers: read what was sent, ask the desk, answer with a page."""

from __future__ import annotations

import asyncio

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console.auth.permission import may
from serving.console.auth.session import COOKIE, VISIT_COOKIE
from serving.console.desk import CaseView, Desk
from serving.console.forms import LONGEST_NOTE, VerdictAsked, read_asked, read_form, read_verdict
from serving.console.gate import Entrant, Gate, check_token, frame_of, set_cookie
from serving.console.pages.case_page import case_page
from serving.console.pages.catalogues import Catalogues
from serving.console.pages.pages import SignInPage, VerdictForm
from serving.console.pages.queue_page import case_href, queue_page
from serving.console.pages.wording import grouped
from serving.console.render import render

_NOTHING_SENT = VerdictAsked("", "", ())


class Routes:
    """The handlers of one console."""

    def __init__(self, desk: Desk, gate: Gate, catalogues: Catalogues) -> None:
        self._desk = desk
        self._gate = gate
        self._catalogues = catalogues

    async def show_sign_in(self, request: Request) -> Response:
        """The sign-in form; somebody already signed in goes to the queue."""
        if self._gate.entrant(request) is not None:
            return RedirectResponse("/cases", 303)
        return self._sign_in_page(request, "", None)

    def _sign_in_page(self, request: Request, name: str, problem: str | None) -> Response:
        visit = self._gate.new_visit(request)
        page = SignInPage(frame_of("Sign in", None), visit, name, problem)
        response = render(page, 200 if problem is None else 401)
        set_cookie(request, response, VISIT_COOKIE, visit)
        return response

    async def sign_in(self, request: Request) -> Response:
        """Name and password: a session, or the form again with one sentence that betrays neither."""
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
        entrant = self._gate.required(request)
        check_token(request, entrant.session, await read_form(request))
        self._gate.sign_out(entrant)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    async def queue(self, request: Request) -> Response:
        """The queue, sorted by money at risk."""
        entrant = self._gate.required(request)
        asked = read_asked(request.query_params)
        view = await run_sync(
            lambda: self._desk.queue(
                entrant.actor,
                status=asked.status_filter,
                decision=asked.decision_filter,
                find=asked.find_filter,
                page=asked.page,
            )
        )
        reference = await asyncio.to_thread(self._catalogues.reference_currency, view.promotion)
        return render(queue_page(view, asked, frame_of("Queue", entrant), reference))

    async def case(self, request: Request) -> Response:
        """One case."""
        entrant = self._gate.required(request)
        view = await self._view(request, entrant)
        return await self._case_page(entrant, view, _NOTHING_SENT, 200)

    async def resolve(self, request: Request) -> Response:
        """A verdict: back to the queue with a confirmation, or the form again with what is wrong."""
        entrant = self._gate.required(request)
        fields = await read_form(request)
        check_token(request, entrant.session, fields)
        transaction_id = request.query_params.get("id", "")
        sent = read_verdict(fields)
        if sent.problems:
            view = await self._view(request, entrant)
            may(entrant.actor).resolve(view.case)
            return await self._case_page(entrant, view, sent, 422)
        left = await run_sync(self._desk.resolve, entrant.actor, transaction_id, sent.verdict, sent.note)
        waiting = "1 case is" if left == 1 else f"{grouped(str(left), indian=False)} cases are"
        entrant.session.confirmation = f"{transaction_id} is resolved as {sent.verdict}. {waiting} still open."
        return RedirectResponse("/cases", 303)

    async def _view(self, request: Request, entrant: Entrant) -> CaseView:
        return await run_sync(self._desk.case, entrant.actor, request.query_params.get("id", ""))

    async def _case_page(self, entrant: Entrant, view: CaseView, sent: VerdictAsked, status: int) -> Response:
        form = closed_note = None
        if may(entrant.actor).may_resolve(view.case):
            form = VerdictForm(
                action=case_href(view.case.transaction_id),
                csrf=entrant.session.csrf,
                verdict=sent.verdict,
                note=sent.note,
                problems=sent.problems,
                longest_note=LONGEST_NOTE,
            )
        elif view.case.is_open:
            closed_note = f"This case is open. The role {entrant.actor.role} may read it but not resolve it."
        frame = frame_of(f"Case {view.case.transaction_id}", entrant)
        page = await asyncio.to_thread(case_page, view, self._catalogues, frame, form, closed_note)
        return render(page, status)


def _own_path(wanted: str) -> str:
    """Where to go after signing in: only a page of the desk itself.

    >>> _own_path("/case?id=t-1"), _own_path("//evil.example"), _own_path("https://evil.example")
    ('/case?id=t-1', '/cases', '/cases')
    """
    return wanted if wanted.startswith(("/case?", "/cases?")) else "/cases"
