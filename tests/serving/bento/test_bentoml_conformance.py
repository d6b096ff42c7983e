"""What the fast path and the drain rely on in the pinned BentoML and uvicorn, which neither of them promises."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import uvicorn
import uvicorn.config
from _bentoml_impl.worker import service as worker
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.api.docs_page import swagger_ui
from tests.serving.scoring_world import ROOT

#: Looked at by hand for these; another version wants the same look before it is pinned.
LOOKED_AT = {"bentoml": "1.4.39", "uvicorn": "0.54.0"}


def test_the_versions_are_those_that_were_looked_at() -> None:
    assert {name: version(name) for name in LOOKED_AT} == LOOKED_AT


def test_the_worker_leaves_the_protocol_to_uvicorns_table() -> None:
    source = inspect.getsource(worker.main.callback)
    config = source[source.index("uvicorn.Config(") :].split(")\n", 1)[0]
    assert "http=" not in config
    # The service is imported before the configuration is made, and the configuration looks the protocol up later.
    assert source.index("load(bento_identifier") < source.index("uvicorn.Config(")
    assert inspect.signature(uvicorn.Config).parameters["http"].default == "auto"


def test_importing_the_service_changes_the_protocol_that_uvicorn_will_use() -> None:
    script = (
        "import uvicorn, serving.service as s;"
        "c = uvicorn.Config(lambda: None); c.load();"
        "assert c.http_protocol_class is s.protocol, c.http_protocol_class;"
        "print(s.protocol.__name__)"
    )
    for fast, name in (("on", "PaymentConnection"), ("off", "Bounded")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "RISKGATE_FAST_PATH": fast},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip() == name, done.stderr


def test_the_worker_is_started_by_the_supervisor_as_we_start_it() -> None:
    # Read, not imported: its import warns.
    source = (Path(worker.__file__).parents[1] / "server" / "serving.py").read_text()
    assert '_SERVICE_WORKER_SCRIPT = "_bentoml_impl.worker.service"' in source
    names = {option for parameter in worker.main.params for option in parameter.opts}
    assert {"--fd", "--timeout-graceful-shutdown", "--worker-id"} <= names
    assert '"--fd"' in source
    assert '"--worker-id"' in source


def test_the_server_hears_signals_before_the_service_starts_and_stops_by_its_handler() -> None:
    serve = inspect.getsource(uvicorn.Server.serve)
    assert serve.index("capture_signals") < serve.index("_serve")
    assert "signal.signal(sig, self.handle_exit)" in inspect.getsource(uvicorn.Server.capture_signals)
    assert "should_exit" in inspect.getsource(uvicorn.Server.handle_exit)


def test_the_protocol_is_made_with_what_the_bounds_pass_on() -> None:
    names = list(inspect.signature(HttpToolsProtocol).parameters)
    assert names == ["config", "server_state", "app_state", "_loop"]


def test_bentoml_brings_swagger_ui_and_is_not_imported_for_it() -> None:
    script = (
        "import sys, serving.api.docs_page as d; [d.file(name) for name in d.FILES];assert 'bentoml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    assert b"SwaggerUIBundle" in (swagger_ui() / "swagger-ui-bundle.js").read_bytes()


def test_each_worker_counts_in_its_own_memory(tmp_path: Path) -> None:
    script = (
        "import serving.service; from serving.telemetry.metrics import Metrics; m = Metrics(); m.replayed();"
        "assert b'riskgate_idempotent_replays_total 1.0' in m.text()"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
