"""A process that runs and does nothing is found by a probe, killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import generate_latest

from serving.processes import probing
from serving.processes.probing import Probe, recorder_turns, run_probes
from serving.processes.supervision import ProcessSpec, SupervisedProcess, stop_in_order
from serving.recorder.metrics import RecorderMetrics
from training.client.service_process import free_port

#: Answers every request, and after SIGUSR1 never again: its event loop is blocked.
SERVER = """
import asyncio, signal, sys, time
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\nconnection: close\\r\\n\\r\\n{}")
    await writer.drain()
    writer.close()
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: time.sleep(600))
    await (await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "TIMEOUT_SECONDS", 0.5)


def served(port: int) -> SupervisedProcess:
    one = SupervisedProcess(ProcessSpec("worker", (sys.executable, "-c", SERVER, str(port)), dict(os.environ)))
    one.was_ready = True
    return one


async def answered(probe: Probe) -> None:
    async with asyncio.timeout(60):
        while await probe.ask() or probe.misses or not await probe._is_alive():
            await asyncio.sleep(0.05)


async def restarted(one: SupervisedProcess, starts: int) -> None:
    async with asyncio.timeout(60):
        while one.starts < starts:
            await asyncio.sleep(0.05)


def story(play: Callable[[list[SupervisedProcess], list[Probe]], Awaitable[None]], count: int = 1) -> None:
    async def run() -> None:
        ports = [free_port() for _ in range(count)]
        processes = [served(port) for port in ports]
        probes = [Probe(one, f"http://127.0.0.1:{port}/livez") for one, port in zip(processes, ports, strict=True)]
        for one in processes:
            one.start()
        probing_task = asyncio.get_running_loop().create_task(run_probes(probes, 0.2))
        try:
            for probe in probes:
                await answered(probe)
            await play(processes, probes)
        finally:
            probing_task.cancel()
            for one in processes:
                one.kill()
            await stop_in_order([processes])

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGUSR1])
def test_a_stopped_process_and_a_blocked_event_loop_are_replaced(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(processes: list[SupervisedProcess], probes: list[Probe]) -> None:
        (one,), (probe,) = processes, probes
        assert one.process is not None
        first = one.process.pid
        os.kill(first, number)
        await restarted(one, 2)
        await answered(probe)
        assert one.process.pid != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    story(play)
    assert "worker does not answer (3 probes" in caplog.text


def test_a_process_that_is_late_twice_is_left_alone() -> None:
    async def play(processes: list[SupervisedProcess], probes: list[Probe]) -> None:
        (one,), (probe,) = processes, probes
        assert one.process is not None
        os.kill(one.process.pid, signal.SIGSTOP)
        while probe.misses < 2:
            await asyncio.sleep(0.02)
        os.kill(one.process.pid, signal.SIGCONT)
        await answered(probe)
        await asyncio.sleep(1)
        assert (one.starts, probe.misses) == (1, 0)

    story(play)


def test_of_two_stuck_processes_the_second_is_killed_a_round_later() -> None:
    async def play(processes: list[SupervisedProcess], probes: list[Probe]) -> None:
        ended: dict[int, float] = {}
        for one in processes:
            assert one.process is not None
            os.kill(one.process.pid, signal.SIGSTOP)
        firsts = [one.process for one in processes]
        async with asyncio.timeout(60):
            while len(ended) < 2:
                for place, process in enumerate(firsts):
                    if process is not None and process.returncode is not None:
                        ended.setdefault(place, asyncio.get_running_loop().time())
                await asyncio.sleep(0.01)
        assert abs(ended[1] - ended[0]) > 0.15

    story(play, 2)


def test_a_recorder_whose_loop_stands_still_is_told_from_one_that_turns() -> None:
    metrics = RecorderMetrics()

    def reply() -> bytes:
        return b"HTTP/1.0 200 OK\r\n\r\n" + generate_latest(metrics.registry)

    assert recorder_turns(reply())
    metrics._turned -= probing.STUCK_RECORDER_SECONDS + 1
    assert not recorder_turns(reply())
    metrics.turned()
    assert recorder_turns(reply())
    assert not recorder_turns(b"HTTP/1.0 200 OK\r\n\r\n")
