"""Promotes a challenger to champion through a gate, and exports its bundle to the model store of serving."""

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
    set_alias,
    tag_version,
    version_of,
)
from training.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # BentoML's imports use names that its dependencies deprecated
    import bentoml.exceptions
    import bentoml.models
    from bentoml._internal.models import ModelStore  # BentoML has no public way to open a store at a path

STORE_NAME = "riskgate"
CHALLENGER_STORE = "riskgate-challenger"
LEAST_AUC = 0.6
TOO_GOOD_AVERAGE_PRECISION = 0.98
"""Above this a feature leaks the label: no honest score separates rare fraud so well."""
LARGEST_CALIBRATION_ERROR = 0.05
TOLERATED_LOSS = 0.02
"""Tolerated relative loss of average precision against the champion, e.g. for a policy change."""
FEWEST_FRAUDS = 20


class NotPromoted(RiskgateError):
    """A version may not become champion."""


class PromotionResult(msgspec.Struct, frozen=True):
    """The promoted version, the version it replaced, and its tag in the model store."""

    version: str
    previous: str | None
    tag: str
    path: Path
    overruled: tuple[str, ...]


def promote(settings: Settings, which: str = CHALLENGER, despite: str | None = None) -> PromotionResult:
    """Make a version champion: the former one becomes `previous`, the bundle goes to the model store.

    Args:
        settings: where MLflow and BentoML store models.
        which: alias or number of the version.
        despite: a person's reason to overrule the gate; stored with the version.

    Raises:
        NotPromoted: there is no such version, or the gate refuses it; the message names every reason.
    """
    candidate = known_version(which, settings)
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
        tag_version(candidate.version, "overruled", despite, settings)
    _rename(candidate, champion, settings)
    previous = champion.version if champion and champion.version != candidate.version else None
    return PromotionResult(candidate.version, previous, tag, exported, tuple(objections))


def nominate(settings: Settings, which: str = CHALLENGER) -> str:
    """Export a version as challenger and return its tag; it decides nothing, so no gate applies.

    Raises: NotPromoted when there is no such version.
    """
    candidate = known_version(which, settings)
    with tempfile.TemporaryDirectory() as folder:
        bundle, path = bundle_of(candidate, settings, Path(folder))
        tag, _ = export(bundle, path, settings.model_store, CHALLENGER_STORE)
    return tag


def known_version(which: str, settings: Settings) -> Version:
    """The version with this number or alias.

    Raises: NotPromoted when there is none.
    """
    found = version_of(which, settings)
    if found is None:
        raise NotPromoted(f"There is no version {which!r}.", "Train one: python -m training fit.")
    return found


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
    found += _worse_than_champion(candidate, champion)
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
            # Serving takes the newest entry, so an earlier version that returns needs a new entry.
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
    """The model store of a BentoML folder, created if absent; never the default one in the user's home."""
    models = home / "models"
    models.mkdir(parents=True, exist_ok=True)
    return ModelStore(models)


def _worse_than_champion(candidate: Version, champion: Version | None) -> list[str]:
    """Compares the candidate with the champion on the candidate's test, if the champion could be scored on it."""
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
        set_alias(PREVIOUS, champion.version, settings)
    set_alias(CHAMPION, candidate.version, settings)
    challenger = version_of(CHALLENGER, settings)
    if challenger and challenger.version == candidate.version:
        drop_alias(CHALLENGER, settings)
