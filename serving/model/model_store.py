"""Finds a bundle: a folder, or a tag of a BentoML model store.

Inside a bento `riskgate:latest` is the model that the bento was built with. Every other tag, and every tag elsewhere,
is looked up in the project's own store (`bentoml` below RISKGATE_VAR, or BENTOML_HOME if set).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import bentoml
from bentoml._internal.models import ModelStore  # how BentoML itself opens a store at a path

from features.settings import bentoml_home
from serving.errors import CannotStart

#: The folder of the source tree; in a bento it is called `src`, and `bento.yaml` is next to it.
SOURCE = Path(__file__).resolve().parents[2]
#: BentoML's default folder, where older releases kept their bundles.
FORMER_HOME = Path("~/bentoml")


def bundle_folder(name: str, var: Path, setting: str = "RISKGATE_BUNDLE", source: Path = SOURCE) -> Path:
    """The folder of a bundle by its path or its tag; `setting` is what names it.

    `source` is the source tree, which may be in a bento.

    Raises: CannotStart when there is none.
    """
    path = Path(name)
    if path.is_dir():
        return path
    home = bentoml_home(var)
    tag = pinned(name, source)
    for store in (*stores_of(source), home / "models"):
        found = in_store(store, tag)
        if found is not None:
            return found
    if tag != name:
        raise CannotStart(
            f"Bundle `{tag}`, with which this bento was built, is neither in the bento nor in {home}.",
            f"Copy the bento with `bentoml export` and `bentoml import`, or set {setting} to a folder.",
        )
    former = in_store(FORMER_HOME.expanduser() / "models", name)
    if former is not None:
        raise CannotStart(
            f"There is no bundle `{name}` in {home}; the one of an earlier release is in {former}.",
            f"Promote it again (python -m training promote --version champion), or set {setting} to that folder.",
        )
    raise CannotStart(
        f"There is no bundle `{name}`: neither a folder nor a tag of the model store in {home}.",
        f"Train and promote a model (python -m training promote), or set {setting}.",
    )


def in_store(models: Path, tag: str) -> Path | None:
    """The folder of a tag in the model store at a path; None if it is missing or no valid tag."""
    try:
        return Path(bentoml.models.get(tag, _model_store=ModelStore(models)).path)
    except (bentoml.exceptions.BentoMLException, ValueError, OSError):
        return None


def pinned(name: str, source: Path) -> str:
    """For `riskgate` or `riskgate:latest` the tag with which the bento was built; any other name unchanged."""
    model, _, version = name.partition(":")
    return models_of(source).get(model, name) if version in ("", "latest") else name


@cache
def models_of(source: Path) -> dict[str, str]:
    """Name -> tag of the models of the bento around a source tree; empty without a bento."""
    if not _is_bento(source):
        return {}
    return {one.tag.name: str(one.tag) for one in bentoml.Bento.from_path(source.parent).info.all_models}


def stores_of(source: Path) -> tuple[Path, ...]:
    """The model stores of a bento: its own if it was exported, and the one next to the bento store."""
    if not _is_bento(source):
        return ()
    bento = source.parent
    sibling = (bento.parents[2] / "models",) if bento.parents[1].name == "bentos" else ()
    return (bento / "models", *sibling)


def _is_bento(source: Path) -> bool:
    return source.name == "src" and (source.parent / "bento.yaml").is_file()
