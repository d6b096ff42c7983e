"""An analyst's walk through the review desk, in a real browser against the real process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.cases import cases
from tests.flow.desk_process import LOW_CONTRAST, SCREENS, browser, console_process
from tests.serving.console.desk_world import PASSWORD, DeskWorld, busy_desk

pytestmark = pytest.mark.browser


@contextmanager
def busy(folder: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(folder)
    world.user()
    busy_desk(world)
    yield world
    world.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    with busy(tmp_path) as world:
        yield world


@pytest.fixture
def desk(world: DeskWorld) -> Iterator[str]:
    with console_process(world.var) as address:
        yield address


@pytest.fixture(scope="module")
def desk_to_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One desk for all who give no verdict."""
    with busy(tmp_path_factory.mktemp("desk")) as world, console_process(world.var) as address:
        yield address


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as chrome:
        yield chrome


def arrived(page: Any, name: str) -> None:
    """Wait until the browser shows the page of that name: a click returns before the next page is there.

    The title is there before the style sheet, without which a dark page is white text on white.
    """
    from playwright.sync_api import expect

    expect(page).to_have_title(f"{name} · riskgate review desk")
    page.wait_for_load_state("load")


def showing(page: Any, transactions: list[str]) -> None:
    """Wait until the queue shows these cases in this order."""
    from playwright.sync_api import expect

    expect(page.locator("table.queue a.open")).to_have_text(transactions)


def sign_in(page: Any, desk: str) -> None:
    page.goto(f"{desk}/")
    page.get_by_label("Name").fill("asha")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    arrived(page, "Queue")


@pytest.mark.parametrize("scripts", [True, False], ids=["with-javascript", "without-javascript"])
def test_an_analyst_signs_in_reads_a_case_and_gives_a_verdict(
    world: DeskWorld, desk: str, chrome: Any, scripts: bool
) -> None:
    page = chrome.new_context(java_script_enabled=scripts, viewport={"width": 1280, "height": 900}).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    page.goto(f"{desk}/")
    page.get_by_label("Name").fill("asha")
    page.get_by_label("Password").fill("not the secret")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "That name and password do not match."
    # The browser itself reports the 401; only what follows may not complain.
    complaints.clear()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    arrived(page, "Queue")
    showing(page, ["t-8230", "t-81f3", "t-8210", "t-8203", "t-8217", "t-8222"])
    page.get_by_role("link", name="t-81f3").click()
    page.get_by_role("button", name="Give verdict").wait_for()

    reasons = page.locator(".reasons li").all_inner_texts()
    assert len(reasons) == 4
    assert "Total amount of payments of this payer in the last hour: ₹4,800.00" in reasons[2]
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bar rect").all()]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 4 * widths[3] > 0
    family = page.locator("details.family", has_text="Card testing")
    assert not family.locator("dd").first.is_visible()
    family.locator("summary").click()
    assert family.locator("dd").first.is_visible()

    page.get_by_label("Fraud").check()
    page.get_by_label("Note").fill("The payer did not know the device; card blocked.")
    page.get_by_role("button", name="Give verdict").click()
    confirmed = page.get_by_role("status").inner_text()
    assert confirmed == "t-81f3 is resolved as fraud. 5 cases are still open."
    showing(page, ["t-8230", "t-8210", "t-8203", "t-8217", "t-8222"])

    page.get_by_role("link", name="Resolved").click()
    showing(page, ["t-81f3"])
    page.get_by_role("button", name="Sign out").click()
    arrived(page, "Sign in")
    page.goto(f"{desk}/case?id=t-81f3")
    arrived(page, "Sign in")
    assert complaints == []

    [(transaction_id, body)] = world.verdicts()
    told = msgspec.json.decode(body)
    assert (transaction_id, told["verdict"], told["by"]) == ("t-81f3", "fraud", "asha")
    assert told["note"] == "The payer did not know the device; card blocked."
    assert cases.case_of(world.connection, "t-81f3").status == "resolved"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_is_readable_in_light_and_dark_and_on_a_phone(
    desk_to_read: str, chrome: Any, scheme: str, width: int
) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    context = chrome.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()

    def looked_at(name: str) -> None:
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        assert page.evaluate(LOW_CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("document.querySelectorAll('details').forEach((one, n) => { one.open = n < 2 })")
        page.screenshot(path=SCREENS / f"{name}-{scheme}-{width}.png", full_page=True)

    page.goto(f"{desk_to_read}/sign-in")
    looked_at("sign-in")
    sign_in(page, desk_to_read)
    looked_at("queue")
    page.goto(f"{desk_to_read}/case?id=t-81f3")
    looked_at("case")
    page.goto(f"{desk_to_read}/case?id=t-8210")
    looked_at("case-abroad")
    page.goto(f"{desk_to_read}/cases?state=resolved")
    looked_at("empty")
    page.goto(f"{desk_to_read}/case?id=nobody")
    looked_at("error")


def test_the_keyboard_alone_reaches_the_verdict_and_shows_where_it_is(desk: str, chrome: Any) -> None:
    page = chrome.new_context(viewport={"width": 1280, "height": 900}).new_page()
    sign_in(page, desk)
    page.goto(f"{desk}/case?id=t-8222")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.name") == "verdict":
            break
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("Tested by a bot.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{desk}/cases")
    assert "t-8222 is resolved as fraud" in page.get_by_role("status").inner_text()
