"""Renders a page as an HTML reply; the template has access to `page` only."""

from __future__ import annotations

from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse

from serving.console.pages.pages import CasePage, ErrorPage, Page, QueuePage, SignInPage

FOLDER = Path(__file__).parent
TEMPLATES: dict[type[Page], str] = {
    SignInPage: "sign_in.html",
    ErrorPage: "error.html",
    QueuePage: "queue.html",
    CasePage: "case.html",
}

environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Jinja's global functions; no template needs them.
environment.globals.clear()


def render(page: Page, status: int = 200) -> HTMLResponse:
    """The page as a reply that is not cached."""
    template = environment.get_template(TEMPLATES[type(page)])
    return HTMLResponse(template.render(page=page), status, {"Cache-Control": "no-store"})
