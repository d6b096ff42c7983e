"""Processes of ours for tests: started with a log, waited for, and ended by their own ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]


def started(environment: Mapping[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`python -m serving ...` with its words in `log`."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "serving", *arguments],
            cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip


def until_ready(process: subprocess.Popen[bytes], url: str, log: Path, patience_seconds: float = 180) -> None:
    """Wait until that address answers 200."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode}: {log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing is ready at {url}: {log.read_text()}")


def ended(process: subprocess.Popen[bytes], seconds: float = 60) -> int:
    """End a process in order; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.wait(seconds)
