"""An audit that cannot look says so, and one that can passes the constraints on."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.house.audit import NOT_CHECKED, audit


def test_without_the_service_it_says_that_nothing_was_checked() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        closed = ("127.0.0.1", one.getsockname()[1])
    said: list[str] = []
    assert audit("pip-audit", said.append, closed) == NOT_CHECKED
    assert "NOTHING WAS CHECKED" in said[0]


def test_with_the_service_every_pin_is_looked_at_and_findings_fail(tmp_path: Path) -> None:
    program, told = tmp_path / "pip-audit", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$@" > {told}\nexit 1\n')
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert audit(str(program), lambda _: None, server.getsockname()) == 1
    words = told.read_text().split()
    assert {"--no-deps", "--disable-pip", "osv"} <= set(words)
    assert any(word.endswith("constraints.txt") for word in words)
