"""The page of the contract in a real browser: everything it loads is the service's own, and a call with a key works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from serving.api.openapi import document
from tests.flow.desk_process import browser
from tests.serving.scoring_world import PARAMETERS, payment, running

pytestmark = pytest.mark.browser

KEY = "a-key-of-some-length"


@pytest.mark.parametrize("key", [KEY, ""], ids=["with-key", "keyless"])
def test_the_page_shows_every_route_and_calls_them(tmp_path: Path, bundle: Path, key: str) -> None:
    from playwright.sync_api import expect

    setting = {"RISKGATE_API_KEY": key} if key else {}
    with running(tmp_path, bundle, **setting) as service, browser() as chrome:
        address = f"http://127.0.0.1:{service.port}"
        page: Any = chrome.new_page()
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{address}/docs")
        paths = document(PARAMETERS)["paths"]
        expect(page.locator(".opblock")).to_have_count(sum(map(len, paths.values())))
        shown = [path.replace("\u200b", "") for path in page.locator(".opblock-summary-path").all_inner_texts()]
        assert sorted(shown) == sorted(path for path, operations in paths.items() for _ in operations)
        for name in ("Payment", "Answer", "ReceiptBody", "ErrorReply"):
            expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
        if key:
            page.get_by_role("button", name="Authorize").first.click()
            page.locator("input[type=password], .auth-container input").first.fill(key)
            page.locator(".modal-ux button.authorize").click()
            page.locator(".modal-ux .btn-done").click()
        call = page.locator(".opblock", has=page.locator("[data-path='/v1/score']"))
        call.locator(".opblock-summary-control").click()
        call.get_by_role("button", name="Try it out").click()
        call.locator("textarea").fill(json.dumps(payment("from-the-page")))
        call.get_by_role("button", name="Execute").click()
        expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
        expect(call.locator(".live-responses-table")).to_contain_text('"decision": "approve"')
        assert complaints == []
        assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(address).netloc}
        page.close()
