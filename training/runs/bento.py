"""Builds a bento of the champion: one folder with code, pins and model, served by `bentoml serve` on any machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from features.errors import RiskgateError
from training.runs.registry_gate import STORE_NAME, latest
from training.settings import Settings, environment_with_model_store

SOURCE = Path(__file__).resolve().parents[2]
EXPORT = "import bentoml, sys; bentoml.export_bento(sys.argv[1], sys.argv[2], output_format='folder')"


class NotBuilt(RiskgateError):
    """The bento could not be built."""


class Built(NamedTuple):
    """A bento's tag in the project's store, its model, and the exported folder."""

    tag: str
    model: str
    folder: Path


def build(settings: Settings, source: Path = SOURCE) -> Built:
    """Build the bento of a source tree with the champion of the project's model store and export it to a folder.

    Raises: NotBuilt when there is no champion or no source tree, or BentoML refuses.
    """
    model = latest(settings.model_store, STORE_NAME)
    if model is None:
        raise NotBuilt(
            f"There is no champion in {settings.model_store}, so a bento would have no model.",
            "Train and promote one: python -m training fit, then python -m training promote.",
        )
    if not (source / "bentofile.yaml").is_file():
        raise NotBuilt(f"{source} has no bentofile.yaml: a bento is built from the repository.", "Run it there.")
    printed = _run(settings, source, "-m", "bentoml", "build", "--output", "tag", ".")
    tag = printed.rpartition("__tag__:")[2].strip()
    folder = settings.var / "bento" / tag.partition(":")[2]
    folder.parent.mkdir(parents=True, exist_ok=True)  # BentoML would nest its export in an existing folder
    _run(settings, source, "-c", EXPORT, tag, str(folder.resolve()))
    return Built(tag, model, folder)


def _run(settings: Settings, source: Path, *arguments: str) -> str:
    """The output of BentoML in a process of its own: BentoML keeps the folder of the first store it opens."""
    environment = environment_with_model_store(settings)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split()).rpartition("failed: ")[2]
        raise NotBuilt(f"BentoML could not build the bento: {reason}", "Repair the cause and run it again.")
    return done.stdout
