"""A bento built from this repository, and an environment that holds its requirements and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from features.bundle.bundle import read_bundle
from tests.serving.scoring_world import Way, bentoml_command
from training.settings import Settings

if TYPE_CHECKING:
    from training.runs.bento import Built


def bento_with(bundle: Path, folder: Path) -> Built:
    """A bento whose model is this bundle, built as `make bento` does with `folder/var` for RISKGATE_VAR."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BENTOML_HOME", raising=False)
        return _built(bundle, Settings(var=folder / "var"))


def _built(bundle: Path, settings: Settings) -> Built:
    # MLflow takes two seconds to import: only the tests that build a bento pay them.
    from training.runs.bento import build
    from training.runs.registry_gate import export

    export(read_bundle(bundle), bundle, settings.model_store)
    return build(settings)


def requirements_of(bento: Path) -> list[str]:
    """Each requirement of a bento with its marker and hashes, on one line; comments are left out."""
    text = (bento / "env" / "python" / "requirements.txt").read_text()
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def site_of(bento: Path, site: Path) -> Path:
    """A folder for sys.path with the packages that a bento requires, and no other: links to the installed ones."""
    site.mkdir()
    for line in requirements_of(bento):
        name, version = re.match(r"([a-z0-9._-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            assert " ; " in line, f"{name} is required everywhere and not installed"
            continue
        if installed.version != version:
            assert " ; " in line, f"{name} {installed.version} is installed, {version} required"
            continue
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not top.endswith(".pth"):
                link = site / top
                link.unlink(missing_ok=True)  # parts of one namespace share a folder
                link.symlink_to(str(installed.locate_file(top)))
    return site


class BentoElsewhere:
    """A bento copied away from the repository, with its requirements, an empty working directory and a home."""

    def __init__(self, built: Path, folder: Path) -> None:
        self.folder = folder / "elsewhere" / "riskgate"
        shutil.copytree(built, self.folder)
        self.source = self.folder / "src"
        self.empty, self.home, self.var = folder / "empty", folder / "home", folder / "data"
        self.empty.mkdir()
        self.home.mkdir()
        site = site_of(self.folder, folder / "site")
        hidden = ("PYTHON", "RISKGATE_", "BENTOML_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
        self.environment |= {
            "HOME": str(self.home),
            "PYTHONPATH": f"{self.source}:{site}",
            "RISKGATE_VAR": str(self.var),
            "RISKGATE_CLOCK": "replay",
            "COLUMNS": "200",
        }

    def python(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the bento's packages alone, from the empty directory."""
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=self.empty,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m serving ...` in the bento to its end."""
        return self.python("-m", "serving", *arguments, **more)

    def started(self, log: Path, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Start `python ...` in the bento, with its output in `log`."""
        with log.open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-S", *arguments],
                cwd=self.empty,
                env={**self.environment, **more},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def way(self) -> Way:
        """How `bentoml serve` serves it, from the empty directory."""

        def command(port: int) -> list[str]:
            python, *rest = bentoml_command(port, str(self.folder))
            return [python, "-S", *rest]

        own = {name: self.environment[name] for name in ("HOME", "PYTHONPATH")}
        return Way(command, self.empty, {**own, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": ""})
