"""Keys, hash keys and passwords of URLs stand in no log, no reply and no file, whatever goes wrong."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import pytest

from serving.settings import read_settings
from tests.serving.processes.processes import ended, started
from tests.serving.profiles import ProductionService
from tests.serving.scoring_world import Service, command, payment, running
from tests.serving.servers import PrivateRedis, Servers, own_database, wait_for
from training.client.service_process import free_port

API_KEY, HASH_KEY, PASSWORD = (f"hush{secrets.token_hex(20)}" for _ in range(3))
OWN = {"RISKGATE_API_KEY": API_KEY, "RISKGATE_HASH_KEY": HASH_KEY, "RISKGATE_LOG_DECISIONS": "all"}


def use(service: Service) -> list[str]:
    """What the service says to callers with the right key, a wrong one and none."""
    texts = []
    for headers in ({"Authorization": f"Bearer {API_KEY}"}, {"Authorization": f"Bearer {API_KEY}x"}, {}):
        for method, path in (
            ("GET", "/metrics"),
            ("GET", "/readyz"),
            ("GET", "/openapi.json"),
            ("GET", "/v1/receipts/a"),
        ):
            texts.append(service.client.request(method, path, headers=headers).text)
        texts.append(service.client.post("/v1/score", json=payment("s-1"), headers=headers).text)
        texts.append(service.client.post("/v1/score", content=b"{", headers=headers).text)
    return texts


def telling(folder: Path, texts: Iterable[str]) -> list[str]:
    """Where one of the secrets stands."""
    found = [text[:80] for text in texts if any(secret in text for secret in (API_KEY, HASH_KEY, PASSWORD))]
    for path in folder.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in (API_KEY, HASH_KEY, PASSWORD)):
            found.append(str(path))
    return found


def test_the_embedded_service_tells_none(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, **OWN) as service:
        texts = use(service)
        assert telling(tmp_path, texts) == []
    done = [command({**service.environment, "RISKGATE_PORT": "x"}, name) for name in ("run", "verify", "key-list")]
    assert telling(tmp_path, [text for one in done for text in (one.stdout, one.stderr)]) == []


def test_the_production_service_tells_none_even_when_its_servers_fail(
    server_urls: tuple[str, str], bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    with own_database(server_urls[1]) as database:
        redis = PrivateRedis(tmp_path / "redis")
        try:
            servers = Servers(redis.url, database, "rg")
            servers.redis().config_set("requirepass", PASSWORD)
            servers = Servers(
                redis.url.replace("redis://", f"redis://:{PASSWORD}@"),
                database.replace("postgres@", f"postgres:{PASSWORD}@"),
                "rg",
            )
            service = ProductionService(servers, folder, bundle, 1, OWN)
            try:
                service.wait_until_ready()
                texts = use(service)
                redis.kill()
                texts += use(service)
                for notice in ("the recorder waits", "connection to Redis was lost"):
                    wait_for(lambda notice=notice: notice in service.log.read_text(), notice)
            finally:
                service.stop()
        finally:
            redis.stop()
    # refused starts: nobody answers at these URLs, and one that cannot be read
    for url in (f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0", f"redis://:{PASSWORD}@127.0.0.1:none/0"):
        process = started(
            {**service.environment, "RISKGATE_REDIS_URL": url}, service.log, "run", "--port", str(free_port())
        )
        try:
            process.wait(60)
        finally:
            ended(process)
    texts += [command(service.environment, name).stderr for name in ("verify", "key-list")]
    assert telling(folder, texts) == []


def test_the_settings_name_no_secret_when_shown() -> None:
    settings = read_settings({"RISKGATE_API_KEY": API_KEY, "RISKGATE_HASH_KEY": HASH_KEY})
    assert API_KEY not in repr(settings)
    assert HASH_KEY not in f"{settings}"


@pytest.mark.parametrize("secret", [API_KEY, HASH_KEY, PASSWORD], ids=["key", "hash key", "password"])
def test_the_search_finds_what_is_there(tmp_path: Path, secret: str) -> None:
    (tmp_path / "service.log").write_text(f"refused {secret}")
    assert telling(tmp_path, [f"a {secret}"]) != []
    assert len(telling(tmp_path, [])) == 1
