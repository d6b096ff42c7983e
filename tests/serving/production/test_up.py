"""`python -m serving up`: what is missing is told at once; what dies comes back; what ends, ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import CannotStart
from serving.production.servers import check_redis
from serving.production.supervision import Job, Kept, stop_in_order
from serving.production.up import check_port
from tests.serving.production.servers import PrivateRedis, Servers, free_port
from tests.serving.production.stream_world import settings_of

ROOT = Path(__file__).resolve().parents[3]
PATIENT = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); time.sleep(60)"


def kept(code: str, name: str = "job") -> Kept:
    return Kept(Job(name, (sys.executable, "-c", code), dict(os.environ)))


async def until(true: object, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.02)


def test_a_process_that_dies_is_started_again_and_ends_when_told() -> None:
    async def story() -> tuple[int, int]:
        one = kept(PATIENT)
        one.was_ready = True
        one.start()
        await until(lambda: one.process is not None)
        assert one.process is not None
        first = one.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.starts == 2 and one.process is not None and one.process.pid != first)
        second = one.process.pid
        await asyncio.sleep(0.3)
        await stop_in_order([[one]])
        assert one.process.returncode == 0
        return first, second

    for number in asyncio.run(story()):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_a_process_that_refuses_to_start_is_not_started_again() -> None:
    async def story() -> int:
        one = kept("raise SystemExit(2)")
        one.start()
        await asyncio.wait_for(one.ended_at_start.wait(), 10)
        await one.stop()
        return one.starts

    assert asyncio.run(story()) == 1


def up(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", "up", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_without_urls_the_settings_are_named() -> None:
    ended = up({"RISKGATE_REDIS_URL": "", "RISKGATE_POSTGRES_URL": ""})
    assert ended.returncode == 2
    assert "RISKGATE_REDIS_URL and RISKGATE_POSTGRES_URL are not set" in ended.stderr


def test_both_missing_servers_are_told_at_once_with_how_to_start_them() -> None:
    ended = up(
        {
            "RISKGATE_REDIS_URL": f"redis://:hush@127.0.0.1:{free_port()}/0",
            "RISKGATE_POSTGRES_URL": f"postgresql://risk:hush@127.0.0.1:{free_port()}/risk",
        }
    )
    assert ended.returncode == 2
    for word in ("Redis at 127.0.0.1", "redis-server --appendonly yes", "PostgreSQL at 127.0.0.1", "createdb"):
        assert word in ended.stderr
    assert "hush" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_redis_that_evicts_is_refused_and_one_without_a_file_is_warned_of(servers: Servers, tmp_path: Path) -> None:
    evicting = PrivateRedis(tmp_path / "a", "--maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(CannotStart, match="CONFIG SET maxmemory-policy noeviction"):
            check_redis(settings_of(Servers(evicting.url, servers.postgres_url, "rg")))
    finally:
        evicting.stop()
    forgetful = PrivateRedis(tmp_path / "b", "--appendonly", "no")
    try:
        (sentence,) = check_redis(settings_of(Servers(forgetful.url, servers.postgres_url, "rg")))
        assert "appendonly yes" in sentence
    finally:
        forgetful.stop()


def test_a_port_that_is_taken_is_told() -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(CannotStart, match="cannot be used"):
            check_port("127.0.0.1", other.getsockname()[1])
