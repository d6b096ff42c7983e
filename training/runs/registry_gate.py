"""From challenger to champion: a gate that answers in sentences, and the export that serving reads."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import msgspec

from features.bundle.bundle import Bundle
from features.catalogue.catalogue import catalogue_of
from features.errors import RiskgateError
from training.runs.mlflow_log import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Version,
    bundle_of,
    drop_alias,
    name_version,
    note_on_version,
    version_of,
)
from training.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # BentoML imports with names that its own dependencies have deprecated
    import bentoml.exceptions
    import bentoml.models
    from bentoml._internal.models import ModelStore  # how BentoML itself opens a store at a path

STORE_NAME = "riskgate"
CHALLENGER_STORE = "riskgate-challenger"
LEAST_AUC = 0.6
TOO_GOOD_AVERAGE_PRECISION = 0.98
"""No honest score separates rare fraud like this; a feature that knows the label does."""
LARGEST_CALIBRATION_ERROR = 0.05
TOLERATED_LOSS = 0.02
"""Share of the champion's average precision that a challenger may lack, e.g. for a policy change."""
FEWEST_FRAUDS = 20


class NotPromoted(RiskgateError):
    """A version may not become champion."""

    code = "not_promoted"


class Promotion(msgspec.Struct, frozen=True):
    """What was promoted, what it replaced, and the tag under which serving finds it."""

    version: str
    previous: str | None
    tag: str
    path: Path
    overruled: tuple[str, ...]


def promote(settings: Settings, which: str = CHALLENGER, despite: str | None = None) -> Promotion:
    """Make a version champion: the former one becomes `previous`, the bundle goes to the model store.

    Args:
        settings: where MLflow and BentoML keep things.
        which: alias or number of the version.
        despite: a person's reason to overrule the gate; kept with the version.

    Raises:
        NotPromoted: there is no such version, or the gate refuses it (every reason is named).
    """
    candidate = version_of(which, settings)
    if candidate is None:
        raise NotPromoted(f"There is no version {which!r}.", "Train one: python -m training fit.")
    champion = version_of(CHAMPION, settings)
    with tempfile.TemporaryDirectory() as folder:
        bundle, path = bundle_of(candidate, settings, Path(folder))
        objections = refusals(candidate, champion, bundle)
        if objections and not despite:
            raise NotPromoted(
                f"{bundle.model_name} may not become champion: {' '.join(objections)}",
                'Train a better one, or overrule the gate with --despite "your reason".',
            )
        tag, exported = export(bundle, path, settings.model_store)
    if despite:
        note_on_version(candidate.version, "overruled", despite, settings)
    _rename(candidate, champion, settings)
    previous = champion.version if champion and champion.version != candidate.version else None
    return Promotion(candidate.version, previous, tag, exported, tuple(objections))


def nominate(settings: Settings, which: str = CHALLENGER) -> str:
    """Export a version for scoring beside the champion, and return its tag; it decides nothing, so no gate asks.

    Raises: NotPromoted when there is no such version.
    """
    candidate = version_of(which, settings)
    if candidate is None:
        raise NotPromoted(f"There is no version {which!r}.", "Train one: python -m training fit.")
    with tempfile.TemporaryDirectory() as folder:
        bundle, path = bundle_of(candidate, settings, Path(folder))
        tag, _ = export(bundle, path, settings.model_store, CHALLENGER_STORE)
    return tag


def refusals(candidate: Version, champion: Version | None, bundle: Bundle) -> list[str]:
    """Every reason why a version should not become champion, one sentence each; empty if there is none."""
    figures = candidate.figures
    found = []
    frauds, auc = figures.get("frauds", 0), figures.get("auc")
    if frauds < FEWEST_FRAUDS:
        found.append(f"Its test holds {frauds:.0f} frauds, fewer than {FEWEST_FRAUDS}: that shows nothing.")
    if auc is None or auc < LEAST_AUC:
        found.append(f"Its AUC is {'undefined' if auc is None else f'{auc:.3f}'}, below {LEAST_AUC}.")
    precision = figures.get("average_precision", 0.0)
    if precision > TOO_GOOD_AVERAGE_PRECISION:
        found.append(f"Its average precision of {precision:.3f} is too good to be true: look for a leak of the label.")
    error = figures.get("expected_calibration_error", 0.0)
    if error > LARGEST_CALIBRATION_ERROR:
        found.append(f"Its scores miss the observed fraud rate by {error:.3f} on average.")
    if figures.get("cost_minor", 0.0) > figures.get("cost_without_scoring_minor", float("inf")):
        found.append("Its policy costs more than approving everything.")
    found += _behind(candidate, champion)
    contract = catalogue_of(bundle.contract).contract()
    found += [f"This code computes other features: {text}." for text in bundle.contract.differences(contract)]
    return found


def export(bundle: Bundle, folder: Path, home: Path, name: str = STORE_NAME) -> tuple[str, Path]:
    """Copy a bundle's files into the model store of a BentoML folder, where `riskgate:latest` then finds it.

    Raises: NotPromoted when the folder cannot be written.
    """
    tag = f"{name}:{bundle.version}-{bundle.digest[:12]}"
    labels = {"model": bundle.model_name.replace("@", "-"), "features": bundle.contract.hash[:12]}
    try:
        store = store_in(home)
        if any(str(model.tag) == tag for model in bentoml.models.list(_model_store=store)):
            # The newest entry is the one that is served, so a return is a new entry.
            bentoml.models.delete(tag, _model_store=store)
        with bentoml.models.create(tag, labels=labels, metadata=dict(bundle.trained), _model_store=store) as model:
            for file in sorted(folder.iterdir()):
                shutil.copy2(file, model.path_of(file.name))
        return tag, Path(bentoml.models.get(tag, _model_store=store).path)
    except OSError as error:
        raise NotPromoted(
            f"The bundle cannot be written to {home}: {error.strerror}.",
            "Make it a folder that this user may write, or set BENTOML_HOME to another one.",
        ) from error


def latest(home: Path, name: str) -> str | None:
    """The newest tag of this name in the model store of a BentoML folder; None when there is none."""
    try:
        return str(bentoml.models.get(f"{name}:latest", _model_store=ModelStore(home / "models")).tag)
    except (bentoml.exceptions.BentoMLException, OSError):
        return None


def store_in(home: Path) -> ModelStore:
    """The model store of a BentoML folder, made if need be; never the default one in the user's home."""
    models = home / "models"
    models.mkdir(parents=True, exist_ok=True)
    return ModelStore(models)


def _behind(candidate: Version, champion: Version | None) -> list[str]:
    """Compared on the candidate's own test, where the incumbent was scored too, if it could be."""
    if champion is None or champion.version == candidate.version:
        return []
    own, incumbent = candidate.figures.get("average_precision"), candidate.figures.get("incumbent_average_precision")
    if own is None or incumbent is None or own >= (1 - TOLERATED_LOSS) * incumbent:
        return []
    return [
        f"On the same test its average precision is {own:.3f}, that of the champion risk@{champion.version}"
        f" {incumbent:.3f}."
    ]


def _rename(candidate: Version, champion: Version | None, settings: Settings) -> None:
    if champion and champion.version != candidate.version:
        name_version(PREVIOUS, champion.version, settings)
    name_version(CHAMPION, candidate.version, settings)
    challenger = version_of(CHALLENGER, settings)
    if challenger and challenger.version == candidate.version:
        drop_alias(CHALLENGER, settings)
