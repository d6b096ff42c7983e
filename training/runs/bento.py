"""A bento of the champion: one folder with code, pins and model, which `bentoml serve` serves on any machine."""

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
    """No bento could be made."""

    code = "not_built"


class Built(NamedTuple):
    """The tag of a bento in the project's store, the model in it, and the folder that serves by itself."""

    tag: str
    model: str
    folder: Path


def build(settings: Settings, source: Path = SOURCE) -> Built:
    """Build the bento of a source tree with the champion of the project's model store, and copy both to a folder.

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
    folder.parent.mkdir(parents=True, exist_ok=True)  # BentoML would put a folder that exists one level lower
    _run(settings, source, "-c", EXPORT, tag, str(folder.resolve()))
    return Built(tag, model, folder)


def _run(settings: Settings, source: Path, *arguments: str) -> str:
    """What BentoML prints, in a process of its own: it keeps the folder of the first store that it opens."""
    environment = environment_with_model_store(settings)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()).rpartition("failed: ")[2]
        raise NotBuilt(f"BentoML could not build the bento: {said}", "Put that right and run it again.")
    return done.stdout
