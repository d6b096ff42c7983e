"""A connection ends with a reply after a while, so that load spreads again over processes that came later."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest

from tests.serving.scoring_world import payment, running


@pytest.mark.parametrize("fast", ["on", "off"])
def test_a_connection_ends_with_a_reply_and_no_payment_fails(bundle: Path, tmp_path: Path, fast: str) -> None:
    with running(tmp_path, bundle, RISKGATE_CONNECTION_SECONDS="1", RISKGATE_FAST_PATH=fast) as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        began, ended, count = time.monotonic(), 0, 0
        while time.monotonic() - began < 4:
            count += 1
            connection.request("POST", "/v1/score", json.dumps(payment(f"age-{count}")))
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200
            if reply.getheader("connection") == "close":
                assert connection.sock is None  # http.client has closed its side, and connects again
                ended += 1
            time.sleep(0.01)
        connection.close()
    assert 2 <= ended <= 6
