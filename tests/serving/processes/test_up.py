"""`python -m serving up`: everything missing is reported together; what dies comes back; what ends, ends in order."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from serving.errors import CannotStart
from serving.processes.supervision import ProcessSpec, SupervisedProcess, stop_in_order
from serving.processes.up import check_port
from serving.redis_store.server_checks import check_redis
from tests.serving.processes.processes import started
from tests.serving.scoring_world import environment_of, payment
from tests.serving.servers import PrivateRedis, Servers, wait_for
from training.client.service_process import free_port, free_ports

ROOT = Path(__file__).resolve().parents[3]
PATIENT = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); time.sleep(60)"


def kept(code: str, name: str = "job") -> SupervisedProcess:
    return SupervisedProcess(ProcessSpec(name, (sys.executable, "-c", code), dict(os.environ)))


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


def test_a_redis_that_evicts_is_refused_and_one_that_forgets_is_warned_of(servers: Servers, tmp_path: Path) -> None:
    evicting = PrivateRedis(tmp_path / "a", "--maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(CannotStart, match="CONFIG SET maxmemory-policy noeviction"):
            check_redis(evicting.url)
    finally:
        evicting.stop()
    for option, repair in (("--appendonly no", "appendonly yes"), ("--appendfsync everysec", "appendfsync always")):
        forgetful = PrivateRedis(tmp_path / repair, *option.split())
        try:
            (sentence,) = check_redis(forgetful.url)
            assert repair in sentence
        finally:
            forgetful.stop()
    careful = PrivateRedis(tmp_path / "c")
    try:
        assert check_redis(careful.url) == []
    finally:
        careful.stop()


def test_a_port_that_is_taken_is_told() -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(CannotStart, match="cannot be used"):
            check_port("127.0.0.1", other.getsockname()[1])


PIDS = re.compile(r"(recorder|worker \d|desk) is process (\d+)")


def processes(log: Path) -> dict[str, int]:
    """The latest process id of each part, as `up` logged it."""
    return {name: int(number) for name, number in PIDS.findall(log.read_text())}


def test_one_command_runs_all_of_it_brings_back_what_dies_and_ends_every_process(
    servers: Servers, bundle: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    environment = {
        **environment_of(tmp_path / "var", bundle, servers.environment),
        "RISKGATE_PORT": str(port), "RISKGATE_CONSOLE_PORT": str(free_port()),
        "RISKGATE_RECORDER_PORT": str(free_ports(3)), "RISKGATE_WORKERS": "2",
    }  # fmt: skip
    whole = started(environment, log, "up")
    try:
        wait_for(lambda: "Everything is ready" in log.read_text() or whole.poll() is not None, "up", 200)
        assert whole.poll() is None, log.read_text()
        first = processes(log)
        assert set(first) == {"recorder", "worker 1", "worker 2", "desk"}
        for name in ("worker 1", "recorder"):
            os.kill(first[name], signal.SIGKILL)
        wait_for(lambda: all(processes(log)[n] != first[n] for n in ("worker 1", "recorder")), "what died", 30)
        os.kill(first["worker 2"], signal.SIGSTOP)
        wait_for(lambda: processes(log)["worker 2"] != first["worker 2"], "what was stuck", 60)
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/score", content=json.dumps(payment("up-1")), timeout=30)
        assert reply.status_code == 200
        wait_for(
            lambda: servers.rows("SELECT count(*) FROM decisions WHERE transaction_id = 'up-1'") == [(1,)],
            "the recorder", 60,
        )  # fmt: skip
        last = {**first, **processes(log)}
        whole.send_signal(signal.SIGINT)
        assert whole.wait(60) == 0, log.read_text()
    finally:
        whole.kill()
        whole.wait(10)
    for number in (*first.values(), *last.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert "hush" not in log.read_text()


@pytest.mark.parametrize("part", ["run", "console"])
def test_a_part_that_finds_no_tables_ends_with_the_command_that_makes_them(
    servers: Servers, bundle: Path, tmp_path: Path, part: str
) -> None:
    environment = environment_of(tmp_path / "var", bundle, servers.environment)
    ended = subprocess.run(
        [sys.executable, "-m", "serving", part, "--port", str(free_port())],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode in (2, 3)
    assert "python -m serving migrate" in ended.stderr
