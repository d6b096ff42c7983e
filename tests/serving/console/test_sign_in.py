from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.console.auth import session as sessions
from serving.console.auth.throttle import (
    FAILURES_PER_ADDRESS,
    FAILURES_PER_NAME,
    WINDOW_SECONDS,
    Throttle,
    TooManyAttempts,
)
from serving.console.auth.users import new_user
from serving.console.headers import HEADERS
from tests.serving.console.desk_visitor import Visitor, console_of, field, words
from tests.serving.console.desk_world import CHEAP, PASSWORD, DeskWorld, busy_desk


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(tmp_path)
    world.user()
    busy_desk(world)
    yield world
    world.close()


@pytest.fixture
def visitor(world: DeskWorld) -> Iterator[Visitor]:
    visitor = Visitor(console_of(world))
    yield visitor
    visitor.close()


@pytest.mark.parametrize("path", ["/cases", "/case?id=t-81f3", "/cases?state=resolved", "/"])
def test_nobody_sees_anything_before_signing_in(visitor: Visitor, path: str) -> None:
    reply = visitor.get(path)
    assert reply.url.path == "/sign-in"
    assert "t-81f3" not in words(reply.text)


def test_signing_in_leads_to_the_page_that_was_wanted(visitor: Visitor) -> None:
    wanted = visitor.get("/case?id=t-81f3")
    assert str(visitor.sign_in(at=str(wanted.url.raw_path, "ascii")).url) == "http://desk/case?id=t-81f3"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/cases", "/static/console.css"])
def test_signing_in_never_leads_elsewhere(visitor: Visitor, elsewhere: str) -> None:
    assert visitor.sign_in(at=f"/sign-in?next={elsewhere}").url.path == "/cases"


def test_a_wrong_name_and_a_wrong_password_read_the_same(visitor: Visitor) -> None:
    wrong_password = visitor.sign_in("asha", "not the secret")
    wrong_name = visitor.sign_in("nobody", "not the secret")
    assert wrong_password.status_code == wrong_name.status_code == 401
    text = "That name and password do not match."
    assert text in words(wrong_password.text)
    assert text in words(wrong_name.text)
    assert "not the secret" not in wrong_password.text


def test_cookies_are_hidden_from_scripts_and_from_other_sites(visitor: Visitor) -> None:
    visit = visitor.get("/sign-in")
    signed_in = visitor.post(
        "/sign-in",
        {"visit": field(visit.text, "visit"), "name": "asha", "password": PASSWORD},
        follow=False,
    )
    for reply in (visit, signed_in):
        cookie = reply.headers.get_list("set-cookie")[0]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


def test_a_sign_in_form_from_another_browser_is_refused(world: DeskWorld) -> None:
    app = console_of(world)
    attacker, victim = Visitor(app), Visitor(app)
    stolen = field(attacker.get("/sign-in").text, "visit")
    victim.get("/sign-in")
    reply = victim.post("/sign-in", {"visit": stolen, "name": "asha", "password": PASSWORD})
    assert reply.status_code == 403
    assert victim.get("/cases").url.path == "/sign-in"
    attacker.close()
    victim.close()


def test_a_forged_cookie_opens_nothing(visitor: Visitor) -> None:
    visitor.cookies.set(sessions.COOKIE, "made-up.c2lnbmF0dXJl")
    assert visitor.get("/cases").url.path == "/sign-in"


def test_signing_out_ends_the_session_even_for_who_kept_the_cookie(visitor: Visitor) -> None:
    page = visitor.sign_in()
    kept = visitor.cookies[sessions.COOKIE]
    visitor.post("/sign-out", {"csrf": field(page.text, "csrf")})
    visitor.cookies.set(sessions.COOKIE, kept)
    assert visitor.get("/cases").url.path == "/sign-in"


def test_another_site_cannot_sign_anybody_out(visitor: Visitor) -> None:
    visitor.sign_in()
    assert visitor.post("/sign-out", {"csrf": "guess"}).status_code == 403
    assert visitor.get("/cases").url.path == "/cases"


def test_a_changed_password_ends_the_session(world: DeskWorld, visitor: Visitor) -> None:
    visitor.sign_in()
    world.users.put(new_user("asha", "quite another secret", cost=CHEAP), replace=True)
    assert visitor.get("/cases").url.path == "/sign-in"


def test_guessing_is_slowed_down_and_the_page_says_for_how_long(visitor: Visitor) -> None:
    for _ in range(FAILURES_PER_NAME):
        assert visitor.sign_in("asha", "a wrong guess").status_code == 401
    refused = visitor.sign_in("asha", PASSWORD)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= WINDOW_SECONDS
    assert "Wait 15 minutes" in words(refused.text)


def test_a_throttle_forgets_after_its_window_and_a_success_counts_for_nothing() -> None:
    throttle = Throttle()
    for attempt in range(100):
        throttle.admit("asha", "a", float(attempt))
        throttle.succeeded("asha", "a")
    for attempt in range(FAILURES_PER_NAME):
        throttle.admit("asha", "a", 100.0 + attempt)
    with pytest.raises(TooManyAttempts):
        throttle.admit("asha", "a", 110.0)
    throttle.admit("omar", "a", 110.0)
    throttle.admit("asha", "b", 110.0)
    throttle.admit("asha", "a", 100.1 + WINDOW_SECONDS)


def test_one_address_cannot_try_every_name() -> None:
    throttle = Throttle()
    for n in range(FAILURES_PER_ADDRESS):
        throttle.admit(f"name-{n}", "a", float(n))
    with pytest.raises(TooManyAttempts):
        throttle.admit("another", "a", 30.0)


def test_an_idle_session_ends_and_a_busy_one_too_after_a_day() -> None:
    kept = sessions.Sessions()
    _, cookie = kept.open("asha", b"salt", 0.0)
    now = 0.0
    while now + sessions.IDLE_SECONDS < sessions.LONGEST_SECONDS:
        now += sessions.IDLE_SECONDS
        assert kept.find(cookie, now) is not None
    assert kept.find(cookie, sessions.LONGEST_SECONDS + 1) is None
    _, cookie = kept.open("asha", b"salt", 0.0)
    assert kept.find(cookie, sessions.IDLE_SECONDS + 1) is None


@pytest.mark.parametrize("path", ["/sign-in", "/cases", "/case?id=none", "/nothing", "/static/console.css", "/livez"])
def test_every_reply_carries_the_security_headers(visitor: Visitor, path: str) -> None:
    visitor.sign_in()
    reply = visitor.get(path)
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= dict(reply.headers).items()
    assert "unsafe" not in reply.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/cases", "/case?id=t-81f3", "/case?id=none"])
def test_pages_carry_no_script_and_no_inline_style(visitor: Visitor, path: str) -> None:
    visitor.sign_in()
    page = visitor.get(path).text.lower()
    assert "<script" not in page
    assert "style=" not in page
