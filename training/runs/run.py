"""One training run from files to the registry, shared by `fit`, the demo and the Handbook job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from features.catalogue.catalogue import Catalogue
from features.errors import InvalidHistory
from features.feast_store.views import service_name
from features.history.card_numbers import is_marked, tokenised
from features.history.parquet import read_table
from features.intake.tokens import Tokens
from features.state.profiles import ProfileFile, Profiles
from training.data.frame import Frame, Progress, frame
from training.data.source_map import Dataset
from training.evaluation.metrics import auc, average_precision
from training.model.fit import TreeDone
from training.model.split import first_moment
from training.runs.mlflow_log import CHAMPION, Version, read_bundle_of, track, version_of
from training.runs.pipeline import Stage, Trained, file_digest, score_with, train
from training.settings import Settings
from training.simulator import storage
from training.simulator.manifest import read_manifest


@dataclass(frozen=True)
class Listener:
    """Callbacks for the progress of a run: stages, payments replayed, trees grown."""

    stage: Stage = lambda _: None
    advance: Progress | None = None
    trees: TreeDone | None = None


def run(
    dataset: Dataset,
    history_path: Path,
    settings: Settings,
    recipe_name: str | None = None,
    profiles_path: Path | None = None,
    through_feast: bool = True,
    listener: Listener = Listener(),
) -> tuple[Trained, Version]:
    """Train on a history file and register the model as challenger.

    Args:
        dataset: how to train, and which own attributes the history has.
        history_path: parquet in the normalised shape.
        settings: where results are stored.
        recipe_name: one of the data set's recipes; None takes its first.
        profiles_path: the profiles of the history's parties.
        through_feast: take the features from Feast, else from the kernel directly (the values are the same).
        listener: called with progress.

    Raises:
        InvalidHistory: the history is absent, cannot be replayed or does not fill the recipe's periods.
        InvalidDeclaration: the data set or its recipe contradicts itself.
    """
    catalogue, recipe = Catalogue(dataset.catalogue_parameters()), dataset.recipe(recipe_name)
    listener.stage("reading the history")
    history = read_history(history_path, settings.tokens())
    payments = frame_of(dataset, history, catalogue, settings, recipe_name, profiles_path, through_feast, listener)
    del history
    trained = train(
        payments,
        catalogue,
        recipe,
        dataset.delay,
        dataset=dataset.name,
        recipe_name=recipe_name or next(iter(dataset.recipes), ""),
        data_digest=digest_of(history_path),
        on_stage=listener.stage,
        on_tree=listener.trees,
    )
    listener.stage("keeping and registering the run")
    return trained, track(trained, service_name(catalogue), settings, incumbent_figures(trained.test, settings))


def frame_of(
    dataset: Dataset,
    history: pa.Table,
    catalogue: Catalogue,
    settings: Settings,
    recipe_name: str | None = None,
    profiles_path: Path | None = None,
    through_feast: bool = True,
    listener: Listener = Listener(),
) -> Frame:
    """The frame of a history from the first payment that the recipe learns from."""
    if not history.num_rows:
        raise InvalidHistory("The history holds no payment.", "Give a longer history.")
    last = pd.Timestamp(history["event_time"][history.num_rows - 1].as_py())
    since = first_moment(dataset.recipe(recipe_name).split, dataset.delay, last)
    listener.stage("replaying the history")
    return frame(
        history,
        catalogue,
        read_profiles(profiles_path, settings.tokens()),
        None if since is None else since.to_pydatetime(),
        settings.var / "feast" / dataset.name if through_feast else None,
        listener.advance,
        settings.feast_registry,
    )


def read_history(path: Path, tokens: Tokens | None = None) -> pa.Table:
    """The history in a file or in the folder of a simulated world; `tokens` replaces its clear card numbers.

    Raises:
        InvalidHistory: there is none, or the world is incomplete; it holds clear card numbers and there are no
            `tokens`, or tokens of another key.
    """
    if path.is_dir():
        return storage.read_history(path)
    if not path.is_file():
        raise InvalidHistory(
            f"There is no history {path}.",
            "Make one from a source file: python -m training history DATASET --data FOLDER. "
            "The simulated one is made by python -m training simulate.",
        )
    history = read_table(path)
    return history if is_marked(history, tokens, str(path)) else tokenised(history, tokens, str(path))


def digest_of(path: Path) -> str:
    """The digest of a history: the SHA-256 of the file, or of a world's parameters."""
    manifest = read_manifest(path) if path.is_dir() else None
    return manifest.digest if manifest else file_digest(path)


def read_profiles(path: Path | None, tokens: Tokens | None = None) -> Profiles | None:
    """Every version of every profile in a profile file; None if there is no file to read.

    `tokens` names instruments as a history with tokens does.

    Raises:
        InvalidHistory: the file named is absent.
    """
    if path is None:
        return None
    if not path.is_file():
        raise InvalidHistory(f"There is no profile file {path}.", "Leave --profiles out, or name the file.")
    profiles = ProfileFile(path).load()
    if tokens is not None:
        for instrument, row in list(profiles.versions("instrument")):
            kept, token = tokens.replace(instrument)
            if token is not None:
                profiles.put("instrument", kept, row)
    return profiles


def profiles_of_history(history: Path) -> Path | None:
    """The profile file next to a history, or in the folder of a simulated world, if there is one."""
    path = history / storage.PROFILES if history.is_dir() else history.with_suffix(".profiles.sqlite")
    return path if path.is_file() else None


def incumbent_figures(test: Frame, settings: Settings) -> dict[str, float]:
    """The metrics of the present champion on the same test; empty if there is none or its features differ."""
    champion = version_of(CHAMPION, settings)
    if champion is None:
        return {}
    bundle = read_bundle_of(champion, settings)
    if tuple(name for name, _ in bundle.contract.columns) != test.names:
        return {}
    scores = score_with(bundle, test)
    found = {"auc": auc(scores, test.fraud), "average_precision": average_precision(scores, test.fraud)}
    figures = {f"incumbent_{name}": value for name, value in found.items() if value is not None}
    return figures | {"incumbent_version": float(champion.version)}
