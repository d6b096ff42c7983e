"""A worker joins the port that others share when it is ready, so that replacing one costs no payment."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.serving.profiles import ProductionService
from tests.serving.scoring_world import payment
from tests.serving.servers import Servers


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_replacing_a_worker_costs_no_new_connection_its_answer(
    servers: Servers, bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    service = ProductionService(servers, tmp_path, bundle, 2, {})
    url, statuses, stopping = f"http://127.0.0.1:{service.port}/v1/score", list[int | str](), threading.Event()

    def pay() -> None:
        count = 0
        while not stopping.is_set():
            count += 1
            try:  # a connection of its own, as after a balancer's time-out
                statuses.append(httpx.post(url, json=payment(f"j-{count}"), timeout=10).status_code)
            except httpx.TransportError as error:
                statuses.append(type(error).__name__)

    try:
        service.wait_until_ready()
        payer = threading.Thread(target=pay)
        payer.start()
        gone = service.workers[1]
        gone.send_signal(number)
        gone.wait(30)
        service.workers[1] = service.started_again(1)
        service.wait_until_ready()
        stopping.set()
        payer.join(20)
        # What a killed worker had accepted is reset by the kernel; nothing else may fail.
        lost = [one for one in statuses if one != 200]
        assert len(statuses) > 20
        assert len(lost) <= (1 if number == signal.SIGKILL else 0), lost
    finally:
        stopping.set()
        service.stop()
