"""`bentoml build` makes a bento that serves from an empty directory, without the repository and without MLflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from bentoml._internal.bento.build_config import BentoPathSpec

from tests.house.serving_pins import PINS
from tests.serving.bento.bento_world import BentoElsewhere, requirements_of
from tests.serving.scoring_world import ROOT, payment
from training.client.service_process import free_port
from training.runs.bento import Built


@pytest.fixture
def elsewhere(bento: Built, tmp_path: Path) -> BentoElsewhere:
    return BentoElsewhere(bento.folder, tmp_path)


def test_the_bento_requires_the_locked_versions_word_for_word(bento: Built) -> None:
    environment = bento.folder / "env"
    assert (environment / "python" / "requirements.txt").read_text() == PINS.read_text()
    assert sorted(path.name for path in (environment / "python").iterdir()) == ["requirements.txt"]
    lines = requirements_of(bento.folder)
    assert len(lines) > 50
    for line in lines:
        assert re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line[:80]
    described = yaml.load((bento.folder / "bento.yaml").read_text(), Loader=yaml.CSafeLoader)
    assert described["image"]["python_requirements"] == PINS.read_text()


def test_the_bento_holds_all_of_serving_and_nothing_of_training(bento: Built) -> None:
    source = bento.folder / "src"
    assert not (source / "training").exists()
    assert not (source / "tests").exists()
    assert not (source / "features" / "feast_store").exists()
    for part in ("console/templates/base.html", "console/static/console.css", "telemetry/dashboards/riskgate.json"):
        assert (source / "serving" / part).exists()
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "serving").rglob("*.py")}
    assert ours == {path.relative_to(source).as_posix() for path in (source / "serving").rglob("*.py")}
    assert bento.model.startswith("riskgate:1-")
    assert (bento.folder / "models" / Path(*bento.model.split(":")) / "model.txt").is_file()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pathspec, about the name that BentoML calls it by
def test_a_bento_takes_nothing_of_an_earlier_one_below_var() -> None:
    described = yaml.load((ROOT / "bentofile.yaml").read_text(), Loader=yaml.CSafeLoader)
    taken = BentoPathSpec(described["include"], described["exclude"]).includes
    assert all(taken(path) for path in ("LICENSE", "serving/service.py", "features/errors.py"))
    assert not any(taken(f"var/bento/1/src/{path}") for path in ("LICENSE", "serving/service.py", "features/errors.py"))


@contextmanager
def served(elsewhere: BentoElsewhere, what: str, **more: str) -> Iterator[int]:
    """The port of `bentoml serve` in the empty directory, once the service is ready."""
    port, log = free_port(), elsewhere.home / "serve.log"
    arguments = ("-m", "bentoml", "serve", what, "--port", str(port), "--host", "127.0.0.1")
    process = elsewhere.started(log, *arguments, BENTOML_DO_NOT_TRACK="True", **more)
    try:
        _until_ready(port, process, log)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
def test_a_bento_serves_from_an_empty_directory_without_the_repository(
    bento: Built, elsewhere: BentoElsewhere, tmp_path: Path
) -> None:
    # By its tag, from a store of its own, as somebody has it who imported the bento.
    home = tmp_path / "bentoml"
    shutil.copytree(bento.folder.parents[1] / "bentoml", home)
    (source,) = (home / "bentos" / "riskgate").glob("*/src")
    assert not (source / "training").exists()
    # Seen in a reply, this mark shows that the bento's own source answers.
    page = source / "serving" / "page.py"
    page.write_text(page.read_text().replace("the HTTP contract", "the contract, from the bento"))
    site = elsewhere.environment["PYTHONPATH"].partition(":")[2]
    with served(elsewhere, bento.tag, BENTOML_HOME=str(home), PYTHONPATH=site) as port:
        reply = _decided(port)
        assert reply.json()["tier"] == "full"
        assert reply.json()["model"] == "risk@1"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/readyz").json()["ready"] is True
            assert "bentoml" not in client.get("/metrics").text
            assert "the contract, from the bento" in client.get("/").text


@pytest.mark.slow
def test_a_copied_folder_serves_keeps_its_ledger_where_it_was_started_and_is_proved_there(
    elsewhere: BentoElsewhere,
) -> None:
    site = elsewhere.environment["PYTHONPATH"].partition(":")[2]
    del elsewhere.environment["RISKGATE_VAR"]
    with served(elsewhere, str(elsewhere.folder), PYTHONPATH=site, RISKGATE_LOG="json") as port:
        assert _decided(port).json()["model"] == "risk@1"
    lines = (elsewhere.home / "serve.log").read_text().splitlines()
    assert all(json.loads(line)["message"] for line in lines)
    assert (elsewhere.empty / "var" / "ledger.sqlite").is_file()
    assert not (elsewhere.source / "var").exists()
    proved = elsewhere.command("verify")
    assert proved.returncode == 0, proved.stderr
    assert "no difference" in proved.stdout + proved.stderr


@pytest.mark.parametrize("declared", [True, False], ids=["its model was not copied", "it was built without a model"])
def test_a_bento_without_a_model_ends_with_a_sentence(elsewhere: BentoElsewhere, declared: bool) -> None:
    shutil.rmtree(elsewhere.folder / "models")
    if not declared:
        path = elsewhere.folder / "bento.yaml"
        described = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        path.write_text(yaml.dump({**described, "models": []}, Dumper=yaml.CSafeDumper))
    port = str(free_port())
    done = elsewhere.python("-m", "bentoml", "serve", str(elsewhere.folder), "--host", "127.0.0.1", "--port", port)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    if declared:  # BentoML refuses before any code of ours is asked
        assert "Model riskgate:1-" in done.stderr
    else:
        assert "There is no bundle `riskgate:latest`" in done.stderr
        assert "RISKGATE_BUNDLE" in done.stderr
    done = elsewhere.command("run", "--port", port)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert ("with which this bento was built" if declared else "There is no bundle `riskgate:latest`") in done.stderr


def _until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.3)
    raise AssertionError(log.read_text())


def _decided(port: int) -> httpx.Response:
    """The answer to one payment: a service that said it is ready owes one to the first."""
    reply = httpx.post(f"http://127.0.0.1:{port}/v1/score", json=payment("bento", attributes=None), timeout=60)
    assert reply.status_code == 200, reply.text
    return reply
