"""Mixed, pipelined and aborted traffic through nginx and beside it: no reply to the wrong request, nothing recorded
that was not acknowledged. `make proxy` sends ten times as many requests."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.serving.overload.nginx import nginx_before
from tests.serving.overload.proxy_traffic import KEY, Traffic
from tests.serving.scoring_world import running

REQUESTS = int(os.environ.get("PROXY_REQUESTS", "2000"))


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_every_reply_belongs_to_its_request(bundle: Path, tmp_path: Path, fast_path: str) -> None:
    environment = {"RISKGATE_API_KEY": KEY, "RISKGATE_FAST_PATH": fast_path}
    with running(tmp_path, bundle, **environment) as service, nginx_before(service.port, tmp_path / "nginx") as nginx:
        traffic = Traffic(service.port, (nginx.whole, nginx.passing), REQUESTS)
        traffic.run()
        assert traffic.wrong == []
        assert sum(traffic.asked.values()) >= REQUESTS
        assert service.client.get("/livez").status_code == 200
    with sqlite3.connect(tmp_path / "var" / "ledger.sqlite") as ledger:
        recorded = {name for (name,) in ledger.execute("SELECT transaction_id FROM events WHERE kind = 'payment'")}
    ledger.close()
    assert recorded == traffic.acknowledged
    assert len(recorded) > REQUESTS / 3
