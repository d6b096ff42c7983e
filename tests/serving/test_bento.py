"""`bentoml build` makes a bento that serves from an empty directory, without the repository and without MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.serving.scoring_world import ROOT, free_port, payment

BENTOML = [sys.executable, "-m", "bentoml"]
HIDE_TRAINING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mlflow", "feast", "training"):
            raise ImportError(f"{name} is not in the bento")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.slow
def test_a_bento_serves_from_an_empty_directory_without_the_repository(bundle: Path, tmp_path: Path) -> None:
    home, empty, hidden = tmp_path / "home", tmp_path / "empty", tmp_path / "hidden"
    empty.mkdir()
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(HIDE_TRAINING)
    environment = {
        **os.environ,
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "RISKGATE_VAR": str(tmp_path / "var"),
        "RISKGATE_CLOCK": "replay",
    }
    environment.pop("RISKGATE_BUNDLE", None)
    export = (
        "import bentoml, shutil, sys, pathlib\n"
        "with bentoml.models.create('riskgate:1-test') as model:\n"
        "    [shutil.copy2(f, model.path_of(f.name)) for f in pathlib.Path(sys.argv[1]).iterdir()]\n"
    )
    subprocess.run([sys.executable, "-c", export, str(bundle)], env=environment, check=True, cwd=ROOT)
    built = subprocess.run(
        [*BENTOML, "build", "--output", "tag", "."],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    tag = built.stdout.strip().rpartition("__tag__:")[2].strip()
    (source,) = (home / "bentos" / "riskgate").glob("*/src")
    assert not (source / "training").exists()
    # The editable install of the repository must not answer in the bento's place: an environment of its own.
    site = tmp_path / "site"
    site.mkdir()
    for path in Path(httpx.__file__).parents[1].iterdir():
        if "riskgate" not in path.name and path.name not in ("mlflow", "feast"):
            (site / path.name).symlink_to(path)
    for row in site.glob("*.pth"):
        row.unlink()
    # Seen in a reply, this mark shows that the bento's own source answers.
    page = source / "serving" / "page.py"
    page.write_text(page.read_text().replace("the HTTP contract", "the contract, from the bento"))
    port = free_port()
    served = {**environment, "PYTHONPATH": f"{hidden}:{site}"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-S", "-m", "bentoml", "serve", tag, "--port", str(port), "--host", "127.0.0.1"],
            cwd=empty,
            env=served,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        reply = _first_answer(port, process, tmp_path / "log")
        assert reply.json()["tier"] == "full"
        assert reply.json()["model"] == "risk@1"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/readyz").json()["ready"] is True
            assert "bentoml" not in client.get("/metrics").text
            assert "the contract, from the bento" in client.get("/").text
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _first_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> httpx.Response:
    deadline = time.monotonic() + 120
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            try:
                if client.get("/readyz").status_code == 200:
                    return client.post("/v1/score", json=payment("bento", attributes=None))
            except httpx.TransportError:
                pass
            time.sleep(0.3)
    raise AssertionError(log.read_text())
