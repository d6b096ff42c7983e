"""The examples of the documents work as printed, on a running service with the system's clock."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tests.house.documents import DOCUMENTS, blocks_of, name_of, text_of
from tests.serving.api.present_payments import payment
from tests.serving.scoring_world import Service, running
from training.demo.demo import Demo, DemoAnswer
from training.demo.page import show
from training.settings import Settings

#: A whole block where every line belongs to a call of curl; of other blocks only those lines.
ONLY_CURL = re.compile(r"(?:(?:[A-Z_]+=(?:\$\([^)]*\)|\$\{[^}]*\}|[^\s$])+ ?)+\n)?(?:curl (?:[^\n']|'[^']*')*\n)+")


def curl_scripts(path: Path) -> list[str]:
    """Every call of curl in a document; a block of nothing else is one script."""
    scripts = []
    for block in blocks_of(text_of(path), "sh"):
        if ONLY_CURL.fullmatch(block):
            scripts.append(block)
        else:
            scripts += [line + "\n" for line in block.splitlines() if line.startswith("curl")]
    return scripts


SCRIPTS = [(name_of(path), script) for path in DOCUMENTS for script in curl_scripts(path)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Service]:
    """On the system's clock: a fixed date would be refused."""
    with running(tmp_path_factory.mktemp("service"), bundle, RISKGATE_CLOCK="system") as one:
        yield one


def shell(script: str, **more: str) -> list[dict[str, Any]]:
    """What each call of a script answered."""
    if shutil.which("curl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["sh", "-ec", script], env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    decoder, rest, replies = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        reply, end = decoder.raw_decode(rest)
        replies.append(reply)
        rest = rest[end:].strip()
    return replies


# -- curl ----------------------------------------------------------------------------------------


def test_the_documents_hold_the_examples() -> None:
    assert {name for name, _ in SCRIPTS} >= {"README.md", "docs/integrate.md", "docs/operate.md"}
    calls = sum(script.count("curl") for _, script in SCRIPTS)
    assert calls == sum(text.count("curl -s") for text in map(text_of, DOCUMENTS)) >= 7


@pytest.mark.parametrize(("name", "script"), SCRIPTS, ids=lambda text: text[:30].strip())
def test_every_curl_line_of_the_documents_works_as_printed(service: Service, name: str, script: str) -> None:
    replies = shell(script, RISKGATE_URL=f"http://127.0.0.1:{service.port}")
    assert len(replies) == script.count("curl ")
    assert [reply for reply in replies if "error" in reply] == []


def test_without_a_setting_the_examples_call_the_port_that_make_serve_listens_on() -> None:
    for name, script in SCRIPTS:
        assert "http://127.0.0.1:3000}" in script and "2026-" not in script, name


def test_the_curl_line_of_the_contract_page_works_as_printed(service: Service) -> None:
    page = service.client.get("/docs").text
    found = re.search(r"<pre>(curl .*?)</pre>", page, flags=re.S)
    assert found is not None
    script = html.unescape(found[1])
    assert f"http://127.0.0.1:{service.port}/v1/score" in script
    assert [reply["tier"] for reply in shell(script)] != []


def test_the_curl_lines_of_the_demo_work_as_printed(tmp_path: Path, bundle: Path) -> None:
    """The demo's service runs on the replay clock, which takes the time of its simulated world."""
    with running(tmp_path, bundle) as service:
        shown = payment("demo-1", event_time="2026-11-11T12:00:00Z", mcc="5411", payer_id="u-7")
        first = service.score(shown).json()
        demo = Demo(
            port=service.port, console_port=1, password="secret", typologies={"demo-1": None},
            answers=[DemoAnswer("demo-1", first["decision"])], example=json.dumps(shown).encode(), seconds=1.0,
        )  # fmt: skip
        console = Console(record=True, width=160, file=io.StringIO())
        show(console, demo, Settings())
        lines = [line.strip() for line in console.export_text().splitlines() if line.strip().startswith("curl")]
        replies = [shell(line) for line in lines]
    assert len(lines) == 3 and all(str(service.port) in line for line in lines)
    assert [one[0].get("error") for one in replies] == [None, None, None]
    assert "decision" in replies[0][0] and "receipt" in replies[1][0] and replies[2][0]["ready"] is True


# -- commands --------------------------------------------------------------------------------------


def test_verify_says_in_a_log_how_far_it_is(service: Service) -> None:
    assert httpx.get(f"http://127.0.0.1:{service.port}/livez").status_code == 200
    done = service.command("verify")
    assert re.search(r"^verifying: (\d+) of \1 \(100%\), done, \d+ s$", done.stderr, flags=re.M), done.stderr
