"""Several workers and one key file: a rotation reaches all of them, and strangers pass none."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from serving.access.api_keys import KeyFile, new_key
from tests.serving.profiles import Production, ProductionService
from tests.serving.scoring_world import payment


def statuses(service: ProductionService, token: str) -> set[int]:
    """What the workers say to a holder of this token, each on its own port."""
    headers = {"Authorization": f"Bearer {token}"}
    urls = [f"http://127.0.0.1:{port}/v1/score?dry_run=1" for port in service.own_ports]
    return {httpx.post(url, json=payment("keys"), headers=headers, timeout=20).status_code for url in urls}


def until(wanted: int, service: ProductionService, token: str) -> bool:
    for _ in range(100):
        if statuses(service, token) == {wanted}:
            return True
        time.sleep(0.1)
    return False


def test_a_rotation_reaches_every_worker(server_urls: tuple[str, str], bundle: Path, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    first, token = new_key("till-1", ("score",), datetime.now(UTC))
    file.add(first)
    production = Production(server_urls)
    try:
        with production.running(tmp_path / "service", bundle, 2, RISKGATE_KEYS=str(file.path)) as service:
            assert isinstance(service, ProductionService)
            assert statuses(service, token) == {200}
            assert statuses(service, token + "x") == {401}
            second, fresh = new_key("till-2", ("score",), datetime.now(UTC))
            file.add(second)
            file.revoke("till-1", datetime.now(UTC))
            assert until(200, service, fresh)
            assert until(401, service, token)
    finally:
        production.close()


def test_a_caller_below_a_small_rate_is_not_refused_on_one_worker_or_on_both(
    server_urls: tuple[str, str], bundle: Path, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, token = new_key("till-1", ("score",), datetime.now(UTC), rate=5)
    file.add(key)
    production = Production(server_urls)
    try:
        with production.running(tmp_path / "service", bundle, 2, RISKGATE_KEYS=str(file.path)) as service:
            assert isinstance(service, ProductionService)
            first, second = service.own_ports
            for ports in ([first, second, first, first, second], [second]):
                refused = [paced(ports, token, 4.0, 8)]  # the second in which the shares are agreed on
                refused.append(paced(ports, token, 4.0, 14))
                assert refused[1] == 0, refused
    finally:
        production.close()


def paced(ports: list[int], token: str, per_second: float, requests: int) -> int:
    """How many evenly paced requests to these ports in turn are refused."""
    begins, refused = time.monotonic(), 0
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=20) as client:
        for number in range(requests):
            time.sleep(max(0.0, begins + number / per_second - time.monotonic()))
            url = f"http://127.0.0.1:{ports[number % len(ports)]}/v1/score?dry_run=1"
            refused += client.post(url, json=payment("paced")).status_code == 429
    return refused
