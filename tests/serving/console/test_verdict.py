from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serving.cases import cases
from tests.serving.console.desk_visitor import Visitor, console_of, field, words
from tests.serving.console.desk_world import START_MS, DeskWorld, busy_desk, payment


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    world = DeskWorld(tmp_path)
    world.user()
    world.user("omar", "auditor")
    yield world
    world.close()


@pytest.fixture
def analyst(world: DeskWorld) -> Iterator[Visitor]:
    visitor = Visitor(console_of(world))
    visitor.sign_in()
    yield visitor
    visitor.close()


def test_a_verdict_leads_back_to_the_queue_and_is_confirmed_once(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    reply = analyst.verdict("t-81f3", "legitimate", "Spoke to the payer.\r\nA gift.")
    assert reply.url.path == "/cases"
    assert "t-81f3 is resolved as legitimate. 5 cases are still open." in words(reply.text)
    assert "t-81f3" not in words(analyst.get("/cases").text)
    [(_, body)] = world.verdicts()
    sent = msgspec.json.decode(body)
    assert (sent["verdict"], sent["by"], sent["note"]) == ("legitimate", "asha", "Spoke to the payer.\nA gift.")
    resolved = words(analyst.get("/case?id=t-81f3").text)
    assert "legitimate by asha" in resolved
    assert "Give verdict" not in resolved


def test_on_the_replay_clock_a_verdict_is_given_in_the_time_of_the_payments(world: DeskWorld, analyst: Visitor) -> None:
    busy_desk(world)
    analyst.verdict("t-81f3")
    assert cases.case_of(world.connection, "t-81f3").verdict_at == START_MS + 4 * 60_000


def test_an_incomplete_verdict_is_told_all_at_once_and_keeps_the_note(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    reply = analyst.verdict("t-1", "", "")
    assert reply.status_code == 422
    assert "Choose fraud or legitimate. Write a note" in words(reply.text)
    reply = analyst.verdict("t-1", "maybe", "My long thought.")
    assert "My long thought." in reply.text
    assert world.verdicts() == []


def test_a_note_with_a_card_number_is_kept_nowhere(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    reply = analyst.verdict("t-1", "fraud", "The card is 4111 1111 1111 1111, blocked it.")
    assert reply.status_code == 422
    assert "4111" not in reply.text
    assert world.verdicts() == []


def test_a_second_verdict_is_refused_with_the_name_of_who_was_faster(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    stale = field(analyst.get("/case?id=t-1").text, "csrf")
    analyst.verdict("t-1", "fraud")
    reply = analyst.post("/case?id=t-1", {"csrf": stale, "verdict": "legitimate", "note": "No, wait."})
    assert reply.status_code == 409
    assert "already resolved as fraud by asha" in words(reply.text)
    assert len(world.verdicts()) == 1


@pytest.mark.parametrize(("token", "headers"), [("guess", {}), ("", {}), (None, {"Sec-Fetch-Site": "cross-site"})])
def test_a_verdict_sent_by_another_site_is_refused(
    world: DeskWorld, analyst: Visitor, token: str | None, headers: dict[str, str]
) -> None:
    world.scored(payment("t-1"))
    token = field(analyst.get("/case?id=t-1").text, "csrf") if token is None else token
    sent = {"csrf": token, "verdict": "fraud", "note": "Forged."}
    assert analyst.post("/case?id=t-1", sent, headers=headers).status_code == 403
    assert world.verdicts() == []


def test_a_verdict_after_the_session_ended_says_that_nothing_was_recorded(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    token = field(analyst.get("/case?id=t-1").text, "csrf")
    analyst.cookies.clear()
    reply = analyst.post("/case?id=t-1", {"csrf": token, "verdict": "fraud", "note": "A long note."})
    assert reply.status_code == 401
    assert "Your session has ended Nothing was recorded. Go back to copy what you wrote" in words(reply.text)
    assert world.verdicts() == []


def test_an_auditor_reads_a_case_but_cannot_resolve_it(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    auditor = Visitor(console_of(world))
    auditor.sign_in("omar")
    page = auditor.get("/case?id=t-1").text
    assert "The role auditor may read it but not resolve it." in words(page)
    sent = {"csrf": field(page, "csrf"), "verdict": "fraud", "note": "I insist."}
    reply = auditor.post("/case?id=t-1", sent)
    assert reply.status_code == 403
    assert "not_allowed" in reply.text
    assert world.verdicts() == []
    auditor.close()


# -- when something is wrong --------------------------------------------------


@pytest.mark.parametrize(("path", "code"), [("/case?id=none", "unknown_case"), ("/nowhere", "unknown_page")])
def test_what_is_not_there_is_told_in_the_one_shape(analyst: Visitor, path: str, code: str) -> None:
    reply = analyst.get(path)
    assert reply.status_code == 404
    assert f"Code: {code}" in words(reply.text)
    assert "Back to the queue" in words(reply.text)


def test_a_form_that_is_too_large_is_refused_before_it_is_read(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    assert analyst.verdict("t-1", "fraud", "x" * 40_000).status_code == 413
    assert world.verdicts() == []


def test_a_missing_ledger_is_told_with_its_repair(tmp_path: Path) -> None:
    world = DeskWorld(tmp_path)
    world.user()
    world.close()
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    visitor = Visitor(console_of(world))
    reply = visitor.sign_in()
    assert reply.status_code == 503
    assert "Start the scoring service first" in words(reply.text)
    visitor.close()


def test_the_text_of_an_unknown_failure_never_reaches_the_browser(world: DeskWorld, analyst: Visitor) -> None:
    world.scored(payment("t-1"))
    world.connection.execute("UPDATE events SET body = '{}'")
    reply = analyst.get("/case?id=t-1")
    assert reply.status_code == 500
    assert "The review desk failed; nothing was recorded." in words(reply.text)
    assert "Traceback" not in reply.text
    assert "ValidationError" not in reply.text
    assert "content-security-policy" in reply.headers


def test_a_locked_ledger_is_told_and_nothing_is_recorded(world: DeskWorld) -> None:
    world.scored(payment("t-1"))
    analyst = Visitor(console_of(world, busy_seconds=0.01))
    analyst.sign_in()
    token = field(analyst.get("/case?id=t-1").text, "csrf")
    world.connection.execute("BEGIN IMMEDIATE")
    reply = analyst.post("/case?id=t-1", {"csrf": token, "verdict": "fraud", "note": "n"})
    world.connection.execute("ROLLBACK")
    assert reply.status_code == 503
    assert world.verdicts() == []
    analyst.close()


def test_a_damaged_file_of_users_lets_nobody_in_and_tells_the_browser_nothing(
    world: DeskWorld, analyst: Visitor
) -> None:
    (world.var / "users.json").write_text("{")
    reply = analyst.get("/cases")
    assert reply.status_code == 500
    assert "users.json" not in reply.text
    assert "Sign out" not in reply.text
