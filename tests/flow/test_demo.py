"""The README's first command does what it says, and leaves nothing running."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from training.client.service_process import HOST, free_port

pytestmark = pytest.mark.long


def _run(arguments: list[str], var: Path) -> subprocess.CompletedProcess[str]:
    (var / "home").mkdir()
    environment = dict(os.environ) | {
        "RISKGATE_VAR": str(var / "var"),
        "HOME": str(var / "home"),
        "COLUMNS": "160",
    }
    environment.pop("BENTOML_HOME", None)
    return subprocess.run(
        [sys.executable, "-m", "training", "demo", *arguments],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_the_demo_trains_serves_shows_decisions_and_stops(tmp_path: Path) -> None:
    port, console_port = free_port(), free_port()
    done = _run(["--port", str(port), "--console-port", str(console_port), "--exit"], tmp_path)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    said = done.stdout
    assert "is champion" in said
    assert f" to {tmp_path / 'var' / 'bentoml'}." in said
    assert list((tmp_path / "var" / "bentoml" / "models" / "riskgate").glob("1-*/model.txt"))
    assert not (tmp_path / "home" / "bentoml").exists()
    assert re.search(r"\d{3} payments scored over HTTP", said)
    assert re.search(r"│ (review|decline) ", said), "nobody at the desk would have anything to do"
    assert f"curl -s 'http://127.0.0.1:{port}/v1/score" in said
    assert re.search(r"sign in as demo with password \S{8,}", said)
    assert "mlflow ui" in said
    assert f"http://127.0.0.1:{port}/docs" in said
    for one in (port, console_port):
        with socket.socket() as probe:
            assert probe.connect_ex((HOST, one)) != 0, f"something still listens on {one}"


def test_a_port_in_use_ends_the_demo_at_once_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _run(["--port", str(port), "--console-port", str(free_port()), "--exit"], tmp_path)
    assert done.returncode == 2
    assert f"{port} (the service)" in done.stderr
    assert "Traceback" not in done.stderr
