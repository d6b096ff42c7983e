"""A browser without a screen: keeps cookies, follows forms, talks to the console's ASGI application."""

from __future__ import annotations

import asyncio
import html
import re

import httpx
from starlette.types import ASGIApp

from serving.cases.sqlite import SqliteCases
from serving.console.app import create_app
from serving.console.desk import Desk
from serving.console.pages.catalogues import Catalogues
from tests.serving.console.desk_world import PASSWORD, DeskWorld


def console_of(world: DeskWorld, **ledger: float) -> ASGIApp:
    desk = Desk(SqliteCases(world.ledger_path, **ledger), world.index_path, replay_clock=True)
    return create_app(desk, world.users, Catalogues(world.var / "bundles"))


class Visitor:
    """One browser at the desk; close it when done."""

    def __init__(self, app: ASGIApp, address: str = "127.0.0.1") -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://desk")

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, *, follow: bool = True) -> httpx.Response:
        return self._runner.run(self._client.get(path, follow_redirects=follow))

    def post(
        self, path: str, fields: dict[str, str], *, headers: dict[str, str] | None = None, follow: bool = True
    ) -> httpx.Response:
        return self._runner.run(self._client.post(path, data=fields, headers=headers, follow_redirects=follow))

    def sign_in(self, name: str = "asha", password: str = PASSWORD, *, at: str = "/sign-in") -> httpx.Response:
        visit = field(self.get("/sign-in").text, "visit")
        return self.post(at, {"visit": visit, "name": name, "password": password})

    def verdict(self, transaction_id: str, verdict: str = "fraud", note: str = "Called the payer.") -> httpx.Response:
        token = field(self.get(f"/case?id={transaction_id}").text, "csrf")
        return self.post(f"/case?id={transaction_id}", {"csrf": token, "verdict": verdict, "note": note})

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies


def field(page: str, name: str) -> str:
    """The value of the first hidden field of that name."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, f"no field {name}"
    return html.unescape(found[1])


def words(page: str) -> str:
    """The text of a page as it is read, spaces joined."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
