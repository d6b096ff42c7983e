"""Where bundles lie: a folder, or a tag of BentoML's model store."""

from __future__ import annotations

from pathlib import Path

import bentoml

from serving.errors import CannotStart
from serving.settings import Settings


def bundle_folder(settings: Settings) -> Path:
    """The folder of the champion's bundle.

    Raises: CannotStart when there is none.
    """
    return folder_of(settings.bundle, "RISKGATE_BUNDLE")


def folder_of(name: str, setting: str) -> Path:
    """The folder of a bundle by its path or its tag.

    Raises: CannotStart when there is none.
    """
    path = Path(name)
    if path.is_dir():
        return path
    try:
        return Path(bentoml.models.get(name).path)
    except (bentoml.exceptions.BentoMLException, ValueError) as error:
        raise CannotStart(
            f"There is no bundle `{name}`: neither a folder nor a tag of BentoML's model store.",
            f"Train and promote a model (python -m training promote), or set {setting}.",
        ) from error
